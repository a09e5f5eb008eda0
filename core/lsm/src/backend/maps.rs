//! Scanning: the entries of a map, and all keys of a key group.

use alloc::vec::Vec;

use millstream_state::{Cursor, Entry as ScanEntry, Key, Kind, Lease, Place, StateError};

use super::{
    LsmBackend, State,
    read::{MAP, buffered},
};
use crate::{
    block::Op,
    buffer::{BufferCursor, BufferSource},
    cached::{Cached, RunCursor},
    filter::fingerprint,
    merge::{Merge, Source, Step},
    name::{Name, split, whole},
    writer::Entry,
};

/// A buffer or a run.
enum Either<'a, L: Lease> {
    Buffer { number: usize, source: BufferSource<'a, L> },
    Run(Cached<'a, L>),
}

impl<L: Lease> Source for Either<'_, L> {
    fn fill(&mut self) -> Result<bool, StateError> {
        match self {
            Self::Buffer { source, .. } => source.fill(),
            Self::Run(source) => source.fill(),
        }
    }

    fn entry(&self) -> Entry<'_> {
        match self {
            Self::Buffer { source, .. } => source.entry(),
            Self::Run(source) => source.entry(),
        }
    }

    fn take(&mut self) {
        match self {
            Self::Buffer { source, .. } => source.take(),
            Self::Run(source) => source.take(),
        }
    }

    fn hides(&self, rank: u64, namespace: &[u8]) -> bool {
        match self {
            Self::Buffer { source, .. } => source.hides(rank, namespace),
            Self::Run(source) => source.hides(rank, namespace),
        }
    }
}

/// Which scan of a map waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resume {
    state: u16,
    name: Vec<u8>,
    from: Vec<u8>,
}

/// What a scan of a map was given.
enum Given {
    /// A piece of an entry, of which there may be more.
    Piece,
    /// The last piece of an entry.
    Whole,
    Nothing,
}

fn key_name(key: &Key<'_>) -> Vec<u8> {
    let mut name = Vec::new();
    crate::name::write(key.key, key.namespace, None, &mut name);
    name
}

/// Cursors of the buffers and runs that have to be looked into, the newest first.
#[derive(Default)]
struct Cursors {
    buffers: Vec<(usize, BufferCursor)>,
    runs: Vec<RunCursor>,
}

impl Cursors {
    fn sources<'a, L: Lease>(&'a mut self, backend: &'a LsmBackend<L>) -> Vec<Either<'a, L>> {
        let mut sources = Vec::with_capacity(self.buffers.len() + self.runs.len());
        for (number, cursor) in &mut self.buffers {
            let buffer = match number.checked_sub(1) {
                None => Some(&backend.active),
                Some(frozen) => backend.frozen.get(frozen),
            };
            if let Some(buffer) = buffer {
                let source = BufferSource { buffer, cursor };
                sources.push(Either::Buffer { number: *number, source });
            }
        }
        for cursor in &mut self.runs {
            sources.push(Either::Run(Cached { cache: &backend.cache, cursor }));
        }
        sources
    }
}

impl<L: Lease> LsmBackend<L> {
    /// Calls `each` for the entries of a map from a map key on, until it answers `false`.
    pub(super) fn scan_map(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError> {
        // A call that waited goes on where it was, so that it comes to an end although what it has read
        // is not in memory any more.
        let asked = Resume { state: number, name: key_name(key), from: from.to_vec() };
        let resumed = self.resume.borrow_mut().take().filter(|(of, _)| *of == asked);
        let begin = resumed.as_ref().map_or(from, |(_, at)| at);
        let Some(mut cursors) = self.map_cursors(number, state, key, begin)? else { return Ok(()) };
        let mut sources = cursors.sources(self);
        let rank = self.order.rank(key.hash, key.namespace);
        let mut merge = Merge::new(true).until(rank + 1);
        let (mut has_shown, map) = (false, key_name(key));
        // The pieces of the value of the entry at hand, so far.
        let mut places = Vec::new();
        loop {
            let given = self.take_piece(&mut merge, &mut sources, &map, &mut places);
            match given {
                Ok(Given::Piece) => continue,
                Ok(Given::Whole) => {}
                Ok(Given::Nothing) => return Ok(()),
                Err(error) => {
                    let (at_rank, at) = merge.position();
                    let at = split(at).filter(|_| at_rank == rank && whole(at) == map);
                    if let Some(at) = at.and_then(|at| at.map_key).filter(|_| !has_shown) {
                        *self.resume.borrow_mut() = Some((asked, at.to_vec()));
                    }
                    return Err(error);
                }
            }
            let place = match &*places {
                [] => Place::ABSENT,
                [one] => *one,
                several => self.gather(several),
            };
            places.clear();
            has_shown = true;
            let (_, name) = merge.position();
            let map_key = split(name).and_then(|parts| parts.map_key);
            if map_key.is_some_and(|map_key| !each(map_key, place)) {
                return Ok(());
            }
        }
    }

    /// Takes the next piece of an entry of a map. An entry is whole as soon as it is known to be: the next one may
    /// be behind many that are gone.
    fn take_piece<'a>(
        &'a self,
        merge: &mut Merge,
        sources: &mut [Either<'a, L>],
        map: &[u8],
        places: &mut Vec<Place>,
    ) -> Result<Given, StateError> {
        let Some(Step { source: at, piece, .. }) = merge.next(sources)? else {
            return Ok(Given::Nothing);
        };
        let Some(source) = sources.get_mut(at) else { return Ok(Given::Nothing) };
        if whole(source.entry().name) != map {
            return Ok(Given::Nothing);
        }
        match source {
            // A place in memory is that of all pieces.
            Either::Buffer { number, source } if piece == 0 => {
                places.push(buffered(source.place(), *number));
            }
            Either::Buffer { .. } => {}
            Either::Run(source) => {
                let (frame, value) = source.place()?;
                places.push(super::read::in_frame(frame, value));
            }
        }
        source.take();
        Ok(if merge.is_whole(sources)? { Given::Whole } else { Given::Piece })
    }

    /// Cursors of a map's entries in all buffers and runs that count; `None` if none can have any.
    fn map_cursors(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
        from: &[u8],
    ) -> Result<Option<Cursors>, StateError> {
        let mut cursors = Cursors::default();
        for (at, buffer) in self.buffers() {
            // Also says that a key belongs to another.
            if buffer.has(&state.tables, key)? {
                let cursor = BufferCursor::of_map(number, state.tables, self.order, key, from);
                cursors.buffers.push((at, cursor));
            }
            if buffer.is_cut(&state.tables, key)? || buffer.hides(number, key.namespace) {
                return Ok(Some(cursors));
            }
        }
        let rank = self.order.rank(key.hash, key.namespace);
        let print = fingerprint(number, key.hash, key.namespace);
        let Some(name) = Name::new(key.key, key.namespace, Some(from)) else { return Ok(None) };
        for part in self.stack.at(rank) {
            if part.has(rank) && self.cache.may_have(&part.run, print)? {
                let cursor = RunCursor::new(part, self.order, number, rank, name.bytes());
                cursors.runs.push(cursor);
                if self.is_cut_in_run(&part.run, number, key)? {
                    break;
                }
            }
            if part.hides(number, rank, key.namespace) {
                break;
            }
        }
        Ok(Some(cursors))
    }

    /// Calls `each` for the keys of a key group from where a cursor stands, in the order of ranks and
    /// names, until it answers `false`.
    pub(super) fn scan_group(
        &self,
        number: u16,
        state: &State,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(ScanEntry<'_>) -> bool,
    ) -> Result<(), StateError> {
        let owned = self.order.owned();
        if !(owned.first..owned.end).contains(&group) {
            return Err(StateError::ForeignKey { group });
        }
        if cursor.is_done {
            return Ok(());
        }
        let from = u64::from(group) << 48 | cursor.position >> 16;
        let mut cursors = Cursors::default();
        for (at, _) in self.buffers() {
            let State { spec, tables, .. } = state;
            let cursor = BufferCursor::new(number, spec.kind, *tables, self.order, from);
            cursors.buffers.push((at, cursor));
        }
        let end = u64::from(group + 1) << 48;
        for part in self.stack.over(&(from..end)) {
            cursors.runs.push(RunCursor::new(&part, self.order, number, from, &[]));
        }
        let mut sources = cursors.sources(self);
        let mut merge = Merge::new(true).until(end);
        let (mut last, mut behind) = (Vec::new(), cursor.entry);
        loop {
            let step = match merge.next(&mut sources) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    // What does not count is not read again.
                    let (rank, _) = merge.position();
                    if rank > from && rank << 16 > cursor.position {
                        *cursor = Cursor { position: rank << 16, entry: 0, is_done: false };
                    }
                    return Err(error);
                }
            };
            let Step { source, op, .. } = step;
            let Some(source) = sources.get_mut(source) else { continue };
            let entry = source.entry();
            let (rank, name) = (entry.rank, whole(entry.name));
            if name == last || op == Op::Gone {
                source.take();
                continue;
            }
            if rank != from && cursor.position >> 16 != rank & 0xFFFF_FFFF_FFFF {
                behind = 0;
            }
            last.clear();
            last.extend_from_slice(name);
            if behind > 0 && rank == from {
                // It was shown before.
                behind -= 1;
                source.take();
                continue;
            }
            let Some(parts) = split(&last) else { break };
            let (key, namespace) = (parts.key, parts.namespace);
            let keyed = Key { hash: self.order.hash(key), key, namespace };
            let value = match state.spec.kind {
                Kind::Map => MAP,
                _ => self.find_any(number, state, &keyed)?,
            };
            source.take();
            let position = rank << 16;
            match cursor.position == position {
                true => cursor.entry += 1,
                false => *cursor = Cursor { position, entry: 1, is_done: false },
            }
            if !each(ScanEntry { key, namespace, value }) {
                return Ok(());
            }
        }
        cursor.is_done = true;
        Ok(())
    }
}
