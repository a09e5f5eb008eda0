//! Removing all that a state has.

use alloc::vec::Vec;

use millstream_state::{Backend, Keys, StateId};

use super::{KeyedState, hash_of};
use crate::chain::TaskError;

impl KeyedState {
    /// Removes all values of a state without namespaces. If that is not possible at once the keys of one key
    /// group at a time are listed beside the budget.
    pub(crate) fn clear(&mut self, state: StateId) -> Result<(), TaskError> {
        for group in self.groups() {
            while let Err(error) = self.backend.clear_at_once(state, group) {
                self.relieve(error)?;
            }
            let (mut hashes, mut ends, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
            self.scan(state, group, |entry| {
                hashes.push(hash_of(entry.key));
                bytes.extend_from_slice(entry.key);
                ends.push(bytes.len() as u32);
            })?;
            let keys = Keys::variable(&hashes, &ends, &bytes);
            self.change(|store, done| store.remove(state, &keys.skip(done)))?;
        }
        Ok(())
    }
}
