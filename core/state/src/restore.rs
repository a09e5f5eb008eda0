//! State out of a snapshot.

use core::fmt;

use crate::{
    Backend, Column, Key, KeyHash, Kind, Owned, StateError, StateId, Stopped,
    format::{self, FormatError, ReadChunk},
    list,
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
    states: &[StateId],
    snapshot: &[u8],
) -> Result<u64, RestoreError> {
    restore_with(backend, owned, hash, states, snapshot, None)
}

/// As [`restore`], for a backend with files: `drive` lets it work where it [waits](StateError::Waits).
///
/// # Errors
/// As [`restore`].
pub fn restore_driven<B: Backend>(
    backend: &mut B,
    owned: Owned,
    hash: KeyHash,
    states: &[StateId],
    snapshot: &[u8],
    mut drive: impl FnMut(&mut B),
) -> Result<u64, RestoreError> {
    restore_with(backend, owned, hash, states, snapshot, Some(&mut drive))
}

type Drive<'a, B> = Option<&'a mut dyn FnMut(&mut B)>;

fn restore_with<B: Backend>(
    backend: &mut B,
    owned: Owned,
    hash: KeyHash,
    states: &[StateId],
    snapshot: &[u8],
    mut drive: Drive<'_, B>,
) -> Result<u64, RestoreError> {
    let (mut offset, mut restored) = (0, 0);
    while offset < snapshot.len() {
        let (chunk, next) = ReadChunk::read(snapshot, offset)?;
        if chunk.group >= owned.max_parallelism {
            return Err(damaged(offset, "it has a key group that there is not"));
        }
        if (owned.first..owned.end).contains(&chunk.group) {
            let known = states.get(usize::from(chunk.state));
            let known = known.and_then(|id| Some((*id, backend.spec(*id)?)));
            let Some((state, spec)) = known else {
                return Err(damaged(offset, "it has an unknown state"));
            };
            let (kind, width) = (spec.kind, spec.value);
            for entry in chunk.entries() {
                let hash = hash(entry.key);
                if owned.place(hash).0 != chunk.group {
                    return Err(damaged(offset, "it has a key of another key group"));
                }
                let key = Key { hash, key: entry.key, namespace: entry.namespace };
                match kind {
                    Kind::Value => {
                        served(backend, &mut drive, |backend| {
                            Ok(backend.put(state, &key.batch(), Column::Same(entry.value))?)
                        })?;
                    }
                    Kind::List => {
                        check_list(entry.value, width, offset)?;
                        served(backend, &mut drive, |backend| {
                            Ok(backend.put_list(state, &key, entry.value)?)
                        })?;
                    }
                    Kind::Map => {
                        for entry in format::map_entries(entry.value) {
                            let Some((map_key, value)) = entry else {
                                return Err(damaged(
                                    offset,
                                    "it has a map that ends within an entry",
                                ));
                            };
                            let (map_key, value) = (Column::Same(map_key), Column::Same(value));
                            served(backend, &mut drive, |backend| {
                                Ok(backend.put_entries(state, &key.batch(), map_key, value)?)
                            })?;
                        }
                    }
                }
                restored += 1;
            }
        }
        offset = next;
    }
    Ok(restored)
}

/// Calls again as long as the backend waits, if it can be driven.
fn served<B: Backend>(
    backend: &mut B,
    drive: &mut Drive<'_, B>,
    mut call: impl FnMut(&mut B) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    loop {
        match (call(backend), &mut *drive) {
            (Err(RestoreError::State(StateError::Waits)), Some(drive)) => drive(backend),
            (outcome, _) => return outcome,
        }
    }
}

fn check_list(value: &[u8], width: Option<usize>, offset: usize) -> Result<(), RestoreError> {
    let mut rest = value;
    while let Some((_, behind)) = list::split_first(rest, width) {
        rest = behind;
    }
    match rest.is_empty() {
        true => Ok(()),
        false => Err(damaged(offset, "it has a list that ends within an element")),
    }
}

fn damaged(offset: usize, what: &'static str) -> RestoreError {
    RestoreError::Format(FormatError { offset, what })
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

impl From<StateError> for RestoreError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<Stopped> for RestoreError {
    fn from(stopped: Stopped) -> Self {
        Self::State(stopped.error)
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
