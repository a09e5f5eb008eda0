//! What a state backend is: bytes behind a key group, a page of keys at a time.
//!
//! A backend keeps, for each state of an operator, a value for each key and namespace. It knows
//! nothing of types: keys, namespaces and values are rows. Engines that call their state once a row
//! lose more than their columns win, so every call takes a batch of [`Keys`]; a batch of one
//! ([`Key::batch`]) serves process functions.
//!
//! **Out of budget** is an error, [`StateError::OutOfBudget`]: a backend never takes more than it was
//! given. **A call that stops** says how many keys were served, and may be repeated from there.
//!
//! **A backend with files** never blocks: a call that needs what is not in memory stops with
//! [`StateError::Waits`]. Its driver lets it work, feeds it what the storage has completed, and repeats
//! the call for the keys that were not served. Reading stops in the same way: places that were pushed
//! are those of the first keys and good until the backend works again, and a scan is repeated from
//! behind the last entry that it has shown.

use alloc::{string::String, vec::Vec};

use crate::{Column, Key, Keys, StateError, Stopped};

/// Bytes of the largest value that is changed in place, with its key and namespace.
pub const IN_PLACE_MAX: usize = 800;

/// A state of a backend, as [`Backend::register`] numbered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub u16);

/// What a state is like.
#[derive(Clone, Debug)]
pub struct StateSpec {
    /// Its name, unique in its operator.
    pub name: String,
    /// What it keeps for a key and namespace.
    pub kind: Kind,
    /// Bytes of keys, if all have the same.
    pub key: Option<usize>,
    /// Bytes of namespaces, if all have the same; 0 without namespaces.
    pub namespace: Option<usize>,
    /// Bytes of values, if all have the same; of the elements of a list; of the values of a map.
    pub value: Option<usize>,
}

/// What a state keeps for a key and namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value.
    Value,
    /// Elements, in the order in which they were appended.
    List,
    /// Entries, in the order of the bytes of their map keys.
    Map,
}

/// How an operand becomes part of a value of the same fixed size.
pub type Merge = fn(value: &mut [u8], operand: &[u8]);

/// Where a value lies until the next call that changes its backend. The numbers are the backend's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page.
    pub page: u32,
    /// Where in the page, in bytes.
    pub at: u16,
    /// Bytes, and what the backend says of them.
    pub length: u16,
}

impl Place {
    /// Of a key that has no value.
    pub const ABSENT: Self = Self { page: u32::MAX, at: 0, length: 0 };

    /// Whether there is no value.
    pub fn is_absent(&self) -> bool {
        self.page == u32::MAX
    }
}

/// Keeps state: bytes behind a key group, a page of keys at a time.
///
/// The suite in `contract` (feature `contract`) checks an implementation.
pub trait Backend {
    /// Adds a state.
    ///
    /// # Errors
    /// [`StateError::Misused`] if a state of the name exists already; [`StateError::OutOfBudget`].
    fn register(&mut self, spec: &StateSpec) -> Result<StateId, StateError>;

    /// Finds values: pushes a place for each key, in order.
    ///
    /// # Errors
    /// [`StateError::ForeignKey`], [`StateError::Misused`].
    fn lookup(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError>;

    /// Asks for what calls for each of these keys will read, so that a call of its own for each does not wait
    /// for memory where calls for all do not. Backends may do nothing.
    fn read_ahead(&self, state: StateId, keys: &Keys<'_>) {
        let _ = (state, keys);
    }

    /// Finds the value of one key, for process functions.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    fn find(&self, state: StateId, key: &Key<'_>) -> Result<Place, StateError>;

    /// The pieces of a value, in order: one for a value of fixed size. Those of a list are its
    /// [elements](crate::list); a piece may end within one. Nothing for a place that is absent, and for
    /// that of a map as a whole.
    fn pieces(&self, place: Place) -> impl Iterator<Item = &[u8]>;

    /// The values of a state must have a fixed size, at most [`IN_PLACE_MAX`] bytes with key and namespace.
    ///
    /// Calls `each` once for each key, in order, with its number and its value of fixed size, which
    /// is `initial` if there was none, to be changed in place.
    ///
    /// # Errors
    /// Any of [`StateError`]: what was not served is as it was.
    fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped>
    where
        Self: Sized;

    /// Merges an operand into each key's value of fixed size; the first operand is the value.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn merge(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        operands: Column<'_>,
        merge: Merge,
    ) -> Result<(), Stopped>;

    /// Sets the value of each key.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn put(&mut self, state: StateId, keys: &Keys<'_>, values: Column<'_>) -> Result<(), Stopped>;

    /// Appends an element to the list of each key, which is not read.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn append(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        elements: Column<'_>,
    ) -> Result<(), Stopped>;

    /// Sets the whole list of a key to [elements](crate::list), all or nothing; to none if there are
    /// none.
    ///
    /// # Errors
    /// Any of [`StateError`]; [`StateError::Misused`] if the bytes end within an element.
    fn put_list(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError>;

    /// Sets the value of a map key in the map of each key.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn put_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        values: Column<'_>,
    ) -> Result<(), Stopped>;

    /// Removes a map key from the map of each key, if it is there. A key without entries is absent.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn remove_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
    ) -> Result<(), Stopped>;

    /// Finds the values of map keys: pushes a place for each key, in order.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    fn lookup_entries(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError>;

    /// Finds the value of one map key of one key.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    fn find_entry(
        &self,
        state: StateId,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<Place, StateError>;

    /// Calls `each` for the entries of a key's map, in the order of their map keys, from the first
    /// that is not below `from`, until it answers `false`.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    fn scan_entries(
        &self,
        state: StateId,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError>;

    /// Removes what each key has, if anything.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn remove(&mut self, state: StateId, keys: &Keys<'_>) -> Result<(), Stopped>;

    /// Calls `each` for entries of a key group, in an order of the backend's own, from where a
    /// cursor stands, until it answers `false`; the cursor then stands behind that entry.
    ///
    /// If the state is changed between two calls with the same cursor, what was there all the time
    /// may be skipped or come twice.
    ///
    /// # Errors
    /// [`StateError::ForeignKey`], [`StateError::Misused`].
    fn scan(
        &self,
        state: StateId,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<(), StateError>;

    /// Removes all entries of a namespace in all key groups: reads the whole state.
    ///
    /// # Errors
    /// Any of [`StateError`]; some entries are removed then, and a repeated call removes the others.
    fn clear_namespace(&mut self, state: StateId, namespace: &[u8]) -> Result<(), StateError>;

    /// Freezes the state as it is. It is then read with [`next_chunk`](Self::next_chunk), while it goes
    /// on changing. [`StateError::SnapshotFirst`] says that a change has to wait for the next chunk.
    ///
    /// # Errors
    /// [`StateError::SnapshotOpen`]; [`StateError::OutOfBudget`].
    fn open_snapshot(&mut self) -> Result<(), StateError>;

    /// Appends the next chunk of the open snapshot to `out`, in the [canonical
    /// format](crate::format); `false` if there was no more, and the snapshot is closed.
    ///
    /// # Errors
    /// [`StateError::Waits`], with nothing appended; [`StateError::Storage`] and
    /// [`StateError::DamagedFile`]: the snapshot is not to be used.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, StateError>;

    /// Closes a snapshot that is not wanted any more.
    fn abort_snapshot(&mut self);

    /// What a state was registered as; `None` if there is no such state.
    fn spec(&self, state: StateId) -> Option<&StateSpec>;

    /// How many keys and namespaces have a value. A backend that writes without reading what was there
    /// cannot know: it then answers how many entries it keeps, those that others replace included.
    fn entries(&self, state: StateId) -> u64;

    /// Bytes of the budget that are held.
    fn held(&self) -> u64;
}

/// Where a scan of a key group stands; by default at its begin. The numbers are the backend's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// How far, as a fraction of 2^64.
    pub position: u64,
    /// Entries there that are behind the cursor.
    pub entry: u32,
    /// Whether it is at the end.
    pub is_done: bool,
}

/// An entry of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Bytes of the key.
    pub key: &'a [u8],
    /// Its namespace.
    pub namespace: &'a [u8],
    /// Where the value is.
    pub value: Place,
}

impl Entry<'_> {
    /// The entry's key, for a call of the backend.
    pub fn keyed(&self, hash: u64) -> Key<'_> {
        Key { hash, key: self.key, namespace: self.namespace }
    }
}
