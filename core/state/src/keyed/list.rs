//! Elements for each key, in the order in which they were added.

use alloc::vec::Vec;

use millstream_data::{row::RowValue, value::Record};

use super::{
    Access, Descriptor,
    stored::{Stored, set_stamp},
};
use crate::{
    Backend, Column, Kind, StateError, StateId, list,
    ttl::{read, retain_living},
};

/// A list for each key. Adding does not read it.
#[derive(Debug)]
pub struct ListState<T> {
    stored: Stored<T>,
    /// Bytes of elements, if they have one size.
    width: Option<usize>,
    scratch: Vec<u8>,
    list: Vec<u8>,
}

impl<T: RowValue + Record> ListState<T> {
    /// Adds the state to a backend.
    ///
    /// # Errors
    /// As [`ValueState::register`](super::ValueState::register).
    pub fn register<B: Backend>(
        backend: &mut B,
        descriptor: &Descriptor,
    ) -> Result<Self, StateError> {
        let stored = Stored::<T>::register(backend, descriptor, Kind::List)?;
        let layout = &stored.layout;
        let width = layout.is_fixed().then_some(stored.stamp() + layout.fixed_bytes());
        Ok(Self { stored, width, scratch: Vec::new(), list: Vec::new() })
    }

    /// The state's number in its backend.
    pub fn id(&self) -> StateId {
        self.stored.id
    }

    /// Adds an element.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn add<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        view: T::View<'_>,
    ) -> Result<(), StateError> {
        self.stored.encode(view, access.now, &mut self.scratch);
        let element = Column::Same(&self.scratch);
        let appended = access.backend.append(self.stored.id, &access.key.batch(), element);
        appended.map_err(|stopped| stopped.error)
    }

    /// Calls `each` for the elements, in order; whether there are any. A list with a time to live is
    /// written again if elements expired, or if reading makes them live longer.
    ///
    /// # Errors
    /// As [`ValueState::read`](super::ValueState::read).
    pub fn read<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        mut each: impl FnMut(T::View<'_>),
    ) -> Result<bool, StateError> {
        let Access { backend, key, now } = access;
        if !read(&**backend, self.stored.id, key, &mut self.list)? {
            return Ok(false);
        }
        let (stored, width) = (&self.stored, self.width);
        let shorter = retain_living(&mut self.list, width, |element| stored.hides(element, *now));
        let renewed = stored.lives_by_reading() && !self.list.is_empty();
        if renewed {
            renew(&mut self.list, width, *now);
        }
        if shorter || renewed {
            backend.put_list(stored.id, key, &self.list)?;
        }
        for element in list::elements(&self.list, width) {
            each(stored.decode(element)?);
        }
        Ok(!self.list.is_empty())
    }

    /// Sets the list to other elements.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn set<'v, B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        views: impl IntoIterator<Item = T::View<'v>>,
    ) -> Result<(), StateError> {
        self.list.clear();
        for view in views {
            self.stored.encode(view, access.now, &mut self.scratch);
            match self.width {
                Some(_) => self.list.extend_from_slice(&self.scratch),
                None => list::frame(&self.scratch, &mut self.list),
            }
        }
        access.backend.put_list(self.stored.id, &access.key, &self.list)
    }

    /// Removes all elements.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn clear<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<(), StateError> {
        access.backend.put_list(self.stored.id, &access.key, &[])
    }
}

/// Gives all elements a new time.
fn renew(list: &mut [u8], width: Option<usize>, now: i64) {
    let mut at = 0;
    while let Some((element, rest)) = list::split_first(&list[at..], width) {
        let (end, length) = (list.len() - rest.len(), element.len());
        set_stamp(&mut list[end - length..end], now);
        at = end;
    }
}
