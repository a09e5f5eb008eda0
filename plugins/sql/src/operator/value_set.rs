//! The different values that calls with DISTINCT find in a group of a window. They are gathered in a list beside the
//! accumulators, to which rows append them without reading it: that a value is there already is seen when the list has
//! grown to twice its size, or its window has ended.

use std::collections::HashMap;

use millstream_data::{order::Cells, types::DataType};
use millstream_state::list;

/// Calls of one column, at most.
pub(super) const CALLS_MAX: usize = 64;

/// A column of which different values count. An element of its list is a value, and behind it a mask: a bit for each
/// call that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueSet {
    pub(super) column: usize,
    /// Bytes of a value; `None` for texts.
    width: Option<usize>,
    /// Bytes of a mask.
    mask: usize,
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
    /// That of a column, about which there are so many calls; `None` if its type has no values that can be told
    /// apart here.
    pub(super) fn of(column: usize, data_type: &DataType, calls: usize) -> Option<Self> {
        let width = width(data_type).filter(|_| calls <= CALLS_MAX)?;
        Some(Self { column, width, mask: calls.div_ceil(8) })
    }

    /// Bytes of an element; `None` if they are not of one size.
    pub(super) fn element(self) -> Option<usize> {
        Some(self.width? + self.mask)
    }

    /// Appends the value of a row, which has one, for the calls of a mask.
    pub(super) fn put(self, row: &impl Cells, calls: u64, out: &mut Vec<u8>) {
        let column = self.column;
        match self.width {
            Some(1) => out.extend_from_slice(&row.fixed::<1>(column)),
            Some(2) => out.extend_from_slice(&row.fixed::<2>(column)),
            Some(4) => out.extend_from_slice(&row.fixed::<4>(column)),
            Some(8) => out.extend_from_slice(&row.fixed::<8>(column)),
            Some(_) => out.extend_from_slice(&row.fixed::<16>(column)),
            None => out.extend_from_slice(row.variable(column)),
        }
        out.extend(calls.to_le_bytes().into_iter().take(self.mask));
    }

    /// Calls `each` with the values of a list, as they came, and the mask of the calls to which they are new.
    pub(super) fn new_values<E>(
        self,
        elements: &[u8],
        mut each: impl FnMut(&Kept<'_>, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut seen: HashMap<&[u8], u64> = HashMap::new();
        for element in list::elements(elements, self.element()) {
            let at = element.len().saturating_sub(self.mask);
            let Some((value, bits)) = element.split_at_checked(at) else { continue };
            let mut calls = [0; 8];
            calls.iter_mut().zip(bits).for_each(|(to, from)| *to = *from);
            let calls = u64::from_le_bytes(calls);
            let before = seen.entry(value).or_insert(0);
            let new = calls & !*before;
            *before |= calls;
            if new != 0 {
                each(&Kept(value), new)?;
            }
        }
        Ok(())
    }

    /// Appends the elements of a list that have a new value for a call; gives how many there are.
    pub(super) fn shrink(self, elements: &[u8], needed: &mut Vec<u8>) -> usize {
        let (mut count, mut element) = (0, Vec::new());
        let each = |value: &Kept<'_>, new: u64| {
            element.clear();
            element.extend_from_slice(value.0);
            element.extend(new.to_le_bytes().into_iter().take(self.mask));
            match self.width {
                Some(_) => needed.extend_from_slice(&element),
                None => list::frame(&element, needed),
            }
            count += 1;
            Ok::<_, std::convert::Infallible>(())
        };
        match self.new_values(elements, each) {
            Ok(()) => count,
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
        for (data_type, values, calls) in [
            (DataType::Int16, [&b"bb"[..], b"aa", b"cc"], 2),
            (DataType::String, [&b"b"[..], b"", b"ccc"], 9),
        ] {
            let set = ValueSet::of(0, &data_type, calls).unwrap();
            let mut elements = Vec::new();
            let last = 1 << (calls - 1);
            for (value, calls) in [
                (values[0], 1),
                (values[1], last),
                (values[0], 1 | last),
                (values[2], 1),
                (values[1], last),
            ] {
                let element = [value, &u64::to_le_bytes(calls)[..set.mask]].concat();
                match set.element() {
                    Some(_) => elements.extend(element),
                    None => list::frame(&element, &mut elements),
                }
            }
            let expected = [(values[0], 1), (values[1], last), (values[0], last), (values[2], 1)];
            let mut needed = Vec::new();
            assert_eq!(set.shrink(&elements, &mut needed), 4);
            for elements in [&elements, &needed] {
                let mut new = Vec::new();
                let each = |value: &Kept<'_>, calls| {
                    new.push((value.0.to_vec(), calls));
                    Ok::<_, ()>(())
                };
                set.new_values(elements, each).unwrap();
                let expected = expected.map(|(value, calls)| (value.to_vec(), calls));
                assert_eq!(new, expected);
            }
        }
    }
}
