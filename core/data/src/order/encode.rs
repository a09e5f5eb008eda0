//! Single values: their order and their keys.

use core::cmp::Ordering;

use super::KeySink;

/// A value of a plain type, as far as order is concerned.
///
/// Values of different variants never meet: a column has one type.
#[derive(Clone, Copy, Debug)]
pub enum KeyValue<'a> {
    /// A boolean: false is less than true.
    Boolean(bool),
    /// A signed integer of this many bytes (1, 2, 4, 8): numbers, dates, times.
    Signed(i64, u8),
    /// An unsigned integer of this many bytes (1, 2, 4, 8).
    Unsigned(u64, u8),
    /// A float of single precision.
    Float32(f32),
    /// A float of double precision.
    Float64(f64),
    /// A decimal, by its unscaled value.
    Decimal(i128),
    /// Text or bytes.
    Bytes(&'a [u8]),
}

impl KeyValue<'_> {
    /// Appends the key of the value.
    #[inline]
    pub fn put(self, sink: &mut impl KeySink) {
        match (self.word(), self) {
            (Some((word, width)), _) => sink.put(&word.to_be_bytes()[..width]),
            (None, Self::Decimal(value)) => {
                sink.put(&((value as u128) ^ (1 << 127)).to_be_bytes());
            }
            (None, Self::Bytes(bytes)) => put_escaped(bytes, sink),
            (None, _) => {}
        }
    }

    /// The key of a value of at most eight bytes: the first bytes of a number, and how many.
    #[inline]
    pub(super) fn word(self) -> Option<(u64, usize)> {
        match self {
            Self::Boolean(value) => Some((u64::from(value) << 56, 1)),
            Self::Signed(value, width) => {
                // The sign bit of the narrow number, at the top after the shift.
                Some(((value as u64) << (64 - 8 * u32::from(width)) ^ (1 << 63), width.into()))
            }
            Self::Unsigned(value, width) => {
                Some((value << (64 - 8 * u32::from(width)), width.into()))
            }
            Self::Float32(value) => Some((u64::from(float32_word(value)) << 32, 4)),
            Self::Float64(value) => Some((float64_word(value), 8)),
            Self::Decimal(_) | Self::Bytes(_) => None,
        }
    }

    /// How two values of one type are ordered.
    #[inline]
    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(&b),
            (Self::Signed(a, _), Self::Signed(b, _)) => a.cmp(&b),
            (Self::Unsigned(a, _), Self::Unsigned(b, _)) => a.cmp(&b),
            (Self::Float32(a), Self::Float32(b)) => float32_word(a).cmp(&float32_word(b)),
            (Self::Float64(a), Self::Float64(b)) => float64_word(a).cmp(&float64_word(b)),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(&b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// A number that is ordered as the floats are; see the module.
fn float32_word(value: f32) -> u32 {
    let bits = if value.is_nan() { f32::NAN.to_bits() & !(1 << 31) } else { value.to_bits() };
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// As [`float32_word`].
fn float64_word(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { value.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn put_escaped(bytes: &[u8], sink: &mut impl KeySink) {
    for (i, piece) in bytes.split(|byte| *byte == 0).enumerate() {
        if sink.is_full() {
            return;
        }
        if i > 0 {
            sink.put(&[0, 255]);
        }
        sink.put(piece);
    }
    sink.put(&[0, 0]);
}
