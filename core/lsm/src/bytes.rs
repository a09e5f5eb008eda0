//! Reading numbers from the front of bytes that come from outside.

use crate::run::IndexError;

/// Bytes, and how far they were read.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(IndexError { at: self.at, what: "it ends too early" })?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let at = self.at;
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or(IndexError { at, what: "it ends too early" })
    }

    pub(crate) fn u16(&mut self) -> Result<u16, IndexError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, IndexError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, IndexError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Refuses to go on unless something holds.
    pub(crate) fn check(&self, holds: bool, what: &'static str) -> Result<(), IndexError> {
        if holds { Ok(()) } else { Err(IndexError { at: self.at, what }) }
    }
}
