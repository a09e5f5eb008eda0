//! State out of a snapshot.

use core::fmt;

use crate::{
    Backend, Column, Key, KeyHash, Kind, Owned, StateError, StateId,
    format::{FormatError, ReadChunk},
};

/// Puts what a snapshot has of the key groups `owned` into a backend; gives how many entries. The
/// snapshot may be that of another backend with other key groups: that is rescaling.
///
/// `states` are those of the snapshot, by number, as they were registered with `backend`. A
/// process that owns many groups restores one snapshot after another.
///
/// # Errors
/// [`RestoreError`]; the backend then has a part of the snapshot and should be dropped.
pub fn restore<B: Backend>(
    backend: &mut B,
    owned: Owned,
    hash: KeyHash,
    states: &[(StateId, Kind)],
    snapshot: &[u8],
) -> Result<u64, RestoreError> {
    let (mut offset, mut restored) = (0, 0);
    while offset < snapshot.len() {
        let (chunk, next) = ReadChunk::read(snapshot, offset)?;
        let damaged = |what| RestoreError::Format(FormatError { offset, what });
        if chunk.group >= owned.max_parallelism {
            return Err(damaged("it has a key group that there is not"));
        }
        if (owned.first..owned.end).contains(&chunk.group) {
            let state = states.get(usize::from(chunk.state));
            let Some((state, kind)) = state else { return Err(damaged("it has an unknown state")) };
            for entry in chunk.entries() {
                let hash = hash(entry.key);
                if owned.place(hash).0 != chunk.group {
                    return Err(damaged("it has a key of another key group"));
                }
                let key = Key { hash, key: entry.key, namespace: entry.namespace };
                let value = Column::Same(entry.value);
                let put = match kind {
                    Kind::Value => backend.put(*state, &key.batch(), value),
                    Kind::List => backend.append(*state, &key.batch(), value),
                };
                put.map_err(|stopped| RestoreError::State(stopped.error))?;
                restored += 1;
            }
        }
        offset = next;
    }
    Ok(restored)
}

/// Why state was not restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The snapshot is damaged, or another job's.
    Format(FormatError),
    /// The backend did not take an entry.
    State(StateError),
}

impl From<FormatError> for RestoreError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::State(error) => write!(f, "while state was restored: {error}"),
        }
    }
}

impl core::error::Error for RestoreError {}
