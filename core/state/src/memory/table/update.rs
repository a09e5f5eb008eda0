//! Updating the values of a page of keys in place.
//!
//! Keys are looked up in blocks, in three rounds: the first finds each key's page and reads the lanes
//! where the search begins, the second reads the entry that they point at, the third compares and
//! updates. No round waits for what it reads, so the cache misses of a block overlap. A table that
//! fits the cache is faster in one round.

use super::{CLASS_BITS, Table, position};
use crate::{
    Key, Keys, Lease, Stopped,
    memory::{
        bucket::{self, Content},
        pages::{PAGE, Pages},
    },
};

/// Keys that are looked up together.
const BLOCK: usize = 32;
/// A table of more pages than this is looked up in rounds: half a megabyte.
const CACHED_PAGES: u32 = 128;
/// No page: there is no segment that a directory could refer to by it.
const ABSENT: u32 = u32::MAX;

/// What the first round found out about a key.
#[derive(Clone, Copy, Default)]
struct Probe {
    position: u64,
    lanes: u64,
    /// Page and class, or [`ABSENT`].
    entry: u32,
}

impl Table {
    /// Calls `each` with the value of every key, which is `initial` if there was none. Values have a
    /// fixed size; with a key and namespace of variable size they have the size of `initial`.
    #[inline(always)]
    pub(in crate::memory) fn update<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &Keys<'_>,
        initial: &[u8],
        each: &mut impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        match (self.shape.fixed, initial.len()) {
            (Some((8, 0, 8)), 8) => self.rounds::<L, 8, 8>(pages, keys, initial, each),
            (Some((8, 0, _)), _) => self.rounds::<L, 8, 0>(pages, keys, initial, each),
            _ => self.rounds::<L, 0, 0>(pages, keys, initial, each),
        }
    }

    #[inline(always)]
    fn rounds<L: Lease, const KEY: usize, const VALUE: usize>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &Keys<'_>,
        initial: &[u8],
        each: &mut impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        let mut done = 0;
        let mut probes = [Probe::default(); BLOCK];
        while done < keys.len() {
            let block = BLOCK.min(keys.len() - done);
            let staged = self.pages > CACHED_PAGES;
            for (i, probe) in probes[..block].iter_mut().enumerate() {
                *probe = self.probe(pages, &keys.at(done + i), done + i)?;
            }
            if staged {
                let mut touched = 0;
                for probe in &probes[..block] {
                    touched ^= self.touch(pages, probe);
                }
                core::hint::black_box(touched);
            }
            // Once a key was inserted, what the others' probes say may be wrong.
            let mut stale = false;
            for (i, probe) in probes[..block].iter_mut().enumerate() {
                let index = done + i;
                let key = keys.at(index);
                if stale {
                    *probe = self.probe(pages, &key, index)?;
                }
                let found = self.find_probed::<L, KEY>(pages, probe, &key);
                let stopped = |error| Stopped { done: index, error };
                let (page, entry) = match found {
                    Some(found) => found,
                    None => {
                        stale = true;
                        self.find_or_insert(pages, &key, initial).map_err(stopped)?
                    }
                };
                pages.prepare(page).map_err(|first| stopped(first.into()))?;
                let shape = &self.shape;
                let bytes = pages.page_mut(page);
                if VALUE > 0 {
                    let at = (shape.at(entry) + KEY).min(PAGE - VALUE);
                    each(index, &mut bytes[at..at + VALUE]);
                } else {
                    let parts = bucket::parts(bytes, shape, entry);
                    each(index, &mut bytes[parts.value..parts.end]);
                }
            }
            done += block;
        }
        Ok(())
    }

    #[inline(always)]
    fn probe<L: Lease>(
        &self,
        pages: &Pages<L>,
        key: &Key<'_>,
        index: usize,
    ) -> Result<Probe, Stopped> {
        let (group, position) = position(&self.owned, key.hash, key.namespace);
        let stopped = |error| Stopped { done: index, error };
        let group = &self.groups[self.owned.index(group).map_err(stopped)?];
        let Some(entry) = group.entry(position) else {
            return Ok(Probe { position, lanes: 0, entry: ABSENT });
        };
        let class = entry & ((1 << CLASS_BITS) - 1);
        let first = bucket::first_group(class, position);
        let lanes = bucket::lanes(pages.page(entry >> CLASS_BITS), first);
        Ok(Probe { position, lanes, entry })
    }

    /// Reads what the first candidate points at.
    #[inline(always)]
    fn touch<L: Lease>(&self, pages: &Pages<L>, probe: &Probe) -> u8 {
        if probe.entry == ABSENT {
            return 0;
        }
        let candidates = bucket::candidates(probe.lanes, probe.position);
        let entry = bucket::entry_of(probe.lanes, candidates) & 0xFF;
        let bytes = pages.page(probe.entry >> CLASS_BITS);
        let mut at = self.shape.at(entry) & (PAGE - 1);
        if self.shape.fixed.is_none() {
            at = bucket::short(bytes, at & (PAGE - 2)) & (PAGE - 1);
        }
        bytes[at]
    }

    #[inline(always)]
    fn find_probed<L: Lease, const KEY: usize>(
        &self,
        pages: &Pages<L>,
        probe: &Probe,
        key: &Key<'_>,
    ) -> Option<(u32, usize)> {
        if probe.entry == ABSENT {
            return None;
        }
        let (page, class) = (probe.entry >> CLASS_BITS, probe.entry & ((1 << CLASS_BITS) - 1));
        let bytes = pages.page(page);
        let found = bucket::find(bytes, class, probe.position, |entry| {
            if KEY == 8 {
                let at = self.shape.at(entry).min(PAGE - 8);
                bytes[at..at + 8] == *key.key
            } else {
                let parts = bucket::parts(bytes, &self.shape, entry);
                bytes[parts.key..parts.namespace] == *key.key
                    && bytes[parts.namespace..parts.value] == *key.namespace
            }
        });
        found.map(|(_, entry)| (page, entry))
    }

    /// The slow way, for what is chained or not there.
    #[cold]
    #[inline(never)]
    fn find_or_insert<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        initial: &[u8],
    ) -> Result<(u32, usize), crate::StateError> {
        if let Some(found) = self.find(pages, key)? {
            return Ok((found.page, found.entry));
        }
        let Key { key: bytes, namespace, .. } = *key;
        let room = initial.len();
        let new = Content { key: bytes, namespace, value: initial, room, chained: false };
        self.insert(pages, key, &new)
    }
}
