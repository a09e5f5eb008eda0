//! Keys as bytes: a page of them for a call of the backend.

use alloc::vec::Vec;
use core::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use millstream_data::{Key, hash::SEED, row::RowLayout, row::RowValue, value::Record};
use millstream_state::{Column, Keys};

use super::{HASH, damaged, hash_of};
use crate::chain::TaskError;

/// Bytes of a time that is a namespace.
pub(crate) const TIME: usize = 8;

/// A time as a namespace: its bytes are in the order of time.
pub(crate) fn namespace(time: i64) -> [u8; TIME] {
    (time ^ i64::MIN).to_be_bytes()
}

/// The time that a namespace is.
pub(crate) fn time_of(namespace: &[u8]) -> Option<i64> {
    namespace.try_into().ok().map(|bytes| i64::from_be_bytes(bytes) ^ i64::MIN)
}

/// A key that stands for a key group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupKey {
    pub(crate) hash: u64,
    pub(crate) bytes: [u8; HASH],
}

impl GroupKey {
    /// The key for a call of the backend.
    pub(crate) fn within<'a>(&'a self, namespace: &'a [u8]) -> millstream_state::Key<'a> {
        millstream_state::Key { hash: self.hash, key: &self.bytes, namespace }
    }
}

/// Keys as bytes, each its hash and then its row: a page of them for a call of the backend, whatever their
/// type.
#[derive(Clone, Debug)]
pub(crate) struct KeyBuffer {
    width: Option<usize>,
    hashes: Vec<u64>,
    /// Where each ends, unless all have the same width.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl KeyBuffer {
    /// No keys, whose rows are to be of this layout.
    pub(crate) fn new(layout: &RowLayout) -> Self {
        let width = layout.is_fixed().then(|| HASH + layout.fixed_bytes());
        Self { width, hashes: Vec::new(), ends: Vec::new(), bytes: Vec::new() }
    }

    /// Bytes of each key, if all have the same.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the first keys only.
    pub(crate) fn truncate(&mut self, keys: usize) {
        self.hashes.truncate(keys);
        self.ends.truncate(keys);
        let end = match self.width {
            Some(width) => self.hashes.len() * width,
            None => self.ends.last().map_or(0, |end| *end as usize),
        };
        self.bytes.truncate(end);
    }

    /// Adds a key of this hash, whose row `write` appends.
    pub(crate) fn push_with(&mut self, hash: u64, write: impl FnOnce(&mut Vec<u8>)) {
        self.hashes.push(hash);
        self.bytes.extend_from_slice(&hash.to_le_bytes());
        write(&mut self.bytes);
        self.end();
    }

    /// Adds a key of this hash, whose row is a [word](RowValue::to_word).
    #[inline(always)]
    fn push_word(&mut self, hash: u64, word: u64) {
        self.hashes.push(hash);
        let [hash, word] = [hash, word].map(u64::to_le_bytes);
        self.bytes.extend_from_slice([hash, word].as_flattened());
    }

    #[inline]
    fn end(&mut self) {
        if self.width.is_none() {
            self.ends.push(self.bytes.len() as u32);
        }
    }

    /// Adds a key as it was read from the state.
    pub(crate) fn push_bytes(&mut self, key: &[u8]) {
        self.hashes.push(hash_of(key));
        self.bytes.extend_from_slice(key);
        self.end();
    }

    /// All of them, without namespaces.
    pub(crate) fn keys(&self) -> Keys<'_> {
        let offsets = &[];
        Keys { hashes: &self.hashes, keys: self.column(), namespaces: Column::Same(&[]), offsets }
    }

    /// The bytes of one of them.
    pub(crate) fn at(&self, index: usize) -> &[u8] {
        self.column().at(index)
    }

    fn column(&self) -> Column<'_> {
        match self.width {
            Some(width) => Column::Fixed { width, bytes: &self.bytes },
            None => Column::Variable { begin: 0, ends: &self.ends, bytes: &self.bytes },
        }
    }
}

/// Keys of type `K` as bytes.
#[derive(Debug)]
pub(crate) struct KeyBatch<K> {
    layout: RowLayout,
    keys: KeyBuffer,
    key: PhantomData<fn() -> K>,
}

impl<K> Deref for KeyBatch<K> {
    type Target = KeyBuffer;

    #[inline]
    fn deref(&self) -> &KeyBuffer {
        &self.keys
    }
}

impl<K> AsRef<KeyBuffer> for KeyBatch<K> {
    fn as_ref(&self) -> &KeyBuffer {
        &self.keys
    }
}

impl<K> AsMut<KeyBuffer> for KeyBatch<K> {
    fn as_mut(&mut self) -> &mut KeyBuffer {
        &mut self.keys
    }
}

impl<K> DerefMut for KeyBatch<K> {
    #[inline]
    fn deref_mut(&mut self) -> &mut KeyBuffer {
        &mut self.keys
    }
}

impl<K: Key + RowValue + Record> KeyBatch<K> {
    /// A batch without keys.
    pub(crate) fn new() -> Self {
        let layout = RowLayout::new(&K::schema());
        Self { keys: KeyBuffer::new(&layout), layout, key: PhantomData }
    }

    /// Adds a key.
    #[inline]
    pub(crate) fn push(&mut self, key: K::View<'_>) {
        let Self { layout, keys, .. } = self;
        let hash = K::hash(key, SEED);
        match K::to_word(key) {
            Some(word) => keys.push_word(hash, word),
            None => keys.push_with(hash, |bytes| {
                layout.encode::<K>(key, bytes);
            }),
        }
    }

    /// The key whose bytes these are, which come from outside.
    pub(crate) fn checked<'a>(&'a self, key: &'a [u8]) -> Result<K::View<'a>, TaskError> {
        let row = self.layout.validate(key.get(HASH..).unwrap_or(&[]));
        let row = row.map_err(|error| damaged("key", &error))?;
        Ok(self.layout.decode::<K>(row))
    }

    /// The key whose bytes these are.
    pub(crate) fn decode<'a>(&'a self, key: &'a [u8]) -> Result<K::View<'a>, TaskError> {
        let row = self.layout.trusted(key.get(HASH..).unwrap_or(&[]));
        let row = row.map_err(|error| damaged("key", &error))?;
        Ok(self.layout.decode::<K>(row))
    }
}
