//! Mistakes on purpose, in the drivers of the simulated engine.

use std::fmt;

/// A mistake that a driver makes throughout a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineBug {
    /// A task's part of a checkpoint is acknowledged before its file is durable.
    AcknowledgeBeforeUpload,
    /// Data that are in flight at an unaligned checkpoint are not written.
    ForgetInFlight,
    /// A sink shows what it has prepared before the checkpoint is complete.
    CommitBeforeCompletion,
    /// One channel of all between processes does not wait for the barriers of the others: rows behind a barrier
    /// are worked off in front of it.
    SkipAlignment,
    /// The newest checkpoint is restored although a file of it is damaged.
    RestoreDamaged,
    /// After a restore a split that was read already is handed out again.
    SplitTwice,
    /// What was prepared for the restored checkpoint is not shown after all.
    ForgetPrepared,
    /// Data in flight that a source had sent come again as if the last split had begun.
    RecoverWithoutSplit,
}

impl EngineBug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AcknowledgeBeforeUpload,
        Self::ForgetInFlight,
        Self::CommitBeforeCompletion,
        Self::SkipAlignment,
        Self::RestoreDamaged,
        Self::SplitTwice,
        Self::ForgetPrepared,
        Self::RecoverWithoutSplit,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeUpload => "acknowledge-before-upload",
            Self::ForgetInFlight => "forget-in-flight",
            Self::CommitBeforeCompletion => "commit-before-completion",
            Self::SkipAlignment => "skip-alignment",
            Self::RestoreDamaged => "restore-damaged",
            Self::SplitTwice => "split-twice",
            Self::ForgetPrepared => "forget-prepared",
            Self::RecoverWithoutSplit => "recover-without-split",
        }
    }

    /// The bug with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

impl fmt::Display for EngineBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
