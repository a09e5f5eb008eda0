//! Finding where a string or what lies between strings ends, sixteen bytes at a time.

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// Where the first byte at or after `from` is that a string cannot simply go on over: a quote, a
/// backslash or a control character. The length of the text if there is none.
#[inline]
pub(super) fn special(text: &[u8], from: usize) -> usize {
    let is_special = |byte| matches!(byte, b'"' | b'\\' | 0..0x20);
    find(text, from, is_special, special_in)
}

/// Where the first quote or bracket at or after `from` is. The length of the text if there is none.
#[inline]
pub(super) fn structural(text: &[u8], from: usize) -> usize {
    let is_structural = |byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
    find(text, from, is_structural, structural_in)
}

/// The first byte from `from` on that is looked for, one by one or in a block.
#[inline(always)]
fn find(
    text: &[u8],
    from: usize,
    is: impl Fn(u8) -> bool,
    first_in: impl Fn(&[u8; BLOCK]) -> Option<usize>,
) -> usize {
    let mut at = from;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        if let Some(found) = first_in(block) {
            return at + found;
        }
        at += BLOCK;
    }
    let rest = text.get(at..).unwrap_or(&[]);
    at + rest.iter().position(|byte| is(*byte)).unwrap_or(rest.len())
}

#[cfg(target_arch = "x86_64")]
use sse2::{special_in, structural_in};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8,
    };

    use super::BLOCK;

    #[inline(always)]
    pub(super) fn special_in(block: &[u8; BLOCK]) -> Option<usize> {
        #[allow(unsafe_code)]
        // SAFETY: every x86-64 has SSE2.
        let mask = unsafe { special_mask(block) };
        (mask != 0).then(|| mask.trailing_zeros() as usize)
    }

    #[inline(always)]
    pub(super) fn structural_in(block: &[u8; BLOCK]) -> Option<usize> {
        #[allow(unsafe_code)]
        // SAFETY: every x86-64 has SSE2.
        let mask = unsafe { structural_mask(block) };
        (mask != 0).then(|| mask.trailing_zeros() as usize)
    }

    /// A bit for each byte: whether it is special.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn special_mask(block: &[u8; BLOCK]) -> i32 {
        let bytes = load(block);
        let last_control = _mm_set1_epi8(0x1F);
        let ends = _mm_or_si128(equal(bytes, b'"'), equal(bytes, b'\\'));
        // At most the last control character, compared without a sign.
        let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        _mm_movemask_epi8(_mm_or_si128(ends, control))
    }

    /// A bit for each byte: whether it is a quote or a bracket.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn structural_mask(block: &[u8; BLOCK]) -> i32 {
        let bytes = load(block);
        // One bit tells the brackets of arrays from those of objects.
        let curly = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let brackets = _mm_or_si128(equal(curly, b'{'), equal(curly, b'}'));
        _mm_movemask_epi8(_mm_or_si128(equal(bytes, b'"'), brackets))
    }

    /// One load: the halves are put together by the compiler.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn load(block: &[u8; BLOCK]) -> __m128i {
        let word = u128::from_le_bytes(*block);
        _mm_set_epi64x((word >> 64) as i64, word as i64)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn equal(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()))
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::BLOCK;

    const fn all(byte: u8) -> u128 {
        u128::from_le_bytes([byte; BLOCK])
    }

    /// The high bit of each byte that is below `limit`, and perhaps of bytes behind the first one.
    fn below(word: u128, limit: u8) -> u128 {
        word.wrapping_sub(all(limit)) & !word & all(0x80)
    }

    fn first(found: u128) -> Option<usize> {
        (found != 0).then(|| found.trailing_zeros() as usize / 8)
    }

    pub(super) fn special_in(block: &[u8; BLOCK]) -> Option<usize> {
        let word = u128::from_le_bytes(*block);
        first(below(word ^ all(b'"'), 1) | below(word ^ all(b'\\'), 1) | below(word, 0x20))
    }

    pub(super) fn structural_in(block: &[u8; BLOCK]) -> Option<usize> {
        let word = u128::from_le_bytes(*block);
        // One bit tells the brackets of arrays from those of objects.
        let curly = word | all(0x20);
        let brackets = below(curly ^ all(b'{'), 1) | below(curly ^ all(b'}'), 1);
        first(below(word ^ all(b'"'), 1) | brackets)
    }
}

#[cfg(not(target_arch = "x86_64"))]
use words::{special_in, structural_in};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn byte() -> impl Strategy<Value = u8> {
        let brackets = prop::sample::select(b"{}[]".to_vec());
        prop_oneof![30 => 0x20u8..=0xFF, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0u8..0x20, 1 => brackets]
    }

    proptest! {
        #[test]
        fn the_first_byte_that_is_looked_for_is_found(
            text in proptest::collection::vec(byte(), 0..100),
            from in 0usize..110,
        ) {
            let slow = |is: &dyn Fn(u8) -> bool| {
                (from..text.len()).find(|at| is(text[*at])).unwrap_or(text.len().max(from))
            };
            let is_special = |byte| byte < 0x20 || byte == b'"' || byte == b'\\';
            let is_structural = |byte| b"\"{}[]".contains(&byte);
            prop_assert_eq!(special(&text, from), slow(&is_special));
            prop_assert_eq!(structural(&text, from), slow(&is_structural));
            // As on other machines.
            prop_assert_eq!(find(&text, from, is_special, words::special_in), slow(&is_special));
            let structural = find(&text, from, is_structural, words::structural_in);
            prop_assert_eq!(structural, slow(&is_structural));
        }
    }
}
