//! State in segments of managed memory.
//!
//! Segments are cut into pages of 4 KiB. Values and lists are in a [`table`]: for each key group a
//! directory of pages, each of which is a small hash table by itself ([`bucket`]). A page that is full
//! is split, two that are nearly empty are merged, and entries of variable size are moved together
//! where they left holes: so no table is ever rehashed, and what is wasted is a part of each page.
//! What does not fit beside its key is in pages of its own: a long value or list in a [`chain`], a
//! large map in a [`tree`].

mod bucket;
mod chain;
mod list;
mod map;
mod pages;
mod serve;
mod snapshot;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use alloc::vec::Vec;

use pages::Pages;
use snapshot::Snapshot;
use table::Table;

use crate::{KeyHash, Kind, Lease, Owned, StateError, StateId, StateSpec};

/// Bytes of the largest key with its namespace.
const KEY_MAX: usize = 512;
/// Bytes of the largest value, or of all elements of a list with their lengths.
const VALUE_MAX: usize = 1 << 30;

/// How a [`MemoryBackend`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Pages of 4 KiB that may be copied for an open snapshot; further ones are written to the
    /// snapshot before they change.
    pub copies_max: u32,
}

impl Default for MemoryConfig {
    /// Four MiB of copies.
    fn default() -> Self {
        Self { copies_max: 1024 }
    }
}

/// A [`Backend`](crate::Backend) whose state is in managed memory.
#[derive(Debug)]
pub struct MemoryBackend<L: Lease> {
    pages: Pages<L>,
    owned: Owned,
    hash: KeyHash,
    states: Vec<State>,
    snapshot: Option<Snapshot>,
}

#[derive(Debug)]
struct State {
    spec: StateSpec,
    table: Table,
    /// An element with its length.
    scratch: Vec<u8>,
}

impl<L: Lease> MemoryBackend<L> {
    /// A backend without states for the key groups `owned`, whose keys have the hash `hash`.
    ///
    /// # Panics
    /// If segments are smaller than 4 KiB.
    pub fn new(lease: L, owned: Owned, hash: KeyHash, config: MemoryConfig) -> Self {
        Self {
            pages: Pages::new(lease, config.copies_max),
            owned,
            hash,
            states: Vec::new(),
            snapshot: None,
        }
    }

    /// Bytes in use, of those that are [held](crate::Backend::held).
    pub fn used(&self) -> u64 {
        u64::from(self.pages.used()) * pages::PAGE as u64
    }

    /// Removes all entries of a key group, if none of them has pages of its own; whether it did.
    ///
    /// # Errors
    /// [`StateError::ForeignKey`], [`StateError::Misused`].
    pub fn clear_at_once(&mut self, state: StateId, group: u32) -> Result<bool, StateError> {
        let Some(found) = self.states.get_mut(usize::from(state.0)) else {
            return Err(unknown(state));
        };
        let index = self.owned.index(group)?;
        let at_once = found.table.shape.fixed.is_some();
        if at_once {
            found.table.clear_group(&mut self.pages, index);
        }
        Ok(at_once)
    }

    fn state(&self, state: StateId, kind: Kind) -> Result<&State, StateError> {
        match self.states.get(usize::from(state.0)) {
            None => Err(unknown(state)),
            Some(found) if found.spec.kind != kind => Err(other_kind(found)),
            Some(found) => Ok(found),
        }
    }

    fn state_mut(
        &mut self,
        state: StateId,
        kind: Kind,
    ) -> Result<(&mut State, &mut Pages<L>), StateError> {
        let Some(found) = self.states.get_mut(usize::from(state.0)) else {
            return Err(unknown(state));
        };
        if found.spec.kind == kind { Ok((found, &mut self.pages)) } else { Err(other_kind(found)) }
    }
}

fn unknown(state: StateId) -> StateError {
    let what = "was never registered; register it when the operator is opened";
    StateError::Misused { state: alloc::format!("number {}", state.0), what }
}

fn other_kind(state: &State) -> StateError {
    let what = "is of another kind than the call is for; use it as it was registered";
    StateError::Misused { state: state.spec.name.clone(), what }
}
