//! Loom models of everything that two threads touch at once.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p millstream-memory --release --lib loom` explores every
//! interleaving of each model (up to a number of preemptions where that is said), under the C11
//! memory model. A lost wake-up shows as a deadlock, an unsynchronised hand-over as a data race on
//! a [`Witness`] cell that stands for the bytes of a segment.

mod buffer;
mod lock;
mod pool;
mod ring;
mod waker;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::pool::NetworkPool;
use crate::segment::test_arena::TestArena;
use crate::sync::{Arc, UnsafeCell};

/// Explores all interleavings with at most `preemptions` switches away from a runnable thread.
///
/// Models with locks and several atomics are too large for all; two or three preemptions find
/// nearly every known bug of this kind. `LOOM_MAX_PREEMPTIONS` goes deeper.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = ::loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

fn network(segments: usize) -> NetworkPool {
    NetworkPool::new(Box::new(TestArena::new(segments)))
}

/// One loom cell per segment, touched whenever the bytes of the segment would be.
#[derive(Clone)]
struct Witness(Arc<Vec<UnsafeCell<u32>>>);

// SAFETY: sharing the cells is the point: loom reports any access that the pool did not order.
unsafe impl Send for Witness {}
// SAFETY: as above.
unsafe impl Sync for Witness {}

impl Witness {
    fn new(segments: usize) -> Self {
        Self(Arc::new((0..segments).map(|_| UnsafeCell::new(0)).collect()))
    }

    fn write(&self, index: Option<u32>, value: u32) {
        let index = index.expect("pooled segments have an index") as usize;
        // SAFETY: the caller holds the lease of the segment; loom checks it.
        self.0[index].with_mut(|cell| unsafe { *cell = value });
    }

    fn read(&self, index: Option<u32>) -> u32 {
        let index = index.expect("pooled segments have an index") as usize;
        // SAFETY: the caller holds a buffer of the segment; loom checks it.
        self.0[index].with(|cell| unsafe { *cell })
    }
}
