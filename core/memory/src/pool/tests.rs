//! Pools on one thread: quotas, redistribution, errors, conservation, wake-ups.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::{Audit, Leased, LocalPool, LocalPoolOptions, NetworkPool, PoolError};
use crate::segment::test_arena::TestArena;

fn network(segments: usize) -> NetworkPool {
    NetworkPool::new(Box::new(TestArena::new(segments)))
}

#[derive(Default)]
struct Count(AtomicU32);

impl Count {
    fn taken(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), Waker::from(count))
}

fn take(pool: &LocalPool, n: usize) -> Vec<crate::Segment> {
    (0..n).map(|_| pool.request().expect("the pool has a segment")).collect()
}

#[test]
fn the_segment_returned_last_goes_out_first() {
    let network = network(4);
    let pool = network.create_local(1, 4).unwrap();
    let mut held = take(&pool, 3);
    let hot = held.remove(1);
    let index = hot.index();
    drop(hot);
    assert_eq!(pool.request().unwrap().index(), index);
}

#[test]
fn sizes_follow_the_pools_that_open_and_close() {
    let network = network(16);
    let gate = network.create_local(2, 8).unwrap();
    assert_eq!(gate.size(), 8);
    let partition = network.create_local(4, usize::MAX).unwrap();
    assert_eq!((gate.size(), partition.size()), (5, 11));
    let exclusive = network.request_exclusive(4).unwrap();
    // 16 - 4 exclusive - 6 promised = 6 spare; appetites 6 and 6.
    assert_eq!((gate.size(), partition.size()), (5, 7));
    drop(gate);
    assert_eq!(partition.size(), 12);
    drop(exclusive);
    assert_eq!(partition.size(), 16);
}

#[test]
fn a_shrunk_pool_stops_until_it_is_below_its_size() {
    let network = network(8);
    let greedy = network.create_local(1, 8).unwrap();
    let mut held = take(&greedy, 8);
    let late = network.create_local(4, 4).unwrap();
    assert_eq!((greedy.size(), late.size()), (4, 4));
    assert!(late.request().is_none(), "its segments are still out");
    held.truncate(5);
    let promised = take(&late, 3);
    assert!(greedy.request().is_none(), "5 are more than its size of 4");
    held.truncate(3);
    assert!(greedy.request().is_some());
    drop((held, promised));
    assert!(network.audit().is_conserved());
}

#[test]
fn overdraft_begins_where_the_size_ends() {
    let network = network(16);
    let (name, overdraft) = ("writer".to_string(), 2);
    let options = LocalPoolOptions { name, required: 3, max: 3, overdraft };
    let pool = network.create_local_with(options).unwrap();
    let _ordinary = take(&pool, 2);
    let _third = pool.request_overdraft().unwrap();
    assert!(pool.request().is_none());
    let first_over = pool.request_overdraft().unwrap();
    let _second_over = pool.request_overdraft().unwrap();
    assert_eq!(pool.used(), 5);
    assert!(pool.request_overdraft().is_none(), "an overdraft has a limit");
    drop(first_over);
    assert!(pool.request().is_none(), "still above the size");
    assert!(pool.request_overdraft().is_some());
}

/// A task that waits for what its pool was promised reads nothing meanwhile: not the pages either that another
/// pool took above its size.
#[test]
fn overdraft_leaves_others_what_they_were_promised() {
    let network = network(8);
    let (name, overdraft) = ("writer".to_string(), 5);
    let options = LocalPoolOptions { name, required: 3, max: 3, overdraft };
    let pool = network.create_local_with(options).unwrap();
    let reader = network.create_local(4, 4).unwrap();
    let _ordinary = take(&pool, 3);
    let _one = pool.request_overdraft().expect("one is nobody's");
    assert!(pool.request_overdraft().is_none(), "the others are the reader's");
    let held = take(&reader, 4);
    drop(held);
    assert!(pool.request_overdraft().is_none(), "they still are");
    drop(reader);
    assert!(pool.request_overdraft().is_some());
}

#[test]
fn errors_say_what_is_missing_and_what_to_do() {
    let network = network(8);
    let _first = network.create_local(5, 8).unwrap();
    let options = LocalPoolOptions {
        name: "join (2/4) gate 0".to_string(),
        required: 7,
        max: 9,
        overdraft: 0,
    };
    let error = network.create_local_with(options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`join (2/4) gate 0` needs 7 network segments, but of 8 segments of 4096 bytes 5 are \
         promised already: 4 are missing; raise `memory.network.min` and `memory.network.max` by \
         16384 bytes or more, or lower the parallelism"
    );
    let error = network.create_local(4, 3).unwrap_err();
    assert!(matches!(error, PoolError::MaxBelowRequired { required: 4, max: 3, .. }), "{error}");
    assert!(network.request_exclusive(4).is_err());
    assert_eq!(network.request_exclusive(3).unwrap().len(), 3);
}

#[test]
fn exclusive_segments_that_are_not_free_yet_leave_no_trace() {
    let network = network(8);
    let greedy = network.create_local(1, 8).unwrap();
    let held = take(&greedy, 7);
    let error = network.request_exclusive(3).unwrap_err();
    assert_eq!(error, PoolError::NotYetFree { wanted: 3, missing: 2 });
    assert_eq!((greedy.size(), network.available()), (8, 1));
    assert_eq!(network.audit().leased.len(), 1);
    drop(held);
    assert_eq!(network.request_exclusive(3).unwrap().len(), 3);
}

#[test]
fn a_closed_pool_is_remembered_until_its_last_segment_is_back() {
    let network = network(4);
    let pool = network.create_local(2, 4).unwrap();
    let buffer = pool.request().unwrap().freeze(1);
    drop(pool);
    let audit = network.audit();
    assert!(audit.is_conserved());
    assert_eq!(audit.leased.len(), 1);
    assert_eq!(network.create_local(4, 4).unwrap().size(), 4, "its promise has ended");
    drop(buffer);
    assert!(network.audit().leased.is_empty());
    assert_eq!(network.audit().free, Some(4));
}

#[test]
fn an_audit_sees_lost_and_doubled_segments() {
    let audit = |free, segments| Audit {
        total: 4,
        free,
        leased: vec![Leased { id: 0, name: String::new(), segments }],
    };
    assert!(audit(Some(3), 1).is_conserved());
    assert!(!audit(Some(2), 1).is_conserved(), "lost");
    assert!(!audit(Some(4), 1).is_conserved(), "doubled");
    assert!(!audit(None, 4).is_conserved(), "not counted");
}

#[test]
fn a_waiting_task_is_woken_by_its_own_return() {
    let network = network(8);
    let pool = network.create_local(2, 2).unwrap();
    let (count, waker) = counter();
    let mut held = take(&pool, 2);
    assert!(pool.poll_request(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(count.taken(), 0);
    held.pop();
    assert_eq!(count.taken(), 1);
    held.pop();
    assert_eq!(count.taken(), 0, "one call per registration");
    assert!(matches!(pool.poll_request(&mut Context::from_waker(&waker)), Poll::Ready(_)));
}

#[test]
fn a_waiting_task_is_woken_when_its_pool_grows() {
    let network = network(4);
    let neighbour = network.create_local(2, 2).unwrap();
    let pool = network.create_local(2, 4).unwrap();
    let (count, waker) = counter();
    let _held = take(&pool, 2);
    pool.register(&waker);
    assert_eq!(count.taken(), 0);
    drop(neighbour);
    assert_eq!((count.taken(), pool.size()), (1, 4));
}

#[test]
fn a_waiting_task_is_woken_when_another_pool_returns_what_it_lacks() {
    let network = network(4);
    let greedy = network.create_local(1, 4).unwrap();
    let mut held = take(&greedy, 4);
    let pool = network.create_local(2, 2).unwrap();
    let (count, waker) = counter();
    assert!(pool.request().is_none());
    pool.register(&waker);
    assert_eq!(count.taken(), 0);
    held.pop();
    assert_eq!(count.taken(), 1);
    assert!(pool.request().is_some());
}

#[test]
fn registering_at_an_available_pool_wakes_at_once() {
    let network = network(4);
    let pool = network.create_local(1, 1).unwrap();
    let (count, waker) = counter();
    pool.register(&waker);
    assert_eq!(count.taken(), 1);
}

#[test]
fn an_unsuccessful_request_wakes_nobody() {
    let network = network(2);
    let greedy = network.create_local(1, 2).unwrap();
    let _held = take(&greedy, 2);
    let pool = network.create_local(1, 1).unwrap();
    let (count, waker) = counter();
    pool.register(&waker);
    for _ in 0..3 {
        assert!(pool.request().is_none());
    }
    assert_eq!(count.taken(), 0, "or two tasks would wake each other for ever");
}

proptest! {
    /// Whatever opens, closes, takes and returns: nothing is lost, promises are kept, quotas hold.
    #[test]
    fn segments_are_conserved(
        steps in proptest::collection::vec((0u8..6, 0usize..8, 0usize..12), 1..120),
    ) {
        let network = network(24);
        let mut pools: Vec<(LocalPool, usize)> = Vec::new();
        let mut held = Vec::new();
        for (step, a, b) in steps {
            match step {
                0 => pools.extend(network.create_local(a, a + b).ok().map(|pool| (pool, a))),
                1 if !pools.is_empty() => drop(pools.swap_remove(a % pools.len())),
                2 if !held.is_empty() => drop(held.swap_remove(b % held.len())),
                3 => held.extend(network.request_exclusive(a).into_iter().flatten()),
                _ if !pools.is_empty() => {
                    let (pool, _) = &pools[a % pools.len()];
                    let below = pool.used() < pool.size();
                    let segment = pool.request();
                    prop_assert!(segment.is_none() || below, "a quota was exceeded");
                    held.extend(segment);
                }
                _ => {}
            }
            let audit = network.audit();
            prop_assert!(audit.is_conserved(), "{audit:?}");
            prop_assert_eq!(audit.free, Some(network.total() - held.len()));
            prop_assert_eq!(network.available(), network.total() - held.len());
            let sizes: usize = pools.iter().map(|(pool, _)| pool.size()).sum();
            prop_assert!(sizes <= network.total(), "more was promised than there is");
            for (pool, required) in &pools {
                prop_assert!(pool.size() >= *required, "a promise was broken");
            }
        }
        drop((pools, held));
        prop_assert_eq!(network.audit().free, Some(24));
        prop_assert!(network.audit().leased.is_empty());
        prop_assert_eq!(network.create_local(24, 24).map(|pool| pool.size()), Ok(24));
    }
}
