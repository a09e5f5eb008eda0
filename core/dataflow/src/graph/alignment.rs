//! Sources that wait for one another.

use alloc::string::String;

/// How far the watermark of a source may be ahead of that of the last one of its group: a subtask that is
/// further reads nothing until the others have come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAlignment {
    /// Those of one name wait for one another.
    pub group: String,
    /// How far it may be ahead, in milliseconds.
    pub max_drift: i64,
    /// How often it is looked at how far the others have come, in milliseconds.
    pub update_interval: u64,
}
