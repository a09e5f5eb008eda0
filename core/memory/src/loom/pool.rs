//! Pools: hand-out, recycling, listeners, growing and closing.

use core::future::poll_fn;

use loom::future::block_on;
use loom::thread;

use super::{Witness, explore, network};
use crate::segment::JumboBudget;

#[test]
fn loom_pool_gives_each_segment_to_one() {
    explore(3, || {
        let network = network(2);
        let witness = Witness::new(2);
        let pools = [0, 1].map(|_| network.create_local(1, 2).unwrap());
        let [here, there] = pools;
        let other = thread::spawn({
            let witness = witness.clone();
            move || {
                for value in 0..2 {
                    let segment = there.request().expect("one is promised");
                    witness.write(segment.index(), value);
                }
            }
        });
        let first = here.request().expect("one is promised");
        witness.write(first.index(), 10);
        drop(first);
        other.join().unwrap();
        let audit = network.audit();
        assert!(audit.is_conserved() && audit.free == Some(2), "{audit:?}");
    });
}

/// The classic trap of lock-free stacks: the top is what it was, but what lies below it is not.
#[test]
fn loom_pool_is_not_fooled_by_a_top_that_came_back() {
    explore(3, || {
        let network = network(3);
        let witness = Witness::new(3);
        let (here, there) =
            (network.create_local(1, 1).unwrap(), network.create_local(2, 2).unwrap());
        let other = thread::spawn({
            let witness = witness.clone();
            move || {
                let top = there.request().expect("two are promised");
                let below = there.request().expect("two are promised");
                drop(top);
                witness.write(below.index(), 1);
                below
            }
        });
        let mine = here.request().expect("one is promised");
        witness.write(mine.index(), 2);
        let theirs = other.join().unwrap();
        assert_ne!(mine.index(), theirs.index());
        drop((mine, theirs));
        assert_eq!(network.audit().free, Some(3));
    });
}

#[test]
fn loom_pool_recycles_between_threads() {
    explore(3, || {
        let network = network(1);
        let witness = Witness::new(1);
        let pool = network.create_local(1, 1).unwrap();
        let other = thread::spawn({
            let (pool, witness) = (pool.clone(), witness.clone());
            move || {
                if let Some(segment) = pool.request() {
                    witness.write(segment.index(), 1);
                }
            }
        });
        if let Some(segment) = pool.request() {
            witness.write(segment.index(), 2);
        }
        other.join().unwrap();
        assert_eq!((pool.used(), network.audit().free), (0, Some(1)));
    });
}

#[test]
fn loom_pool_listener_hears_its_own_segment_come_back() {
    explore(3, || {
        let network = network(1);
        let pool = network.create_local(1, 1).unwrap();
        let segment = pool.request().unwrap();
        let other = thread::spawn(move || drop(segment));
        let segment = block_on(poll_fn(|cx| pool.poll_request(cx)));
        drop(segment);
        other.join().unwrap();
        assert!(network.audit().is_conserved());
    });
}

#[test]
fn loom_pool_listener_hears_the_segment_of_another_pool() {
    explore(3, || {
        let network = network(2);
        let greedy = network.create_local(1, 2).unwrap();
        let held = [greedy.request().unwrap(), greedy.request().unwrap()];
        // Promised one segment, which the greedy pool still holds.
        let late = network.create_local(1, 1).unwrap();
        let other = thread::spawn(move || {
            let [first, _second] = held;
            drop(first);
        });
        let segment = block_on(poll_fn(|cx| late.poll_request(cx)));
        drop(segment);
        other.join().unwrap();
        assert!(network.audit().is_conserved());
    });
}

/// A segment comes back, a third party snatches it away and returns it: whoever finds its quota
/// free but the store empty again must neither give up nor keep the charge.
#[test]
fn loom_pool_listener_survives_a_faster_pool() {
    explore(3, || {
        let network = network(2);
        let greedy = network.create_local(0, 2).unwrap();
        let held = [greedy.request().unwrap(), greedy.request().unwrap()];
        let late = network.create_local(1, 1).unwrap();
        let faster = network.create_local(1, 1).unwrap();
        let other = thread::spawn(move || {
            let [first, second] = held;
            drop(first);
            drop(faster.request());
            second
        });
        let segment = block_on(poll_fn(|cx| late.poll_request(cx)));
        drop(segment);
        drop(other.join().unwrap());
        assert_eq!((late.used(), network.audit().free), (0, Some(2)));
    });
}

#[test]
fn loom_pool_listener_hears_that_its_pool_grew() {
    explore(2, || {
        let network = network(2);
        let neighbour = network.create_local(1, 1).unwrap();
        let pool = network.create_local(1, 2).unwrap();
        let held = pool.request().unwrap();
        let other = thread::spawn(move || drop(neighbour));
        let second = block_on(poll_fn(|cx| pool.poll_request(cx)));
        drop((held, second));
        other.join().unwrap();
    });
}

#[test]
fn loom_pool_is_forgotten_once_with_its_last_segment() {
    explore(3, || {
        let network = network(1);
        let pool = network.create_local(1, 1).unwrap();
        let segment = pool.request().unwrap();
        let other = thread::spawn(move || drop(segment));
        drop(pool);
        other.join().unwrap();
        let audit = network.audit();
        assert!(audit.leased.is_empty() && audit.free == Some(1), "{audit:?}");
    });
}

#[test]
fn loom_pool_exclusive_segments_become_spare_again() {
    explore(2, || {
        let network = network(2);
        let exclusive = network.request_exclusive(2).unwrap();
        let other = thread::spawn(move || drop(exclusive));
        let pool = loop {
            match network.create_local(2, 2) {
                Ok(pool) => break pool,
                Err(_) => thread::yield_now(),
            }
        };
        let first = block_on(poll_fn(|cx| pool.poll_request(cx)));
        let second = block_on(poll_fn(|cx| pool.poll_request(cx)));
        drop((first, second));
        other.join().unwrap();
        assert_eq!(network.audit().free, Some(2));
    });
}

#[test]
fn loom_jumbo_listener_hears_bytes_come_back() {
    explore(3, || {
        let budget = JumboBudget::new(10, 10);
        let lease = budget.reserve(10).unwrap();
        let other = thread::spawn(move || drop(lease));
        block_on(poll_fn(|cx| {
            budget.register(cx.waker());
            match budget.reserve(1) {
                Ok(_lease) => core::task::Poll::Ready(()),
                Err(_) => core::task::Poll::Pending,
            }
        }));
        other.join().unwrap();
        assert_eq!(budget.reserved(), 0);
    });
}
