//! Writing values one after the other.

use alloc::vec::Vec;
use core::fmt;

use super::{Input, ViewError};
use crate::segment::{Buffer, Segment};

/// Something that takes bytes in order.
///
/// After an error the bytes before the named offset have been written; the caller decides whether
/// to go on or to take them back (see [`OutputView::truncate`]).
///
/// # Errors
///
/// Every method fails with [`ViewError::OutOfSpace`] when the target is full.
#[expect(clippy::missing_errors_doc, reason = "the one error is described on the trait")]
pub trait Output {
    /// Appends `bytes`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ViewError>;

    /// Leaves `n` bytes out; reading them gives whatever was there, never uninitialised memory.
    fn skip(&mut self, n: u64) -> Result<(), ViewError>;

    /// How many bytes were written or skipped.
    fn position(&self) -> u64;

    /// Appends one byte.
    #[inline]
    fn write_u8(&mut self, value: u8) -> Result<(), ViewError> {
        self.write(&[value])
    }

    /// Appends one signed byte.
    #[inline]
    fn write_i8(&mut self, value: i8) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends a boolean as 0 or 1.
    #[inline]
    fn write_bool(&mut self, value: bool) -> Result<(), ViewError> {
        self.write(&[u8::from(value)])
    }

    /// Appends 2 bytes, little-endian.
    #[inline]
    fn write_u16(&mut self, value: u16) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 2 bytes, little-endian.
    #[inline]
    fn write_i16(&mut self, value: i16) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 4 bytes, little-endian.
    #[inline]
    fn write_u32(&mut self, value: u32) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 4 bytes, little-endian.
    #[inline]
    fn write_i32(&mut self, value: i32) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 8 bytes, little-endian.
    #[inline]
    fn write_u64(&mut self, value: u64) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 8 bytes, little-endian.
    #[inline]
    fn write_i64(&mut self, value: i64) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 16 bytes, little-endian.
    #[inline]
    fn write_u128(&mut self, value: u128) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 16 bytes, little-endian.
    #[inline]
    fn write_i128(&mut self, value: i128) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends the 4 bytes of the bit pattern, little-endian.
    #[inline]
    fn write_f32(&mut self, value: f32) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends the 8 bytes of the bit pattern, little-endian.
    #[inline]
    fn write_f64(&mut self, value: f64) -> Result<(), ViewError> {
        self.write(&value.to_le_bytes())
    }

    /// Appends 1 to 5 bytes: LEB128.
    #[inline]
    fn write_varint_u32(&mut self, value: u32) -> Result<(), ViewError> {
        self.write_varint_u64(u64::from(value))
    }

    /// Appends 1 to 10 bytes: LEB128.
    #[inline]
    fn write_varint_u64(&mut self, mut value: u64) -> Result<(), ViewError> {
        let mut bytes = [0; 10];
        let mut len = 0;
        loop {
            let low = value as u8 & 0x7f;
            value >>= 7;
            bytes[len] = if value == 0 { low } else { low | 0x80 };
            len += 1;
            if value == 0 {
                return self.write(&bytes[..len]);
            }
        }
    }

    /// Appends 1 to 5 bytes: zigzag, then LEB128; numbers near zero are short.
    #[inline]
    fn write_varint_i32(&mut self, value: i32) -> Result<(), ViewError> {
        self.write_varint_u32((value << 1 ^ value >> 31) as u32)
    }

    /// Appends 1 to 10 bytes: zigzag, then LEB128; numbers near zero are short.
    #[inline]
    fn write_varint_i64(&mut self, value: i64) -> Result<(), ViewError> {
        self.write_varint_u64((value << 1 ^ value >> 63) as u64)
    }

    /// Appends the length as a varint, then the bytes.
    #[inline]
    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), ViewError> {
        self.write_varint_u64(bytes.len() as u64)?;
        self.write(bytes)
    }

    /// Appends the length in bytes as a varint, then the UTF-8 bytes.
    #[inline]
    fn write_str(&mut self, text: &str) -> Result<(), ViewError> {
        self.write_bytes(text.as_bytes())
    }

    /// Appends the next `n` bytes of `source`.
    ///
    /// Fails with [`ViewError::EndOfData`] when `source` has fewer; nothing is written then.
    fn write_from<'a>(&mut self, source: &mut impl Input<'a>, n: u64) -> Result<(), ViewError>
    where
        Self: Sized,
    {
        source.check_remaining(n)?;
        let mut left = n;
        while left > 0 {
            let piece = source.read_piece(left);
            debug_assert!(!piece.is_empty(), "the remaining bytes were checked");
            self.write(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }
}

/// A vector grows as needed and is never full.
impl Output for Vec<u8> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), ViewError> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn skip(&mut self, n: u64) -> Result<(), ViewError> {
        let offset = self.len() as u64;
        let full = ViewError::OutOfSpace { offset, wanted: n };
        let len = usize::try_from(n).ok().and_then(|n| self.len().checked_add(n)).ok_or(full)?;
        self.try_reserve(len - self.len()).map_err(|_| full)?;
        self.resize(len, 0);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.len() as u64
    }
}

/// An [`Output`] over as many segments as it takes.
///
/// `supply` is asked for the next segment when one is full: a pool's `request`, usually. The
/// segments need not be equally long.
///
/// ```
/// # use millstream_memory::view::*;
/// # fn fill(pool: millstream_memory::LocalPool) -> Result<(), ViewError> {
/// let mut output = OutputView::new(|| pool.request());
/// let length_at = output.position();
/// output.skip(4)?;
/// output.write_str("a record of any length")?;
/// let length = output.position() as u32 - 4;
/// output.overwrite(length_at, &length.to_le_bytes())?;
/// let buffers = output.finish();
///
/// let mut input = InputView::new(&buffers);
/// assert_eq!(input.read_u32()?, length);
/// assert_eq!(input.read_str()?, "a record of any length");
/// # Ok(()) }
/// ```
pub struct OutputView<S> {
    supply: S,
    /// All but the last are full.
    segments: Vec<Segment>,
    /// Bytes in all segments but the last.
    before_last: u64,
    /// Bytes used of the last.
    used: usize,
}

impl<S: FnMut() -> Option<Segment>> OutputView<S> {
    /// A view that has no segment yet.
    pub fn new(supply: S) -> Self {
        Self { supply, segments: Vec::new(), before_last: 0, used: 0 }
    }

    /// Writes `bytes` over earlier ones, at `position`; for lengths that are known later.
    ///
    /// # Errors
    ///
    /// [`ViewError::OutOfRange`] when the bytes do not lie within what was written.
    pub fn overwrite(&mut self, position: u64, bytes: &[u8]) -> Result<(), ViewError> {
        let len = self.position();
        let end = position.saturating_add(bytes.len() as u64);
        if end > len {
            return Err(ViewError::OutOfRange { offset: end, len });
        }
        let (mut start, mut bytes) = (0, bytes);
        for segment in &mut self.segments {
            let end = start + segment.len() as u64;
            let at = position.max(start);
            if at < end && !bytes.is_empty() {
                let target = &mut segment[(at - start) as usize..];
                let n = target.len().min(bytes.len());
                target[..n].copy_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                // The rest, if any, goes to the beginning of the next segment.
            }
            start = end;
        }
        Ok(())
    }

    /// Takes back everything from `position` on; segments that become empty are dropped.
    ///
    /// # Errors
    ///
    /// [`ViewError::OutOfRange`] when less than `position` was written.
    pub fn truncate(&mut self, position: u64) -> Result<(), ViewError> {
        let len = self.position();
        if position > len {
            return Err(ViewError::OutOfRange { offset: position, len });
        }
        while position <= self.before_last && !self.segments.is_empty() {
            self.segments.pop();
            let last = self.segments.last().map_or(0, |segment| segment.len());
            self.before_last -= last as u64;
            self.used = last;
        }
        self.used = (position - self.before_last) as usize;
        Ok(())
    }

    /// Ends the view: what was written, frozen, in order.
    pub fn finish(mut self) -> Vec<Buffer> {
        let last = self.segments.pop().map(|segment| segment.freeze(self.used));
        let full = self.segments.into_iter().map(|segment| {
            let len = segment.len();
            segment.freeze(len)
        });
        full.chain(last).collect()
    }

    /// Calls `f` with room for at most `n` bytes, again and again until they are used up.
    #[inline(always)]
    fn advance(&mut self, n: u64, mut f: impl FnMut(&mut [u8])) -> Result<(), ViewError> {
        let mut left = n;
        while left > 0 {
            let room = match self.segments.last_mut() {
                Some(segment) => segment.get_mut(self.used..).unwrap_or_default(),
                None => &mut [],
            };
            if room.is_empty() {
                self.next_segment(left)?;
                continue;
            }
            let n = left.min(room.len() as u64) as usize;
            f(&mut room[..n]);
            self.used += n;
            left -= n as u64;
        }
        Ok(())
    }

    #[cold]
    fn next_segment(&mut self, wanted: u64) -> Result<(), ViewError> {
        let offset = self.position();
        let segment = (self.supply)().ok_or(ViewError::OutOfSpace { offset, wanted })?;
        self.before_last = offset;
        self.used = 0;
        self.segments.push(segment);
        Ok(())
    }
}

impl<S: FnMut() -> Option<Segment>> Output for OutputView<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), ViewError> {
        let mut bytes = bytes;
        self.advance(bytes.len() as u64, |room| {
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            bytes = later;
        })
    }

    fn skip(&mut self, n: u64) -> Result<(), ViewError> {
        self.advance(n, |_| {})
    }

    fn position(&self) -> u64 {
        self.before_last + self.used as u64
    }
}

impl<S> fmt::Debug for OutputView<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputView")
            .field("segments", &self.segments.len())
            .field("position", &(self.before_last + self.used as u64))
            .finish_non_exhaustive()
    }
}
