//! Running a job as often as it takes.

use std::{
    cell::Cell,
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
    thread,
    time::{Duration, Instant},
};

use millstream_checkpoint::{
    Restart, TaskId,
    restart::{Decision, Strategy},
    storage::{CheckpointStorage, StorageError},
};
use millstream_dataflow::{StreamGraph, TaskError, task::Order};
use millstream_executor::Outcome;

use super::{
    CheckpointOptions, ClaimMode, Coordinating, Directory, Keeper, Participation, Restore,
    Savepoints, Setup, Store, Work, keeper, restore, store::Storage,
};
use crate::{RunError, threads::Splits};

/// How long after the death of a process a job begins anew.
const AFTER_DEATH: Duration = Duration::from_millis(100);

/// Whether a job that failed begins anew.
pub(crate) struct Attempts {
    restart: Restart,
    begin: Instant,
    checkpoints: bool,
    /// Attempts that failed.
    failed: u32,
    /// The first checkpoint that these attempts can have taken.
    first: Cell<u64>,
    savepoints: Savepoints,
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
            restart: Restart::new(strategy),
            begin,
            checkpoints: options.is_some(),
            failed: 0,
            first: Cell::new(0),
            savepoints: savepoints.clone(),
        }
    }

    /// Waits until the job may begin anew.
    ///
    /// # Errors
    /// If it may not: why it failed.
    pub(crate) fn again(&mut self, ended: Ended) -> Result<(), RunError> {
        let error = match ended {
            Ended::Failed(error) if self.checkpoints && !matches!(error, RunError::Cancelled) => {
                error
            }
            Ended::Fatal(error) | Ended::Failed(error) => return Err(error),
        };
        // That a process dies is not the job's fault.
        let wait = if matches!(error, RunError::Worker { .. }) {
            AFTER_DEATH
        } else {
            let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            match self.restart.failed(now, 0.0) {
                Decision::RestartAt(at) => Duration::from_millis(at.saturating_sub(now)),
                Decision::GiveUp(_) => return Err(error),
            }
        };
        self.failed += 1;
        eprintln!("the job failed and begins anew in {wait:?}: {error}");
        thread::sleep(wait);
        Ok(())
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
        let opened = restore::open(options, graph, since).map_err(RunError::Task)?;
        let restore::Opened { store, restore, next } = opened;
        if attempts.failed == 0 {
            attempts.first.set(next);
        }
        let coordinating = Coordinating::start();
        let keeper = Keeper::start(Arc::clone(&store), coordinating.reporter());
        let (options, directory) = (options.clone(), Arc::default());
        let work = Work::new(&store, restore.as_ref());
        let savepoints = attempts.savepoints.clone();
        Ok(Some(Self {
            store,
            options,
            directory,
            restore,
            next,
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
    ) {
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
    }
}

/// The part that a worker process takes in the checkpoints of one attempt.
pub(crate) struct TakingPart {
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
        let restore = restore.map(|path| Restore::from_path(&path)).transpose();
        let restore = restore.map_err(RunError::Task)?;
        let work = Work::new(&store, restore.as_ref());
        let keeper = Keeper::start(store, report);
        let overtakes_after = options.barriers.overtakes_after();
        Ok(Some(Self { keeper, directory: Arc::default(), restore, overtakes_after, work }))
    }

    /// What this process needs.
    pub(crate) fn participation(&self) -> Participation {
        let (directory, restore) = (Arc::clone(&self.directory), self.restore.clone());
        let (keeper, overtakes_after) = (self.keeper.sender(), self.overtakes_after);
        let work = Arc::clone(&self.work);
        Participation { keeper, directory, restore, overtakes_after, work }
    }

    /// The orders of this process's tasks.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }
}
