//! The canonical format of state: the same whichever backend writes or reads it.
//!
//! A snapshot is a sequence of chunks, in any order. Each has entries of one state and one key group.
//! No key and namespace comes twice, but that a map may be spread over several entries:
//!
//! ```text
//! magic "MSKG" | version u16 | state u16 | group u32 | entries u32 | body u32 | checksum u64 | body
//! entry: key u16 | namespace u16 | value u32 | bytes of the key, of the namespace, of the value
//! ```
//!
//! Numbers are little-endian. The checksum is the [stable hash](millstream_data::hash) of everything
//! in front of it and the body. Keys, namespaces and values are rows. The value of a list is its
//! [elements](crate::list), that of a map its entries, in order:
//!
//! ```text
//! map key u16 | value u32 | bytes of the map key, of the value
//! ```

use alloc::vec::Vec;
use core::fmt;

use millstream_data::hash;

const MAGIC: [u8; 4] = *b"MSKG";
const VERSION: u16 = 1;
/// Bytes in front of the checksum.
const SUMMED: usize = 20;
/// Bytes in front of the body of a chunk.
pub const HEADER: usize = SUMMED + 8;
/// Bytes in front of an entry's own.
const ENTRY: usize = 8;

/// A chunk that is being written.
#[derive(Debug)]
pub struct Chunk<'a> {
    out: &'a mut Vec<u8>,
    begin: usize,
    /// Where the last entry begins.
    entry: usize,
    entries: u32,
}

impl<'a> Chunk<'a> {
    /// Begins a chunk at the end of `out`.
    pub fn begin(state: u16, group: u32, out: &'a mut Vec<u8>) -> Self {
        let begin = out.len();
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(state.to_le_bytes());
        out.extend(group.to_le_bytes());
        out.resize(begin + HEADER, 0);
        let entry = out.len();
        Self { out, begin, entry, entries: 0 }
    }

    /// Adds an entry whose value is in one piece.
    pub fn whole(&mut self, key: &[u8], namespace: &[u8], value: &[u8]) {
        self.end_entry();
        self.entry = self.out.len();
        self.out.reserve(ENTRY + key.len() + namespace.len() + value.len());
        let names = (key.len() as u16 as u64) | (namespace.len() as u16 as u64) << 16;
        let header = names | (value.len() as u32 as u64) << 32;
        self.out.extend_from_slice(&header.to_le_bytes());
        self.out.extend_from_slice(key);
        self.out.extend_from_slice(namespace);
        self.out.extend_from_slice(value);
        self.entries += 1;
    }

    /// Adds entries that lie one behind the other, each a key, a namespace and a value of so many bytes.
    pub fn wholes(&mut self, widths: (usize, usize, usize), entries: &[u8]) {
        let (key, namespace, value) = widths;
        let width = key + namespace + value;
        let count = entries.len().checked_div(width).unwrap_or(0);
        if count == 0 {
            return;
        }
        self.end_entry();
        let names = (key as u16 as u64) | (namespace as u16 as u64) << 16;
        let header = (names | (value as u32 as u64) << 32).to_le_bytes();
        let begin = self.out.len();
        self.out.resize(begin + count * (ENTRY + width), 0);
        let places = self.out[begin..].chunks_exact_mut(ENTRY + width);
        for (place, entry) in places.zip(entries.chunks_exact(width)) {
            let (head, rest) = place.split_at_mut(ENTRY);
            head.copy_from_slice(&header);
            rest.copy_from_slice(entry);
        }
        self.entry = self.out.len() - (ENTRY + width);
        self.entries += count as u32;
    }

    /// Begins an entry.
    pub fn entry(&mut self, key: &[u8], namespace: &[u8]) {
        self.end_entry();
        self.entry = self.out.len();
        self.out.extend((key.len() as u16).to_le_bytes());
        self.out.extend((namespace.len() as u16).to_le_bytes());
        self.out.extend([0; 4]);
        self.out.extend_from_slice(key);
        self.out.extend_from_slice(namespace);
        self.entries += 1;
    }

    /// Adds bytes of the entry's value.
    pub fn value(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Begins an entry of a map, whose value has so many bytes, in the entry's value.
    pub fn map_entry(&mut self, map_key: &[u8], value: usize) {
        self.out.extend((map_key.len() as u16).to_le_bytes());
        self.out.extend((value as u32).to_le_bytes());
        self.out.extend_from_slice(map_key);
    }

    /// Bytes of the chunk so far.
    pub fn length(&self) -> usize {
        self.out.len() - self.begin
    }

    /// Writes down how long the last entry's value is.
    fn end_entry(&mut self) {
        if self.entries == 0 {
            return;
        }
        let Some((header, rest)) = self.out[self.entry..].split_first_chunk_mut::<ENTRY>() else {
            return;
        };
        let word = number(header, 0);
        let names = (word & 0xFFFF) as usize + (word >> 16) as usize;
        header[4..].copy_from_slice(&((rest.len() - names) as u32).to_le_bytes());
    }

    /// Ends the chunk and begins the one behind it.
    #[must_use]
    pub fn next(self, state: u16, group: u32) -> Self {
        let out = self.finish();
        Self::begin(state, group, out)
    }

    /// Ends the chunk.
    pub fn end(self) {
        self.finish();
    }

    fn finish(mut self) -> &'a mut Vec<u8> {
        self.end_entry();
        let bytes = &mut self.out[self.begin..];
        let body = (bytes.len() - HEADER) as u32;
        bytes[12..16].copy_from_slice(&self.entries.to_le_bytes());
        bytes[16..20].copy_from_slice(&body.to_le_bytes());
        let sum = checksum(&bytes[..SUMMED], &bytes[HEADER..]);
        bytes[SUMMED..HEADER].copy_from_slice(&sum.to_le_bytes());
        self.out
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u64 {
    hash::bytes(hash::bytes(hash::SEED, header), body)
}

/// A chunk that was read, and is whole.
#[derive(Clone, Copy, Debug)]
pub struct ReadChunk<'a> {
    /// The state's number in the snapshot.
    pub state: u16,
    /// The key group.
    pub group: u32,
    entries: u32,
    body: &'a [u8],
    /// Where the chunk begins.
    offset: usize,
}

/// An entry of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadEntry<'a> {
    /// Bytes of the key.
    pub key: &'a [u8],
    /// Bytes of the namespace.
    pub namespace: &'a [u8],
    /// Bytes of the value.
    pub value: &'a [u8],
}

impl<'a> ReadChunk<'a> {
    /// Reads the chunk that begins at `offset`; gives where the next one begins, too. Everything is
    /// checked here, so that reading [entries](Self::entries) cannot fail.
    ///
    /// # Errors
    /// [`FormatError`] says where the bytes are no chunk.
    pub fn read(snapshot: &'a [u8], offset: usize) -> Result<(Self, usize), FormatError> {
        let wrong = |at: usize, what| FormatError { offset: offset.saturating_add(at), what };
        let bytes = snapshot.get(offset..).unwrap_or(&[]);
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(wrong(0, "it ends within the header of a chunk"));
        };
        let word = |at: usize| number(header, at);
        if header[..4] != MAGIC {
            return Err(wrong(0, "no chunk begins like this"));
        }
        if (word(4) as u16) != VERSION {
            return Err(wrong(4, "it has a version that this program does not read"));
        }
        let Some(body) = rest.get(..word(16) as usize) else {
            return Err(wrong(16, "it ends before the chunk does"));
        };
        let sum = u64::from(word(20)) | u64::from(word(24)) << 32;
        if sum != checksum(&header[..SUMMED], body) {
            return Err(wrong(SUMMED, "the checksum is not that of the bytes"));
        }
        let (state, group) = ((word(4) >> 16) as u16, word(8));
        let chunk = Self { state, group, entries: word(12), body, offset };
        chunk.check()?;
        Ok((chunk, offset + HEADER + body.len()))
    }

    fn check(&self) -> Result<(), FormatError> {
        let mut rest = self.body;
        for _ in 0..self.entries {
            let Some((_, behind)) = take(rest) else {
                let offset = self.offset + HEADER + (self.body.len() - rest.len());
                return Err(FormatError { offset, what: "it ends within an entry" });
            };
            rest = behind;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let offset = self.offset + HEADER + (self.body.len() - rest.len());
        Err(FormatError { offset, what: "there are bytes behind the last entry of the chunk" })
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = ReadEntry<'a>> {
        let mut rest = self.body;
        core::iter::from_fn(move || {
            let (entry, behind) = take(rest)?;
            rest = behind;
            Some(entry)
        })
    }
}

/// Bytes of the chunk that begins with these, which are at least [`HEADER`]; `None` if no chunk begins so.
pub fn chunk_length(header: &[u8]) -> Option<u64> {
    let is_chunk = header.len() >= HEADER && header.starts_with(&MAGIC);
    is_chunk.then(|| HEADER as u64 + u64::from(number(header, 16)))
}

/// The number of the state whose chunk begins with these bytes; `None` if no chunk begins so.
pub fn chunk_state(header: &[u8]) -> Option<u16> {
    let is_chunk = header.len() >= HEADER && header.starts_with(&MAGIC);
    is_chunk.then(|| (number(header, 4) >> 16) as u16)
}

/// The entries of a map in an entry's value: map key and value. It ends with `None` where the bytes
/// are no map.
pub fn map_entries(value: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let bytes = rest?;
        if bytes.is_empty() {
            return None;
        }
        let taken = take_map_entry(bytes);
        rest = taken.map(|(_, _, behind)| behind);
        Some(taken.map(|(key, value, _)| (key, value)))
    })
}

fn take_map_entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<6>()?;
    let key = usize::from(u16::from_le_bytes([header[0], header[1]]));
    let (key, rest) = rest.split_at_checked(key)?;
    let (value, rest) = rest.split_at_checked(number(header, 2) as usize)?;
    Some((key, value, rest))
}

fn take(bytes: &[u8]) -> Option<(ReadEntry<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<ENTRY>()?;
    let word = number(header, 0);
    let (key, rest) = rest.split_at_checked((word & 0xFFFF) as usize)?;
    let (namespace, rest) = rest.split_at_checked((word >> 16) as usize)?;
    let (value, rest) = rest.split_at_checked(number(header, 4) as usize)?;
    Some((ReadEntry { key, namespace, value }, rest))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// Bytes that are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Where, from 0.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the state snapshot is damaged at byte {}: {}; restore an older checkpoint",
            self.offset, self.what
        )
    }
}

impl core::error::Error for FormatError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Vec<u8> {
        let mut out = Vec::new();
        let mut chunk = Chunk::begin(3, 77, &mut out);
        chunk.entry(b"key", b"space");
        chunk.value(b"val");
        chunk.value(b"ue");
        chunk.entry(b"", b"");
        chunk.map_entry(b"a", 2);
        chunk.value(b"bc");
        chunk = chunk.next(4, 78);
        chunk.whole(b"other", b"", b"!");
        chunk.whole(b"", b"n", b"");
        chunk.end();
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = snapshot();
        let (first, next) = ReadChunk::read(&bytes, 0).unwrap();
        assert_eq!((first.state, first.group), (3, 77));
        let entries: Vec<_> = first.entries().collect();
        let entry = ReadEntry { key: b"key", namespace: b"space", value: b"value" };
        assert_eq!((entries.len(), entries[0]), (2, entry));
        let map: Vec<_> = map_entries(entries[1].value).collect();
        assert_eq!(map, [Some((&b"a"[..], &b"bc"[..]))]);
        assert_eq!(map_entries(&entries[1].value[1..]).last(), Some(None));
        let (second, end) = ReadChunk::read(&bytes, next).unwrap();
        assert_eq!((second.state, second.group, end), (4, 78, bytes.len()));
        assert_eq!(chunk_length(&bytes), Some(next as u64));
        assert_eq!((chunk_length(&bytes[..HEADER - 1]), chunk_length(&bytes[1..])), (None, None));
        let entries: Vec<_> = second.entries().collect();
        let entry = ReadEntry { key: b"other", namespace: b"", value: b"!" };
        let last = ReadEntry { key: b"", namespace: b"n", value: b"" };
        assert_eq!(entries, [entry, last]);
    }

    #[test]
    fn the_format_never_changes() {
        // Stored in checkpoints.
        let mut out = Vec::new();
        let mut chunk = Chunk::begin(1, 2, &mut out);
        chunk.entry(b"k", b"");
        chunk.value(b"v");
        chunk.end();
        let header = [77, 83, 75, 71, 1, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0];
        assert_eq!(out[..20], header);
        assert_eq!(out[28..], [1, 0, 0, 0, 1, 0, 0, 0, b'k', b'v']);
    }

    #[test]
    fn each_damaged_byte_and_each_cut_is_found() {
        let good = snapshot();
        let (_, next) = ReadChunk::read(&good, 0).unwrap();
        for at in 0..next {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(ReadChunk::read(&bad, 0).is_err(), "byte {at}");
            assert!(ReadChunk::read(&good[..at], 0).is_err(), "cut at {at}");
        }
        assert!(ReadChunk::read(&good, good.len() + 1).is_err());
    }
}
