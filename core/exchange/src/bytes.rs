//! Checked cursors over the small payloads of control frames, little-endian.

/// Writes fields one behind the other into a slice that is known to hold them.
pub(crate) struct Writer<'a> {
    target: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(target: &'a mut [u8]) -> Self {
        Self { target, at: 0 }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.at
    }

    /// Panics when the target is too short: its size is a constant of the caller's format.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.target[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }
}

/// Reads fields one behind the other from a peer's bytes.
pub(crate) struct Reader<'a> {
    source: &'a [u8],
}

/// The source ends inside the field that was asked for.
#[derive(Debug)]
pub(crate) struct Truncated;

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a [u8]) -> Self {
        Self { source }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Truncated> {
        self.take().map(i64::from_le_bytes)
    }

    /// Bytes that were not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.source.len()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.source.split_first_chunk::<N>().ok_or(Truncated)?;
        self.source = rest;
        Ok(*head)
    }
}
