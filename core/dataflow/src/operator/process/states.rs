//! The states of a process function: typed handles that work on the key at hand.
//!
//! A handle of [`millstream_state::keyed`] may have to be called again when a page belongs to an open
//! snapshot; these are, and so a function never sees that there is a snapshot.

use alloc::{vec, vec::Vec};

use millstream_data::{Value, order::Ordered, row::RowValue, value::Record};
use millstream_state::{
    description::Part,
    keyed::{self, Descriptor},
};

use super::KeyContext;
use crate::{
    chain::TaskError,
    state::{Contents, KeyedState},
};

/// Where a process function adds its states.
#[derive(Debug)]
pub struct StateRegistry<'a> {
    state: &'a mut KeyedState,
    key: Option<usize>,
    namespace: usize,
}

impl<'a> StateRegistry<'a> {
    /// For keys of `key` bytes, if all have the same, in namespaces of `namespace` bytes.
    pub(in crate::operator) fn new(
        state: &'a mut KeyedState,
        key: Option<usize>,
        namespace: usize,
    ) -> Self {
        Self { state, key, namespace }
    }

    fn descriptor(&self, name: &str) -> Descriptor {
        Descriptor { key: self.key, namespace: Some(self.namespace), ..Descriptor::new(name) }
    }

    /// Adds one value for each key.
    ///
    /// # Errors
    /// If a state of this name exists already, or there is no memory for it.
    pub fn value<T: RowValue + Record>(&mut self, name: &str) -> Result<ValueState<T>, TaskError> {
        let descriptor = self.descriptor(name);
        let register = |store: &mut _| keyed::ValueState::register(store, &descriptor);
        let handle = self.state.handle(register, keyed::ValueState::id)?;
        self.state.describe(handle.id(), Contents::rows::<T>().within(self.namespace));
        Ok(ValueState { handle })
    }

    /// Adds a list for each key.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn list<T: RowValue + Record>(&mut self, name: &str) -> Result<ListState<T>, TaskError> {
        let descriptor = self.descriptor(name);
        let register = |store: &mut _| keyed::ListState::register(store, &descriptor);
        let handle = self.state.handle(register, keyed::ListState::id)?;
        self.state.describe(handle.id(), Contents::rows::<T>().within(self.namespace));
        Ok(ListState { handle })
    }

    /// Adds a map for each key.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn map<M, V>(&mut self, name: &str) -> Result<MapState<M, V>, TaskError>
    where
        M: RowValue + Ordered,
        V: RowValue,
        (M, V): RowValue + Record,
        for<'v> (M, V): Value<View<'v> = (M::View<'v>, V::View<'v>)>,
    {
        let descriptor = self.descriptor(name);
        let register = |store: &mut _| keyed::MapState::register(store, &descriptor);
        let handle = self.state.handle(register, keyed::MapState::id)?;
        let map_key = vec![Part::Opaque(None)];
        let contents = Contents { map_key, ..Contents::rows::<(M, V)>() };
        self.state.describe(handle.id(), contents.within(self.namespace));
        Ok(MapState { handle })
    }
}

/// One value for each key.
///
/// All calls fail if the managed memory is used up, if the value is too large for it, or if what lies
/// there does not read as a `T`. A function passes that on with `?`, and the task fails.
#[derive(Debug)]
pub struct ValueState<T> {
    handle: keyed::ValueState<T>,
}

impl<T: RowValue + Record> ValueState<T> {
    /// The value; `None` if there is none.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn get(&mut self, at: &mut KeyContext<'_>) -> Result<Option<T>, TaskError> {
        self.read(at, |view| T::own(view))
    }

    /// Reads the value, where it lies if it is in one piece.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn read<R>(
        &mut self,
        at: &mut KeyContext<'_>,
        read: impl FnOnce(T::View<'_>) -> R,
    ) -> Result<Option<R>, TaskError> {
        // Only the call that succeeds comes to read.
        let mut read = Some(read);
        let found = at.state.access(at.key, |access| {
            self.handle.read(access, |view| read.take().map(|read| read(view)))
        })?;
        Ok(found.flatten())
    }

    /// Sets the value.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn set(&mut self, at: &mut KeyContext<'_>, value: T::View<'_>) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.set(access, value))
    }

    /// Sets the value to what `next` makes of it.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn replace(
        &mut self,
        at: &mut KeyContext<'_>,
        next: impl FnOnce(Option<T::View<'_>>) -> T,
    ) -> Result<(), TaskError> {
        let mut next = Some(next);
        let made = self.read(at, |view| next.take().map(|next| next(Some(view))))?.flatten();
        match made.or_else(|| next.take().map(|next| next(None))) {
            Some(value) => self.set(at, value.view()),
            None => Ok(()),
        }
    }

    /// Removes the value.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn clear(&mut self, at: &mut KeyContext<'_>) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.clear(access))
    }
}

/// A list for each key. Adding does not read it.
///
/// Calls fail as those of [`ValueState`] do.
#[derive(Debug)]
pub struct ListState<T> {
    handle: keyed::ListState<T>,
}

impl<T: RowValue + Record> ListState<T> {
    /// Adds an element.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn add(&mut self, at: &mut KeyContext<'_>, element: T::View<'_>) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.add(access, element))
    }

    /// The elements, in the order in which they were added.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn get(&mut self, at: &mut KeyContext<'_>) -> Result<Vec<T>, TaskError> {
        let mut elements = Vec::new();
        self.read(at, |element| elements.push(T::own(element)))?;
        Ok(elements)
    }

    /// Calls `each` for the elements, in order; whether there are any.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn read(
        &mut self,
        at: &mut KeyContext<'_>,
        mut each: impl FnMut(T::View<'_>),
    ) -> Result<bool, TaskError> {
        at.state.access(at.key, |access| self.handle.read(access, &mut each))
    }

    /// Sets the list to other elements.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn set(&mut self, at: &mut KeyContext<'_>, elements: &[T]) -> Result<(), TaskError> {
        at.state.access(at.key, |access| {
            self.handle.set(access, elements.iter().map(|element| element.view()))
        })
    }

    /// Removes all elements.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn clear(&mut self, at: &mut KeyContext<'_>) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.clear(access))
    }
}

/// A map for each key. Entries are in the order of `M`, whose
/// [normalized key](millstream_data::order) has at most 512 bytes.
///
/// Calls fail as those of [`ValueState`] do.
#[derive(Debug)]
pub struct MapState<M, V> {
    handle: keyed::MapState<M, V>,
}

impl<M: RowValue + Ordered, V: RowValue> MapState<M, V>
where
    (M, V): RowValue + Record,
    for<'v> (M, V): Value<View<'v> = (M::View<'v>, V::View<'v>)>,
{
    /// The value of a map key; `None` if there is none.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn get(
        &mut self,
        at: &mut KeyContext<'_>,
        map_key: M::View<'_>,
    ) -> Result<Option<V>, TaskError> {
        at.state.access(at.key, |access| self.handle.get(access, map_key))
    }

    /// Sets the value of a map key.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn put<'v>(
        &mut self,
        at: &mut KeyContext<'_>,
        map_key: M::View<'v>,
        value: V::View<'v>,
    ) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.put(access, map_key, value))
    }

    /// Removes a map key, if it is there.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn remove(
        &mut self,
        at: &mut KeyContext<'_>,
        map_key: M::View<'_>,
    ) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.remove(access, map_key))
    }

    /// Calls `each` for the entries in order, from the first whose key is not below `from`, or the
    /// first of all, until it answers `false`.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn scan(
        &mut self,
        at: &mut KeyContext<'_>,
        from: Option<M::View<'_>>,
        mut each: impl FnMut(M::View<'_>, V::View<'_>) -> bool,
    ) -> Result<(), TaskError> {
        let mut position = self.handle.position(from);
        at.state.access(at.key, |access| self.handle.scan_on(access, &mut position, &mut each))
    }

    /// Removes all entries.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn clear(&mut self, at: &mut KeyContext<'_>) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.clear(access))
    }
}
