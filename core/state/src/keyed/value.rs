//! One value for each key.

use alloc::vec::Vec;

use millstream_data::{
    row::{RowMut, RowValue},
    value::Record,
};

use super::{
    Access, Descriptor,
    stored::{Stored, set_stamp},
};
use crate::{Backend, Column, Keys, Kind, Place, StateError, StateId, Stopped, ttl::STAMP};

/// One value for each key.
#[derive(Debug)]
pub struct ValueState<T> {
    stored: Stored<T>,
    scratch: Vec<u8>,
    /// A value with a new time.
    renewed: Vec<u8>,
}

impl<T: RowValue + Record> ValueState<T> {
    /// Adds the state to a backend.
    ///
    /// # Errors
    /// As [`Backend::register`]; [`StateError::Damaged`] if rows do not hold values of `T`.
    pub fn register<B: Backend>(
        backend: &mut B,
        descriptor: &Descriptor,
    ) -> Result<Self, StateError> {
        let stored = Stored::register(backend, descriptor, Kind::Value)?;
        Ok(Self { stored, scratch: Vec::new(), renewed: Vec::new() })
    }

    /// The state's number in its backend.
    pub fn id(&self) -> StateId {
        self.stored.id
    }

    /// The value; `None` if there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn get<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<Option<T>, StateError> {
        self.read(access, |view| T::own(view))
    }

    /// Reads the value, where it lies if it is in one piece.
    ///
    /// # Errors
    /// [`StateError::Damaged`]; any of [`StateError`] with a time to live, which reading may change.
    pub fn read<B: Backend, R>(
        &mut self,
        access: &mut Access<'_, B>,
        read: impl FnOnce(T::View<'_>) -> R,
    ) -> Result<Option<R>, StateError> {
        let Access { backend, key, now } = access;
        let place = backend.find(self.stored.id, key)?;
        if place.is_absent() {
            return Ok(None);
        }
        let stored = whole(&**backend, place, &mut self.scratch);
        if self.stored.hides(stored, *now) {
            let removed = backend.remove(self.stored.id, &key.batch());
            return removed.map(|()| None).map_err(|stopped| stopped.error);
        }
        if !self.stored.lives_by_reading() {
            return Ok(Some(read(self.stored.decode(stored)?)));
        }
        let mut renewed = core::mem::take(&mut self.renewed);
        renewed.clear();
        renewed.extend_from_slice(stored);
        set_stamp(&mut renewed, *now);
        let put = backend.put(self.stored.id, &key.batch(), Column::Same(&renewed));
        self.renewed = renewed;
        put.map_err(|stopped| stopped.error)?;
        Ok(Some(read(self.stored.decode(&self.renewed)?)))
    }

    /// Sets the value.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn set<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        view: T::View<'_>,
    ) -> Result<(), StateError> {
        self.stored.encode(view, access.now, &mut self.scratch);
        let value = Column::Same(&self.scratch);
        let put = access.backend.put(self.stored.id, &access.key.batch(), value);
        put.map_err(|stopped| stopped.error)
    }

    /// Sets the value to what `next` makes of it; of fixed size, it stays where it is.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn replace<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        next: impl FnOnce(Option<T::View<'_>>) -> T,
    ) -> Result<(), StateError> {
        let (stored, scratch) = (&self.stored, &mut self.scratch);
        let backend = &*access.backend;
        let place = backend.find(stored.id, &access.key)?;
        let value = if place.is_absent() {
            next(None)
        } else {
            let stored_bytes = whole(backend, place, scratch);
            match stored.hides(stored_bytes, access.now) {
                true => next(None),
                false => next(Some(stored.decode(stored_bytes)?)),
            }
        };
        self.set(access, value.view())
    }

    /// Removes the value.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn clear<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<(), StateError> {
        let removed = access.backend.remove(self.stored.id, &access.key.batch());
        removed.map_err(|stopped| stopped.error)
    }

    /// Changes the value of each key in place, which is `initial` if there is none: calls `each`, in
    /// order, with the number of the key and the row. For values of fixed size.
    ///
    /// # Errors
    /// As [`Backend::update`].
    pub fn update<B: Backend>(
        &mut self,
        backend: &mut B,
        keys: &Keys<'_>,
        now: i64,
        initial: T::View<'_>,
        mut each: impl FnMut(usize, RowMut<'_>),
    ) -> Result<(), Stopped> {
        self.stored.encode(initial, now, &mut self.scratch);
        let (stored, initial) = (&self.stored, &*self.scratch);
        let stamp = stored.stamp();
        backend.update(stored.id, keys, initial, |index, value| {
            if stamp == STAMP {
                if stored.hides(value, now) {
                    value.copy_from_slice(initial);
                }
                set_stamp(value, now);
            }
            // The backend has checked that the value has the size of the row and its stamp.
            if let Some(row) = value.get_mut(stamp..)
                && let Ok(row) = stored.layout.update(row)
            {
                each(index, row);
            }
        })
    }
}

/// The whole of a value: where it lies if it is in one piece, else in `scratch`.
fn whole<'a, B: Backend>(backend: &'a B, place: Place, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let mut pieces = backend.pieces(place);
    let first = pieces.next().unwrap_or(&[]);
    let Some(second) = pieces.next() else { return first };
    scratch.clear();
    scratch.extend_from_slice(first);
    scratch.extend_from_slice(second);
    pieces.for_each(|piece| scratch.extend_from_slice(piece));
    scratch
}
