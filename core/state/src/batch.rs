//! A page of keys: what every call of a backend is for.

use millstream_data::hash;

use crate::StateError;

/// Byte strings, one for each key of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Column<'a> {
    /// The same for every key.
    Same(&'a [u8]),
    /// Of one width, one behind the other.
    Fixed {
        /// Bytes of each.
        width: usize,
        /// All of them.
        bytes: &'a [u8],
    },
    /// Of any width: number `i` is `bytes[ends[i - 1]..ends[i]]`.
    Variable {
        /// Where the first begins.
        begin: u32,
        /// Where each ends.
        ends: &'a [u32],
        /// All of them.
        bytes: &'a [u8],
    },
}

impl<'a> Column<'a> {
    /// The byte string of a key; empty where the column ends too early.
    #[inline(always)]
    pub fn at(&self, index: usize) -> &'a [u8] {
        match *self {
            Self::Same(bytes) => bytes,
            Self::Fixed { width, bytes } => {
                bytes.get(index * width..(index + 1) * width).unwrap_or(&[])
            }
            Self::Variable { begin, ends, bytes } => {
                let end = |index: usize| ends.get(index).map_or(0, |end| *end as usize);
                let begin = if index == 0 { begin as usize } else { end(index - 1) };
                bytes.get(begin..end(index)).unwrap_or(&[])
            }
        }
    }

    /// The column without the first byte strings: what a call that [stopped](crate::Stopped) goes on
    /// with.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        match self {
            Self::Same(bytes) => Self::Same(bytes),
            Self::Fixed { width, bytes } => {
                Self::Fixed { width, bytes: bytes.get(count * width..).unwrap_or(&[]) }
            }
            Self::Variable { begin, ends, bytes } => {
                let last = count.checked_sub(1).and_then(|last| ends.get(last));
                let begin = last.copied().unwrap_or(begin);
                Self::Variable { begin, ends: ends.get(count..).unwrap_or(&[]), bytes }
            }
        }
    }
}

/// Keys, their hashes and namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The stable hash of each key, by which it has its key group; as [`KeyHash`] computes it.
    pub hashes: &'a [u64],
    /// The bytes of each key: its row.
    pub keys: Column<'a>,
    /// The namespace of each key: a window, usually the same for all.
    pub namespaces: Column<'a>,
    /// Where in the value of each key its caller will look first, in bytes; empty if at the begin. Only a
    /// hint, so that cache misses in large values overlap.
    pub offsets: &'a [u16],
}

/// The stable hash of a key's bytes, the same that partitions the stream.
pub type KeyHash = fn(&[u8]) -> u64;

impl<'a> Keys<'a> {
    /// Keys of one width without a namespace.
    pub fn fixed(hashes: &'a [u64], width: usize, bytes: &'a [u8]) -> Self {
        let keys = Column::Fixed { width, bytes };
        Self { hashes, keys, namespaces: Column::Same(&[]), offsets: &[] }
    }

    /// Keys of any width without a namespace.
    pub fn variable(hashes: &'a [u64], ends: &'a [u32], bytes: &'a [u8]) -> Self {
        let keys = Column::Variable { begin: 0, ends, bytes };
        Self { hashes, keys, namespaces: Column::Same(&[]), offsets: &[] }
    }

    /// The same keys in a namespace.
    #[must_use]
    pub fn within(self, namespaces: Column<'a>) -> Self {
        Self { namespaces, ..self }
    }

    /// The same keys, with where their caller will look first in each value.
    #[must_use]
    pub fn looking_at(self, offsets: &'a [u16]) -> Self {
        Self { offsets, ..self }
    }

    /// The keys without the first: what a call that [stopped](crate::Stopped) goes on with.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        Self {
            hashes: self.hashes.get(count..).unwrap_or(&[]),
            keys: self.keys.skip(count),
            namespaces: self.namespaces.skip(count),
            offsets: self.offsets.get(count..).unwrap_or(&[]),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// One of them.
    #[inline(always)]
    pub fn at(&self, index: usize) -> Key<'a> {
        let hash = self.hashes.get(index).copied().unwrap_or(0);
        Key { hash, key: self.keys.at(index), namespace: self.namespaces.at(index) }
    }
}

/// One key, for process functions and restoring.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Its stable hash.
    pub hash: u64,
    /// Its bytes.
    pub key: &'a [u8],
    /// Its namespace.
    pub namespace: &'a [u8],
}

impl<'a> Key<'a> {
    /// A batch of this key alone.
    pub fn batch(&'a self) -> Keys<'a> {
        Keys {
            hashes: core::slice::from_ref(&self.hash),
            keys: Column::Same(self.key),
            namespaces: Column::Same(self.namespace),
            offsets: &[],
        }
    }
}

/// Key groups that a backend owns, and how a key's group follows from its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The first group.
    pub first: u32,
    /// The group behind the last.
    pub end: u32,
    /// How many groups there are in all.
    pub max_parallelism: u32,
}

impl Owned {
    /// The group of a hash and where in the group it lies, as a fraction of 2^64.
    #[inline(always)]
    pub(crate) fn place(&self, hash: u64) -> (u32, u64) {
        let product = u128::from(hash) * u128::from(self.max_parallelism);
        ((product >> 64) as u32, product as u64)
    }

    /// The key group of a key and its position there, a fraction of 2^64. The group is the key's alone;
    /// the position depends on the namespace, too, so that a key may have many. Tables and sorted files
    /// are in this order.
    #[inline(always)]
    pub fn position(&self, hash: u64, namespace: &[u8]) -> (u32, u64) {
        let (group, position) = self.place(hash);
        if namespace.is_empty() { (group, position) } else { (group, hash::bytes(hash, namespace)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.end.saturating_sub(self.first) as usize
    }

    /// The number of a group among those owned.
    #[inline(always)]
    pub(crate) fn index(&self, group: u32) -> Result<usize, StateError> {
        let index = group.wrapping_sub(self.first);
        if index < self.end.wrapping_sub(self.first) {
            Ok(index as usize)
        } else {
            Err(StateError::ForeignKey { group })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_behind() {
        let (hashes, ends) = ([1, 2, 3], [2, 2, 5]);
        let keys = Keys::variable(&hashes, &ends, b"ab345")
            .within(Column::Fixed { width: 1, bytes: b"xyz" });
        for skipped in 0..4 {
            let left = keys.skip(skipped);
            assert_eq!(left.len(), 3 - skipped);
            for index in 0..left.len() {
                let (a, b) = (left.at(index), keys.at(index + skipped));
                assert_eq!((a.hash, a.key, a.namespace), (b.hash, b.key, b.namespace));
            }
        }
        let twice = keys.skip(1).skip(1).at(0);
        assert_eq!((twice.key, twice.namespace), (&b"345"[..], &b"z"[..]));
        assert!(keys.skip(9).is_empty());
    }
}
