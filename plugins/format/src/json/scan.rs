//! Finding the end of a string, sixteen bytes at a time.

/// Where the first byte at or after `from` is that a string cannot simply go on over: a quote, a
/// backslash or a control character. The length of the text if there is none.
#[inline]
pub(super) fn special(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        if let Some(found) = first_special(block) {
            return at + found;
        }
        at += 16;
    }
    let rest = text.get(at..).unwrap_or(&[]);
    at + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_special(block: &[u8; 16]) -> Option<usize> {
    #[allow(unsafe_code)]
    // SAFETY: every x86-64 has SSE2.
    let mask = unsafe { special_mask(block) };
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

/// A bit for each byte: whether it is special.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn special_mask(block: &[u8; 16]) -> i32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8,
    };
    // One load: the halves are put together by the compiler.
    let word = u128::from_le_bytes(*block);
    let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
    let last_control = _mm_set1_epi8(0x1F);
    let special = _mm_or_si128(
        _mm_or_si128(
            _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed())),
            _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed())),
        ),
        // At most the last control character, compared without a sign.
        _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control),
    );
    _mm_movemask_epi8(special)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn first_special(block: &[u8; 16]) -> Option<usize> {
    let word = u128::from_le_bytes(*block);
    let all = |byte: u8| u128::from_le_bytes([byte; 16]);
    let high = all(0x80);
    // The high bit of each byte that is below `limit`, and perhaps of bytes behind the first one.
    let below = |word: u128, limit: u8| word.wrapping_sub(all(limit)) & !word & high;
    let special = below(word ^ all(b'"'), 1) | below(word ^ all(b'\\'), 1) | below(word, 0x20);
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_special_byte_is_found(
            text in proptest::collection::vec(
                prop_oneof![20 => 0x20u8..=0xFF, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0u8..0x20],
                0..100,
            ),
            from in 0usize..110,
        ) {
            let slow = (from..text.len()).find(|at| is_special(text[*at]));
            prop_assert_eq!(special(&text, from), slow.unwrap_or(text.len().max(from)));
        }
    }
}
