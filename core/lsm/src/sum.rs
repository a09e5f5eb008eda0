//! A checksum of bytes that come in parts.

use millstream_data::hash;

/// The checksum of all bytes so far: the same however they are divided.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    state: u64,
    /// Bytes that are not a word yet.
    tail: [u8; 8],
    length: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { state: hash::SEED, tail: [0; 8], length: 0 }
    }
}

impl Sum {
    /// The checksum of bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut sum = Self::default();
        sum.add(bytes);
        sum.value()
    }

    /// Adds bytes behind those so far.
    pub fn add(&mut self, bytes: &[u8]) {
        let filled = (self.length % 8) as usize;
        self.length += bytes.len() as u64;
        let mut rest = bytes;
        if filled != 0 {
            let (front, behind) = rest.split_at(rest.len().min(8 - filled));
            self.tail[filled..filled + front.len()].copy_from_slice(front);
            if filled + front.len() < 8 {
                return;
            }
            self.state = hash::word(self.state, u64::from_le_bytes(self.tail));
            rest = behind;
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            self.state = hash::word(self.state, u64::from_le_bytes(*word));
        }
        self.tail = [0; 8];
        self.tail[..rest.len()].copy_from_slice(rest);
    }

    /// The checksum.
    pub fn value(&self) -> u64 {
        let tail = if self.length.is_multiple_of(8) { 0 } else { u64::from_le_bytes(self.tail) };
        hash::word(hash::word(self.state, tail), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_matter() {
        let bytes: alloc::vec::Vec<u8> = (0..100).collect();
        for step in 1..30 {
            let mut sum = Sum::default();
            bytes.chunks(step).for_each(|part| sum.add(part));
            assert_eq!(sum.value(), hash::bytes(hash::SEED, &bytes), "in steps of {step}");
        }
        assert_eq!(Sum::of(b"12345678"), hash::bytes(hash::SEED, b"12345678"));
        assert_ne!(Sum::of(b"\0"), Sum::of(b""));
    }
}
