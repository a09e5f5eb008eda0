//! Views over one slice.

use super::{Input, Output, ViewError};

/// An [`Output`] into one slice.
#[derive(Debug)]
pub struct SliceWriter<'a> {
    target: &'a mut [u8],
    position: usize,
}

impl<'a> SliceWriter<'a> {
    /// A writer at the beginning of `target`.
    pub fn new(target: &'a mut [u8]) -> Self {
        Self { target, position: 0 }
    }

    /// The bytes that were written or skipped.
    pub fn written(&self) -> &[u8] {
        self.target.get(..self.position).unwrap_or_default()
    }

    /// The bytes of room that are left.
    pub fn remaining(&self) -> usize {
        self.target.len() - self.position
    }

    /// The next `n` bytes of room, counted as written.
    #[inline]
    fn room(&mut self, n: u64) -> Result<&mut [u8], ViewError> {
        let missing = n.saturating_sub(self.remaining() as u64);
        if missing > 0 {
            let offset = self.target.len() as u64;
            return Err(ViewError::OutOfSpace { offset, wanted: missing });
        }
        let start = self.position;
        self.position += n as usize;
        Ok(&mut self.target[start..self.position])
    }
}

impl Output for SliceWriter<'_> {
    /// Appends `bytes`: all, or none.
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), ViewError> {
        self.room(bytes.len() as u64)?.copy_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn skip(&mut self, n: u64) -> Result<(), ViewError> {
        self.room(n).map(|_| ())
    }

    fn position(&self) -> u64 {
        self.position as u64
    }
}

/// An [`Input`] over one slice.
#[derive(Debug, Clone)]
pub struct SliceReader<'a> {
    source: &'a [u8],
    position: usize,
}

impl<'a> SliceReader<'a> {
    /// A reader at the beginning of `source`.
    pub fn new(source: &'a [u8]) -> Self {
        Self { source, position: 0 }
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.source.get(self.position..).unwrap_or_default()
    }

    /// Reads `n` bytes without copying: a slice has no seams.
    ///
    /// # Errors
    ///
    /// [`ViewError::EndOfData`] when fewer are left; the position is unchanged then.
    #[inline]
    pub fn read_borrowed(&mut self, n: u64) -> Result<&'a [u8], ViewError> {
        self.check_remaining(n)?;
        Ok(self.read_piece(n))
    }
}

impl<'a> Input<'a> for SliceReader<'a> {
    #[inline]
    fn position(&self) -> u64 {
        self.position as u64
    }

    #[inline]
    fn remaining(&self) -> u64 {
        (self.source.len() - self.position) as u64
    }

    #[inline]
    fn read_piece(&mut self, n: u64) -> &'a [u8] {
        let n = n.min(self.remaining()) as usize;
        let piece = &self.source[self.position..self.position + n];
        self.position += n;
        piece
    }

    fn seek(&mut self, position: u64) -> Result<(), ViewError> {
        let len = self.source.len() as u64;
        if position > len {
            return Err(ViewError::OutOfRange { offset: position, len });
        }
        self.position = position as usize;
        Ok(())
    }

    #[inline]
    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], ViewError> {
        match self.rest().first_chunk() {
            Some(bytes) => {
                self.position += N;
                Ok(*bytes)
            }
            None => {
                let (offset, available) = (self.position(), self.remaining());
                Err(ViewError::EndOfData { offset, wanted: N as u64, available })
            }
        }
    }
}
