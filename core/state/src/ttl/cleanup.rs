//! Removing what expired, a few entries at a time.

use alloc::vec::Vec;

use super::Ttl;
use crate::{Backend, Column, Cursor, Key, KeyHash, Kind, Owned, StateError, StateId, list};

/// Entries that a [`Cleanup`] looks at for each access of the state, as in Flink.
pub const CLEANED_PER_ACCESS: usize = 5;

/// Goes round a state and removes what expired.
#[derive(Debug)]
pub struct Cleanup {
    state: StateId,
    ttl: Ttl,
    owned: Owned,
    hash: KeyHash,
    group: u32,
    cursor: Cursor,
    /// Keys and namespaces of the entries that are looked at, and of how many bytes each is.
    names: Vec<u8>,
    lengths: Vec<(usize, usize)>,
    /// In the map that is being looked at: from which map key on.
    from: Vec<u8>,
    behind: Vec<u8>,
    within_map: bool,
    /// A list, or map keys with their lengths.
    scratch: Vec<u8>,
}

impl Cleanup {
    /// Of a state of the key groups `owned`, whose keys have the hash `hash`.
    pub fn new(state: StateId, ttl: Ttl, owned: Owned, hash: KeyHash) -> Self {
        Self {
            state,
            ttl,
            owned,
            hash,
            group: owned.first,
            cursor: Cursor::default(),
            names: Vec::new(),
            lengths: Vec::new(),
            from: Vec::new(),
            behind: Vec::new(),
            within_map: false,
            scratch: Vec::new(),
        }
    }

    /// Looks at the next [`CLEANED_PER_ACCESS`] entries; of a map, at as many of its own. A list is
    /// read as a whole, and written again if some of its elements expired. To be called with
    /// every access.
    ///
    /// # Errors
    /// Any of [`StateError`]; the next call goes on behind the entry.
    pub fn step<B: Backend>(&mut self, backend: &mut B, now: i64) -> Result<(), StateError> {
        let Some(spec) = backend.spec(self.state) else { return Ok(()) };
        let (kind, width) = (spec.kind, spec.value);
        if kind == Kind::Map {
            return self.step_map(backend, now);
        }
        self.collect(backend, CLEANED_PER_ACCESS)?;
        let (names, lengths) =
            (core::mem::take(&mut self.names), core::mem::take(&mut self.lengths));
        let mut at = 0;
        let mut outcome = Ok(());
        for (key, namespace) in lengths.iter().copied() {
            let (key, rest) = names[at..].split_at(key);
            let key = Key { hash: (self.hash)(key), key, namespace: &rest[..namespace] };
            at += key.key.len() + namespace;
            let done = match kind {
                Kind::List => self.clean_list(backend, &key, width, now),
                _ => self.clean_value(backend, &key, now),
            };
            outcome = outcome.and(done);
        }
        (self.names, self.lengths) = (names, lengths);
        outcome
    }

    fn clean_value<B: Backend>(
        &self,
        backend: &mut B,
        key: &Key<'_>,
        now: i64,
    ) -> Result<(), StateError> {
        let place = backend.find(self.state, key)?;
        // A first piece has the time.
        let stamped = backend.pieces(place).next().unwrap_or(&[]);
        if self.ttl.is_expired(stamped, now) {
            backend.remove(self.state, &key.batch()).map_err(|stopped| stopped.error)?;
        }
        Ok(())
    }

    fn clean_list<B: Backend>(
        &mut self,
        backend: &mut B,
        key: &Key<'_>,
        width: Option<usize>,
        now: i64,
    ) -> Result<(), StateError> {
        read(backend, self.state, key, &mut self.scratch)?;
        let ttl = self.ttl;
        match retain_living(&mut self.scratch, width, |element| ttl.is_expired(element, now)) {
            true => backend.put_list(self.state, key, &self.scratch),
            false => Ok(()),
        }
    }

    /// Writes down the names of the next entries; begins again behind the last.
    fn collect<B: Backend>(&mut self, backend: &B, entries: usize) -> Result<(), StateError> {
        self.names.clear();
        self.lengths.clear();
        let (names, lengths) = (&mut self.names, &mut self.lengths);
        backend.scan(self.state, self.group, &mut self.cursor, &mut |entry| {
            names.extend_from_slice(entry.key);
            names.extend_from_slice(entry.namespace);
            lengths.push((entry.key.len(), entry.namespace.len()));
            lengths.len() < entries
        })?;
        if self.cursor.is_done {
            self.cursor = Cursor::default();
            self.group += 1;
            if self.group >= self.owned.end {
                self.group = self.owned.first;
            }
        }
        Ok(())
    }

    fn step_map<B: Backend>(&mut self, backend: &mut B, now: i64) -> Result<(), StateError> {
        if !self.within_map {
            self.collect(backend, 1)?;
            self.from.clear();
        }
        let Some((length, namespace)) = self.lengths.first().copied() else { return Ok(()) };
        let (key, rest) = self.names.split_at(length);
        let key = Key { hash: (self.hash)(key), key, namespace: &rest[..namespace] };
        let (mut expired, mut looked_at) = (core::mem::take(&mut self.scratch), 0);
        expired.clear();
        let (ttl, behind) = (self.ttl, &mut self.behind);
        behind.clear();
        let reader = &*backend;
        let scanned = reader.scan_entries(self.state, &key, &self.from, &mut |map_key, place| {
            looked_at += 1;
            let stamp = reader.pieces(place).next().unwrap_or(&[]);
            if ttl.is_expired(stamp, now) {
                list::frame(map_key, &mut expired);
            }
            if looked_at == CLEANED_PER_ACCESS {
                behind.extend_from_slice(map_key);
                behind.push(0);
            }
            looked_at < CLEANED_PER_ACCESS
        });
        core::mem::swap(&mut self.from, &mut self.behind);
        self.within_map = looked_at == CLEANED_PER_ACCESS;
        let mut outcome = scanned;
        for map_key in list::elements(&expired, None) {
            let removed = backend.remove_entries(self.state, &key.batch(), Column::Same(map_key));
            outcome = outcome.and(removed.map_err(|stopped| stopped.error));
        }
        self.scratch = expired;
        outcome
    }
}

/// Reads the whole of what a key has; `false` if there is nothing.
pub(crate) fn read<B: Backend>(
    backend: &B,
    state: StateId,
    key: &Key<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, StateError> {
    let place = backend.find(state, key)?;
    out.clear();
    backend.pieces(place).for_each(|piece| out.extend_from_slice(piece));
    Ok(!place.is_absent())
}

/// Takes the elements that expired out of a list that was read; whether there were any.
pub(crate) fn retain_living(
    list: &mut Vec<u8>,
    width: Option<usize>,
    expired: impl Fn(&[u8]) -> bool,
) -> bool {
    let (mut at, mut kept) = (0, 0);
    while let Some((element, rest)) = list::split_first(&list[at..], width) {
        let (dead, next) = (expired(element), list.len() - rest.len());
        if !dead {
            list.copy_within(at..next, kept);
            kept += next - at;
        }
        at = next;
    }
    list.truncate(kept);
    kept < at
}
