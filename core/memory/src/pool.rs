//! Pools: how the segments of one arena are shared out.
//!
//! There is one [`NetworkPool`] per process. Each input gate and each result partition opens a
//! [`LocalPool`] on it, which is a *quota*, not a container: segments lie in one shared stack and
//! are taken when needed, so the hottest one goes to whoever asks next. A local pool is promised
//! its required segments; what is left over is spread over all local pools, each time one opens or
//! closes, in proportion to what each may still take. A pool whose quota shrank below what it
//! holds is not robbed: it cannot take more until enough came back.

mod error;
mod local;
mod shared;
mod spread;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;

pub use error::PoolError;
pub use local::LocalPool;
pub(crate) use shared::Shared;
pub use spread::{Quota, spread_spare};

use crate::ledger::{Ledger, Terms};
use crate::segment::{Arena, Segment};
use crate::sync::Arc;

/// How many segments above its size a local pool may take by default.
pub const OVERDRAFT_DEFAULT: u32 = 5;

/// All segments of one arena, shared out to local pools. Clones are the same pool.
///
/// ```
/// # use std::{alloc::Layout, ptr::NonNull};
/// # struct Leaked(NonNull<u8>);
/// # unsafe impl Send for Leaked {}
/// # unsafe impl Sync for Leaked {}
/// # unsafe impl millstream_memory::Arena for Leaked {
/// #     fn base(&self) -> NonNull<u8> { self.0 }
/// #     fn len(&self) -> usize { 16 * 4096 }
/// #     fn segment_size(&self) -> usize { 4096 }
/// # }
/// # let layout = Layout::from_size_align(16 * 4096, 4096).unwrap();
/// # let arena = Leaked(NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap());
/// use millstream_memory::NetworkPool;
///
/// let network = NetworkPool::new(Box::new(arena)); // 16 segments of 4 KiB
/// let gate = network.create_local(2, 8)?;
/// assert_eq!(gate.size(), 8, "alone, a pool gets all it may have");
/// let _partition = network.create_local(4, usize::MAX)?;
/// assert_eq!(gate.size(), 5, "of 10 spare segments it gets 6 / (6 + 10)");
///
/// let mut segment = gate.request().expect("nothing is taken yet");
/// segment[..5].copy_from_slice(b"hello");
/// let buffer = segment.freeze(5);
/// let reader = buffer.clone();
/// assert_eq!(&*reader, b"hello");
/// drop((buffer, reader)); // the last reader returns the segment
/// assert_eq!(network.available(), 16);
/// # Ok::<(), millstream_memory::PoolError>(())
/// ```
#[derive(Clone)]
pub struct NetworkPool(Arc<Shared>);

/// What a local pool is opened with.
#[derive(Debug, Clone)]
pub struct LocalPoolOptions {
    /// Who owns the pool, for errors and audits; for instance the name of a task and its gate.
    pub name: String,
    /// Segments that the pool may always have.
    pub required: usize,
    /// Segments that it may never exceed, overdraft apart.
    pub max: usize,
    /// Segments that [`LocalPool::request_overdraft`] may take above the current size.
    pub overdraft: usize,
}

impl NetworkPool {
    /// A pool of all segments of `arena`.
    ///
    /// # Panics
    ///
    /// When the arena breaks its contract in a way that its numbers show.
    pub fn new(arena: Box<dyn Arena>) -> Self {
        Self(Arc::new(Shared::new(arena)))
    }

    /// Opens a local pool that is promised `required` segments and gets at most `max`, with the
    /// default overdraft and no name.
    ///
    /// With `required == max` the pool is a fixed set: what an input channel wants for exclusive
    /// segments that come back to it.
    ///
    /// # Errors
    ///
    /// [`PoolError`] when `max < required`, or when the arena has not enough segments that are not
    /// promised yet.
    pub fn create_local(&self, required: usize, max: usize) -> Result<LocalPool, PoolError> {
        let (name, overdraft) = (String::new(), OVERDRAFT_DEFAULT as usize);
        self.create_local_with(LocalPoolOptions { name, required, max, overdraft })
    }

    /// Opens a local pool with every choice spelled out.
    ///
    /// # Errors
    ///
    /// As [`create_local`](Self::create_local).
    pub fn create_local_with(&self, options: LocalPoolOptions) -> Result<LocalPool, PoolError> {
        Shared::open(&self.0, options, false).map(LocalPool::new)
    }

    /// Takes `n` segments out of the pool at once, before the spare ones are computed.
    ///
    /// Each returns to the pool, and becomes spare again, when it is dropped. They do not come back
    /// to the caller; for segments that do, open a local pool with `required == max == n`.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotEnough`] when fewer than `n` are unpromised; [`PoolError::NotYetFree`] when
    /// enough are unpromised, but other pools still hold some beyond their promise. Nothing is
    /// taken then.
    pub fn request_exclusive(&self, n: usize) -> Result<Vec<Segment>, PoolError> {
        let options =
            LocalPoolOptions { name: String::from("exclusive"), required: n, max: n, overdraft: 0 };
        let ledger = Shared::open(&self.0, options, true)?;
        let mut segments = Vec::with_capacity(n);
        segments.extend(core::iter::from_fn(|| Ledger::lease(&ledger)).take(n));
        let missing = n - segments.len();
        // Closed at once: what could not be taken is given up, and the rest of the promise ends
        // segment by segment as they come back.
        self.0.close_exclusive(&ledger, missing);
        if missing > 0 {
            return Err(PoolError::NotYetFree { wanted: n, missing });
        }
        Ok(segments)
    }

    /// The number of segments in the arena.
    pub fn total(&self) -> usize {
        self.0.store.total()
    }

    /// The number of segments that nobody holds now.
    pub fn available(&self) -> usize {
        self.total().saturating_sub(self.0.leased())
    }

    /// The size of each segment in bytes.
    pub fn segment_size(&self) -> usize {
        self.0.store.segment_size()
    }

    /// The first byte of the arena, for a backend that registers it with the kernel; the arena has
    /// `total * segment_size` bytes.
    pub fn arena_base(&self) -> NonNull<u8> {
        self.0.store.base()
    }

    /// Counts every segment twice: in the free stack and in the books of the owners.
    ///
    /// For tests and for the end of a process: the numbers fit together only while no other thread
    /// takes or returns segments.
    pub fn audit(&self) -> Audit {
        let mut leased = Vec::new();
        self.0.each_ledger(|ledger| {
            let Terms { id, name, .. } = &ledger.terms;
            leased.push(Leased { id: *id, name: String::from(&**name), segments: ledger.used() });
        });
        Audit { total: self.total(), free: self.0.store.count_free(), leased }
    }
}

impl fmt::Debug for NetworkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkPool")
            .field("total", &self.total())
            .field("available", &self.available())
            .field("segment_size", &self.segment_size())
            .finish()
    }
}

/// Where all segments of a pool are; see [`NetworkPool::audit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Segments in the arena.
    pub total: usize,
    /// Segments in the free stack; `None` when it changed while it was counted.
    pub free: Option<usize>,
    /// Who holds segments, closed local pools included.
    pub leased: Vec<Leased>,
}

/// What one owner holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// Number of the local pool, ascending in order of creation.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Segments held.
    pub segments: u32,
}

impl Audit {
    /// Whether free and leased segments add up to all there are.
    pub fn is_conserved(&self) -> bool {
        let leased: usize = self.leased.iter().map(|owner| owner.segments as usize).sum();
        self.free.is_some_and(|free| free + leased == self.total)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
