//! Running a job as often as it takes.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
    time::{Duration, Instant},
};

use millstream_checkpoint::{
    Restart, TaskId,
    restart::{Decision, Strategy},
    storage::{Care, CheckpointStorage, StorageError},
};
use millstream_dataflow::{StreamGraph, TaskError, task::Order};
use millstream_executor::Outcome;

use super::{
    CheckpointOptions, ClaimMode, Coordinating, Directory, Keeper, Participation, Restore,
    Savepoints, Settled, Setup, Store, Work, keeper, restore, store::Storage,
};
use crate::{RunError, threads::Splits};

/// How long after the death of a process a job begins anew.
const AFTER_DEATH: Duration = Duration::from_millis(100);

/// Whether a job that failed begins anew.
pub(crate) struct Attempts {
    restart: RefCell<Restart>,
    begin: Instant,
    checkpoints: bool,
    /// Attempts that failed.
    failed: u32,
    /// The first checkpoint that these attempts can have taken.
    first: Cell<u64>,
    doubt: Arc<Doubt>,
    savepoints: Savepoints,
}

/// Whether what a job begins from is known to be whole. Shared files are verified by those who fetch them; if
/// somebody fails before the job runs, that may be why, and all is read before it is tried again.
#[derive(Debug, Default)]
struct Doubt {
    /// Nobody has said yet that all that is needed is there.
    is_open: AtomicBool,
    /// All is to be read next time.
    is_raised: AtomicBool,
}

/// Why an attempt ended.
pub(crate) enum Ended {
    /// Before it began: it would end so again.
    Fatal(RunError),
    /// While it ran.
    Failed(RunError),
}

impl<E: Into<RunError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Attempts {
    /// Of a job that is begun anew so often when a task fails, if it has checkpoints.
    /// Savepoints are taken when `savepoints` says so.
    pub(crate) fn new(options: Option<&CheckpointOptions>, savepoints: &Savepoints) -> Self {
        let strategy = match (options, Strategy::EXPONENTIAL_DELAY) {
            (
                Some(options),
                Strategy::ExponentialDelay { initial_ms, max_ms, multiplier, reset_ms, .. },
            ) => {
                let attempts = Some(options.restarts);
                Strategy::ExponentialDelay {
                    initial_ms,
                    max_ms,
                    multiplier,
                    jitter: 0.0,
                    reset_ms,
                    attempts,
                }
            }
            _ => Strategy::None,
        };
        let begin = Instant::now();
        Self {
            restart: RefCell::new(Restart::new(strategy)),
            begin,
            checkpoints: options.is_some(),
            failed: 0,
            first: Cell::new(0),
            doubt: Arc::default(),
            savepoints: savepoints.clone(),
        }
    }

    /// Waits until the job may begin anew.
    ///
    /// # Errors
    /// If it may not: why it failed.
    pub(crate) fn again(&mut self, ended: Ended) -> Result<(), RunError> {
        let error = match ended {
            Ended::Failed(error)
                if !self.is_in_doubt(&error)
                    && self.checkpoints
                    && !matches!(error, RunError::Cancelled) =>
            {
                error
            }
            Ended::Fatal(error) | Ended::Failed(error) if self.is_in_doubt(&error) => {
                self.doubt.is_raised.store(true, Ordering::Release);
                eprintln!("the job did not begin, and what it begins from is verified: {error}");
                return Ok(());
            }
            Ended::Fatal(error) | Ended::Failed(error) => return Err(error),
        };
        // That a process dies is not the job's fault.
        let wait = if matches!(error, RunError::Worker { .. }) {
            AFTER_DEATH
        } else {
            match self.task_failed() {
                Some(wait) => wait,
                None => return Err(error),
            }
        };
        self.failed += 1;
        eprintln!("the job failed and begins anew in {wait:?}: {error}");
        thread::sleep(wait);
        Ok(())
    }

    /// A task failed, and with it the job or a region: after how long that begins anew, if it may.
    pub(crate) fn task_failed(&self) -> Option<Duration> {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.restart.borrow_mut().failed(now, 0.0) {
            Decision::RestartAt(at) => Some(Duration::from_millis(at.saturating_sub(now))),
            Decision::GiveUp(_) => None,
        }
    }

    /// Whether an attempt may have failed because the checkpoint that it began from is not whole.
    fn is_in_doubt(&self, error: &RunError) -> bool {
        self.doubt.is_open.load(Ordering::Acquire) && !matches!(error, RunError::Cancelled)
    }
}

/// The checkpoints of one attempt.
pub(crate) struct Checkpointed {
    store: Store,
    options: CheckpointOptions,
    directory: Arc<Directory>,
    restore: Option<Restore>,
    /// The first checkpoint of this run.
    next: u64,
    doubt: Arc<Doubt>,
    savepoints: Savepoints,
    // The keeper reports to the coordinator, and so ends first.
    keeper: Keeper,
    coordinating: Coordinating,
    work: Arc<Work>,
}

impl Checkpointed {
    /// Opens where checkpoints are kept, and what the job begins from.
    ///
    /// # Errors
    /// If that cannot be used.
    pub(crate) fn open(
        options: Option<&CheckpointOptions>,
        graph: &StreamGraph,
        attempts: &Attempts,
    ) -> Result<Option<Self>, RunError> {
        let Some(options) = options else { return Ok(None) };
        let since = (attempts.failed > 0).then(|| attempts.first.get());
        let doubt = Arc::clone(&attempts.doubt);
        doubt.is_open.store(false, Ordering::Release);
        let care = match doubt.is_raised.swap(false, Ordering::AcqRel) {
            true => Care::Whole,
            false => Care::Look,
        };
        let opened = restore::open(options, graph, since, care).map_err(RunError::Task)?;
        let restore::Opened { store, restore, next } = opened;
        let shares_files = restore.as_ref().is_some_and(Restore::shares_files);
        doubt.is_open.store(shares_files && care == Care::Look, Ordering::Release);
        if attempts.failed == 0 {
            attempts.first.set(next);
        }
        let coordinating = Coordinating::start();
        let keeper = Keeper::start(Arc::clone(&store), coordinating.reporter());
        let work = Work::new(options, &store, &graph.name, restore.as_ref());
        let work = work.map_err(RunError::Task)?;
        let (options, directory) = (options.clone(), Directory::new(&work));
        let savepoints = attempts.savepoints.clone();
        Ok(Some(Self {
            store,
            options,
            directory,
            restore,
            next,
            doubt,
            savepoints,
            keeper,
            coordinating,
            work,
        }))
    }

    /// What this process needs to take part.
    pub(crate) fn participation(&self) -> Participation {
        let keeper: Sender<keeper::Message> = self.keeper.sender();
        let (directory, restore) = (Arc::clone(&self.directory), self.restore.clone());
        let overtakes_after = self.options.barriers.overtakes_after();
        let work = Arc::clone(&self.work);
        Participation { keeper, directory, restore, overtakes_after, work }
    }

    /// What this process needs for a region that begins anew from a checkpoint which the run has taken, or
    /// from what the run began from.
    ///
    /// # Errors
    /// If the checkpoint is not whole, or there is no room to work in.
    pub(crate) fn participation_again(
        &self,
        job: &str,
        checkpoint: Option<u64>,
    ) -> Result<Participation, TaskError> {
        let restore = match checkpoint {
            Some(checkpoint) => Some(Restore::taken(Arc::clone(&self.store), checkpoint)?),
            None => self.restore.clone(),
        };
        let work = Work::new(&self.options, &self.store, job, restore.as_ref())?;
        Ok(Participation { restore, work, ..self.participation() })
    }

    /// The directory of a checkpoint.
    pub(crate) fn path(&self, checkpoint: u64) -> PathBuf {
        self.store.directory(checkpoint)
    }

    /// The directory of the checkpoint that the job begins from.
    pub(crate) fn restored(&self) -> Option<PathBuf> {
        self.restore.as_ref().map(Restore::directory)
    }

    /// Where other processes report to.
    pub(crate) fn reporter(&self) -> impl Fn(super::Report) + Clone + Send + 'static {
        self.coordinating.reporter()
    }

    /// All tasks run. `elsewhere` gives orders to tasks in other processes, or to all of those.
    pub(crate) fn begin(
        &self,
        graph: StreamGraph,
        default_parallelism: u32,
        splits: &Splits,
        outcome: &Arc<Outcome>,
        elsewhere: impl Fn(Option<TaskId>, Order) + Send + 'static,
        settled: Sender<Settled>,
    ) {
        self.doubt.is_open.store(false, Ordering::Release);
        let directory = Arc::clone(&self.directory);
        let order = move |task: Option<TaskId>, order: Order| match task {
            Some(task) if directory.order(task, order) => {}
            Some(task) => elsewhere(Some(task), order),
            None => {
                directory.order_all(order);
                elsewhere(None, order);
            }
        };
        self.coordinating.begin(Setup {
            options: self.options.clone(),
            store: Arc::clone(&self.store),
            graph,
            default_parallelism,
            splits: splits.all(),
            restored: self.restore.as_ref().map(Restore::checkpoint),
            next: self.next,
            claimed: self.claimed().cloned(),
            savepoints: self.savepoints.clone(),
            order: Box::new(order),
            outcome: Arc::clone(outcome),
            settled,
        });
    }

    /// What the job begins from, if it belongs to the engine although it was named.
    fn claimed(&self) -> Option<&Restore> {
        let claims = self.options.claim == ClaimMode::Claim;
        self.restore.as_ref().filter(|restore| claims && restore.is_named())
    }

    /// The job is done, and its results are shown: nobody will go on from its checkpoints, unless it
    /// stopped with a savepoint.
    pub(crate) fn remove(self) {
        let claimed = self.claimed().cloned();
        let Self { store, savepoints, keeper, coordinating, .. } = self;
        drop(keeper);
        drop(coordinating);
        if savepoints.stopped().is_some() {
            return;
        }
        claimed.iter().for_each(Restore::discard);
        for checkpoint in store.list().unwrap_or_default() {
            if let Err(error) = store.discard(checkpoint) {
                eprintln!("warning: checkpoint {checkpoint} cannot be removed: {error}");
            }
        }
        if let Err(error) = store.sweep() {
            eprintln!("warning: files that no checkpoint refers to cannot be removed: {error}");
        }
    }
}

/// The part that a worker process takes in the checkpoints of one attempt.
pub(crate) struct TakingPart {
    store: Store,
    options: CheckpointOptions,
    keeper: Keeper,
    directory: Arc<Directory>,
    restore: Option<Restore>,
    overtakes_after: Option<u32>,
    work: Arc<Work>,
}

impl TakingPart {
    /// Opens where checkpoints are kept. What this process's tasks say goes to `report`.
    ///
    /// # Errors
    /// If that cannot be used, or the checkpoint to begin from cannot be read.
    pub(crate) fn open(
        options: Option<&CheckpointOptions>,
        graph: &StreamGraph,
        restore: Option<PathBuf>,
        report: impl Fn(super::Report) + Send + 'static,
    ) -> Result<Option<Self>, RunError> {
        let Some(options) = options else { return Ok(None) };
        let failed = |error: StorageError| RunError::Task(TaskError::new(error.to_string()));
        let store = Arc::new(Storage::open(&options.directory, &graph.name).map_err(failed)?);
        let restore = restore.map(|path| Restore::found(&path, options)).transpose();
        let restore = restore.map_err(RunError::Task)?;
        let work = Work::new(options, &store, &graph.name, restore.as_ref());
        let work = work.map_err(RunError::Task)?;
        let keeper = Keeper::start(Arc::clone(&store), report);
        let overtakes_after = options.barriers.overtakes_after();
        let (options, directory) = (options.clone(), Directory::new(&work));
        Ok(Some(Self { store, options, keeper, directory, restore, overtakes_after, work }))
    }

    /// What this process needs.
    pub(crate) fn participation(&self) -> Participation {
        let (directory, restore) = (Arc::clone(&self.directory), self.restore.clone());
        let (keeper, overtakes_after) = (self.keeper.sender(), self.overtakes_after);
        let work = Arc::clone(&self.work);
        Participation { keeper, directory, restore, overtakes_after, work }
    }

    /// What this process needs for a region that begins anew from a checkpoint which the run has taken and
    /// that is in a directory, or from what the run began from.
    ///
    /// # Errors
    /// If the checkpoint is not whole, or there is no room to work in.
    pub(crate) fn participation_again(
        &self,
        job: &str,
        checkpoint: Option<PathBuf>,
    ) -> Result<Participation, TaskError> {
        let restore = match checkpoint {
            Some(path) => Some(Restore::taken_in(&path)?),
            None => self.restore.clone(),
        };
        let work = Work::new(&self.options, &self.store, job, restore.as_ref())?;
        Ok(Participation { restore, work, ..self.participation() })
    }

    /// The orders of this process's tasks.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }
}
