//! Distributing a bucket's entries over lists, by some bits of a key word.

use alloc::{boxed::Box, vec, vec::Vec};

use super::{Bucket, capacity, cells, cells_mut};
use crate::{
    budget::{Budget, Lease},
    format::Entry,
};

/// Lists that entries are distributed over at most.
const LISTS_MAX: usize = 256;
/// Free segments that are left to others.
const LEFT_FREE: usize = 3;
/// Entries that are collected for a list before they are written: of 16 bytes, two cache lines.
const COMBINED: usize = 8;

/// Over how many lists to distribute: as few as make leaves small enough to be sorted in the first
/// level of the cache, and no more than there are segments for. `None` if that is less than two.
pub(super) fn lists(entries: usize, capacity: usize, free: usize) -> Option<usize> {
    let wanted = (entries / (capacity / 4).max(1)).next_power_of_two().min(LISTS_MAX);
    // Each list ends in a segment that is not full, and one is being read.
    let possible = free.checked_sub(LEFT_FREE + 1)?.checked_ilog2()?;
    let lists = wanted.max(2).min(1 << possible);
    (lists >= 2).then_some(lists)
}

/// A distribution in progress.
pub(super) struct Partition {
    input: vec::IntoIter<millstream_memory::Segment>,
    left: usize,
    word: usize,
    shift: u32,
    lists: Vec<Bucket>,
}

/// Entries on their way to the lists; written several at a time, or every entry would touch another
/// cache line.
pub(super) struct Combiner<E> {
    waiting: Box<[[E; COMBINED]; LISTS_MAX]>,
    counts: Box<[u8; LISTS_MAX]>,
}

impl<E: Entry> Combiner<E> {
    pub(super) fn new() -> Self {
        let waiting = vec![[E::zeroed(); COMBINED]; LISTS_MAX].into_boxed_slice();
        let waiting = waiting.try_into().expect("as many lists as were made");
        Self { waiting, counts: Box::new([0; LISTS_MAX]) }
    }
}

impl Partition {
    /// `varying` are the bits of key word `word` in which entries differ; `lists` is a power of two.
    pub(super) fn new(bucket: Bucket, word: usize, varying: u64, lists: usize) -> Self {
        let highest = varying.checked_ilog2().unwrap_or(0);
        Self {
            input: bucket.segments.into_iter(),
            left: bucket.entries,
            word,
            shift: (highest + 1).saturating_sub(lists.ilog2()),
            lists: (0..lists).map(|_| Bucket::default()).collect(),
        }
    }

    /// Distributes the entries of one segment; `true` if it was the last.
    ///
    /// The segment is then free for what is written next. So as many segments are in use as entries
    /// need, and one a list.
    pub(super) fn step<E: Entry, L: Lease>(
        &mut self,
        combiner: &mut Combiner<E>,
        budget: &mut Budget<L>,
    ) -> bool {
        let Some(segment) = self.input.next() else {
            return true;
        };
        let entries = cells::<E>(&segment);
        let entries = &entries[..self.left.min(entries.len())];
        self.left -= entries.len();
        let (word, shift, mask) = (self.word, self.shift, self.lists.len() - 1);
        let Combiner { waiting, counts } = combiner;
        for entry in entries {
            let list = usize::from((entry.word(word) >> shift) as u8) & mask;
            let count = usize::from(counts[list]) % COMBINED;
            waiting[list][count] = *entry;
            counts[list] = count as u8 + 1;
            if count + 1 == COMBINED {
                self.lists[list].append_all(&waiting[list], budget);
                counts[list] = 0;
            }
        }
        budget.give(segment);
        let last = self.input.as_slice().is_empty();
        if last {
            for (list, bucket) in self.lists.iter_mut().enumerate() {
                bucket.append(&waiting[list][..usize::from(counts[list])], budget);
                counts[list] = 0;
            }
        }
        last
    }

    /// The lists, in order.
    pub(super) fn into_buckets(self) -> impl DoubleEndedIterator<Item = Bucket> {
        self.lists.into_iter().filter(|bucket| bucket.entries > 0)
    }
}

impl Bucket {
    /// Appends as many as are collected; a copy of fixed length, where there is room for all.
    #[inline]
    fn append_all<E: Entry, L: Lease>(&mut self, entries: &[E; COMBINED], budget: &mut Budget<L>) {
        let used = self.entries % capacity::<E>(budget.segment_size());
        let last = self.segments.last_mut().filter(|_| used > 0);
        let room = last.and_then(|segment| cells_mut(segment)[used..].first_chunk_mut());
        match room {
            Some(room) => {
                *room = *entries;
                self.entries += COMBINED;
            }
            None => self.append(entries, budget),
        }
    }

    fn append<E: Entry, L: Lease>(&mut self, entries: &[E], budget: &mut Budget<L>) {
        let capacity = capacity::<E>(budget.segment_size());
        let mut entries = entries;
        while !entries.is_empty() {
            let used = self.entries % capacity;
            if used == 0 {
                let segment = budget.take().expect("`lists` asked for as many as there are");
                self.segments.push(segment);
            }
            let Some(segment) = self.segments.last_mut() else { return };
            let room = &mut cells_mut(segment)[used..];
            let (now, later) = entries.split_at(entries.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.entries += now.len();
            entries = later;
        }
    }
}
