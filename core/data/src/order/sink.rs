//! Where the bytes of a key go.

use alloc::vec::Vec;

/// Takes the bytes of a normalized key.
pub trait KeySink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Whether further bytes make no difference.
    fn is_full(&self) -> bool {
        false
    }
}

impl KeySink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The first `N` bytes of a key; the rest is not kept. A shorter key is followed by zeros, which
/// does not change its order, because no key is the beginning of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<const N: usize> {
    bytes: [u8; N],
    len: usize,
    cut: bool,
}

impl<const N: usize> Prefix<N> {
    /// No bytes yet.
    pub fn new() -> Self {
        Self { bytes: [0; N], len: 0, cut: false }
    }

    /// The bytes.
    pub fn bytes(&self) -> [u8; N] {
        self.bytes
    }

    /// Whether the key is complete: two complete prefixes are equal only if their keys are.
    pub fn is_complete(&self) -> bool {
        !self.cut
    }
}

impl Prefix<8> {
    /// The first eight bytes as a number of the same order.
    #[inline]
    pub fn word(&self) -> u64 {
        u64::from_be_bytes(self.bytes)
    }
}

impl<const N: usize> Default for Prefix<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> KeySink for Prefix<N> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = N - self.len;
        let taken = bytes.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        self.cut |= taken < bytes.len();
    }

    #[inline]
    fn is_full(&self) -> bool {
        // Only a byte that was refused proves that the key goes on.
        self.cut
    }
}

/// Inverts bytes on their way: the key of a field in descending order.
#[derive(Debug)]
pub struct Inverted<'a, S>(pub &'a mut S);

impl<S: KeySink> KeySink for Inverted<'_, S> {
    fn put(&mut self, bytes: &[u8]) {
        let mut inverted = [0; 32];
        for chunk in bytes.chunks(inverted.len()) {
            if self.0.is_full() {
                return;
            }
            let inverted = &mut inverted[..chunk.len()];
            for (to, from) in inverted.iter_mut().zip(chunk) {
                *to = !from;
            }
            self.0.put(inverted);
        }
    }

    fn is_full(&self) -> bool {
        self.0.is_full()
    }
}
