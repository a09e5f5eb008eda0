//! Maps of keys, read in the order of their map keys.

use alloc::vec::Vec;

use millstream_state::{Backend, Key, StateId};

use super::KeyedState;
use crate::chain::TaskError;

impl KeyedState {
    /// Calls `each` for the map keys of a key's map and their values, in order, from the first that is not
    /// below `from`, until it answers `false`.
    pub(crate) fn scan_map(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        from: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TaskError> {
        let (mut begin, mut next) = (Vec::from(from), Vec::new());
        let mut whole = Vec::new();
        loop {
            let may_wait = self.backend.may_wait();
            let backend = &self.backend;
            let scanned = backend.scan_entries(state, key, &begin, &mut |map_key, place| {
                if may_wait {
                    // The next map key that there can be.
                    next.clear();
                    next.extend_from_slice(map_key);
                    next.push(0);
                }
                let mut pieces = backend.pieces(place);
                match (pieces.next(), pieces.next()) {
                    (first, None) => each(map_key, first.unwrap_or(&[])),
                    (first, second) => {
                        whole.clear();
                        let all = first.into_iter().chain(second).chain(pieces);
                        all.for_each(|piece| whole.extend_from_slice(piece));
                        each(map_key, &whole)
                    }
                }
            });
            let Err(error) = scanned else { return Ok(()) };
            self.relieve(error)?;
            if !next.is_empty() {
                begin.clone_from(&next);
            }
        }
    }
}
