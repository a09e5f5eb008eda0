//! Which keys a file may have.
//!
//! A blocked Bloom filter (Putze, Sanders and Singler, *Cache-, Hash- and Space-Efficient Bloom Filters*,
//! 2007): all bits of a key lie in one cache line, so a question costs one cache miss. With ten bits for a
//! key about one in a hundred that are not there passes.

use alloc::{vec, vec::Vec};

use millstream_data::hash;

const BITS_PER_KEY: u64 = 10;
const PROBES: u32 = 6;
/// Words of a block: a cache line.
const WORDS: usize = 8;
/// Lines of a filter in one page of a file.
pub const LINES_OF_A_PAGE: usize = 63;
/// Bytes of a line.
pub const LINE: usize = 8 * WORDS;

/// What a filter keeps of a key and namespace of a state.
#[inline]
pub fn fingerprint(state: u16, hash: u64, namespace: &[u8]) -> u64 {
    let named = if namespace.is_empty() { hash } else { hash::bytes(hash, namespace) };
    hash::word(named, u64::from(state) << 1 | 1)
}

/// Bits for the keys of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// Bytes of a filter for so many keys.
    pub fn bytes(keys: u64) -> u64 {
        (keys * BITS_PER_KEY).div_ceil(64 * WORDS as u64) * 8 * WORDS as u64
    }

    /// For so many keys, of which none was added.
    pub fn new(keys: u64) -> Self {
        Self { words: vec![0; (Self::bytes(keys) / 8) as usize] }
    }

    /// From words that were read; those behind the last whole block are left out.
    pub fn from_words(words: Vec<u64>) -> Self {
        let mut words = words;
        words.truncate(words.len() / WORDS * WORDS);
        Self { words }
    }

    /// The words, to be written.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Appends a page of its lines, as they are in a file.
    pub fn put_page(&self, page: u32, out: &mut Vec<u8>) {
        let lines = self.words.chunks(LINES_OF_A_PAGE * WORDS).nth(page as usize).unwrap_or(&[]);
        lines.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// How many lines it has.
    pub fn lines(&self) -> u32 {
        (self.words.len() / WORDS) as u32
    }

    /// Where the block of a fingerprint begins, and the bits in it, nine for each probe.
    #[inline]
    fn place(&self, fingerprint: u64) -> (usize, u64) {
        let (line, bits) = place(fingerprint, (self.words.len() / WORDS) as u64);
        (line as usize * WORDS, bits)
    }

    /// Adds a key.
    pub fn add(&mut self, fingerprint: u64) {
        let (first, bits) = self.place(fingerprint);
        if let Some(block) = self.words.get_mut(first..first + WORDS) {
            for probe in 0..PROBES {
                let bit = bits >> (9 * probe) & 511;
                block[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
    }

    /// Whether a key may have been added; a filter of no bits does not know.
    #[inline]
    pub fn may_have(&self, fingerprint: u64) -> bool {
        let (first, bits) = self.place(fingerprint);
        let Some(block) = self.words.get(first..first + WORDS) else { return true };
        (0..PROBES).all(|probe| {
            let bit = bits >> (9 * probe) & 511;
            block[(bit / 64) as usize] >> (bit % 64) & 1 == 1
        })
    }
}

/// The line of a fingerprint in a filter of so many, and its bits, for [`line_may_have`].
#[inline]
pub fn place(fingerprint: u64, lines: u64) -> (u64, u64) {
    let line = (u128::from(fingerprint) * u128::from(lines)) >> 64;
    (line as u64, hash::word(fingerprint, hash::SEED))
}

/// Whether a line has these bits: as [`may_have`](Filter::may_have), of bytes as they are in a file.
#[inline]
pub fn line_may_have(line: &[u8; LINE], bits: u64) -> bool {
    (0..PROBES).all(|probe| {
        let bit = (bits >> (9 * probe) & 511) as usize;
        line[bit / 8] >> (bit % 8) & 1 == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_passes_and_little_else() {
        let mut filter = Filter::new(10_000);
        let print = |number: u64| fingerprint(3, hash::word(hash::SEED, number), b"");
        (0..10_000).for_each(|number| filter.add(print(number)));
        assert!((0..10_000).all(|number| filter.may_have(print(number))));
        let others = (10_000..110_000).filter(|number| filter.may_have(print(*number))).count();
        assert!(others < 2500, "{others} of 100,000 pass");
        let other_state = |number: u64| fingerprint(4, hash::word(hash::SEED, number), b"");
        let others = (0..10_000).filter(|number| filter.may_have(other_state(*number))).count();
        assert!(others < 250, "{others} of 10,000 pass");
        assert!(Filter::default().may_have(1));
        for number in 0..20_000 {
            let (line, bits) = place(print(number), u64::from(filter.lines()));
            let words = filter.words().as_chunks::<WORDS>().0[line as usize];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let line = bytes.first_chunk().expect("a line");
            assert_eq!(line_may_have(line, bits), filter.may_have(print(number)), "{number}");
        }
    }
}
