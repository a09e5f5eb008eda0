//! Why state cannot be read or written.

use alloc::{boxed::Box, string::String};
use core::fmt;

use millstream_data::row::RowError;
use millstream_storage::StorageError;

/// Why a call of a backend failed. The state is as if the failing key had not been part of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The budget is used up.
    OutOfBudget {
        /// The state that would have grown.
        state: String,
        /// Bytes that it and the other states of this owner hold.
        held: u64,
    },
    /// The budget is below what the state needs at least, however much of it is in files.
    BudgetTooSmall {
        /// Bytes of the budget.
        given: u64,
        /// Bytes that it needs at least.
        needed: u64,
    },
    /// A page is part of the open snapshot and there is no memory to copy it: take the next chunk of
    /// the snapshot, which will be that page, and go on with the same key.
    SnapshotFirst,
    /// A key with its namespace, a value or an element is larger than state can hold.
    TooLarge {
        /// The state.
        state: String,
        /// Bytes of the key and namespace, or of the value.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A fixed-size key, namespace or value has another size.
    Width {
        /// The state.
        state: String,
        /// Bytes that it was registered with.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// Two states of one operator have the same name, or a state is used as another kind.
    Misused {
        /// The state.
        state: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A row of the state is not one of the schema that it is read with.
    Damaged {
        /// The state.
        state: String,
        /// What is wrong with the row.
        error: RowError,
    },
    /// A key of a key group that this backend does not own.
    ForeignKey {
        /// The key group.
        group: u32,
    },
    /// A snapshot is open already.
    SnapshotOpen,
    /// Something has to be read from a file or written to one first. Let the backend work, feed it
    /// what the storage has completed, and repeat the call from where it stopped.
    Waits,
    /// A file of the state could not be read or written. The state is not to be used any more.
    Storage(Box<StorageError>),
    /// A file of the state is not as it was written.
    DamagedFile {
        /// The file, by its number in the storage.
        file: u64,
        /// Where, in bytes from the beginning.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// A call for many keys that stopped at one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Keys that were served before; the call can go on from here.
    pub done: usize,
    /// Why it stopped.
    pub error: StateError,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBudget { state, held } => write!(
                f,
                "the state `{state}` cannot grow: {held} bytes of managed memory are in use and no \
                 more are free; use the backend `lsm` (`--state lsm`), or raise \
                 `memory.managed.size`"
            ),
            Self::BudgetTooSmall { given, needed } => write!(
                f,
                "state in files has {given} bytes of managed memory where it needs at least \
                 {needed}; raise `memory.managed.size`, or lower `memory.segment-size`"
            ),
            Self::SnapshotFirst => f.write_str(
                "a page has to be written to the snapshot before it changes; take the next chunk of \
                 the snapshot and go on",
            ),
            Self::TooLarge { state, bytes, max } => write!(
                f,
                "the state `{state}` was given {bytes} bytes where at most {max} are possible; keep \
                 the large part elsewhere, or split it"
            ),
            Self::Width { state, expected, found } => write!(
                f,
                "the state `{state}` has {expected} bytes where {found} were given; register it \
                 with the schema that it is used with"
            ),
            Self::Misused { state, what } => write!(f, "the state `{state}` {what}"),
            Self::Damaged { state, error } => write!(
                f,
                "the state `{state}` has a row of another schema: {error}; restore it with the \
                 schema that it was written with"
            ),
            Self::ForeignKey { group } => write!(
                f,
                "a key of key group {group} reached a subtask that does not own it; partition the \
                 stream by the key that the state is keyed by"
            ),
            Self::SnapshotOpen => f.write_str(
                "a snapshot is open already; finish or abort it before the next one is taken",
            ),
            Self::Waits => f.write_str(
                "a file of the state has to be read or written first; let the backend work and \
                 repeat the call",
            ),
            Self::Storage(error) => write!(f, "the state's files: {error}"),
            Self::DamagedFile { file, offset, what } => write!(
                f,
                "file {file} of the state is damaged at byte {offset}: {what}; restore an older \
                 checkpoint"
            ),
        }
    }
}

impl core::error::Error for StateError {}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} keys: {}", self.done, self.error)
    }
}

impl core::error::Error for Stopped {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}
