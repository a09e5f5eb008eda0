//! Memory as the host lends it.

use std::ops::{Deref, DerefMut};

/// How the host aligns segments, in bytes.
const ALIGNMENT: usize = 4096;
/// What stands in a segment before it is filled: whatever was there before.
const GARBAGE: u8 = 0xA5;

/// A segment, aligned as the host's, full of garbage.
#[derive(Debug)]
pub(crate) struct Segment {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Segment {
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![GARBAGE; length + ALIGNMENT];
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
