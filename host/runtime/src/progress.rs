//! How a job goes, and how it went.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use millstream_dataflow::{
    graph::execution::Subtask,
    task::{TaskCounts, TaskMetrics},
};
use serde::{Deserialize, Serialize};

/// The subtasks of a job, in all its processes, and what they count.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    job: String,
    /// Those of this process.
    own: Arc<Mutex<BTreeMap<Subtask, Own>>>,
    /// Those of other processes, as they last reported.
    others: Arc<Mutex<BTreeMap<Subtask, SubtaskCounts>>>,
    restarts: Arc<Mutex<Vec<RegionRestart>>>,
}

/// A region of a job that failed and began anew while others went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionRestart {
    /// The region, from 0.
    pub region: u32,
    /// How many there are.
    pub regions: u32,
    /// The checkpoint that it went on from; `None` for what the job had begun from.
    pub checkpoint: Option<u64>,
    /// Why it failed.
    pub cause: String,
}

/// A subtask of this process.
#[derive(Clone, Debug)]
struct Own {
    name: String,
    kind: Kind,
    metrics: Arc<TaskMetrics>,
}

/// Where in the job a subtask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It reads input.
    Source,
    /// It works.
    Chain,
    /// It writes output.
    Sink,
    /// It takes the job's result.
    Result,
}

/// What one subtask has counted.
#[derive(Clone, Debug)]
pub struct SubtaskCounts {
    /// Its node and number.
    pub subtask: Subtask,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub kind: Kind,
    /// What it has counted.
    pub counts: TaskCounts,
}

impl Progress {
    /// The progress of a job that has no subtasks yet.
    pub(crate) fn of(job: &str) -> Self {
        Self { job: job.into(), ..Self::default() }
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// What every subtask has counted so far, in the order of the job graph; those of other
    /// processes as they last reported.
    pub fn subtasks(&self) -> Vec<SubtaskCounts> {
        let mut all = self.others().clone();
        all.extend(self.own_subtasks().into_iter().map(|counts| (counts.subtask, counts)));
        all.into_values().collect()
    }

    /// Rows that sources have read.
    pub fn rows_read(&self) -> u64 {
        self.total(Kind::Source, |counts| counts.rows_out)
    }

    /// Rows that sinks have taken, without those of the result.
    pub fn rows_written(&self) -> u64 {
        self.total(Kind::Sink, |counts| counts.rows_in)
    }

    /// Rows of the result.
    pub fn rows_of_result(&self) -> u64 {
        self.total(Kind::Result, |counts| counts.rows_in)
    }

    /// Adds a subtask of this process, or one that takes the place of another which failed.
    pub(crate) fn add(&self, subtask: Subtask, name: &str, kind: Kind, metrics: &Arc<TaskMetrics>) {
        let own = Own { name: name.to_owned(), kind, metrics: Arc::clone(metrics) };
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(subtask, own);
    }

    /// What the subtasks of this process have counted so far.
    pub(crate) fn own_subtasks(&self) -> Vec<SubtaskCounts> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = own.iter().map(|(subtask, Own { name, kind, metrics })| SubtaskCounts {
            subtask: *subtask,
            name: name.clone(),
            kind: *kind,
            counts: metrics.counts(),
        });
        counted.collect()
    }

    /// The regions that began anew while others went on, in this run of the job and in all processes, the
    /// first one first. In a worker process there are none.
    pub fn region_restarts(&self) -> Vec<RegionRestart> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A region begins anew.
    pub(crate) fn restarted(&self, restart: RegionRestart) {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner).push(restart);
    }

    /// Takes a report of another process.
    pub(crate) fn report(&self, reported: impl IntoIterator<Item = SubtaskCounts>) {
        self.others().extend(reported.into_iter().map(|counts| (counts.subtask, counts)));
    }

    fn others(&self) -> MutexGuard<'_, BTreeMap<Subtask, SubtaskCounts>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn total(&self, kind: Kind, of: impl Fn(TaskCounts) -> u64) -> u64 {
        let subtasks = self.subtasks();
        let those = subtasks.iter().filter(|subtask| subtask.kind == kind);
        those.map(|subtask| of(subtask.counts)).sum()
    }
}

/// How a job went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The job's name.
    pub job: String,
    /// From start to end.
    pub elapsed: Duration,
    /// What its subtasks counted.
    pub progress: Progress,
}
