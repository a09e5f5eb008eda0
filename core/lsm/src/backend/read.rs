//! Finding values: in the write buffers, then in the files, the newest first.

use alloc::vec::Vec;

use millstream_state::{Backend, Key, Kind, Lease, Place, StateError};

use super::{LsmBackend, State};
use crate::{
    block::{Found, More, Op},
    buffer::WriteBuffer,
    cached::{Cached, RunCursor},
    filter::fingerprint,
    merge::Source,
    name::Name,
    run::Run,
    stack::Part,
};

/// The upper bits of a page of a [`Place`] say what the lower ones count: pages of a write buffer, the
/// one that is written to or a frozen one; blocks of the cache; places that are gathered.
const TAG: u32 = 28;
const BLOCKS: u32 = 14;
const GATHERED: u32 = 15;
/// A map as a whole.
pub(super) const MAP: Place = Place { page: u32::MAX - 1, at: 0, length: 0 };

/// A place in the write buffer of a number: 0 is written to, others are frozen.
pub(super) fn buffered(place: Place, number: usize) -> Place {
    match place.is_absent() {
        true => place,
        false => Place { page: place.page | (number as u32) << TAG, ..place },
    }
}

pub(super) fn in_frame(frame: u32, value: core::ops::Range<usize>) -> Place {
    let (at, length) = (value.start as u16, (value.end - value.start) as u16);
    Place { page: BLOCKS << TAG | frame, at, length }
}

/// What a search in a run found.
enum InRun {
    Nothing,
    Gone,
    Here { op: Op, place: Place, block: u32, more: More },
}

impl<L: Lease> LsmBackend<L> {
    /// The write buffers, the newest first, with their numbers.
    pub(super) fn buffers(&self) -> impl Iterator<Item = (usize, &WriteBuffer<L>)> {
        core::iter::once(&self.active).chain(&self.frozen).enumerate()
    }

    /// Whether something of a key may be in a frozen buffer or a file.
    pub(super) fn may_be_older(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
    ) -> Result<bool, StateError> {
        for buffer in &self.frozen {
            if buffer.has(&state.tables, key)? {
                return Ok(true);
            }
        }
        if self.stack.is_empty() {
            return Ok(false);
        }
        let rank = self.order.rank(key.hash, key.namespace);
        let print = fingerprint(number, key.hash, key.namespace);
        for part in self.stack.at(rank) {
            if part.has(rank) && self.cache.may_have(&part.run, print)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the value of a key is, or of an entry of its map.
    pub(super) fn find_value(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
        map_key: Option<&[u8]>,
    ) -> Result<Place, StateError> {
        self.find_behind(0, (number, state), key, map_key)
    }

    /// As [`find_value`](Self::find_value), but not in the newest buffers, of this number.
    pub(super) fn find_behind(
        &self,
        newest: usize,
        (number, state): (u16, &State),
        key: &Key<'_>,
        map_key: Option<&[u8]>,
    ) -> Result<Place, StateError> {
        for (at, buffer) in self.buffers().skip(newest) {
            let tables = &state.tables;
            let place = match map_key {
                None => buffer.memory.find(tables.present, key)?,
                Some(map_key) => buffer.memory.find_entry(tables.present, key, map_key)?,
            };
            if !place.is_absent() {
                return Ok(buffered(place, at));
            }
            let is_removed = match map_key {
                Some(map_key) => buffer.is_removed(tables, key, map_key)?,
                None => false,
            };
            let hides = buffer.hides(number, key.namespace);
            if is_removed || hides || buffer.is_cut(tables, key)? {
                return Ok(Place::ABSENT);
            }
        }
        self.find_in_runs(number, key, map_key)
    }

    /// The value of a key, or of an entry of its map, in the files.
    fn find_in_runs(
        &self,
        number: u16,
        key: &Key<'_>,
        map_key: Option<&[u8]>,
    ) -> Result<Place, StateError> {
        if self.stack.is_empty() {
            return Ok(Place::ABSENT);
        }
        let rank = self.order.rank(key.hash, key.namespace);
        let print = fingerprint(number, key.hash, key.namespace);
        let Some(name) = Name::new(key.key, key.namespace, map_key) else {
            return Ok(Place::ABSENT);
        };
        for part in self.stack.at(rank) {
            let run = &part.run;
            if part.has(rank) && self.cache.may_have(run, print)? {
                match self.find_in_run(run, number, rank, name.bytes())? {
                    InRun::Here { place, more: More::No, .. } => return Ok(place),
                    InRun::Here { more: More::InNextBlock, place, block, .. }
                        if !self.cache.goes_on(run, block)? =>
                    {
                        return Ok(place);
                    }
                    InRun::Here { .. } => {
                        let mut pieces = Vec::new();
                        self.pieces_in_run(part, number, rank, name.bytes(), &mut pieces)?;
                        return Ok(self.gather(&pieces));
                    }
                    InRun::Gone => return Ok(Place::ABSENT),
                    InRun::Nothing if map_key.is_some() => {
                        let map = crate::name::whole(name.bytes());
                        if let InRun::Gone = self.find_in_run(run, number, rank, map)? {
                            return Ok(Place::ABSENT);
                        }
                    }
                    InRun::Nothing => {}
                }
            }
            if part.hides(number, rank, key.namespace) {
                return Ok(Place::ABSENT);
            }
        }
        Ok(Place::ABSENT)
    }

    fn find_in_run(
        &self,
        run: &Run,
        state: u16,
        rank: u64,
        name: &[u8],
    ) -> Result<InRun, StateError> {
        let Some(block) = self.cache.locate(run, state, rank, name)? else {
            return Ok(InRun::Nothing);
        };
        let (frame, bytes) = self.cache.block(run, block)?;
        let found = bytes.find(&self.order, rank, name);
        let found = found.map_err(|error| crate::cache::damaged(run, block, error))?;
        Ok(match found {
            None => InRun::Nothing,
            Some(Found { op: Op::Gone, .. }) => InRun::Gone,
            Some(Found { op, value, more }) => {
                InRun::Here { op, place: in_frame(frame, value), block, more }
            }
        })
    }

    /// The places of all pieces of a name.
    fn pieces_in_run(
        &self,
        part: &Part,
        state: u16,
        rank: u64,
        name: &[u8],
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        let mut cursor = RunCursor::new(part, self.order, state, rank, name);
        let mut source = Cached { cache: &self.cache, cursor: &mut cursor };
        let before = places.len();
        while source.fill()? {
            let entry = source.entry();
            if (entry.rank, entry.name) != (rank, name) {
                break;
            }
            let (frame, value) = source.place()?;
            places.push(in_frame(frame, value));
            // All pieces are in memory together, or they are never.
            if places.len() - before > self.cache.blocks_max() * 2 {
                return Err(self.out_of_budget("one long value"));
            }
            source.take();
        }
        Ok(())
    }

    /// Where the list of a key is.
    pub(super) fn find_list(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
    ) -> Result<Place, StateError> {
        // The newest part first; each with its pieces in order.
        let mut parts: Vec<Vec<Place>> = Vec::new();
        self.collect_list(number, state, key, &mut parts)?;
        let mut places: Vec<Place> = parts.into_iter().rev().flatten().collect();
        match (places.pop(), places.is_empty()) {
            (None, _) => Ok(Place::ABSENT),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                places.push(last);
                Ok(self.gather(&places))
            }
        }
    }

    /// Collects the parts of a list down to the one that is whole.
    fn collect_list(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
        parts: &mut Vec<Vec<Place>>,
    ) -> Result<(), StateError> {
        for (at, buffer) in self.buffers() {
            let place = buffer.memory.find(state.tables.present, key)?;
            if !place.is_absent() {
                parts.push([buffered(place, at)].into());
            }
            if buffer.is_cut(&state.tables, key)? || buffer.hides(number, key.namespace) {
                return Ok(());
            }
        }
        let rank = self.order.rank(key.hash, key.namespace);
        let print = fingerprint(number, key.hash, key.namespace);
        let Some(name) = Name::new(key.key, key.namespace, None) else { return Ok(()) };
        for part in self.stack.at(rank) {
            let run = &part.run;
            if part.has(rank) && self.cache.may_have(run, print)? {
                match self.find_in_run(run, number, rank, name.bytes())? {
                    InRun::Here { op, .. } => {
                        let mut pieces = Vec::new();
                        self.pieces_in_run(part, number, rank, name.bytes(), &mut pieces)?;
                        parts.push(pieces);
                        if op == Op::Whole {
                            return Ok(());
                        }
                    }
                    InRun::Gone => return Ok(()),
                    InRun::Nothing => {}
                }
            }
            if part.hides(number, rank, key.namespace) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether what a run has of a map is cut off from what older ones have.
    pub(super) fn is_cut_in_run(
        &self,
        run: &Run,
        number: u16,
        key: &Key<'_>,
    ) -> Result<bool, StateError> {
        let rank = self.order.rank(key.hash, key.namespace);
        let Some(name) = Name::new(key.key, key.namespace, None) else { return Ok(false) };
        Ok(matches!(self.find_in_run(run, number, rank, name.bytes())?, InRun::Gone))
    }

    /// Where the value of a key is, of whatever kind.
    pub(super) fn find_any(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
    ) -> Result<Place, StateError> {
        match state.spec.kind {
            Kind::Value => self.find_value(number, state, key, None),
            Kind::List => self.find_list(number, state, key),
            Kind::Map => {
                let mut found = Place::ABSENT;
                self.scan_map(number, state, key, &[], &mut |_, _| {
                    found = MAP;
                    false
                })?;
                Ok(found)
            }
        }
    }

    /// One place for several.
    pub(super) fn gather(&self, places: &[Place]) -> Place {
        let mut gathered = self.gathered.borrow_mut();
        let first = gathered.len() as u32;
        gathered.extend(places.iter().copied().map(Some));
        gathered.push(None);
        Place { page: GATHERED << TAG | first, at: 0, length: 0 }
    }

    /// The pieces of a value.
    pub(super) fn pieces_of(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        let is_gathered = !place.is_absent() && place != MAP && place.page >> TAG == GATHERED;
        let one = (!is_gathered && !place.is_absent() && place != MAP).then_some(place);
        let mut next = (place.page & ((1 << TAG) - 1)) as usize;
        let gathered = core::iter::from_fn(move || {
            // The list may grow meanwhile, but what is there stays.
            let found = is_gathered.then(|| self.gathered.borrow().get(next).copied())?;
            next += 1;
            found.flatten()
        });
        one.into_iter().chain(gathered).flat_map(move |place| self.pieces_at(place))
    }

    fn pieces_at(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        let (tag, page) = (place.page >> TAG, place.page & ((1 << TAG) - 1));
        let (at, length) = (usize::from(place.at), usize::from(place.length));
        let block =
            (tag == BLOCKS).then(|| self.cache.frame(page).get(at..at + length).unwrap_or(&[]));
        let buffer = match (tag, (tag as usize).checked_sub(1)) {
            (BLOCKS.., _) => None,
            (_, None) => Some(&self.active),
            (_, Some(frozen)) => self.frozen.get(frozen),
        };
        let pieces = buffer.map(|buffer| buffer.memory.pieces(Place { page, ..place }));
        block.into_iter().chain(pieces.into_iter().flatten())
    }
}
