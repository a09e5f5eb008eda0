//! Values in the order in which they came, each of which may go.

use millstream_dataflow::{
    TaskError,
    operator::rows::{Maps, RowKeys, RowStates},
};

/// In front of a value's number.
const NUMBERED: u8 = 0;
/// The entry behind all values, with the number of the next one.
const NEXT: &[u8] = &[1];

/// Entries of a map, by the numbers of their values; the first one is the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Whether the last that came is the first of the entries.
    pub(super) latest: bool,
}

impl Arrival {
    /// Adds a value as the one that came last. It is framed as those of the other calls are.
    pub(super) fn push(
        self,
        (map, keys, index): (Maps, &RowKeys, usize),
        states: &mut RowStates,
        (key, value): (&mut Vec<u8>, &[u8]),
    ) -> Result<(), TaskError> {
        let found = states.entry(map, keys, (index, NEXT), key)?;
        let next = key.first_chunk().filter(|_| found).map_or(0, |next| u64::from_le_bytes(*next));
        let number = if self.latest { !next } else { next };
        key.clear();
        key.push(NUMBERED);
        key.extend_from_slice(&number.to_be_bytes());
        states.put_entry(map, keys, (index, key), Some(value))?;
        let next = next.wrapping_add(1).to_le_bytes();
        states.put_entry(map, keys, (index, NEXT), Some(&next))
    }

    /// Takes the value out that came first of those equal to this one, as Flink does; `false` if there is none.
    pub(super) fn remove(
        self,
        (map, keys, index): (Maps, &RowKeys, usize),
        states: &mut RowStates,
        (key, value): (&mut Vec<u8>, &[u8]),
    ) -> Result<bool, TaskError> {
        key.clear();
        let (mut values, mut others) = (0_usize, false);
        states.scan(map, keys, (index, &[]), |at, found| {
            if at == NEXT {
                return false;
            }
            values += 1;
            let is_wanted = found == value && (self.latest || key.is_empty());
            if is_wanted {
                key.clear();
                key.extend_from_slice(at);
            }
            others = values > 1;
            // The first that came is the last entry where the latest is the first.
            self.latest || key.is_empty() || !others
        })?;
        if key.is_empty() {
            return Ok(false);
        }
        states.put_entry(map, keys, (index, key), None)?;
        if !others {
            states.put_entry(map, keys, (index, NEXT), None)?;
        }
        Ok(true)
    }
}
