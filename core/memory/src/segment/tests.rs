//! Leases and buffers of every origin.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;

use super::test_arena::TestArena;
use super::{
    JumboBudget, JumboError, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN, Segment, check_segment_size,
};
use crate::pool::NetworkPool;

fn network(segments: usize) -> NetworkPool {
    NetworkPool::new(Box::new(TestArena::new(segments)))
}

#[test]
fn sizes_are_powers_of_two_within_the_limits() {
    for good in [SEGMENT_SIZE_MIN, 32 << 10, SEGMENT_SIZE_MAX] {
        assert_eq!(check_segment_size(good), Ok(()));
    }
    for bad in [0, 2048, 4095, 4097, 12 << 10, SEGMENT_SIZE_MAX * 2, usize::MAX] {
        let error = check_segment_size(bad).unwrap_err();
        assert!(alloc::format!("{error}").contains("power of two"), "{error}");
    }
}

#[test]
fn segments_of_one_arena_do_not_overlap() {
    let network = network(3);
    let pool = network.create_local(3, 3).unwrap();
    let mut segments: Vec<_> = core::iter::from_fn(|| pool.request()).collect();
    assert_eq!(segments.len(), 3);
    for (number, segment) in segments.iter_mut().enumerate() {
        assert!(segment.iter().all(|&byte| byte == 0));
        segment.fill(number as u8 + 1);
    }
    for (number, segment) in segments.iter().enumerate() {
        assert_eq!(segment.len(), SEGMENT_SIZE_MIN);
        assert!(segment.iter().all(|&byte| byte == number as u8 + 1));
        let offset = segment.as_ptr() as usize - network.arena_base().as_ptr() as usize;
        assert_eq!(segment.index(), Some((offset / SEGMENT_SIZE_MIN) as u32));
        assert_eq!(segment.arena_base(), Some(network.arena_base()));
    }
}

#[test]
fn the_last_reader_returns_the_segment() {
    let network = network(1);
    let pool = network.create_local(1, 1).unwrap();
    let mut segment = pool.request().unwrap();
    segment[..6].copy_from_slice(b"abcdef");
    let whole = segment.freeze(6);
    let part = whole.slice(2..4);
    let nothing = part.slice(2..);
    assert_eq!((&*whole, &*part, &*nothing), (&b"abcdef"[..], &b"cd"[..], &b""[..]));
    assert_eq!((whole.index(), part.index()), (Some(0), Some(0)));
    drop(whole);
    drop(nothing);
    assert!(pool.request().is_none());
    drop(part);
    assert!(pool.request().is_some());
}

#[test]
fn only_the_only_reader_may_write_again() {
    let network = network(1);
    let pool = network.create_local(1, 1).unwrap();
    let mut segment = pool.request().unwrap();
    segment[..3].copy_from_slice(b"abc");
    let buffer = segment.freeze(3);
    let reader = buffer.clone();
    let buffer = buffer.try_unfreeze().expect_err("somebody else reads");
    assert_eq!(&*buffer, b"abc");
    drop(reader);
    let part = buffer.slice(1..);
    drop(buffer);
    let segment = part.try_unfreeze().expect("nobody else reads");
    assert_eq!((segment.len(), &segment[..3]), (SEGMENT_SIZE_MIN, &b"abc"[..]));
    drop(segment);
    assert_eq!(pool.used(), 0);
    assert!(network.audit().is_conserved());
}

#[test]
#[should_panic(expected = "cannot freeze 4097 bytes")]
fn freezing_more_than_there_is_panics() {
    let network = network(1);
    let pool = network.create_local(1, 1).unwrap();
    let _buffer = pool.request().unwrap().freeze(SEGMENT_SIZE_MIN + 1);
}

#[test]
#[should_panic(expected = "the range 2..5 is not within a buffer of 4 bytes")]
fn slicing_beyond_the_end_panics() {
    let network = network(1);
    let pool = network.create_local(1, 1).unwrap();
    let _part = pool.request().unwrap().freeze(4).slice(2..=4);
}

/// Counts releases per token, as a lender across a C border would.
unsafe extern "C" fn release(ctx: *mut c_void, token: u64) {
    // SAFETY: the tests pass a pointer to an `AtomicU64` that outlives the segment.
    let released = unsafe { &*ctx.cast::<AtomicU64>() };
    released.fetch_add(token, Ordering::Relaxed);
}

#[test]
fn a_foreign_segment_is_released_once_with_its_token() {
    let released = AtomicU64::new(0);
    let mut bytes = [7u8; 16];
    let mut lend = |token| {
        let start = NonNull::new(bytes.as_mut_ptr()).unwrap();
        let ctx = (&raw const released).cast_mut().cast();
        // SAFETY: each segment is dropped before the next one is lent and before `bytes` ends.
        unsafe { Segment::foreign(start, 16, ctx, token, release) }
    };
    let mut segment = lend(1);
    assert_eq!((&segment[..], segment.index(), segment.arena_base()), (&[7; 16][..], None, None));
    segment[0] = 9;
    drop(segment);
    assert_eq!(released.load(Ordering::Relaxed), 1);

    let buffer = lend(10).freeze(4);
    let reader = buffer.slice(..1);
    drop(buffer);
    assert_eq!(released.load(Ordering::Relaxed), 1);
    assert_eq!(&*reader, [9]);
    let segment = reader.try_unfreeze().expect("nobody else reads");
    assert_eq!(segment.len(), 16);
    assert_eq!(released.load(Ordering::Relaxed), 1);
    drop(segment);
    assert_eq!(released.load(Ordering::Relaxed), 11);
}

#[test]
fn a_jumbo_row_has_contiguous_memory_of_its_own_size() {
    let budget = JumboBudget::new(1 << 20, 16 << 20);
    let lease = budget.reserve(100_001).unwrap();
    let mut segment = Segment::jumbo(lease, 100_001).unwrap();
    assert_eq!((segment.len(), segment.index()), (100_001, None));
    assert_eq!(segment.as_ptr() as usize % 16, 0);
    assert!(segment.iter().all(|&byte| byte == 0));
    segment[100_000] = 1;
    let buffer = segment.freeze(100_001);
    let tail = buffer.slice(100_000..);
    drop(buffer);
    assert_eq!((&*tail, budget.reserved()), (&[1][..], 100_001));
    let segment = tail.try_unfreeze().expect("nobody else reads");
    assert_eq!((segment.len(), budget.reserved()), (100_001, 100_001));
    drop(segment);
    assert_eq!(budget.reserved(), 0);
}

#[test]
fn one_jumbo_row_can_always_proceed() {
    let budget = JumboBudget::new(1000, 5000);
    let large = budget.reserve(5000).expect("nothing else is reserved");
    assert_eq!(
        budget.reserve(1).unwrap_err(),
        JumboError::BudgetUsed { bytes: 1, reserved: 5000, limit: 1000 }
    );
    let error = budget.reserve(5001).unwrap_err();
    assert!(alloc::format!("{error}").contains("`max-record-size`"), "{error}");
    drop(large);
    let (_a, _b) = (budget.reserve(400).unwrap(), budget.reserve(600).unwrap());
    assert!(budget.reserve(1).is_err());
}

#[test]
fn a_jumbo_segment_stays_within_its_reservation() {
    let budget = JumboBudget::new(1000, 1000);
    for len in [0, 11] {
        let error = Segment::jumbo(budget.reserve(10).unwrap(), len).unwrap_err();
        assert_eq!(error, JumboError::OutsideReservation { bytes: len as u64, reserved: 10 });
    }
    assert_eq!(budget.reserved(), 0, "a refused lease is given back");
}

#[test]
fn registering_at_an_unused_jumbo_budget_wakes_at_once() {
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let woken = Arc::new(Woken(AtomicU64::new(0)));
    let budget = JumboBudget::new(10, 10);
    let lease = budget.reserve(10).unwrap();
    budget.register(&Waker::from(woken.clone()));
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    drop(lease);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    budget.register(&Waker::from(woken.clone()));
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
}
