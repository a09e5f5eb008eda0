//! The states of a process function: typed handles that work on the key at hand.
//!
//! A handle of [`millstream_state::keyed`] may have to be called again when a page belongs to an open
//! snapshot; these are, and so a function never sees that there is a snapshot.

use alloc::{vec, vec::Vec};

use millstream_data::{Value, order::Ordered, row::RowValue, value::Record};
use millstream_state::{
    StateId,
    description::Part,
    keyed::{self, Descriptor, Position},
    ttl::{Cleanup, STAMP, Ttl},
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
    ttl: Option<Ttl>,
}

impl<'a> StateRegistry<'a> {
    /// For keys of `key` bytes, if all have the same, in namespaces of `namespace` bytes.
    pub(in crate::operator) fn new(
        state: &'a mut KeyedState,
        key: Option<usize>,
        namespace: usize,
    ) -> Self {
        Self { state, key, namespace, ttl: None }
    }

    /// Where states are added that are forgotten a while after they were last used:
    /// `states.living(Ttl::new(60_000)).value("count")?`. Time is processing time. Of a list each
    /// element lives by itself, and of a map each entry. What has expired is never seen, unless the
    /// time to live says so; it is removed bit by bit as the state is used, and left out of
    /// snapshots.
    pub fn living(&mut self, ttl: Ttl) -> StateRegistry<'_> {
        let Self { state, key, namespace, .. } = self;
        StateRegistry { state, key: *key, namespace: *namespace, ttl: Some(ttl) }
    }

    fn descriptor(&self, name: &str) -> Descriptor {
        let namespace = Some(self.namespace);
        Descriptor { key: self.key, namespace, ttl: self.ttl, ..Descriptor::new(name) }
    }

    /// Says what the bytes of a state mean that was added, and gives what removes them when they have
    /// expired.
    fn added(&mut self, id: StateId, mut contents: Contents) -> Expiry {
        if self.ttl.is_some() {
            contents.value.insert(0, Part::Opaque(Some(STAMP as u32)));
        }
        self.state.describe(id, contents.within(self.namespace));
        Expiry(self.ttl.map(|ttl| self.state.expires(id, ttl)))
    }

    /// Adds one value for each key.
    ///
    /// # Errors
    /// If a state of this name exists already, or there is no memory for it.
    pub fn value<T: RowValue + Record>(&mut self, name: &str) -> Result<ValueState<T>, TaskError> {
        let descriptor = self.descriptor(name);
        let register = |store: &mut _| keyed::ValueState::register(store, &descriptor);
        let handle = self.state.handle(register, keyed::ValueState::id)?;
        let expiry = self.added(handle.id(), Contents::rows::<T>());
        Ok(ValueState { handle, expiry })
    }

    /// Adds a list for each key.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn list<T: RowValue + Record>(&mut self, name: &str) -> Result<ListState<T>, TaskError> {
        let descriptor = self.descriptor(name);
        let register = |store: &mut _| keyed::ListState::register(store, &descriptor);
        let handle = self.state.handle(register, keyed::ListState::id)?;
        let expiry = self.added(handle.id(), Contents::rows::<T>());
        Ok(ListState { handle, expiry })
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
        let contents = Contents { map_key: vec![Part::Opaque(None)], ..Contents::rows::<(M, V)>() };
        let expiry = self.added(handle.id(), contents);
        Ok(MapState { handle, expiry, position: Position::default() })
    }
}

/// Removes what has expired, a few entries with each use of a state.
#[derive(Debug)]
struct Expiry(Option<Cleanup>);

impl Expiry {
    #[inline]
    fn step(&mut self, at: &mut KeyContext<'_>) -> Result<(), TaskError> {
        match &mut self.0 {
            None => Ok(()),
            Some(cleanup) => at.state.clean(cleanup),
        }
    }
}

/// One value for each key.
///
/// All calls fail if the managed memory is used up, if the value is too large for it, or if what lies
/// there does not read as a `T`. A function passes that on with `?`, and the task fails.
#[derive(Debug)]
pub struct ValueState<T> {
    handle: keyed::ValueState<T>,
    expiry: Expiry,
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
        self.expiry.step(at)?;
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
        self.expiry.step(at)?;
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
    expiry: Expiry,
}

impl<T: RowValue + Record> ListState<T> {
    /// Adds an element.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn add(&mut self, at: &mut KeyContext<'_>, element: T::View<'_>) -> Result<(), TaskError> {
        self.expiry.step(at)?;
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
        self.expiry.step(at)?;
        at.state.access(at.key, |access| self.handle.read(access, &mut each))
    }

    /// Sets the list to other elements.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn set(&mut self, at: &mut KeyContext<'_>, elements: &[T]) -> Result<(), TaskError> {
        self.expiry.step(at)?;
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
    expiry: Expiry,
    /// Where a scan goes on.
    position: Position,
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
        self.expiry.step(at)?;
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
        self.expiry.step(at)?;
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
        self.expiry.step(at)?;
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
        self.expiry.step(at)?;
        let Self { handle, position, .. } = self;
        handle.begin(from, position);
        at.state.access(at.key, |access| handle.scan_on(access, position, &mut each))
    }

    /// Removes all entries.
    ///
    /// # Errors
    /// See [`ValueState`].
    pub fn clear(&mut self, at: &mut KeyContext<'_>) -> Result<(), TaskError> {
        at.state.access(at.key, |access| self.handle.clear(access))
    }
}
