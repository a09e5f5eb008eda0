//! A job of several regions of which one fails: it goes on from a checkpoint by itself, and the others never
//! stop.

mod islands;
mod kept;
mod paced;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use millstream::{
    Barriers, CheckpointOptions, RunError, Runtime, StateBackend, Summary, builder,
    dataflow::{Connector, Environment, TaskError},
    executor::{ExecutorBackend, ThreadPerCore},
    loader::Registry,
    result::Discard,
};

/// A directory of its own for a test, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    fn output(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn sink(&self, name: &str) -> Connector {
        let path = self.output(name);
        Connector::new("filesystem").option("path", path.to_str().expect("UTF-8"))
    }

    /// The lines of all files that a sink shows, sorted, each as numbers.
    fn lines(&self, name: &str) -> Vec<Vec<u64>> {
        let entries = fs::read_dir(self.output(name)).expect("a directory").flatten();
        let shown = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        let mut lines = Vec::new();
        for file in shown {
            let text = fs::read_to_string(file.path()).expect("a file");
            let number = |cell: &str| cell.parse().expect("a number");
            // The first line has the names of columns.
            lines.extend(text.lines().skip(1).map(|line| line.split(',').map(number).collect()));
        }
        lines.sort();
        lines
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The number of the newest checkpoint that is complete, 0 if there is none.
fn newest(directory: &Path) -> u64 {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let checkpoints = entries(directory).flat_map(|job| entries(&job.path()).collect::<Vec<_>>());
    let complete = checkpoints.filter(|entry| entry.path().join("_metadata").exists());
    let number = |name: &str| name.strip_prefix("chk-")?.parse().ok();
    let numbers = complete.filter_map(|entry| number(&entry.file_name().to_string_lossy()));
    numbers.max().unwrap_or(0)
}

/// Fails some times, each time when there is a checkpoint that is newer than when it failed before.
#[derive(Clone)]
struct Failing {
    checkpoints: PathBuf,
    left: Arc<AtomicU32>,
    failed_at: Arc<AtomicU64>,
    rows: u64,
}

impl Failing {
    fn new(scratch: &Scratch, times: u32) -> Self {
        Self {
            checkpoints: scratch.checkpoints(),
            left: Arc::new(AtomicU32::new(times)),
            failed_at: Arc::default(),
            rows: 0,
        }
    }

    /// Called for each row.
    fn row(&mut self) -> Result<(), TaskError> {
        self.rows += 1;
        if !self.rows.is_multiple_of(16) || self.left.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        let newest = newest(&self.checkpoints);
        let failed_at = self.failed_at.load(Ordering::SeqCst);
        let swap =
            |to| self.failed_at.compare_exchange(failed_at, to, Ordering::SeqCst, Ordering::SeqCst);
        if newest > failed_at && swap(newest).is_ok() {
            self.left.fetch_sub(1, Ordering::SeqCst);
            return Err(TaskError::new("it was to fail"));
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// How a job of a test is run.
struct Setting<'a> {
    scratch: &'a Scratch,
    restarts: u32,
    parallelism: u32,
    state: StateBackend,
    barriers: Barriers,
    interval: Duration,
}

impl<'a> Setting<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let (state, barriers) = (StateBackend::Memory, Barriers::Aligned);
        let interval = Duration::from_millis(20);
        Self { scratch, restarts: 5, parallelism: 4, state, barriers, interval }
    }

    fn run_on(
        &self,
        env: &Environment,
        executor: impl ExecutorBackend + 'static,
    ) -> Result<Summary, RunError> {
        let checkpoints = CheckpointOptions {
            interval: self.interval,
            restarts: self.restarts,
            barriers: self.barriers,
            ..CheckpointOptions::new(self.scratch.checkpoints())
        };
        let mut registry = Registry::new();
        builder::bundle(&mut registry).expect("the bundled plugins");
        registry.bundle(paced::plugin).expect("a plugin");
        let runtime =
            Runtime::builder().parallelism(self.parallelism).executor(executor).state(self.state);
        let runtime = runtime.segment_size(4096).checkpoints(checkpoints).plugins(registry);
        runtime.build().expect("a runtime").run(env.build(), Box::new(Discard))
    }

    fn run(&self, env: &Environment) -> Result<Summary, RunError> {
        self.run_on(env, ThreadPerCore::new(2))
    }
}

/// The regions that began anew, how often, and after checking that each did so from a checkpoint.
fn restarts(summary: &Summary, regions: u32) -> BTreeMap<u32, u32> {
    let mut restarts = BTreeMap::new();
    for restart in summary.progress.region_restarts() {
        assert_eq!(restart.regions, regions);
        assert!(restart.checkpoint.is_some(), "{restart:?}");
        assert!(restart.cause.contains("it was to fail"), "{restart:?}");
        *restarts.entry(restart.region).or_default() += 1;
    }
    restarts
}
