//! Updating the values of a page of keys in place.
//!
//! Keys are looked up in blocks, in three rounds: the first finds each key's page and asks for the
//! lanes where the search begins, the second reads them and asks for the entry that they point at, the
//! third compares and updates. So the cache misses of a block overlap: without asking, reading
//! ahead, a count of ten million keys ran at less than half the speed. A table that fits the cache is
//! faster in one round.

use super::{CLASS_BITS, Table, is_same, position};
use crate::{
    Column, Key, Keys, Lease, StateError, Stopped,
    memory::{
        bucket::{self, Content, Shape},
        pages::{PAGE, Page, Pages},
    },
};

/// Keys that are looked up together.
const BLOCK: usize = 32;
/// A table of more pages than this is looked up in rounds: a megabyte.
const CACHED_PAGES: u32 = 256;
/// Bytes of a cache line.
const LINE: usize = 64;
/// No page: there is no segment that a directory could refer to by it.
const ABSENT: u32 = u32::MAX;

/// What the first round found out about a key.
#[derive(Clone, Copy, Default)]
struct Probe {
    position: u64,
    lanes: u64,
    /// Page and class, or [`ABSENT`].
    entry: u32,
    /// Where in the value its caller will look first.
    offset: u16,
}

/// Keys, as fast as their sizes allow to compare them.
trait Source {
    fn len(&self) -> usize;
    fn hash(&self, index: usize) -> u64;
    fn namespace(&self, index: usize) -> &[u8];
    /// Where in the value its caller will look first.
    fn offset(&self, index: usize) -> u16;
    fn key(&self, index: usize) -> Key<'_>;
    /// Whether an entry is that of a key.
    fn is(&self, index: usize, page: &Page, shape: &Shape, entry: usize) -> bool;
    /// The value of an entry.
    fn value<'p>(&self, page: &'p mut Page, shape: &Shape, entry: usize) -> &'p mut [u8];
}

/// Keys of `KEY` bytes without namespace, values of `VALUE` bytes.
struct Words<'a, const KEY: usize, const VALUE: usize> {
    hashes: &'a [u64],
    keys: &'a [[u8; KEY]],
}

impl<const KEY: usize, const VALUE: usize> Source for Words<'_, KEY, VALUE> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.hashes.len().min(self.keys.len())
    }

    #[inline(always)]
    fn hash(&self, index: usize) -> u64 {
        self.hashes[index]
    }

    #[inline(always)]
    fn namespace(&self, _index: usize) -> &[u8] {
        &[]
    }

    #[inline(always)]
    fn offset(&self, _index: usize) -> u16 {
        0
    }

    fn key(&self, index: usize) -> Key<'_> {
        Key { hash: self.hashes[index], key: &self.keys[index], namespace: &[] }
    }

    #[inline(always)]
    fn is(&self, index: usize, page: &Page, shape: &Shape, entry: usize) -> bool {
        let at = shape.at(entry);
        page.get(at..at + KEY).is_some_and(|key| is_same(key, &self.keys[index]))
    }

    #[inline(always)]
    fn value<'p>(&self, page: &'p mut Page, shape: &Shape, entry: usize) -> &'p mut [u8] {
        let at = shape.at(entry) + KEY;
        &mut page[at..at + VALUE]
    }
}

impl Source for Keys<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.hashes.len()
    }

    #[inline(always)]
    fn hash(&self, index: usize) -> u64 {
        self.hashes[index]
    }

    #[inline(always)]
    fn namespace(&self, index: usize) -> &[u8] {
        self.namespaces.at(index)
    }

    #[inline(always)]
    fn offset(&self, index: usize) -> u16 {
        self.offsets.get(index).copied().unwrap_or(0)
    }

    fn key(&self, index: usize) -> Key<'_> {
        self.at(index)
    }

    #[inline(always)]
    fn is(&self, index: usize, page: &Page, shape: &Shape, entry: usize) -> bool {
        let parts = bucket::parts(page, shape, entry);
        is_same(&page[parts.key..parts.namespace], self.keys.at(index))
            && is_same(&page[parts.namespace..parts.value], self.namespaces.at(index))
    }

    #[inline(always)]
    fn value<'p>(&self, page: &'p mut Page, shape: &Shape, entry: usize) -> &'p mut [u8] {
        let parts = bucket::parts(page, shape, entry);
        &mut page[parts.value..parts.end]
    }
}

impl Table {
    /// Calls `each` with the value of every key, which is its initial one if there was none, and
    /// whether that is so. Values have a fixed size and lie in place.
    #[inline(always)]
    pub(in crate::memory) fn update<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &Keys<'_>,
        initial: Column<'_>,
        each: &mut impl FnMut(usize, &mut [u8], bool),
    ) -> Result<(), Stopped> {
        let hashes = keys.hashes;
        match (self.shape.fixed, keys.keys) {
            (Some((8, 0, 8)), Column::Fixed { width: 8, bytes }) => {
                let keys = Words::<8, 8> { hashes, keys: bytes.as_chunks().0 };
                self.update_each(pages, &keys, initial, each)
            }
            // A word behind its hash, as chains have keys.
            (Some((16, 0, 8)), Column::Fixed { width: 16, bytes }) => {
                let keys = Words::<16, 8> { hashes, keys: bytes.as_chunks().0 };
                self.update_each(pages, &keys, initial, each)
            }
            _ => self.update_each(pages, keys, initial, each),
        }
    }

    #[inline(always)]
    fn update_each<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &impl Source,
        initial: Column<'_>,
        each: &mut impl FnMut(usize, &mut [u8], bool),
    ) -> Result<(), Stopped> {
        let mut done = 0;
        while done < keys.len() {
            if self.pages <= CACHED_PAGES {
                let mut probe = self.probe(keys, done)?;
                self.read_lanes(pages, &mut probe);
                self.serve(pages, keys, done, &probe, initial, each)?;
                done += 1;
                continue;
            }
            let block = BLOCK.min(keys.len() - done);
            self.update_block(pages, keys, done..done + block, initial, each)?;
            done += block;
        }
        Ok(())
    }

    #[inline(always)]
    fn update_block<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &impl Source,
        block: core::ops::Range<usize>,
        initial: Column<'_>,
        each: &mut impl FnMut(usize, &mut [u8], bool),
    ) -> Result<(), Stopped> {
        let mut probes = [Probe::default(); BLOCK];
        for (probe, index) in probes.iter_mut().zip(block.clone()) {
            *probe = self.probe(keys, index)?;
            self.fetch(pages, probe);
        }
        probes[..block.len()].iter_mut().for_each(|probe| self.touch(pages, probe));
        // Once a key was inserted, what the others' probes say may be wrong.
        let mut stale = false;
        for (probe, index) in probes.iter_mut().zip(block) {
            if stale {
                *probe = self.probe(keys, index)?;
                self.touch(pages, probe);
            }
            stale |= self.serve(pages, keys, index, probe, initial, each)?;
        }
        Ok(())
    }

    /// Calls `each` for one key; says whether that was inserted.
    #[inline(always)]
    fn serve<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &impl Source,
        index: usize,
        probe: &Probe,
        initial: Column<'_>,
        each: &mut impl FnMut(usize, &mut [u8], bool),
    ) -> Result<bool, Stopped> {
        let stopped = |error| Stopped { done: index, error };
        let mut goes_on = false;
        if probe.entry != ABSENT {
            let (page, class) = (probe.entry >> CLASS_BITS, probe.entry & ((1 << CLASS_BITS) - 1));
            let shape = &self.shape;
            pages.prepare(page).map_err(|first| stopped(first.into()))?;
            let bytes = pages.page_mut(page);
            let is = |entry| keys.is(index, bytes, shape, entry);
            if let Some(entry) = bucket::find_from(bytes, class, probe.position, probe.lanes, is) {
                each(index, keys.value(bytes, shape, entry), false);
                return Ok(false);
            }
            goes_on = bucket::next(bytes).is_some();
        }
        let key = keys.key(index);
        let (page, entry, is_new) =
            self.find_or_insert(pages, &key, initial.at(index), goes_on).map_err(stopped)?;
        pages.prepare(page).map_err(|first| stopped(first.into()))?;
        each(index, keys.value(pages.page_mut(page), &self.shape, entry), is_new);
        Ok(true)
    }

    #[inline(always)]
    fn probe(&self, keys: &impl Source, index: usize) -> Result<Probe, Stopped> {
        let (group, position) = position(&self.owned, keys.hash(index), keys.namespace(index));
        let number = group.wrapping_sub(self.owned.first) as usize;
        let Some(group) = self.groups.get(number) else {
            return Err(Stopped { done: index, error: StateError::ForeignKey { group } });
        };
        let Some(entry) = group.entry(position) else {
            return Ok(Probe { position, entry: ABSENT, ..Probe::default() });
        };
        Ok(Probe { position, lanes: 0, entry, offset: keys.offset(index) })
    }

    /// Asks for the lanes where the search for a key begins.
    #[inline(always)]
    fn fetch<L: Lease>(&self, pages: &Pages<L>, probe: &Probe) {
        if probe.entry != ABSENT {
            let class = probe.entry & ((1 << CLASS_BITS) - 1);
            let first = bucket::first_group(class, probe.position);
            pages.prefetch(probe.entry >> CLASS_BITS, bucket::lanes_at(first));
        }
    }

    #[inline(always)]
    fn read_lanes<L: Lease>(&self, pages: &Pages<L>, probe: &mut Probe) {
        if probe.entry != ABSENT {
            let class = probe.entry & ((1 << CLASS_BITS) - 1);
            let first = bucket::first_group(class, probe.position);
            probe.lanes = bucket::lanes(pages.page(probe.entry >> CLASS_BITS), first);
        }
    }

    /// Reads what the next keys of a batch need, from key `index` on, so that the cache misses of a
    /// block overlap. To be called for every key.
    #[inline]
    pub(in crate::memory) fn warm<L: Lease>(
        &self,
        pages: &Pages<L>,
        keys: &Keys<'_>,
        index: usize,
    ) {
        let is_alone = keys.len() == 1;
        if !index.is_multiple_of(BLOCK) || is_alone || self.pages <= CACHED_PAGES {
            return;
        }
        let mut probes = [Probe::default(); BLOCK];
        let block = BLOCK.min(keys.len() - index);
        for (probe, index) in probes.iter_mut().zip(index..index + block) {
            // A foreign key is refused when it is its turn.
            *probe = self.probe(keys, index).unwrap_or(Probe { entry: ABSENT, ..*probe });
            self.fetch(pages, probe);
        }
        probes[..block].iter_mut().for_each(|probe| self.touch(pages, probe));
    }

    /// Reads the lanes and asks for what the first candidate points at.
    #[inline(always)]
    fn touch<L: Lease>(&self, pages: &Pages<L>, probe: &mut Probe) {
        self.read_lanes(pages, probe);
        let candidates = bucket::candidates(probe.lanes, probe.position);
        if probe.entry == ABSENT || candidates == 0 {
            return;
        }
        let entry = bucket::entry_of(probe.lanes, candidates) & 0xFF;
        let page = probe.entry >> CLASS_BITS;
        let mut at = self.shape.at(entry).min(PAGE - 2);
        if self.shape.fixed.is_none() {
            at = bucket::short(pages.page(page), at).min(PAGE - 1);
        }
        pages.prefetch(page, at);
        let Some((key, namespace, value)) = self.shape.fixed else { return };
        let begin = at + key + namespace;
        if value <= LINE {
            // Of entries of 24 bytes every fourth ends in another line.
            pages.prefetch(page, (begin + value).min(PAGE) - 1);
        } else {
            pages.prefetch(page, begin.min(PAGE - 1));
            pages.prefetch(page, (begin + usize::from(probe.offset)).min(PAGE - 1));
        }
    }

    /// The slow way, for what is not in its first page: it may be in another if the table `goes_on` there.
    #[cold]
    #[inline(never)]
    fn find_or_insert<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        initial: &[u8],
        goes_on: bool,
    ) -> Result<(u32, usize, bool), StateError> {
        if goes_on && let Some(found) = self.find(pages, key)? {
            return Ok((found.page, found.entry, false));
        }
        let Key { key: bytes, namespace, .. } = *key;
        let room = initial.len();
        let new = Content { key: bytes, namespace, value: initial, room, chained: false };
        self.insert(pages, key, &new).map(|(page, entry)| (page, entry, true))
    }
}
