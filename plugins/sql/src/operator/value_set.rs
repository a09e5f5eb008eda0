//! The different values that calls with DISTINCT have found in a group of a window: kept beside the accumulators,
//! because those of slices become one.

use millstream_data::{order::Cells, types::DataType};

/// Bytes of the mask of a value: a bit for each call that has it.
const MASK: usize = 8;

/// Calls of one column, at most.
pub(super) const CALLS_MAX: usize = 8 * MASK;

/// The values of a column, one behind the other, each with its mask: of fixed width in the order of their bytes,
/// texts behind their lengths as they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueSet {
    pub(super) column: usize,
    /// Bytes of a value; `None` for texts.
    width: Option<usize>,
}

/// A value of a set as a cell of any column.
pub(super) struct Kept<'a>(&'a [u8]);

impl Cells for Kept<'_> {
    fn is_null(&self, _column: usize) -> bool {
        false
    }

    fn fixed<const W: usize>(&self, _column: usize) -> [u8; W] {
        self.0.first_chunk().copied().unwrap_or([0; W])
    }

    fn variable(&self, _column: usize) -> &[u8] {
        self.0
    }
}

impl ValueSet {
    /// That of a column; `None` if its type has no values that can be told apart here.
    pub(super) fn of(column: usize, data_type: &DataType) -> Option<Self> {
        let width = width(data_type)?;
        Some(Self { column, width })
    }

    /// Puts the value of a row behind these bytes; it has one.
    pub(super) fn put(self, row: &impl Cells, out: &mut Vec<u8>) {
        let column = self.column;
        match self.width {
            Some(1) => out.extend_from_slice(&row.fixed::<1>(column)),
            Some(2) => out.extend_from_slice(&row.fixed::<2>(column)),
            Some(4) => out.extend_from_slice(&row.fixed::<4>(column)),
            Some(8) => out.extend_from_slice(&row.fixed::<8>(column)),
            Some(_) => out.extend_from_slice(&row.fixed::<16>(column)),
            None => out.extend_from_slice(row.variable(column)),
        }
    }

    /// Adds a value for the calls of a mask; gives the mask of those that did not have it.
    pub(super) fn add(self, set: &mut Vec<u8>, value: &[u8], calls: u64) -> u64 {
        let mask = match self.find(set, value) {
            Ok(mask) => mask,
            Err(at) => {
                let length = (value.len() as u32).to_le_bytes();
                let length = if self.width.is_none() { &length[..] } else { &[] };
                let new = length.iter().chain(value).copied().chain([0; MASK]);
                set.splice(at..at, new);
                at + length.len() + value.len()
            }
        };
        let Some(bits) = set.get_mut(mask..).and_then(<[u8]>::first_chunk_mut::<MASK>) else {
            return 0;
        };
        let before = u64::from_le_bytes(*bits);
        *bits = (before | calls).to_le_bytes();
        calls & !before
    }

    /// Where the mask of a value is, or else where the value is to be.
    fn find(self, set: &[u8], value: &[u8]) -> Result<usize, usize> {
        let Some(width) = self.width else {
            let mut values = self.values(set);
            let found = values.find(|(_, found, _)| *found == value);
            return found.map(|(mask, ..)| mask).ok_or(set.len());
        };
        let record = width + MASK;
        let (mut low, mut high) = (0, set.len() / record);
        while low < high {
            let middle = low.midpoint(high);
            let at = middle * record;
            match set.get(at..at + width).unwrap_or(&[]).cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(at + width),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low * record)
    }

    /// Where the mask of each value is, the value, and its mask.
    fn values(self, set: &[u8]) -> impl Iterator<Item = (usize, &[u8], u64)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let mut rest = set.get(at..)?;
            let length = match self.width {
                Some(width) => width,
                None => {
                    let (length, behind) = rest.split_first_chunk::<4>()?;
                    (rest, at) = (behind, at + 4);
                    u32::from_le_bytes(*length) as usize
                }
            };
            let (value, behind) = rest.split_at_checked(length)?;
            let mask = at + length;
            at = mask + MASK;
            Some((mask, value, u64::from_le_bytes(*behind.first_chunk()?)))
        })
    }

    /// Adds all values of another set, and calls `new` with each and the mask of the calls that did not have it.
    pub(super) fn merge(
        self,
        set: &mut Vec<u8>,
        other: &[u8],
        mut new: impl FnMut(&Kept<'_>, u64),
    ) {
        for (_, value, calls) in self.values(other) {
            match self.add(set, value, calls) {
                0 => {}
                calls => new(&Kept(value), calls),
            }
        }
    }
}

/// The bytes of a cell of this type, or `None` for texts; `None` of all if it is nested.
pub(super) fn width(data_type: &DataType) -> Option<Option<usize>> {
    Some(match data_type {
        DataType::Boolean | DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 | DataType::Date | DataType::Time | DataType::Float32 => Some(4),
        DataType::Int64
        | DataType::Float64
        | DataType::Timestamp { .. }
        | DataType::TimestampLtz { .. } => Some(8),
        DataType::Decimal { .. } => Some(16),
        DataType::String | DataType::Bytes => None,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_new_once_for_each_call() {
        for (data_type, values) in [
            (DataType::Int16, [&b"bb"[..], b"aa", b"cc"]),
            (DataType::String, [&b"b"[..], b"", b"ccc"]),
        ] {
            let values_of = ValueSet::of(0, &data_type).unwrap();
            let (mut set, mut other) = (Vec::new(), Vec::new());
            for value in values {
                assert_eq!(values_of.add(&mut set, value, 0b01), 0b01);
            }
            for value in values {
                assert_eq!(values_of.add(&mut set, value, 0b11), 0b10);
                assert_eq!(values_of.add(&mut set, value, 0b11), 0);
            }
            values_of.add(&mut other, values[1], 0b110);
            values_of.add(&mut other, b"zz", 0b1);
            let mut new = Vec::new();
            values_of.merge(&mut set, &other, |value, calls| new.push((value.0.to_vec(), calls)));
            assert_eq!(new, [(values[1].to_vec(), 0b100), (b"zz".to_vec(), 0b1)]);
            assert_eq!(values_of.values(&set).count(), 4);
        }
    }
}
