//! Assembling a runtime.

use std::{
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use millstream_dataflow::{chain::Levels, task::BufferTimeout};
use millstream_executor::{ExecutorBackend, Failure, Outcome, ThreadPerCore};
use millstream_loader::{LoadError, Registry};
use millstream_memory::{Arena, JumboBudget, NetworkPool, segment};
use millstream_net::Preference as Transport;
use millstream_segments::MmapArena;

use crate::{
    CheckpointOptions, ExchangeOptions, JobProgram, Progress, RunError, Savepoints, Summary,
    checkpoint::{Attempts, Checkpointed, Ended},
    deploy,
    deploy::{Commits, Deployment, Part},
    failover::{Failover, Lookout, Overseer, Plan},
    result::{self, ResultSink, SharedResult},
    spill::{LocalFiles, SpillStorage},
};

/// Network memory if none is set, in bytes: the classic 2048 segments of 32 KiB.
const NETWORK_BYTES_DEFAULT: usize = 64 << 20;
/// Managed memory if none is set, in bytes.
const MANAGED_BYTES_DEFAULT: usize = 128 << 20;
/// After so long a process that says nothing is taken for dead, as in Flink.
const HEARTBEAT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(50);
/// Rows of the largest size that there is memory for, beyond segments.
const JUMBO_RECORDS: u64 = 4;
/// How long threads that are in a call that blocks are waited for when a job is over.
const GRACE: Duration = Duration::from_secs(1);
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Where jobs keep their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateBackend {
    /// In managed memory, all of it.
    #[default]
    Memory,
    /// In sorted files and, as far as there is room, in managed memory: for state that is larger.
    Lsm,
}

/// Puts a [`Runtime`] together. Every part has a default.
pub struct Builder {
    arena: Option<Box<dyn Arena>>,
    segment_size: usize,
    network_bytes: usize,
    executor: Option<Arc<dyn ExecutorBackend>>,
    workers: usize,
    spin: Option<Duration>,
    parallelism: u32,
    timeout: BufferTimeout,
    exchange: ExchangeOptions,
    transport: Transport,
    managed_bytes: usize,
    spill: Arc<dyn SpillStorage>,
    state: StateBackend,
    state_compression: Levels,
    heartbeat_timeout: Duration,
    checkpoints: Option<CheckpointOptions>,
    registry: Registry,
}

impl Default for Builder {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            arena: None,
            segment_size: segment::SEGMENT_SIZE_DEFAULT,
            network_bytes: NETWORK_BYTES_DEFAULT,
            executor: None,
            workers: cores,
            spin: None,
            parallelism: cores as u32,
            timeout: BufferTimeout::After(100_000),
            exchange: ExchangeOptions::default(),
            transport: Transport::default(),
            managed_bytes: MANAGED_BYTES_DEFAULT,
            spill: Arc::new(LocalFiles::default()),
            state: StateBackend::default(),
            state_compression: Levels::default(),
            heartbeat_timeout: HEARTBEAT_TIMEOUT_DEFAULT,
            checkpoints: None,
            registry: Registry::new(),
        }
    }
}

impl Builder {
    /// Sets the size of a segment in bytes: a power of two from 4 KiB to 16 MiB. Not used with
    /// [`segments`](Builder::segments), whose arena has a size of its own.
    pub fn segment_size(self, bytes: usize) -> Self {
        Self { segment_size: bytes, ..self }
    }

    /// Sets how many bytes of segments there are for exchange. Not used with
    /// [`segments`](Builder::segments).
    pub fn network_memory(self, bytes: usize) -> Self {
        Self { network_bytes: bytes, ..self }
    }

    /// Takes segments from this arena instead of an anonymous mapping.
    pub fn segments(self, arena: Box<dyn Arena>) -> Self {
        Self { arena: Some(arena), ..self }
    }

    /// Sets the number of worker threads, unless there is an [executor](Builder::executor) of its own.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Sets how long an idle worker looks for work before it sleeps, unless there is an
    /// [executor](Builder::executor) of its own.
    pub fn spin(self, spin: Duration) -> Self {
        Self { spin: Some(spin), ..self }
    }

    /// Polls tasks with executors of this kind instead of a thread for each worker.
    pub fn executor(self, executor: impl ExecutorBackend + 'static) -> Self {
        Self { executor: Some(Arc::new(executor)), ..self }
    }

    /// Sets the subtasks of operators that set none themselves.
    pub fn parallelism(self, parallelism: u32) -> Self {
        Self { parallelism, ..self }
    }

    /// Sets when pages that are not full are sent on.
    pub fn buffer_timeout(self, timeout: BufferTimeout) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the numbers of the exchange.
    pub fn exchange(self, exchange: ExchangeOptions) -> Self {
        Self { exchange, ..self }
    }

    /// Sets which transport jobs in [several processes](crate::cluster) exchange rows with.
    pub fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Sets how many bytes of segments there are for sorting and for state.
    pub fn managed_memory(self, bytes: usize) -> Self {
        Self { managed_bytes: bytes, ..self }
    }

    /// Spills to this storage instead of local files.
    pub fn storage(self, storage: impl SpillStorage + 'static) -> Self {
        Self { spill: Arc::new(storage), ..self }
    }

    /// Sets where jobs keep their state. Files are where sorting [spills](Self::storage) to, too.
    pub fn state(self, backend: StateBackend) -> Self {
        Self { state: backend, ..self }
    }

    /// Sets how new [files](StateBackend::Lsm) of state are compressed: those that are young, and those under all
    /// others. Files that are there are read, however they are. Zstandard is LZ4 here.
    pub fn state_compression(self, compression: Levels) -> Self {
        Self { state_compression: compression, ..self }
    }

    /// Sets after how long a worker process that says nothing is taken for dead.
    pub fn heartbeat_timeout(self, timeout: Duration) -> Self {
        Self { heartbeat_timeout: timeout, ..self }
    }

    /// Takes checkpoints, and begins from the last one if there is one: a job that failed or was killed
    /// goes on from there, as if nothing had happened behind it. When a job is done its checkpoints are
    /// removed.
    pub fn checkpoints(self, options: CheckpointOptions) -> Self {
        Self { checkpoints: Some(options), ..self }
    }

    /// Uses the plugins of this registry, and no others: a runtime has none by default.
    ///
    /// ```
    /// use millstream::{Runtime, builder, loader::Registry};
    ///
    /// let mut registry = Registry::new();
    /// // Those that come with Millstream; one of your own with `registry.bundle(mine::plugin)?`.
    /// builder::bundle(&mut registry)?;
    /// let runtime = Runtime::builder().plugins(registry).build()?;
    /// # Ok::<(), millstream::RunError>(())
    /// ```
    pub fn plugins(self, registry: Registry) -> Self {
        Self { registry, ..self }
    }

    /// The runtime.
    ///
    /// # Errors
    /// If its memory cannot be had.
    pub fn build(self) -> Result<Runtime, RunError> {
        let arena = match self.arena {
            Some(arena) => arena,
            None => {
                let segments = (self.network_bytes / self.segment_size.max(1)).max(1);
                Box::new(MmapArena::new(self.segment_size, segments)?)
            }
        };
        let record_bytes_max = u64::from(self.exchange.record_bytes_max);
        let executor = self.executor.unwrap_or_else(|| {
            let threads = ThreadPerCore::new(self.workers);
            Arc::new(self.spin.map_or(threads, |spin| threads.spin(spin)))
        });
        Ok(Runtime {
            network: NetworkPool::new(arena),
            jumbo: JumboBudget::new(JUMBO_RECORDS * record_bytes_max, record_bytes_max),
            executor,
            parallelism: self.parallelism,
            timeout: self.timeout,
            exchange: self.exchange,
            transport: self.transport,
            managed_bytes: self.managed_bytes,
            spill: self.spill,
            state: self.state,
            state_compression: self.state_compression,
            heartbeat_timeout: self.heartbeat_timeout,
            checkpoints: self.checkpoints,
            savepoints: Savepoints::default(),
            registry: Arc::new(self.registry),
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

/// Adds the plugins that are linked into this library.
///
/// # Errors
/// If one of them is there already.
pub fn bundle(registry: &mut Registry) -> Result<(), LoadError> {
    registry.bundle(millstream_blackhole::plugin)?;
    registry.bundle(millstream_datagen::plugin)?;
    registry.bundle(millstream_filesystem::plugin)?;
    registry.bundle(millstream_format::plugin)?;
    registry.bundle(millstream_nexmark::plugin)?;
    registry.bundle(millstream_print::plugin)?;
    registry.bundle(millstream_socket::plugin)?;
    Ok(())
}

/// A stream processor within this process.
pub struct Runtime {
    pub(crate) network: NetworkPool,
    pub(crate) jumbo: JumboBudget,
    pub(crate) executor: Arc<dyn ExecutorBackend>,
    pub(crate) parallelism: u32,
    pub(crate) timeout: BufferTimeout,
    pub(crate) exchange: ExchangeOptions,
    pub(crate) transport: Transport,
    pub(crate) managed_bytes: usize,
    pub(crate) spill: Arc<dyn SpillStorage>,
    pub(crate) state: StateBackend,
    pub(crate) state_compression: Levels,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) checkpoints: Option<CheckpointOptions>,
    pub(crate) savepoints: Savepoints,
    pub(crate) registry: Arc<Registry>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("parallelism", &self.parallelism).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Puts a runtime together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Asks the job that this runtime runs for savepoints. It needs
    /// [checkpoints](Builder::checkpoints), and a directory for
    /// [savepoints](CheckpointOptions::savepoints).
    pub fn savepoints(&self) -> Savepoints {
        self.savepoints.clone()
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// Why it did not get there; what `result` was given is then not complete.
    pub fn run(
        &self,
        program: impl JobProgram,
        result: Box<dyn ResultSink>,
    ) -> Result<Summary, RunError> {
        self.run_with(&program, result, &mut |_, _| ())
    }

    /// Runs a program to its end, and calls `watch` about ten times a second with how it goes: never,
    /// if it is shorter than that. The last counts are in [`Summary::progress`].
    /// [`Outcome::cancel`] ends the run.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    pub fn run_with(
        &self,
        program: &dyn JobProgram,
        result: Box<dyn ResultSink>,
        watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
    ) -> Result<Summary, RunError> {
        let begin = Instant::now();
        let result = result::shared(result);
        let mut attempts = Attempts::new(self.checkpoints.as_ref(), &self.savepoints);
        loop {
            match self.attempt(program, &result, &attempts, begin, watch) {
                Ok(summary) => return Ok(Summary { elapsed: begin.elapsed(), ..summary }),
                Err(ended) => attempts.again(ended)?,
            }
        }
    }

    fn attempt(
        &self,
        program: &dyn JobProgram,
        result: &SharedResult,
        attempts: &Attempts,
        begin: Instant,
        watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
    ) -> Result<Summary, Ended> {
        let graph = program.graph()?;
        let plan = Plan::new(&graph, self.parallelism, 1, self.checkpoints.as_ref())?;
        let checkpointed = Checkpointed::open(self.checkpoints.as_ref(), &graph, attempts)?;
        let participation = checkpointed.as_ref().map(Checkpointed::participation);
        let part = Part { checkpoints: participation, ..Part::whole() };
        let splits = Arc::clone(&part.enumerated);
        let result = Arc::clone(result);
        let deployment = deploy::deploy(self, program, result, part, &plan)?;
        let mut failover = None;
        if let Some(checkpointed) = &checkpointed {
            let (outcome, progress) = (deployment.outcome(), deployment.progress());
            let elsewhere = Box::new(|_, _, _| ());
            let overseer =
                Failover::new(attempts, checkpointed, &graph.name, &plan, progress, elsewhere);
            let settled = overseer.settled();
            checkpointed.begin(graph, self.parallelism, &splits, outcome, |_, _| (), settled);
            failover = Some(overseer);
        }
        let overseer = failover.as_mut().filter(|_| plan.has_parts());
        let overseer = overseer.map(|overseer| overseer as &mut dyn Overseer);
        let finished = self.finish(deployment, begin, overseer, watch);
        let (summary, commits) = finished.map_err(Ended::Failed)?;
        self.shown(commits).commit()?;
        drop(failover);
        if let Some(checkpointed) = checkpointed {
            checkpointed.remove();
        }
        Ok(summary)
    }

    /// What is shown at the end: not the result, if the job stopped with a savepoint from which it goes on.
    pub(crate) fn shown(&self, commits: Commits) -> Commits {
        match self.savepoints.stopped() {
            Some(stopped) if !stopped.drained => commits.without_result(),
            _ => commits,
        }
    }

    /// Starts what is deployed and waits for its end; gives what is left to do when the other parts
    /// of the job are done, too. With an `overseer` regions that fail may begin anew meanwhile.
    pub(crate) fn finish(
        &self,
        deployment: Deployment<'_>,
        begin: Instant,
        mut overseer: Option<&mut dyn Overseer>,
        watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
    ) -> Result<(Summary, Commits), RunError> {
        let (mut running, crews) = deployment.start();
        let mut lookout = Lookout::new(crews);
        let mut over_since = None;
        while !running.wait(PROGRESS_EVERY) {
            if let Some(overseer) = &mut overseer {
                lookout.look(&mut *running, &mut **overseer);
            }
            watch(lookout.progress(), running.outcome());
            if running.outcome().is_over() {
                let since = *over_since.get_or_insert_with(Instant::now);
                if since.elapsed() > GRACE {
                    // A source may be in the middle of a call that blocks. Its thread ends when
                    // that returns; the job has ended now.
                    return Err(failure(running.outcome().result().err()));
                }
            }
        }
        let outcome = running.join();
        let (progress, commits) = lookout.into_crews().join();
        match outcome {
            Ok(()) => {
                let (job, elapsed) = (progress.job().into(), begin.elapsed());
                Ok((Summary { job, elapsed, progress }, commits))
            }
            Err(error) => Err(failure(Some(error))),
        }
    }
}

fn failure(failure: Option<Failure>) -> RunError {
    match failure {
        Some(Failure::Task(error)) => RunError::Task(error),
        Some(Failure::Cancelled) | None => RunError::Cancelled,
    }
}
