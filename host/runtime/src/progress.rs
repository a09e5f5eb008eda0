//! How a job goes, and how it went.

use std::{sync::Arc, time::Duration};

use millstream_dataflow::task::{TaskCounts, TaskMetrics};

/// The subtasks of a job and what they count.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub(crate) subtasks: Vec<(String, Kind, Arc<TaskMetrics>)>,
}

/// Where in the job a subtask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads input.
    Source,
    /// It works.
    Chain,
    /// It writes output.
    Sink,
}

/// What one subtask has counted.
#[derive(Clone, Debug)]
pub struct SubtaskCounts {
    /// The subtask's name.
    pub name: String,
    /// Where it is.
    pub kind: Kind,
    /// What it has counted.
    pub counts: TaskCounts,
}

impl Progress {
    /// What every subtask has counted so far.
    pub fn subtasks(&self) -> Vec<SubtaskCounts> {
        let counts = |(name, kind, metrics): &(String, Kind, Arc<TaskMetrics>)| SubtaskCounts {
            name: name.clone(),
            kind: *kind,
            counts: metrics.counts(),
        };
        self.subtasks.iter().map(counts).collect()
    }

    /// Rows that sources have read.
    pub fn rows_read(&self) -> u64 {
        self.total(Kind::Source, |counts| counts.rows_out)
    }

    /// Rows that sinks have taken.
    pub fn rows_written(&self) -> u64 {
        self.total(Kind::Sink, |counts| counts.rows_in)
    }

    fn total(&self, kind: Kind, of: impl Fn(TaskCounts) -> u64) -> u64 {
        let those = self.subtasks.iter().filter(|(_, k, _)| *k == kind);
        those.map(|(_, _, metrics)| of(metrics.counts())).sum()
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
