//! Checked cursors over the bytes of a manifest, little-endian.

use alloc::vec::Vec;

/// Appends a length, at most 2^32 - 1, and so many bytes.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends how many of something follow.
pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("a manifest has less than 2^32 of anything");
    out.extend(count.to_le_bytes());
}

/// Reads fields one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    end: usize,
}

/// The source ends inside the field that was asked for.
#[derive(Debug)]
pub(crate) struct Truncated;

impl<'a> Reader<'a> {
    /// Reads the bytes behind `offset`, which is 0 or inside of `source`.
    pub(crate) fn new(source: &'a [u8], offset: usize) -> Self {
        Self { rest: source.get(offset..).unwrap_or(&[]), end: source.len() }
    }

    /// Where the next field begins.
    pub(crate) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Truncated> {
        self.array().map(i64::from_le_bytes)
    }

    /// As [`put_bytes`] wrote them.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Truncated> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Truncated)?;
        self.rest = rest;
        Ok(*head)
    }
}
