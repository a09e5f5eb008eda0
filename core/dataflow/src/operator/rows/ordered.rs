//! Maps whose entries are read in order.

use alloc::vec;

use millstream_state::{Kind, description::Part};

use super::{Maps, RowKeys, RowStates};
use crate::{chain::TaskError, state::Contents};

impl RowStates {
    /// Adds a map for each key, from bytes to values of any size. Map keys have at most 512 bytes.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn ordered(&mut self, name: &str, keys: &RowKeys) -> Result<Maps, TaskError> {
        let opaque = || vec![Part::Opaque(None)];
        let contents = Contents { map_key: opaque(), value: opaque(), ..Contents::default() };
        let (id, life) = self.add(name, (Kind::Map, None), (keys, Some(0)), contents)?;
        Ok(Maps(id, life))
    }

    /// Calls `each` for the entries of a key, in the order of the bytes of their map keys, from the first that is
    /// not below `begin`, until it answers `false`.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn scan(
        &mut self,
        maps: Maps,
        keys: &RowKeys,
        (index, begin): (usize, &[u8]),
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TaskError> {
        let living = self.life(maps.1, 1)?;
        self.state.scan_map(maps.0, &keys.keys().at(index), begin, |map_key, value| {
            living.seen(value).is_none_or(|value| each(map_key, value))
        })
    }
}
