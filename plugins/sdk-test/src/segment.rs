//! Memory as the host lends it.

use std::ops::{Deref, DerefMut};

/// How the host aligns segments, in bytes.
const ALIGNMENT: usize = 4096;
/// What stands in a segment before it is filled: whatever was there before.
pub(crate) const GARBAGE: u8 = 0xA5;
/// The same for a second run: rows that differ have taken in what was there.
pub(crate) const OTHER_GARBAGE: u8 = 0x3C;

/// A segment, aligned as the host's, full of garbage.
#[derive(Debug)]
pub(crate) struct Segment {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Segment {
    /// A segment full of garbage.
    pub(crate) fn new(length: usize) -> Self {
        Self::full_of(GARBAGE, length)
    }

    /// A segment in which each byte is this one.
    pub(crate) fn full_of(garbage: u8, length: usize) -> Self {
        let memory = vec![garbage; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, start, length }
    }
}

impl Deref for Segment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Segment {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}
