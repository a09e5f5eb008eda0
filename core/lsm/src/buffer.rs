//! Write buffers: what was written and is in no file yet.
//!
//! A write buffer is a [`MemoryBackend`] with up to three tables for each state: what is **present** in the
//! buffer; keys that are **cut** off from what older buffers and files have of them; map keys that were
//! **removed** from what these have. What is present counts, whatever the other tables say.

mod cursor;

use alloc::{boxed::Box, string::String, vec::Vec};

use millstream_state::{
    Backend, Column, Key, KeyHash, Kind, Lease, MemoryBackend, MemoryConfig, Owned, StateError,
    StateId, StateSpec, Stopped,
};

pub(crate) use cursor::{BufferCursor, BufferSource};

use crate::budget::Share;

/// The tables of a state, by number in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) present: StateId,
    pub(crate) cut: StateId,
    pub(crate) removed: Option<StateId>,
}

/// What was written and is in no file yet.
#[derive(Debug)]
pub(crate) struct WriteBuffer<L: Lease> {
    pub(crate) memory: MemoryBackend<Share<L>>,
    /// States and namespaces of which nothing older counts, in order.
    cleared: Vec<(u16, Box<[u8]>)>,
    /// Whether anything was ever cut off or removed from what is older.
    has_marks: bool,
}

impl<L: Lease> WriteBuffer<L> {
    pub(crate) fn new(share: Share<L>, owned: Owned, hash: KeyHash) -> Self {
        let config = MemoryConfig { copies_max: 0 };
        Self {
            memory: MemoryBackend::new(share, owned, hash, config),
            cleared: Vec::new(),
            has_marks: false,
        }
    }

    /// Adds the tables of a state. The same states in the same order have the same tables in all
    /// buffers.
    pub(crate) fn register(&mut self, spec: &StateSpec) -> Result<Tables, StateError> {
        let present = self.memory.register(spec)?;
        let mark = |kind, mark: &str| StateSpec {
            name: [mark, &*spec.name].concat(),
            kind,
            value: Some(0),
            ..spec.clone()
        };
        let cut = self.memory.register(&mark(Kind::Value, "\0cut "))?;
        let removed = match spec.kind {
            Kind::Map => Some(self.memory.register(&mark(Kind::Map, "\0removed "))?),
            Kind::Value | Kind::List => None,
        };
        Ok(Tables { present, cut, removed })
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self, states: impl Iterator<Item = Tables>) -> bool {
        let mut tables = states.flat_map(|tables| {
            [Some(tables.present), Some(tables.cut), tables.removed].into_iter().flatten()
        });
        self.cleared.is_empty() && tables.all(|table| self.memory.entries(table) == 0)
    }

    /// How many keys a state has here, at most.
    pub(crate) fn keys(&self, tables: &Tables) -> u64 {
        let removed = tables.removed.map_or(0, |removed| self.memory.entries(removed));
        self.memory.entries(tables.present) + self.memory.entries(tables.cut) + removed
    }

    /// Nothing older counts for a key.
    pub(crate) fn cut(&mut self, tables: &Tables, key: &Key<'_>) -> Result<(), StateError> {
        self.has_marks = true;
        let cut = self.memory.put(tables.cut, &key.batch(), Column::Same(&[]));
        cut.map_err(|stopped| stopped.error)
    }

    /// What is older counts again.
    pub(crate) fn uncut(&mut self, tables: &Tables, key: &Key<'_>) -> Result<(), StateError> {
        self.memory.remove(tables.cut, &key.batch()).map_err(|stopped| stopped.error)
    }

    pub(crate) fn is_cut(&self, tables: &Tables, key: &Key<'_>) -> Result<bool, StateError> {
        Ok(self.has_marks && !self.memory.find(tables.cut, key)?.is_absent())
    }

    /// Removes an entry of a map from what older buffers and files have.
    pub(crate) fn remove_older(
        &mut self,
        tables: &Tables,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<(), StateError> {
        let Some(removed) = tables.removed else { return Ok(()) };
        self.has_marks = true;
        let (map_key, nothing) = (Column::Same(map_key), Column::Same(&[]));
        let put = self.memory.put_entries(removed, &key.batch(), map_key, nothing);
        put.map_err(|stopped| stopped.error)
    }

    /// Whether an entry of a map is removed from what older buffers and files have.
    pub(crate) fn is_removed(
        &self,
        tables: &Tables,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<bool, StateError> {
        match tables.removed.filter(|_| self.has_marks) {
            Some(removed) => Ok(!self.memory.find_entry(removed, key, map_key)?.is_absent()),
            None => Ok(false),
        }
    }

    /// Removes what is here of a key.
    pub(crate) fn remove(&mut self, tables: &Tables, key: &Key<'_>) -> Result<(), Stopped> {
        if let Some(removed) = tables.removed {
            self.memory.remove(removed, &key.batch())?;
        }
        self.memory.remove(tables.present, &key.batch())
    }

    /// Whether something is here of a key.
    pub(crate) fn has(&self, tables: &Tables, key: &Key<'_>) -> Result<bool, StateError> {
        for table in [Some(tables.present), Some(tables.cut), tables.removed].into_iter().flatten()
        {
            if !self.memory.find(table, key)?.is_absent() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes all entries of a namespace here, and what older buffers and files have of it.
    pub(crate) fn clear_namespace(
        &mut self,
        number: u16,
        tables: &Tables,
        namespace: &[u8],
        hides: bool,
    ) -> Result<(), StateError> {
        for table in [Some(tables.present), Some(tables.cut), tables.removed].into_iter().flatten()
        {
            self.memory.clear_namespace(table, namespace)?;
        }
        if hides && let Err(at) = self.cleared_at(number, namespace) {
            self.cleared.insert(at, (number, namespace.into()));
        }
        Ok(())
    }

    fn cleared_at(&self, number: u16, namespace: &[u8]) -> Result<usize, usize> {
        let compared = |at: &(u16, Box<[u8]>)| (at.0, &*at.1).cmp(&(number, namespace));
        self.cleared.binary_search_by(compared)
    }

    /// Whether older buffers and files have nothing of a namespace.
    pub(crate) fn hides(&self, number: u16, namespace: &[u8]) -> bool {
        !self.cleared.is_empty() && self.cleared_at(number, namespace).is_ok()
    }

    pub(crate) fn cleared(&self) -> &[(u16, Box<[u8]>)] {
        &self.cleared
    }
}

/// The error of a state that was never registered.
pub(crate) fn unknown(state: StateId) -> StateError {
    let what = "was never registered; register it when the operator is opened";
    StateError::Misused { state: alloc::format!("number {}", state.0), what }
}

/// The error of a state that is used as another kind.
pub(crate) fn other_kind(spec: &StateSpec) -> StateError {
    let what = "is of another kind than the call is for; use it as it was registered";
    StateError::Misused { state: String::from(&*spec.name), what }
}
