//! Reading values one after the other.

use alloc::borrow::Cow;
use alloc::vec;
use core::fmt;
use core::str;

use super::ViewError;

/// Something that gives bytes in order; `'a` is how long the bytes themselves live.
///
/// # Errors
///
/// Every method fails with [`ViewError::EndOfData`] when the value does not lie completely within
/// what is left. Whatever the error, the position is unchanged then.
#[expect(clippy::missing_errors_doc, reason = "the one error is described on the trait")]
pub trait Input<'a> {
    /// How many bytes were read or skipped.
    fn position(&self) -> u64;

    /// How many bytes are left.
    fn remaining(&self) -> u64;

    /// Reads at most `n` bytes, as many as lie in one piece; empty only at the end or if `n` is 0.
    ///
    /// What the other methods are made of.
    fn read_piece(&mut self, n: u64) -> &'a [u8];

    /// Moves to `position`, counted from the beginning of the view.
    ///
    /// Fails with [`ViewError::OutOfRange`] beyond the end.
    fn seek(&mut self, position: u64) -> Result<(), ViewError>;

    /// Fails unless `n` bytes are left.
    #[inline]
    fn check_remaining(&self, n: u64) -> Result<(), ViewError> {
        let available = self.remaining();
        if n <= available {
            return Ok(());
        }
        Err(ViewError::EndOfData { offset: self.position(), wanted: n, available })
    }

    /// Reads up to `target.len()` bytes and says how many; 0 at the end.
    fn read(&mut self, target: &mut [u8]) -> usize {
        let mut done = 0;
        while done < target.len() {
            let piece = self.read_piece((target.len() - done) as u64);
            if piece.is_empty() {
                break;
            }
            target[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
        done
    }

    /// Fills `target`.
    #[inline]
    fn read_exact_into(&mut self, target: &mut [u8]) -> Result<(), ViewError> {
        self.check_remaining(target.len() as u64)?;
        self.read(target);
        Ok(())
    }

    /// Skips exactly `n` bytes.
    fn skip(&mut self, n: u64) -> Result<(), ViewError> {
        self.check_remaining(n)?;
        self.seek(self.position() + n)
    }

    /// Reads `n` bytes: borrowed when they lie in one piece, copied when they span a seam.
    fn read_slice(&mut self, n: u64) -> Result<Cow<'a, [u8]>, ViewError> {
        self.check_remaining(n)?;
        let piece = self.read_piece(n);
        let (first, n) = (piece.len(), n as usize);
        if first == n {
            return Ok(Cow::Borrowed(piece));
        }
        let mut bytes = vec![0; n];
        bytes[..first].copy_from_slice(piece);
        self.read(&mut bytes[first..]);
        Ok(Cow::Owned(bytes))
    }

    /// Reads `N` bytes.
    #[inline]
    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], ViewError> {
        let mut bytes = [0; N];
        self.read_exact_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads one byte.
    #[inline]
    fn read_u8(&mut self) -> Result<u8, ViewError> {
        self.read_array().map(u8::from_le_bytes)
    }

    /// Reads one signed byte.
    #[inline]
    fn read_i8(&mut self) -> Result<i8, ViewError> {
        self.read_array().map(i8::from_le_bytes)
    }

    /// Reads a boolean; fails with [`ViewError::NotBool`] at anything but 0 and 1.
    #[inline]
    fn read_bool(&mut self) -> Result<bool, ViewError> {
        let offset = self.position();
        match self.read_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => {
                go_back(self, offset);
                Err(ViewError::NotBool { offset, value })
            }
        }
    }

    /// Reads 2 bytes, little-endian.
    #[inline]
    fn read_u16(&mut self) -> Result<u16, ViewError> {
        self.read_array().map(u16::from_le_bytes)
    }

    /// Reads 2 bytes, little-endian.
    #[inline]
    fn read_i16(&mut self) -> Result<i16, ViewError> {
        self.read_array().map(i16::from_le_bytes)
    }

    /// Reads 4 bytes, little-endian.
    #[inline]
    fn read_u32(&mut self) -> Result<u32, ViewError> {
        self.read_array().map(u32::from_le_bytes)
    }

    /// Reads 4 bytes, little-endian.
    #[inline]
    fn read_i32(&mut self) -> Result<i32, ViewError> {
        self.read_array().map(i32::from_le_bytes)
    }

    /// Reads 8 bytes, little-endian.
    #[inline]
    fn read_u64(&mut self) -> Result<u64, ViewError> {
        self.read_array().map(u64::from_le_bytes)
    }

    /// Reads 8 bytes, little-endian.
    #[inline]
    fn read_i64(&mut self) -> Result<i64, ViewError> {
        self.read_array().map(i64::from_le_bytes)
    }

    /// Reads 16 bytes, little-endian.
    #[inline]
    fn read_u128(&mut self) -> Result<u128, ViewError> {
        self.read_array().map(u128::from_le_bytes)
    }

    /// Reads 16 bytes, little-endian.
    #[inline]
    fn read_i128(&mut self) -> Result<i128, ViewError> {
        self.read_array().map(i128::from_le_bytes)
    }

    /// Reads the bit pattern of 4 bytes, little-endian.
    #[inline]
    fn read_f32(&mut self) -> Result<f32, ViewError> {
        self.read_array().map(f32::from_le_bytes)
    }

    /// Reads the bit pattern of 8 bytes, little-endian.
    #[inline]
    fn read_f64(&mut self) -> Result<f64, ViewError> {
        self.read_array().map(f64::from_le_bytes)
    }

    /// Reads 1 to 5 bytes of LEB128; fails with [`ViewError::VarintTooLong`] beyond 32 bits.
    #[inline]
    fn read_varint_u32(&mut self) -> Result<u32, ViewError> {
        read_varint(self, 32).map(|value| value as u32)
    }

    /// Reads 1 to 10 bytes of LEB128; fails with [`ViewError::VarintTooLong`] beyond 64 bits.
    #[inline]
    fn read_varint_u64(&mut self) -> Result<u64, ViewError> {
        read_varint(self, 64)
    }

    /// Reads 1 to 5 bytes of LEB128 and undoes the zigzag.
    #[inline]
    fn read_varint_i32(&mut self) -> Result<i32, ViewError> {
        self.read_varint_u32().map(|value| (value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// Reads 1 to 10 bytes of LEB128 and undoes the zigzag.
    #[inline]
    fn read_varint_i64(&mut self) -> Result<i64, ViewError> {
        self.read_varint_u64().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Reads a length and that many bytes.
    fn read_bytes(&mut self) -> Result<Cow<'a, [u8]>, ViewError> {
        let start = self.position();
        let len = self.read_varint_u64()?;
        self.read_slice(len).inspect_err(|_| go_back(self, start))
    }

    /// Reads a length and that many bytes of UTF-8; fails with [`ViewError::NotUtf8`] otherwise.
    fn read_str(&mut self) -> Result<Cow<'a, str>, ViewError> {
        let start = self.position();
        let text = match self.read_bytes()? {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => alloc::string::String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.ok_or_else(|| {
            go_back(self, start);
            ViewError::NotUtf8 { offset: start }
        })
    }
}

/// Undoes a partial read.
fn go_back<'a>(input: &mut (impl Input<'a> + ?Sized), position: u64) {
    let outcome = input.seek(position);
    debug_assert!(outcome.is_ok(), "a position that was left can be returned to");
}

#[inline]
fn read_varint<'a>(input: &mut (impl Input<'a> + ?Sized), bits: u32) -> Result<u64, ViewError> {
    let offset = input.position();
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = input.read_u8().inspect_err(|_| go_back(input, offset))?;
        let low = u64::from(byte & 0x7f);
        // The last possible byte may only carry the bits that are left.
        if shift >= bits || (shift + 7 > bits && low >> (bits - shift) != 0) {
            go_back(input, offset);
            return Err(ViewError::VarintTooLong { offset, bits });
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
    }
}

/// An [`Input`] over pieces of bytes: slices, buffers or segments, one after the other.
#[derive(Clone)]
pub struct InputView<'a, B> {
    pieces: &'a [B],
    /// The piece that is read now; `pieces.len()` at the end.
    piece: usize,
    /// What is left of it.
    rest: &'a [u8],
    /// Bytes before `rest`.
    position: u64,
    len: u64,
}

impl<'a, B: AsRef<[u8]>> InputView<'a, B> {
    /// A view of all `pieces`, at its beginning.
    pub fn new(pieces: &'a [B]) -> Self {
        let len = pieces.iter().map(|piece| piece.as_ref().len() as u64).sum();
        let rest = pieces.first().map_or(&[][..], |piece| piece.as_ref());
        Self { pieces, piece: 0, rest, position: 0, len }
    }

    /// The bytes in all pieces.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes on to the next piece that is not empty.
    #[cold]
    fn next_piece(&mut self) {
        while self.rest.is_empty() && self.piece < self.pieces.len() {
            self.piece += 1;
            self.rest = self.pieces.get(self.piece).map_or(&[][..], |piece| piece.as_ref());
        }
    }
}

impl<'a, B: AsRef<[u8]>> Input<'a> for InputView<'a, B> {
    #[inline]
    fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    fn remaining(&self) -> u64 {
        self.len - self.position
    }

    #[inline]
    fn read_piece(&mut self, n: u64) -> &'a [u8] {
        if self.rest.is_empty() {
            self.next_piece();
        }
        let (piece, rest) = self.rest.split_at(n.min(self.rest.len() as u64) as usize);
        self.rest = rest;
        self.position += piece.len() as u64;
        piece
    }

    fn seek(&mut self, position: u64) -> Result<(), ViewError> {
        if position > self.len {
            return Err(ViewError::OutOfRange { offset: position, len: self.len });
        }
        if position < self.position {
            *self = Self::new(self.pieces);
        }
        while self.position < position {
            self.read_piece(position - self.position);
        }
        Ok(())
    }
}

impl<B> fmt::Debug for InputView<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputView")
            .field("len", &self.len)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
