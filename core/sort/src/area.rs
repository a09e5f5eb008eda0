//! Where records lie that are not part of the index.

use alloc::vec::Vec;

use millstream_memory::Segment;

/// Bytes of a length.
const LENGTH: usize = 4;

/// Records one behind the other, in segments; each has its length in front.
#[derive(Debug, Default)]
pub struct Area {
    segments: Vec<Segment>,
    used: usize,
}

impl Area {
    /// Appends a record; gives where it lies. `None` if it needs another segment.
    pub(crate) fn push(&mut self, record: &[u8]) -> Option<u64> {
        let last = self.segments.len().checked_sub(1)?;
        let place = self.segments[last].get_mut(self.used..self.used + LENGTH + record.len())?;
        let (length, bytes) = place.split_at_mut(LENGTH);
        length.copy_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.copy_from_slice(record);
        let pointer = (last as u64) << 32 | self.used as u64;
        self.used += LENGTH + record.len();
        Some(pointer)
    }

    pub(crate) fn grow(&mut self, segment: Segment) {
        self.segments.push(segment);
        self.used = 0;
    }

    /// The record at a place that [`push`](Self::push) gave; nothing for another place.
    #[inline]
    pub(crate) fn record(&self, pointer: u64) -> &[u8] {
        let segment = self.segments.get((pointer >> 32) as usize);
        segment.and_then(|segment| framed(segment, pointer as u32 as usize)).map_or(&[], |r| r.0)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Segment> {
        self.used = 0;
        self.segments.drain(..)
    }
}

/// A record with its length in front, and where the next one begins.
#[inline]
pub(crate) fn framed(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
    let length = u32::from_le_bytes(*length) as usize;
    Some((rest.get(..length)?, at + LENGTH + length))
}

/// Writes a record with its length in front; gives how many bytes that took, or `None` if there is
/// no room.
#[inline]
pub(crate) fn frame(record: &[u8], into: &mut [u8]) -> Option<usize> {
    let end = LENGTH + record.len();
    let (length, bytes) = into.get_mut(..end)?.split_at_mut(LENGTH);
    length.copy_from_slice(&(record.len() as u32).to_le_bytes());
    bytes.copy_from_slice(record);
    Some(end)
}

/// The longest record for which there is room in `bytes`.
pub(crate) fn longest(bytes: usize) -> usize {
    bytes.saturating_sub(LENGTH)
}
