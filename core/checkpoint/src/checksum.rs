//! The stable hash of bytes that come in pieces.

use millstream_data::hash;

/// The [stable hash](millstream_data::hash::bytes) of a file, piece by piece: where it is cut does not
/// matter.
#[derive(Clone, Debug)]
pub struct Checksum {
    state: u64,
    /// What does not fill a word yet; zero behind that.
    tail: [u8; 8],
    length: u64,
}

impl Checksum {
    /// Of no bytes so far.
    pub fn new() -> Self {
        Self { state: hash::SEED, tail: [0; 8], length: 0 }
    }

    /// Adds bytes behind those before.
    pub fn update(&mut self, bytes: &[u8]) {
        let begun = (self.length % 8) as usize;
        self.length += bytes.len() as u64;
        let mut rest = bytes;
        if begun > 0 {
            let (head, behind) = bytes.split_at(bytes.len().min(8 - begun));
            for (into, byte) in self.tail.iter_mut().skip(begun).zip(head) {
                *into = *byte;
            }
            if begun + head.len() < 8 {
                return;
            }
            self.word();
            rest = behind;
        }
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            self.tail = *word;
            self.word();
        }
        for (into, byte) in self.tail.iter_mut().zip(tail) {
            *into = *byte;
        }
    }

    fn word(&mut self) {
        self.state = hash::word(self.state, u64::from_le_bytes(self.tail));
        self.tail = [0; 8];
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> u64 {
        let tail = u64::from_le_bytes(self.tail);
        hash::word(hash::word(self.state, tail), self.length)
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cuts_do_not_matter(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let mut sum = Checksum::new();
            for piece in &pieces {
                sum.update(piece);
            }
            let whole: Vec<u8> = pieces.concat();
            prop_assert_eq!((sum.length(), sum.value()), (whole.len() as u64, hash::bytes(hash::SEED, &whole)));
        }
    }
}
