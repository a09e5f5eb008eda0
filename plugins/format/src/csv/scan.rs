//! Finding the bytes that structure a CSV file, 64 at a time.
//!
//! A block of 64 bytes becomes a mask with a bit for each delimiter, quote and line feed, and the
//! set bits are walked one after the other: the approach of simdjson (Langdale and Lemire, 2019).

/// Walks the structural bytes of a buffer.
#[derive(Clone, Debug)]
pub struct Scanner {
    delimiter: u8,
    quote: u8,
    /// Where the block begins that `mask` is of.
    block: usize,
    /// The structural bytes of the block that have not been walked.
    mask: u64,
}

const BLOCK: usize = 64;

impl Scanner {
    /// A scanner that has nothing to walk: [`Scanner::seek`] gives it a place.
    pub fn new(delimiter: u8, quote: u8) -> Self {
        Self { delimiter, quote, block: 0, mask: 0 }
    }

    /// Goes on at `position`.
    #[inline]
    pub fn seek(&mut self, data: &[u8], position: usize) {
        self.block = position - position % BLOCK;
        let skipped = position % BLOCK;
        self.mask = self.load(data) & (u64::MAX << skipped);
    }

    /// The position of the next structural byte.
    #[inline(always)]
    pub fn next(&mut self, data: &[u8]) -> Option<usize> {
        while self.mask == 0 {
            self.block += BLOCK;
            if self.block >= data.len() {
                // Stay here, so that a caller who asks again gets the same answer.
                self.block = data.len().next_multiple_of(BLOCK);
                return None;
            }
            self.mask = self.load(data);
        }
        let position = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(position)
    }

    #[inline(always)]
    fn load(&self, data: &[u8]) -> u64 {
        let rest = data.get(self.block..).unwrap_or(&[]);
        match rest.first_chunk::<BLOCK>() {
            Some(block) => mask(block, self.delimiter, self.quote),
            None => self.load_last(rest),
        }
    }

    #[cold]
    fn load_last(&self, rest: &[u8]) -> u64 {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        let inside = if rest.is_empty() { 0 } else { u64::MAX >> (BLOCK - rest.len()) };
        mask(&block, self.delimiter, self.quote) & inside
    }
}

/// A bit for each byte of the block that is the delimiter, the quote or a line feed.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the one call into vector instructions")]
fn mask(block: &[u8; BLOCK], delimiter: u8, quote: u8) -> u64 {
    // SAFETY: SSE2 is part of every x86-64 processor.
    unsafe { mask_sse2(block, delimiter, quote) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn mask_sse2(block: &[u8; BLOCK], delimiter: u8, quote: u8) -> u64 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let (delimiter, quote, feed) =
        (_mm_set1_epi8(delimiter as i8), _mm_set1_epi8(quote as i8), _mm_set1_epi8(b'\n' as i8));
    let mut mask = 0;
    for (i, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        let halves = lane.as_chunks::<8>().0;
        let (low, high) = (i64::from_le_bytes(halves[0]), i64::from_le_bytes(halves[1]));
        let lane = _mm_set_epi64x(high, low);
        let delimiters = _mm_cmpeq_epi8(lane, delimiter);
        let others = _mm_or_si128(_mm_cmpeq_epi8(lane, quote), _mm_cmpeq_epi8(lane, feed));
        let bits = _mm_movemask_epi8(_mm_or_si128(delimiters, others)) as u32;
        mask |= u64::from(bits) << (16 * i);
    }
    mask
}

/// A bit for each byte of the block that is the delimiter, the quote or a line feed.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn mask(block: &[u8; BLOCK], delimiter: u8, quote: u8) -> u64 {
    let structural = |byte: u8| byte == delimiter || byte == quote || byte == b'\n';
    block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(structural(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_scanner_finds_what_a_loop_finds(
            data in "[a,\"\n;x]{0,300}",
            from in any::<prop::sample::Index>(),
        ) {
            let data = data.as_bytes();
            let from = from.index(data.len() + 1);
            let mut scanner = Scanner::new(b',', b'"');
            scanner.seek(data, from);
            let found: Vec<_> = std::iter::from_fn(|| scanner.next(data)).collect();
            let expected: Vec<_> = (from..data.len())
                .filter(|at| matches!(data[*at], b',' | b'"' | b'\n'))
                .collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(scanner.next(data), None);
        }
    }
}
