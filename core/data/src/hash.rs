//! The stable hash of Millstream: identical on every machine, in every version.
//!
//! It decides which key group a record belongs to, so its values are stored in checkpoints:
//! [`ID`] names the function there. The construction is the folded multiply of wyhash and foldhash
//! (multiply two 64-bit words to 128 bits, xor the halves), over little-endian words, with the
//! length mixed in last.

/// The number under which checkpoints record this hash function.
pub const ID: u16 = 1;

/// The state to begin with.
pub const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

const MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;

/// Mixes one word into `state`.
#[inline(always)]
pub fn word(state: u64, value: u64) -> u64 {
    let product = u128::from(state ^ value).wrapping_mul(u128::from(MULTIPLIER));
    (product as u64) ^ ((product >> 64) as u64)
}

/// Mixes a byte string and its length into `state`.
#[inline]
pub fn bytes(state: u64, value: &[u8]) -> u64 {
    let (words, rest) = value.as_chunks::<8>();
    let mut state = state;
    for chunk in words {
        state = word(state, u64::from_le_bytes(*chunk));
    }
    // The tail is padded with zeros; the length tells "a" from "a\0".
    let mut tail = 0u64;
    for (i, byte) in rest.iter().enumerate() {
        tail |= u64::from(*byte) << (8 * i);
    }
    word(word(state, tail), value.len() as u64)
}

/// Mixes a cell of fixed width, little-endian, into `state`.
#[inline]
pub fn cell(state: u64, cell: &[u8]) -> u64 {
    let (words, rest) = cell.as_chunks::<8>();
    let state = words.iter().fold(state, |state, bytes| word(state, u64::from_le_bytes(*bytes)));
    match rest {
        [] => state,
        _ => word(state, rest.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))),
    }
}

/// Mixes a NULL into `state`.
#[inline]
pub fn null(state: u64) -> u64 {
    word(state, MULTIPLIER)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn golden_vectors() {
        // Stored in checkpoints: these numbers never change.
        assert_eq!(word(SEED, 0), 0xC9D8_74CA_57D9_E055);
        assert_eq!(bytes(SEED, b""), 0x1137_509A_84AB_7784);
        assert_eq!(bytes(SEED, b"hello, world"), 0xE3E0_02AB_D02A_43D9);
    }

    #[test]
    fn short_strings_do_not_collide() {
        let mut seen = HashSet::new();
        for a in 0..=255u8 {
            assert!(seen.insert(bytes(SEED, &[a])));
            for b in 0..=255u8 {
                assert!(seen.insert(bytes(SEED, &[a, b])));
            }
        }
        assert!(seen.insert(bytes(SEED, b"")));
    }

    #[test]
    fn sequential_keys_spread_over_key_groups() {
        let mut counts = [0u32; 128];
        for key in 0..128_000u64 {
            counts[((u128::from(word(SEED, key)) * 128) >> 64) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (700..1300).contains(c)), "{counts:?}");
    }
}
