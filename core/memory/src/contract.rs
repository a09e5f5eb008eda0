//! What every arena must pass: one test body for all backends (feature `contract`).
//!
//! A backend's test is one line:
//!
//! ```ignore
//! #[test]
//! fn keeps_the_contract() {
//!     millstream_memory::contract::arena(|segment_size, segments| {
//!         Box::new(HeapArena::new(segment_size, segments).unwrap())
//!     });
//! }
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use std::thread;

use crate::pool::NetworkPool;
use crate::segment::{ALIGNMENT, Arena, SEGMENT_SIZE_DEFAULT, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN};

/// Checks an arena, alone and under a pool that four threads use at once.
///
/// `make(segment_size, segments)` makes a fresh arena; it is called several times.
///
/// # Panics
///
/// When the arena breaks its contract; the message names the rule.
pub fn arena(make: impl Fn(usize, usize) -> Box<dyn Arena>) {
    for (segment_size, segments) in
        [(SEGMENT_SIZE_MIN, 1), (SEGMENT_SIZE_MIN, 33), (SEGMENT_SIZE_DEFAULT, 8)]
    {
        numbers_fit(&*make(segment_size, segments), segment_size, segments);
        segments_are_zeroed_and_distinct(make(segment_size, segments), segments);
    }
    numbers_fit(&*make(SEGMENT_SIZE_MAX, 2), SEGMENT_SIZE_MAX, 2);
    four_threads_share_the_segments(make(SEGMENT_SIZE_MIN, 12));
}

fn numbers_fit(arena: &dyn Arena, segment_size: usize, segments: usize) {
    assert_eq!(arena.base().as_ptr() as usize % ALIGNMENT, 0, "the base is aligned");
    assert_eq!(arena.segment_size(), segment_size, "the segment size is the one asked for");
    assert_eq!(arena.len(), segment_size * segments, "the length is the one asked for");
    assert_eq!(arena.base(), arena.base(), "the base does not move");
}

fn segments_are_zeroed_and_distinct(arena: Box<dyn Arena>, segments: usize) {
    let (base, segment_size) = (arena.base(), arena.segment_size());
    let network = NetworkPool::new(arena);
    let pool = network.create_local(segments, segments).expect("all segments are free");
    let mut leases: Vec<_> = core::iter::from_fn(|| pool.request()).collect();
    assert_eq!(leases.len(), segments, "every segment can be had");
    for (number, lease) in leases.iter_mut().enumerate() {
        assert_eq!(lease.len(), segment_size);
        assert!(lease.iter().all(|&byte| byte == 0), "fresh segments are zero");
        let index = lease.index().expect("a pooled segment has an index") as usize;
        let address = base.as_ptr() as usize + index * segment_size;
        assert_eq!(lease.as_ptr() as usize, address, "segments lie one after the other");
        lease.fill(number as u8 + 1);
    }
    for (number, lease) in leases.iter().enumerate() {
        let mark = number as u8 + 1;
        assert!(lease.iter().all(|&byte| byte == mark), "segments do not overlap");
    }
    drop(leases);
    assert!(network.audit().is_conserved());
}

fn four_threads_share_the_segments(arena: Box<dyn Arena>) {
    let network = NetworkPool::new(arena);
    let total = network.total();
    thread::scope(|scope| {
        for mark in 1..=4u8 {
            let pool = network.create_local(1, total).expect("four pools fit");
            scope.spawn(move || {
                let mut frozen = Vec::new();
                for round in 0..2_000 {
                    let Some(mut segment) = pool.request() else {
                        frozen.clear();
                        continue;
                    };
                    segment.fill(mark);
                    let buffer = segment.freeze(SEGMENT_SIZE_MIN);
                    if round % 3 == 0 {
                        frozen.push(buffer.clone());
                    }
                    if frozen.len() > 3 {
                        frozen.remove(0);
                    }
                    let intact = buffer.iter().chain(frozen.iter().flat_map(|b| b.iter()));
                    assert!(intact.into_iter().all(|&byte| byte == mark), "one owner at a time");
                }
            });
        }
    });
    let audit = network.audit();
    assert!(audit.is_conserved(), "no segment is lost or doubled: {audit:?}");
    assert_eq!(audit.free, Some(total), "every segment has come back");
}
