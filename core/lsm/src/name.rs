//! Names of entries, and their order.
//!
//! ```text
//! key u16 | namespace u16 | bytes of the key, of the namespace | of a map's entry: 1, its map key
//! ```
//!
//! Lengths are little-endian. Entries of a state are in the order of their **rank**, then of their names
//! as bytes, then of their pieces. The rank is the key group (16 bits) and the upper 48 bits of the
//! [position](millstream_state::Owned::position) there, which is also the order of the tables in memory:
//! so a table is nearly sorted when it is written, positions in a file can be computed, and key groups
//! are contiguous. A map's own name is a prefix of its entries' names and comes first.

use alloc::vec::Vec;

use millstream_state::{KeyHash, Owned};

/// Bytes of the longest name: a key with its namespace of 800 bytes, a map key of 512.
pub const NAME_MAX: usize = 4 + 800 + 1 + 512;

/// Stands in front of a map key.
const ENTRY: u8 = 1;

/// Ranks of names.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    hash: KeyHash,
    owned: Owned,
}

impl Order {
    /// Of keys with this hash.
    pub fn new(hash: KeyHash, owned: Owned) -> Self {
        Self { hash, owned }
    }

    /// The key groups that are owned.
    pub fn owned(&self) -> Owned {
        self.owned
    }

    /// The stable hash of a key.
    pub fn hash(&self, key: &[u8]) -> u64 {
        (self.hash)(key)
    }

    /// The rank of a key and namespace.
    #[inline]
    pub fn rank(&self, hash: u64, namespace: &[u8]) -> u64 {
        let (group, position) = self.owned.position(hash, namespace);
        u64::from(group) << 48 | position >> 16
    }

    /// The rank of a name; `None` if it is none.
    #[inline]
    pub fn rank_of(&self, name: &[u8]) -> Option<u64> {
        let Parts { key, namespace, .. } = split(name)?;
        Some(self.rank((self.hash)(key), namespace))
    }

    /// The ranks of the key groups that are owned.
    pub fn ranks(&self) -> core::ops::Range<u64> {
        u64::from(self.owned.first) << 48..u64::from(self.owned.end) << 48
    }
}

/// The key group of a rank.
pub fn group(rank: u64) -> u32 {
    (rank >> 48) as u32
}

/// What a name is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its namespace.
    pub namespace: &'a [u8],
    /// Of an entry of a map.
    pub map_key: Option<&'a [u8]>,
}

/// Takes a name apart; `None` if it is none.
#[inline]
pub fn split(name: &[u8]) -> Option<Parts<'_>> {
    let (lengths, rest) = name.split_first_chunk::<4>()?;
    let length = |at: usize| usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
    let (key, rest) = rest.split_at_checked(length(0))?;
    let (namespace, rest) = rest.split_at_checked(length(2))?;
    let map_key = match rest.split_first() {
        None => None,
        Some((&ENTRY, map_key)) => Some(map_key),
        Some(_) => return None,
    };
    Some(Parts { key, namespace, map_key })
}

/// The name of the whole, of which a name may be an entry.
pub fn whole(name: &[u8]) -> &[u8] {
    let length =
        split(name).map_or(name.len(), |parts| 4 + parts.key.len() + parts.namespace.len());
    name.get(..length).unwrap_or(name)
}

/// Puts a name into `out`, instead of what is there.
pub fn write(key: &[u8], namespace: &[u8], map_key: Option<&[u8]>, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(&(namespace.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(namespace);
    if let Some(map_key) = map_key {
        out.push(ENTRY);
        out.extend_from_slice(map_key);
    }
}

/// A name that is looked for, on the stack.
#[derive(Debug)]
pub struct Name {
    bytes: [u8; NAME_MAX],
    length: usize,
}

impl Name {
    /// The name of a key, or of an entry of its map; `None` if it is too long to be anywhere.
    #[inline]
    pub fn new(key: &[u8], namespace: &[u8], map_key: Option<&[u8]>) -> Option<Self> {
        let mut name = Self { bytes: [0; NAME_MAX], length: 0 };
        name.push(&u16::try_from(key.len()).ok()?.to_le_bytes())?;
        name.push(&u16::try_from(namespace.len()).ok()?.to_le_bytes())?;
        name.push(key)?;
        name.push(namespace)?;
        if let Some(map_key) = map_key {
            name.push(&[ENTRY])?;
            name.push(map_key)?;
        }
        Some(name)
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    /// Its bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_again() {
        for map_key in [None, Some(&b""[..]), Some(b"entry")] {
            let mut bytes = Vec::new();
            write(b"key", b"space", map_key, &mut bytes);
            let parts = Parts { key: b"key", namespace: b"space", map_key };
            assert_eq!(split(&bytes), Some(parts));
            assert_eq!(Name::new(b"key", b"space", map_key).unwrap().bytes(), bytes);
            assert_eq!(whole(&bytes), &bytes[..12]);
        }
        assert_eq!(split(b"\x01\0\0\0"), None);
        assert_eq!(split(b"\0\0\0\0\x02"), None);
        assert!(Name::new(&[0; 1000], &[0; 1000], None).is_none());
    }
}
