//! Entries for each key, in the order of their own keys.

use alloc::vec::Vec;
use core::marker::PhantomData;

use millstream_data::{order::Ordered, row::RowValue, value::Record};

use super::{
    Access, Descriptor,
    stored::{Stored, set_stamp},
};
use crate::{Backend, Column, Kind, StateError, StateId};

/// A map for each key. Entries are in the order of `K`, by its
/// [normalized key](millstream_data::order), which has at most 512 bytes; `K` itself is kept beside
/// the value, to be read again.
#[derive(Debug)]
pub struct MapState<K, V> {
    stored: Stored<(K, V)>,
    map_key: Vec<u8>,
    scratch: Vec<u8>,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K: RowValue + Ordered, V: RowValue> MapState<K, V>
where
    (K, V): RowValue + Record,
    for<'v> (K, V): millstream_data::Value<View<'v> = (K::View<'v>, V::View<'v>)>,
{
    /// Adds the state to a backend.
    ///
    /// # Errors
    /// As [`ValueState::register`](super::ValueState::register).
    pub fn register<B: Backend>(
        backend: &mut B,
        descriptor: &Descriptor,
    ) -> Result<Self, StateError> {
        Ok(Self {
            stored: Stored::register(backend, descriptor, Kind::Map)?,
            map_key: Vec::new(),
            scratch: Vec::new(),
            of: PhantomData,
        })
    }

    /// The state's number in its backend.
    pub fn id(&self) -> StateId {
        self.stored.id
    }

    /// Sets the value of a map key.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn put<'v, B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        map_key: K::View<'v>,
        value: V::View<'v>,
    ) -> Result<(), StateError> {
        self.set_key(map_key);
        self.stored.encode((map_key, value), access.now, &mut self.scratch);
        self.write(access)
    }

    /// The value of a map key; `None` if there is none.
    ///
    /// # Errors
    /// As [`ValueState::read`](super::ValueState::read).
    pub fn get<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        map_key: K::View<'_>,
    ) -> Result<Option<V>, StateError> {
        self.set_key(map_key);
        let place = access.backend.find_entry(self.stored.id, &access.key, &self.map_key)?;
        if place.is_absent() {
            return Ok(None);
        }
        self.scratch.clear();
        access.backend.pieces(place).for_each(|piece| self.scratch.extend_from_slice(piece));
        if self.stored.hides(&self.scratch, access.now) {
            self.remove(access, map_key)?;
            return Ok(None);
        }
        if self.stored.lives_by_reading() {
            set_stamp(&mut self.scratch, access.now);
            self.write(access)?;
        }
        let (_, value) = self.stored.decode(&self.scratch)?;
        Ok(Some(V::own(value)))
    }

    /// Removes a map key, if it is there.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn remove<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        map_key: K::View<'_>,
    ) -> Result<(), StateError> {
        self.set_key(map_key);
        let map_key = Column::Same(&self.map_key);
        let removed = access.backend.remove_entries(self.stored.id, &access.key.batch(), map_key);
        removed.map_err(|stopped| stopped.error)
    }

    /// Calls `each` for the entries in order, from the first whose key is not below `from`, or the
    /// first of all, until it answers `false`. Entries that must not be seen are left out. Reading
    /// so does not make entries live longer, unlike in Flink.
    ///
    /// # Errors
    /// [`StateError::ForeignKey`], [`StateError::Damaged`].
    pub fn scan<B: Backend>(
        &mut self,
        access: &Access<'_, B>,
        from: Option<K::View<'_>>,
        each: impl FnMut(K::View<'_>, V::View<'_>) -> bool,
    ) -> Result<(), StateError> {
        let mut position = Position::default();
        self.begin(from, &mut position);
        self.scan_on(access, &mut position, each)
    }

    /// Sets where a [scan](Self::scan_on) begins: at the first entry whose key is not below `from`, or the
    /// first of all.
    pub fn begin(&self, from: Option<K::View<'_>>, position: &mut Position) {
        position.0.clear();
        if let Some(from) = from {
            K::put_key(from, &mut position.0);
        }
    }

    /// As [`scan`](Self::scan), from a position on, which is then behind the last entry that was shown: a
    /// scan that had to wait goes on there.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn scan_on<B: Backend>(
        &mut self,
        access: &Access<'_, B>,
        position: &mut Position,
        mut each: impl FnMut(K::View<'_>, V::View<'_>) -> bool,
    ) -> Result<(), StateError> {
        let (stored, scratch) = (&self.stored, &mut self.scratch);
        let (backend, mut outcome) = (&*access.backend, Ok(()));
        self.map_key.clone_from(&position.0);
        backend.scan_entries(stored.id, &access.key, &self.map_key, &mut |map_key, place| {
            // The next map key that there can be.
            position.0.clear();
            position.0.extend_from_slice(map_key);
            position.0.push(0);
            scratch.clear();
            backend.pieces(place).for_each(|piece| scratch.extend_from_slice(piece));
            if stored.hides(scratch, access.now) {
                return true;
            }
            match stored.decode(scratch) {
                Ok((map_key, value)) => each(map_key, value),
                Err(error) => {
                    outcome = Err(error);
                    false
                }
            }
        })?;
        outcome
    }

    /// Removes all entries.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn clear<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<(), StateError> {
        let removed = access.backend.remove(self.stored.id, &access.key.batch());
        removed.map_err(|stopped| stopped.error)
    }

    fn set_key(&mut self, map_key: K::View<'_>) {
        self.map_key.clear();
        K::put_key(map_key, &mut self.map_key);
    }

    fn write<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<(), StateError> {
        let (map_key, value) = (Column::Same(&self.map_key), Column::Same(&self.scratch));
        let put = access.backend.put_entries(self.stored.id, &access.key.batch(), map_key, value);
        put.map_err(|stopped| stopped.error)
    }
}

/// Where a scan of a map goes on.
#[derive(Clone, Debug, Default)]
pub struct Position(Vec<u8>);
