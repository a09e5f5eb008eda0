//! Typed handles: values, lists, maps and aggregates of the current key.
//!
//! A handle knows a state of a [`Backend`](crate::Backend) and the type of what it keeps; rows are its bytes
//! ([`millstream_data::row`]). Where it works is an [`Access`]: the backend, the key whose state is
//! meant, and the time, by which state with a [time to live](crate::ttl) expires. What is of fixed
//! size is read and changed where it lies.
//!
//! [`SnapshotFirst`](crate::StateError::SnapshotFirst) comes through to the caller, who takes the next chunk of the
//! snapshot and repeats the call: a call that failed has changed nothing.
//!
//! ```
//! # use millstream_memory::ManagedMemory;
//! # use millstream_segments::HeapArena;
//! # use millstream_state::{ManagedLease, MemoryBackend, MemoryConfig, Owned};
//! use millstream_data::hash;
//! use millstream_state::{Key, keyed::{Access, Descriptor, ValueState}};
//! # let memory = ManagedMemory::new(Box::new(HeapArena::new(32 << 10, 64)?));
//! # let lease = ManagedLease::new(memory.clone(), memory.open("sum (1/1)")?);
//! # let owned = Owned { first: 0, end: 128, max_parallelism: 128 };
//! # let hash = |key: &[u8]| hash::bytes(hash::SEED, key);
//! # let mut backend = MemoryBackend::new(lease, owned, hash, MemoryConfig::default());
//!
//! let mut last = ValueState::<(u64, String)>::register(&mut backend, &Descriptor::new("last"))?;
//! let key = Key { hash: hash(b"plum"), key: b"plum", namespace: b"" };
//! let mut access = Access { backend: &mut backend, key, now: 0 };
//! last.set(&mut access, (7, "ripe"))?;
//! assert_eq!(last.get(&mut access)?, Some((7, "ripe".into())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aggregating;
mod list;
mod map;
mod stored;
#[cfg(test)]
mod tests;
mod value;

use alloc::string::String;

pub use aggregating::{AggregateFunction, AggregatingState, ReducingState};
pub use list::ListState;
pub use map::{MapState, Position};
pub use value::ValueState;

use crate::{Key, ttl::Ttl};

/// What a state is called and how long it lives.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// Its name, unique in its operator.
    pub name: String,
    /// Bytes of keys, if all have the same.
    pub key: Option<usize>,
    /// Bytes of namespaces, if all have the same; 0 without namespaces.
    pub namespace: Option<usize>,
    /// How long it lives, if not for ever.
    pub ttl: Option<Ttl>,
}

impl Descriptor {
    /// State of this name that lives for ever, for keys of any size without namespaces.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), key: None, namespace: Some(0), ttl: None }
    }
}

/// Where a handle works.
#[derive(Debug)]
pub struct Access<'a, B> {
    /// The backend that the handle was registered with.
    pub backend: &'a mut B,
    /// The current key and its namespace.
    pub key: Key<'a>,
    /// The processing time, in milliseconds since the epoch.
    pub now: i64,
}
