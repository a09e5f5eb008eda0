//! What records are, and which comes first.

use core::{cmp::Ordering, fmt};

use bytemuck::Pod;

use crate::area::{self, Area};

/// An entry of the index: words, of which the first ones are the key.
pub trait Entry: Pod + Send + fmt::Debug {
    /// The word at `index`; 0 if there is none.
    fn word(&self, index: usize) -> u64;
}

impl<const W: usize> Entry for [u64; W] {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or(0)
    }
}

/// What records are: [`Fixed`] or [`Rows`].
pub trait Format {
    /// The entry of a record in the index.
    type Entry: Entry;
    /// A record.
    type Record: ?Sized;
    /// How many words of an entry are key, at least one.
    const KEY_WORDS: usize;
    /// Whether entries are records, so that there is no area.
    const INLINE: bool;

    /// Whether records whose first key word is equal are equal.
    fn first_word_decides(&self) -> bool;

    /// Whether records whose key words are all equal are equal.
    fn key_decides(&self) -> bool;

    /// The first key word.
    fn first_word(&self, record: &Self::Record) -> u64;

    /// How two records are ordered.
    fn compare(&self, a: &Self::Record, b: &Self::Record) -> Ordering;

    /// The record's bytes in the area.
    fn bytes<'a>(&self, record: &'a Self::Record) -> &'a [u8];

    /// The entry of a record that lies at `pointer` in the area.
    fn entry(&self, record: &Self::Record, pointer: u64) -> Self::Entry;

    /// The record of an entry.
    fn record<'a>(&self, entry: &'a Self::Entry, area: &'a Area) -> &'a Self::Record;

    /// Appends a record to a block of a run: gives the bytes it took, or `None` if it does not fit.
    fn put(&self, record: &Self::Record, block: &mut [u8]) -> Option<usize>;

    /// Appends as many records as fit to a block of a run: gives how many, and the bytes they took.
    fn put_all(&self, entries: &[Self::Entry], area: &Area, block: &mut [u8]) -> (usize, usize) {
        let mut used = 0;
        for (taken, entry) in entries.iter().enumerate() {
            match self.put(self.record(entry, area), &mut block[used..]) {
                Some(bytes) => used += bytes,
                None => return (taken, used),
            }
        }
        (entries.len(), used)
    }

    /// The record at a place in a block, and where the next one begins; `None` if there is none.
    fn at<'a>(&self, block: &'a [u8], at: usize) -> Option<(&'a Self::Record, usize)>;

    /// The longest record that fits into `bytes` of a block.
    fn longest(&self, bytes: usize) -> usize;
}

/// Records of `W` words, ordered by the first `K` as numbers.
///
/// [`prefix`](millstream_data::order::prefix) makes such words of values. Records that are equal in
/// these words are equal: the other words are carried along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed<const W: usize, const K: usize>;

impl<const W: usize, const K: usize> Format for Fixed<W, K> {
    type Entry = [u64; W];
    type Record = [u64; W];
    const KEY_WORDS: usize = {
        assert!(K > 0 && K <= W, "the key is some of the words");
        K
    };
    const INLINE: bool = true;

    #[inline(always)]
    fn first_word_decides(&self) -> bool {
        K == 1
    }

    #[inline(always)]
    fn key_decides(&self) -> bool {
        true
    }

    #[inline(always)]
    fn first_word(&self, record: &[u64; W]) -> u64 {
        record[0]
    }

    #[inline(always)]
    fn compare(&self, a: &[u64; W], b: &[u64; W]) -> Ordering {
        a[..K].cmp(&b[..K])
    }

    fn bytes<'a>(&self, record: &'a [u64; W]) -> &'a [u8] {
        bytemuck::bytes_of(record)
    }

    #[inline(always)]
    fn entry(&self, record: &[u64; W], _pointer: u64) -> [u64; W] {
        *record
    }

    #[inline(always)]
    fn record<'a>(&self, entry: &'a [u64; W], _area: &'a Area) -> &'a [u64; W] {
        entry
    }

    #[inline]
    fn put(&self, record: &[u64; W], block: &mut [u8]) -> Option<usize> {
        block.get_mut(..8 * W)?.copy_from_slice(bytemuck::bytes_of(record));
        Some(8 * W)
    }

    fn put_all(&self, entries: &[[u64; W]], _area: &Area, block: &mut [u8]) -> (usize, usize) {
        let taken = entries.len().min(block.len() / (8 * W));
        let bytes = bytemuck::cast_slice(&entries[..taken]);
        block[..bytes.len()].copy_from_slice(bytes);
        (taken, bytes.len())
    }

    #[inline(always)]
    fn at<'a>(&self, block: &'a [u8], at: usize) -> Option<(&'a [u64; W], usize)> {
        let bytes = block.get(at..at + 8 * W)?;
        Some((bytemuck::try_from_bytes(bytes).ok()?, at + 8 * W))
    }

    fn longest(&self, bytes: usize) -> usize {
        bytes - bytes % (8 * W)
    }
}

/// An order of rows of bytes.
pub trait Order {
    /// A number for a row: a row with a smaller one comes first.
    fn prefix(&self, row: &[u8]) -> u64;

    /// Whether rows with equal numbers are equal.
    fn prefix_decides(&self) -> bool;

    /// How two rows are ordered.
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering;
}

/// Rows that are ordered by their bytes: keys, or keys with something behind them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytewise;

impl Order for Bytewise {
    #[inline]
    fn prefix(&self, row: &[u8]) -> u64 {
        let mut word = [0; 8];
        let length = row.len().min(8);
        word[..length].copy_from_slice(&row[..length]);
        u64::from_be_bytes(word)
    }

    fn prefix_decides(&self) -> bool {
        false
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }
}

/// Rows of bytes in an [`Order`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<O>(pub O);

impl<O: Order> Format for Rows<O> {
    type Entry = [u64; 2];
    type Record = [u8];
    const KEY_WORDS: usize = 1;
    const INLINE: bool = false;

    fn first_word_decides(&self) -> bool {
        self.0.prefix_decides()
    }

    fn key_decides(&self) -> bool {
        self.0.prefix_decides()
    }

    #[inline]
    fn first_word(&self, record: &[u8]) -> u64 {
        self.0.prefix(record)
    }

    #[inline]
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        self.0.compare(a, b)
    }

    fn bytes<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        record
    }

    #[inline]
    fn entry(&self, record: &[u8], pointer: u64) -> [u64; 2] {
        [self.0.prefix(record), pointer]
    }

    #[inline]
    fn record<'a>(&self, entry: &'a [u64; 2], area: &'a Area) -> &'a [u8] {
        area.record(entry[1])
    }

    #[inline]
    fn put(&self, record: &[u8], block: &mut [u8]) -> Option<usize> {
        area::frame(record, block)
    }

    #[inline]
    fn at<'a>(&self, block: &'a [u8], at: usize) -> Option<(&'a [u8], usize)> {
        area::framed(block, at)
    }

    fn longest(&self, bytes: usize) -> usize {
        area::longest(bytes)
    }
}
