//! The table of one state: for each key group a directory of pages.
//!
//! Extendible hashing (Fagin, Nievergelt, Pippenger and Strong, *Extendible Hashing: A Fast Access
//! Method for Dynamic Files*, 1979). The bits of the hash behind those that decide the key group
//! choose a page in the group's directory. A page that is full is split in two, so a table grows by a
//! page at a time and nothing is ever rehashed as a whole.

mod place;
mod scan;
mod update;

use alloc::{string::String, vec::Vec};

use super::{
    bucket::{self, Content, Shape},
    pages::{PAGE, Page, Pages, SnapshotFirst},
};
use crate::{Key, KeyHash, Kind, Lease, Owned, StateError};

pub(super) use place::position;

/// Directories of pages that share more than this many bits beyond what their number explains stop
/// growing: only keys whose hashes collide need that. Their pages are chained.
const DEPTH_SLACK: u32 = 6;
const DEPTH_MAX: u32 = 24;
/// Lower bits of an entry of a directory: the class of the page's lanes.
const CLASS_BITS: u32 = 3;

/// The entries of one state.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) number: u16,
    kind: Kind,
    pub(super) shape: Shape,
    pub(super) owned: Owned,
    hash: KeyHash,
    groups: Vec<Group>,
    pages: u32,
}

/// The entries of one key group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Pages by the first bits of the position, with the class of their lanes; empty without pages.
    directory: Vec<u32>,
    /// How many bits.
    depth: u32,
    pages: u32,
    pub(super) entries: u64,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) page: u32,
    lane: usize,
    pub(super) entry: usize,
}

/// Whether bytes are the same. Keys are short, and a call costs more than comparing them.
#[inline(always)]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    match (a.as_chunks::<8>(), b.as_chunks::<8>()) {
        ((&[], &[]), (&[], &[])) => true,
        ((&[a], &[]), (&[b], &[])) => u64::from_ne_bytes(a) == u64::from_ne_bytes(b),
        ((&[a, c], &[]), (&[b, d], &[])) => {
            let [a, b, c, d] = [a, b, c, d].map(u64::from_ne_bytes);
            (a ^ b) | (c ^ d) == 0
        }
        _ => a == b,
    }
}

impl From<SnapshotFirst> for StateError {
    fn from(_: SnapshotFirst) -> Self {
        Self::SnapshotFirst
    }
}

impl Group {
    #[inline(always)]
    fn slot(&self, position: u64) -> usize {
        ((position >> 1) >> (63 - self.depth)) as usize
    }

    /// The entry of the directory for a position; `None` without pages.
    #[inline(always)]
    fn entry(&self, position: u64) -> Option<u32> {
        self.directory.get(self.slot(position)).copied()
    }

    /// The page for a position; `None` without pages.
    fn page(&self, position: u64) -> Option<u32> {
        self.entry(position).map(|entry| entry >> CLASS_BITS)
    }

    /// Lets the positions that share the first `depth` bits of `position` find a page.
    fn point(&mut self, position: u64, depth: u32, page: u32, class: u32) {
        let width = 1 << (self.depth - depth);
        let first = self.slot(position) & !(width - 1);
        self.directory[first..first + width].fill(page << CLASS_BITS | class);
    }

    /// The pages, each once, in the order of positions; without those that are chained.
    pub(super) fn pages(&self) -> impl Iterator<Item = u32> + '_ {
        let page = |i: usize| self.directory[i] >> CLASS_BITS;
        (0..self.directory.len()).filter(move |i| *i == 0 || page(*i) != page(*i - 1)).map(page)
    }
}

impl Table {
    pub(super) fn new(
        name: String,
        number: u16,
        kind: Kind,
        shape: Shape,
        owned: Owned,
        hash: KeyHash,
    ) -> Self {
        let groups = (0..owned.len()).map(|_| Group::default()).collect();
        Self { name, number, kind, shape, owned, hash, groups, pages: 0 }
    }

    /// Bytes of an empty table, to be reserved.
    pub(super) fn bytes(owned: &Owned) -> u64 {
        (owned.len() * size_of::<Group>()) as u64
    }

    /// The stable hash of a key's bytes.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        (self.hash)(key)
    }

    /// All pages but those that are chained.
    pub(super) fn heads(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.iter().flat_map(Group::pages)
    }

    pub(super) fn entries(&self) -> u64 {
        self.groups.iter().map(|group| group.entries).sum()
    }

    pub(super) fn group(&self, group: u32) -> Option<&Group> {
        self.groups.get(self.owned.index(group).ok()?)
    }

    /// The position of an entry, from its bytes.
    fn rehash(hash: KeyHash, owned: Owned) -> impl Fn(&[u8], &[u8]) -> u64 + Copy {
        move |key, namespace| position(&owned, hash(key), namespace).1
    }

    /// The group among those owned, and the position in it.
    pub(super) fn place(&self, key: &Key<'_>) -> Result<(usize, u64), StateError> {
        let (group, position) = position(&self.owned, key.hash, key.namespace);
        Ok((self.owned.index(group)?, position))
    }

    /// The entry of a key.
    pub(super) fn find<L: Lease>(
        &self,
        pages: &Pages<L>,
        key: &Key<'_>,
    ) -> Result<Option<Found>, StateError> {
        let (group, position) = self.place(key)?;
        let Some(entry) = self.groups[group].entry(position) else { return Ok(None) };
        let (mut page, mut class) = (entry >> CLASS_BITS, entry & ((1 << CLASS_BITS) - 1));
        loop {
            let bytes = pages.page(page);
            let is = |entry| {
                let parts = bucket::parts(bytes, &self.shape, entry);
                is_same(&bytes[parts.key..parts.namespace], key.key)
                    && is_same(&bytes[parts.namespace..parts.value], key.namespace)
            };
            if let Some((lane, entry)) = bucket::find(bytes, class, position, is) {
                return Ok(Some(Found { page, lane, entry }));
            }
            let Some(next) = bucket::next(bytes) else { return Ok(None) };
            (page, class) = (next, bucket::class(pages.page(next)));
        }
    }

    /// Adds an entry for a key that has none.
    #[cold]
    #[inline(never)]
    pub(super) fn insert<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        new: &Content<'_>,
    ) -> Result<(u32, usize), StateError> {
        let (group, position) = self.place(key)?;
        let rehash = Self::rehash(self.hash, self.owned);
        if self.groups[group].directory.is_empty() {
            self.first_page(pages, group)?;
        }
        loop {
            let head = self.groups[group].directory[self.groups[group].slot(position)];
            let head = head >> CLASS_BITS;
            let mut last = head;
            loop {
                pages.prepare(last)?;
                let page = pages.page_mut(last);
                let class = bucket::class(page);
                if bucket::make_room(page, &self.shape, new, rehash) {
                    let entry = bucket::insert(page, &self.shape, position, new);
                    let (depth, now) = (bucket::depth(page), bucket::class(page));
                    let group = &mut self.groups[group];
                    if now != class && last == head {
                        group.point(position, depth, head, now);
                    }
                    group.entries += 1;
                    return Ok((last, entry));
                }
                match bucket::next(page) {
                    Some(next) => last = next,
                    None => break,
                }
            }
            let depth = bucket::depth(pages.page(head));
            let explained = (self.groups[group].pages + 1).ilog2();
            if last == head && depth < (explained + DEPTH_SLACK).min(DEPTH_MAX) {
                self.split(pages, group, position, head)?;
            } else {
                let next = self.take(pages, group)?;
                bucket::clear(pages.page_mut(next), self.number, depth);
                bucket::set_next(pages.page_mut(last), Some(next));
            }
        }
    }

    fn out_of_budget<L: Lease>(&self, pages: &Pages<L>) -> StateError {
        StateError::OutOfBudget { state: self.name.clone(), held: pages.held() }
    }

    fn take<L: Lease>(&mut self, pages: &mut Pages<L>, group: usize) -> Result<u32, StateError> {
        let page = pages.take().ok_or_else(|| self.out_of_budget(pages))?;
        self.groups[group].pages += 1;
        self.pages += 1;
        Ok(page)
    }

    fn give<L: Lease>(&mut self, pages: &mut Pages<L>, group: usize, page: u32) {
        pages.give(page);
        self.groups[group].pages -= 1;
        self.pages -= 1;
    }

    fn first_page<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        group: usize,
    ) -> Result<(), StateError> {
        if !pages.reserve(size_of::<u32>() as u64) {
            return Err(self.out_of_budget(pages));
        }
        let taken = self.take(pages, group);
        let Ok(page) = taken else {
            pages.release(size_of::<u32>() as u64);
            return taken.map(drop);
        };
        bucket::clear(pages.page_mut(page), self.number, 0);
        let group = &mut self.groups[group];
        group.directory.push(page << CLASS_BITS);
        group.depth = 0;
        Ok(())
    }

    /// Moves half of a page's entries to a new page, whose positions have the next bit set.
    fn split<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        group: usize,
        position: u64,
        page: u32,
    ) -> Result<(), StateError> {
        let depth = bucket::depth(pages.page(page));
        if depth == self.groups[group].depth {
            self.double(pages, group)?;
        }
        let new = self.take(pages, group)?;
        let (shape, rehash) = (self.shape, Self::rehash(self.hash, self.owned));
        let old: Page = *pages.page(page);
        bucket::clear(pages.page_mut(page), self.number, depth + 1);
        bucket::clear(pages.page_mut(new), self.number, depth + 1);
        let bit = 1 << (63 - depth);
        for entry in 0..bucket::count(&old) {
            let moved = bucket::content(&old, &shape, entry);
            let at = rehash(moved.key, moved.namespace);
            let to = pages.page_mut(if at & bit == 0 { page } else { new });
            let fits = bucket::make_room(to, &shape, &moved, rehash);
            assert!(fits, "half of a page fits a page");
            bucket::insert(to, &shape, at, &moved);
        }
        let classes = [page, new].map(|page| bucket::class(pages.page(page)));
        let group = &mut self.groups[group];
        group.point(position & !bit, depth + 1, page, classes[0]);
        group.point(position | bit, depth + 1, new, classes[1]);
        Ok(())
    }

    fn double<L: Lease>(&mut self, pages: &mut Pages<L>, group: usize) -> Result<(), StateError> {
        let slots = self.groups[group].directory.len();
        if !pages.reserve((slots * size_of::<u32>()) as u64) {
            return Err(self.out_of_budget(pages));
        }
        let group = &mut self.groups[group];
        group.directory.reserve_exact(slots);
        group.directory.resize(2 * slots, 0);
        for slot in (0..slots).rev() {
            let page = group.directory[slot];
            group.directory[2 * slot..2 * slot + 2].fill(page);
        }
        group.depth += 1;
        Ok(())
    }

    /// Removes an entry and nothing else.
    pub(super) fn take_out<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
    ) -> Result<(), StateError> {
        let (group, _) = self.place(key)?;
        pages.prepare(found.page)?;
        let rehash = Self::rehash(self.hash, self.owned);
        let page = pages.page_mut(found.page);
        bucket::remove(page, &self.shape, (found.lane, found.entry), rehash);
        self.groups[group].entries -= 1;
        Ok(())
    }

    /// Adds an entry again that was taken out of `page`, after adding another in its stead failed.
    /// That needs nothing that may be missing: either the page is as it was but for the entry, or it
    /// was split and both halves may be written.
    pub(super) fn put_back<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        page: u32,
        old: &Content<'_>,
    ) -> Result<(), StateError> {
        if self.insert(pages, key, old).is_ok() {
            return Ok(());
        }
        let (group, position) = self.place(key)?;
        let bytes = pages.page_mut(page);
        let rehash = Self::rehash(self.hash, self.owned);
        let fits = bucket::make_room(bytes, &self.shape, old, rehash);
        assert!(fits, "an entry that was taken out fits again");
        bucket::insert(bytes, &self.shape, position, old);
        self.groups[group].entries += 1;
        Ok(())
    }

    /// Gives up pages that are no longer needed after the entry of a key was taken out.
    pub(super) fn tidy<L: Lease>(&mut self, pages: &mut Pages<L>, key: &Key<'_>, page: u32) {
        let Ok((group, position)) = self.place(key) else { return };
        if self.groups[group].entries == 0 {
            self.clear_group(pages, group);
        } else if bucket::live(pages.page(page), &self.shape) < PAGE / 4 {
            self.merge(pages, group, position);
        }
    }

    /// Moves the entries of a page and those of its other half together, if that leaves room.
    fn merge<L: Lease>(&mut self, pages: &mut Pages<L>, group: usize, position: u64) {
        let Some(entry) = self.groups[group].entry(position) else { return };
        let page = entry >> CLASS_BITS;
        let Some(depth) = bucket::depth(pages.page(page)).checked_sub(1) else { return };
        let bit = 1 << (63 - depth);
        let Some(entry) = self.groups[group].entry(position ^ bit) else { return };
        let other = entry >> CLASS_BITS;
        let alone = |page: u32| {
            let page = pages.page(page);
            bucket::depth(page) == depth + 1 && bucket::next(page).is_none()
        };
        let fit = bucket::fit_one(pages.page(page), pages.page(other), &self.shape);
        // Waiting for the snapshot is not worth it.
        if !fit || !alone(page) || !alone(other) || pages.prepare(page).is_err() {
            return;
        }
        let (shape, rehash) = (self.shape, Self::rehash(self.hash, self.owned));
        let from: Page = *pages.page(other);
        let into = pages.page_mut(page);
        for entry in 0..bucket::count(&from) {
            let moved = bucket::content(&from, &shape, entry);
            let at = rehash(moved.key, moved.namespace);
            let fits = bucket::make_room(into, &shape, &moved, rehash);
            assert!(fits, "both fit one");
            bucket::insert(into, &shape, at, &moved);
        }
        bucket::set_depth(into, depth);
        let class = bucket::class(into);
        self.groups[group].point(position, depth, page, class);
        self.give(pages, group, other);
    }

    /// Forgets all entries of a group.
    pub(super) fn clear_group<L: Lease>(&mut self, pages: &mut Pages<L>, group: usize) {
        let heads: Vec<u32> = self.groups[group].pages().collect();
        for head in heads {
            let mut next = Some(head);
            while let Some(page) = next {
                next = bucket::next(pages.page(page));
                self.give(pages, group, page);
            }
        }
        let group = &mut self.groups[group];
        pages.release((group.directory.len() * size_of::<u32>()) as u64);
        *group = Group::default();
    }
}
