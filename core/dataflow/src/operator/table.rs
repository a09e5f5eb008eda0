//! A table of one value for each key, on the heap.

use alloc::{format, vec, vec::Vec};

use hashbrown::HashTable;
use millstream_data::{
    Key, hash,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    KeyGroups, Kind,
    description::{DESCRIPTIONS, Description, Part},
    format::{Chunk, ReadChunk},
};

use crate::{
    chain::{OpenInfo, TaskError},
    state::{KeyBatch, check},
};

/// What tables hash keys with. Not the seed that key groups are found with: the keys of one subtask
/// have hashes of its groups, which share their highest bits, and the table tells keys of one bucket
/// apart by just these.
const TABLE_SEED: u64 = hash::SEED.rotate_left(29);

/// One value for each key.
pub(super) struct Table<K, V> {
    pub(super) entries: HashTable<(K, V)>,
    groups: KeyGroups,
    subtask: u32,
}

impl<K: Key, V> Table<K, V> {
    /// The empty table of a subtask.
    pub(super) fn new(info: &OpenInfo) -> Self {
        let groups = KeyGroups::new(info.parallelism, info.max_parallelism);
        Self { entries: HashTable::new(), groups, subtask: info.subtask }
    }

    /// Updates the value of a key; made first if there is none.
    ///
    /// A lookup that finds its key is the hot case: `entry` would look for room for an insertion
    /// first.
    #[inline(always)]
    pub(super) fn update<R>(
        &mut self,
        key: K::View<'_>,
        create: impl FnOnce() -> V,
        update: impl FnOnce(&mut V) -> R,
    ) -> R {
        let hash = K::hash(key, TABLE_SEED);
        match self.entries.find_mut(hash, |entry| K::same(entry.0.view(), key)) {
            Some(entry) => update(&mut entry.1),
            None => update(self.insert(hash, key, create())),
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, hash: u64, key: K::View<'_>, value: V) -> &mut V {
        let rehash = |entry: &(K, V)| K::hash(entry.0.view(), TABLE_SEED);
        &mut self.entries.insert_unique(hash, (K::own(key), value), rehash).into_mut().1
    }
}

/// Bytes after which a chunk of a snapshot is ended.
const CHUNK: usize = 256 << 10;

impl<K: Key + RowValue + Record, V: RowValue + Record> Table<K, V> {
    /// What it is in a snapshot: one state, with the number 0.
    fn description() -> Description {
        Description {
            name: "values".into(),
            kind: Kind::Value,
            key: vec![Part::Hash, Part::Key(K::schema())],
            namespace: Vec::new(),
            map_key: Vec::new(),
            value: vec![Part::Row(V::schema())],
        }
    }

    /// Writes down all entries.
    pub(super) fn snapshot(&self, out: &mut Vec<u8>) {
        let mut chunk = Chunk::begin(DESCRIPTIONS, self.groups.range(self.subtask).start, out);
        Self::description().write(0, &mut chunk);
        chunk.end();
        let group = |(key, _): &(K, V)| self.groups.group(K::hash(key.view(), hash::SEED));
        let mut entries: Vec<_> = self.entries.iter().map(|entry| (group(entry), entry)).collect();
        entries.sort_by_key(|(group, _)| *group);
        let (layout, mut batch) = (RowLayout::new(&V::schema()), KeyBatch::<K>::new());
        let mut value = Vec::new();
        for of_group in entries.chunk_by(|a, b| a.0 == b.0) {
            let Some((group, _)) = of_group.first() else { continue };
            let mut chunk = Chunk::begin(0, *group, out);
            for (_, entry) in of_group {
                if chunk.length() > CHUNK {
                    chunk = chunk.next(0, *group);
                }
                batch.clear();
                batch.push(entry.0.view());
                value.clear();
                layout.encode::<V>(entry.1.view(), &mut value);
                chunk.whole(batch.at(0), &[], &value);
            }
            chunk.end();
        }
    }

    /// Puts back what belongs to this subtask.
    pub(super) fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let (layout, batch) = (RowLayout::new(&V::schema()), KeyBatch::<K>::new());
        let (mut offset, own) = (0, self.groups.range(self.subtask));
        let mut rewritten = None;
        while offset < chunks.len() {
            let read = ReadChunk::read(chunks, offset);
            let (chunk, next) = read.map_err(|error| TaskError::new(format!("{error}")))?;
            offset = next;
            if chunk.state == DESCRIPTIONS {
                for entry in chunk.entries() {
                    let read = Description::read(&entry);
                    let (_, old) = read.map_err(|error| TaskError::new(format!("{error}")))?;
                    rewritten = check(&old, &Self::description())?;
                }
                continue;
            }
            if !own.contains(&chunk.group) {
                continue;
            }
            for entry in chunk.entries() {
                let key = batch.checked(entry.key)?;
                let mut value = entry.value;
                if let Some(rewritten) = &mut rewritten {
                    rewritten.value(value)?;
                    value = rewritten.last();
                }
                let value = layout.validate(value);
                let value = value.map_err(|error| crate::state::damaged("value", &error))?;
                let value = V::own(layout.decode::<V>(value));
                self.insert(K::hash(key, TABLE_SEED), key, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> OpenInfo {
        OpenInfo {
            subtask: 0,
            parallelism: 1,
            max_parallelism: 16,
            state: None,
            segment_size: 4096,
            outputs: vec![],
        }
    }

    #[test]
    fn values_of_an_older_schema_are_rewritten() {
        let mut old = Table::<u64, i32>::new(&info());
        for key in 0..100 {
            old.update(key, || key as i32, |_| ());
        }
        let mut snapshot = Vec::new();
        old.snapshot(&mut snapshot);
        let mut new = Table::<u64, i64>::new(&info());
        new.restore(&snapshot).unwrap();
        assert_eq!(new.entries.len(), 100);
        for key in 0..100 {
            assert_eq!(new.update(key, || -1, |value| *value), key as i64);
        }
        let mut narrow = Table::<u64, i16>::new(&info());
        let refused = format!("{}", narrow.restore(&snapshot).unwrap_err());
        assert!(refused.contains("its state `values` cannot be restored"), "{refused}");
    }
}
