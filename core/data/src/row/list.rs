//! Lists and maps in rows.

use alloc::{boxed::Box, vec::Vec};

use super::{Row, RowError, RowLayout};

/// Bytes of a number.
const WORD: usize = 4;

/// The elements of a list or map in a row, in place: a row of one column each, or of key and value.
#[derive(Clone, Copy, Debug)]
pub struct RowList<'a> {
    layout: &'a RowLayout,
    length: usize,
    /// Where each element ends, if they are not of one size.
    ends: &'a [[u8; WORD]],
    elements: &'a [u8],
}

impl<'a> RowList<'a> {
    /// The list in these bytes, which were written in this process or checked.
    pub(super) fn new(layout: &'a RowLayout, bytes: &'a [u8]) -> Self {
        let (length, rest) = split(bytes).unwrap_or_default();
        let ends = if layout.is_fixed() { 0 } else { length };
        let (ends, elements) = rest.split_at(ends * WORD);
        Self { layout, length, ends: ends.as_chunks().0, elements }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// An element.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn at(&self, index: usize) -> Row<'a> {
        assert!(index < self.length, "element {index} of {}", self.length);
        let end = |index: usize| u32::from_le_bytes(self.ends[index]) as usize;
        let range = match (self.layout.is_fixed(), index) {
            (true, index) => {
                let size = self.layout.fixed_bytes;
                index * size..(index + 1) * size
            }
            (false, 0) => 0..end(0),
            (false, index) => end(index - 1)..end(index),
        };
        Row { layout: self.layout, bytes: &self.elements[range] }
    }

    /// Checks bytes from outside; `Err` with the element that is wrong, or what is wrong with all.
    pub(super) fn check(layout: &'a RowLayout, bytes: &'a [u8]) -> Result<(), ListError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (length, rest) = split(bytes).ok_or(ListError::All("is too short for a list"))?;
        if length == 0 {
            return Err(ListError::All("is a list without elements that is not empty"));
        }
        let size = if layout.is_fixed() { layout.fixed_bytes } else { WORD };
        let table = length.checked_mul(size).filter(|table| *table <= rest.len());
        let table = table.ok_or(ListError::All("has fewer bytes than its elements"))?;
        let mut end = 0;
        let elements = if layout.is_fixed() { rest } else { &rest[table..] };
        // Elements without a byte are alike, and there may be billions.
        for index in 0..if size == 0 { 1 } else { length } {
            let begin = end;
            end = match layout.is_fixed() {
                true => begin + size,
                false => word(&rest[index * WORD..]).unwrap_or(0),
            };
            let bytes = elements
                .get(begin..end)
                .ok_or(ListError::All("has an element that ends where none can"))?;
            let checked = layout.validate(bytes);
            checked.map_err(|error| ListError::Element(index, Box::new(error)))?;
        }
        match end == elements.len() {
            true => Ok(()),
            false => Err(ListError::All("has bytes behind its last element")),
        }
    }
}

/// What is wrong with a list.
pub(super) enum ListError {
    /// With all of it.
    All(&'static str),
    /// With this element.
    Element(usize, Box<RowError>),
}

fn word(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|word| u32::from_le_bytes(*word) as usize)
}

/// The number of elements, and what follows.
fn split(bytes: &[u8]) -> Option<(usize, &[u8])> {
    Some((word(bytes)?, bytes.get(WORD..)?))
}

/// Appends a list to a row that is being written: `element` appends the bytes of each element.
pub(super) fn put(
    layout: &RowLayout,
    length: usize,
    out: &mut Vec<u8>,
    mut element: impl FnMut(usize, &mut Vec<u8>),
) {
    if length == 0 {
        return;
    }
    let word = |number: usize| u32::try_from(number).expect("a row is below 4 GiB").to_le_bytes();
    out.extend(word(length));
    let ends = out.len();
    if !layout.is_fixed() {
        out.resize(ends + length * WORD, 0);
    }
    let begin = out.len();
    for index in 0..length {
        element(index, out);
        if !layout.is_fixed() {
            let end = word(out.len() - begin);
            out[ends + index * WORD..][..WORD].copy_from_slice(&end);
        }
    }
}
