//! Who owns a key, what is remembered for it, and what time it is.
//!
//! Keyed state is divided into **key groups**, the unit that moves when a job is rescaled. A key's
//! group follows from its hash and never changes; which subtask owns a group follows from the
//! parallelism.
//!
//! A [`Backend`] keeps state as bytes behind key groups. [`MemoryBackend`] keeps it in segments of
//! managed memory, with typed handles in [`keyed`] in front of it. [`time`] has watermarks, [`window`] the
//! windows that times fall into.
//!
//! ```
//! use millstream_data::hash;
//! use millstream_memory::ManagedMemory;
//! use millstream_segments::HeapArena;
//! use millstream_state::{
//!     Backend, Keys, Kind, ManagedLease, MemoryBackend, MemoryConfig, Owned, StateSpec,
//! };
//!
//! let memory = ManagedMemory::new(Box::new(HeapArena::new(32 << 10, 64)?));
//! let lease = ManagedLease::new(memory.clone(), memory.open("count (1/1)")?);
//! let owned = Owned { first: 0, end: 128, max_parallelism: 128 };
//! let hash = |key: &[u8]| hash::bytes(hash::SEED, key);
//! let mut backend = MemoryBackend::new(lease, owned, hash, MemoryConfig::default());
//! let counts = backend.register(&StateSpec {
//!     name: "counts".into(),
//!     kind: Kind::Value,
//!     key: Some(4),
//!     namespace: Some(0),
//!     value: Some(8),
//! })?;
//!
//! // A page of keys: "pear", "plum", "pear".
//! let bytes = b"pearplumpear";
//! let hashes: Vec<u64> = bytes.chunks(4).map(hash).collect();
//! let keys = Keys::fixed(&hashes, 4, bytes);
//! let mut counted = Vec::new();
//! backend.update(counts, &keys, &0u64.to_le_bytes(), |_, value| {
//!     let count = value.first_chunk_mut().expect("8 bytes");
//!     *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
//!     counted.push(u64::from_le_bytes(*count));
//! })?;
//! assert_eq!(counted, [1, 1, 2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backend;
mod batch;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod description;
mod error;
pub mod files;
pub mod format;
pub mod key_group;
pub mod keyed;
mod lease;
pub mod list;
mod memory;
mod restore;
pub mod time;
pub mod ttl;
pub mod window;

pub use backend::{Backend, Cursor, Entry, IN_PLACE_MAX, Kind, Merge, Place, StateId, StateSpec};
pub use batch::{Column, Key, KeyHash, Keys, Owned};
pub use error::{StateError, Stopped};
pub use key_group::{KeyGroups, MAX_PARALLELISM_LIMIT, default_max_parallelism};
pub use lease::{Lease, ManagedLease};
pub use memory::{MemoryBackend, MemoryConfig};
pub use restore::{RestoreError, restore, restore_driven};
