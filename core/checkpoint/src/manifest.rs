//! What a complete checkpoint consists of.
//!
//! The manifest is the last file of a checkpoint that is written, and it is there or it is not: whoever
//! finds a whole one has found a complete checkpoint. It names every file with its length and checksum,
//! and says for each operator and subtask which bytes of them are its state. Small states are part of
//! the manifest itself.
//!
//! Its bytes are canonical: operators and files are in order, and two manifests that say the same are
//! equal byte for byte.

use alloc::{boxed::Box, string::String, vec::Vec};

pub use millstream_exchange::event::Purpose;

mod codec;
mod error;
#[cfg(test)]
mod tests;

pub use error::ManifestError;

/// What the names of files begin with that checkpoints share.
pub const SHARED: &str = "shared-";

/// The longest name of a file, in bytes.
pub const FILE_NAME_MAX: usize = 200;

/// The metadata of a complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its id.
    pub checkpoint: u64,
    /// When it was triggered, in milliseconds of the coordinator's clock.
    pub timestamp_ms: i64,
    /// What it was taken for.
    pub purpose: Purpose,
    /// The name of the job.
    pub job: String,
    /// The hash of the job graph that wrote it, to tell another job's checkpoint.
    pub graph_hash: u64,
    /// Files that belong to it, by name, each once.
    pub files: Vec<File>,
    /// Operators that have a part in it, by id, each once.
    pub operators: Vec<Operator>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its name in the directory of the checkpoint, see [`is_file_name`], or among the files that the
    /// checkpoints of its job share, see [`is_shared`].
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// The [checksum](crate::Checksum) of all its bytes.
    pub checksum: u64,
}

/// The state of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What stays the same when the job is changed.
    pub id: String,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// By subtask, as many as the parallelism was: at least one, at most `max_parallelism`.
    pub subtasks: Vec<Subtask>,
}

/// The state of a subtask of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtask {
    /// Whether it had come to its end.
    pub finished: bool,
    /// Its states.
    pub states: Vec<State>,
}

/// A piece of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of which kind.
    pub kind: Kind,
    /// Where its bytes are.
    pub place: Place,
}

/// Whose state it is, and so how it is divided when the parallelism changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of keys. The ranges are in order of their key groups and do not overlap, neither as groups nor
    /// as bytes.
    Keyed(Vec<GroupRange>),
    /// Of the subtask, as lists or for all.
    Operator,
    /// The position of a source.
    Source,
    /// The open transactions of a sink.
    Sink,
    /// What the subtask's channels held in front of an unaligned barrier.
    InFlight,
}

/// Where in a keyed state the bytes of a key group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRange {
    /// The key group, less than the maximum parallelism.
    pub group: u32,
    /// Bytes from the beginning of the state.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// Where the bytes of a state are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Inline(Box<[u8]>),
    /// In a file.
    File(Handle),
}

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The name of the file, one of the manifest's.
    pub file: String,
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Manifest {
    /// Whether any data were in flight.
    pub fn has_in_flight(&self) -> bool {
        let mut subtasks = self.operators.iter().flat_map(|operator| &operator.subtasks);
        subtasks.any(|subtask| subtask.states.iter().any(|state| state.kind == Kind::InFlight))
    }

    /// The manifest as bytes, with operators and files in order.
    ///
    /// What is inconsistent is written all the same, and refused when it is read: whoever keeps a
    /// manifest [decodes](Self::decode) what was encoded once before.
    ///
    /// # Panics
    /// If there are 2^32 or more of anything, or a state of so many bytes inline.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a manifest that fills `bytes` exactly, and checks it completely.
    ///
    /// # Errors
    /// [`ManifestError`] says where the bytes are no manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        codec::decode(bytes)
    }

    /// The operator with this id.
    pub fn operator(&self, id: &str) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.id == id)
    }

    /// The file with this name.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Bytes of state, in files and inline.
    pub fn state_bytes(&self) -> u64 {
        let states = self.operators.iter().flat_map(|operator| &operator.subtasks);
        states.flat_map(|subtask| &subtask.states).map(|state| state.place.length()).sum()
    }
}

impl Operator {
    /// The number of subtasks that wrote it.
    pub fn parallelism(&self) -> u32 {
        u32::try_from(self.subtasks.len()).unwrap_or(u32::MAX)
    }
}

impl Place {
    /// Bytes of the state.
    pub fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File(handle) => handle.length,
        }
    }
}

/// Whether this is the name of a file that checkpoints share: it begins with [`SHARED`], and is there once,
/// beside the checkpoints of its job. Nobody writes two files of one name.
pub fn is_shared(name: &str) -> bool {
    name.starts_with(SHARED) && is_file_name(name)
}

/// Whether a file of a checkpoint may have this name: letters, digits, `-`, `_` and `.` of ASCII, at
/// most [`FILE_NAME_MAX`], the first a letter or digit. So it stays in its directory, on every system,
/// and is not the manifest's.
pub fn is_file_name(name: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    name.len() <= FILE_NAME_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.as_bytes().iter().all(is_plain)
}
