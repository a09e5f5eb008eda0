//! Nothing is allocated per page: not to take a segment, freeze, share, send, wait or return it.
//!
//! A test program of its own, with one test: the counter belongs to the whole process.
#![cfg(not(loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use millstream_memory::lend::LendTable;
use millstream_memory::view::{Input, InputView, Output, SliceWriter};
use millstream_memory::{Arena, Buffer, NetworkPool, Ring};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(start, layout) }
    }
}

/// Eight segments of 4 KiB that live as long as the program.
struct Leaked(NonNull<u8>);

const LAYOUT: Layout = match Layout::from_size_align(8 * 4096, 4096) {
    Ok(layout) => layout,
    Err(_) => panic!("not a layout"),
};

impl Leaked {
    fn new() -> Self {
        // SAFETY: the layout is not empty.
        Self(NonNull::new(unsafe { std::alloc::alloc_zeroed(LAYOUT) }).expect("memory"))
    }
}

// SAFETY: the memory is never touched by the arena.
unsafe impl Send for Leaked {}
// SAFETY: as above.
unsafe impl Sync for Leaked {}

// SAFETY: one zeroed, aligned allocation of whole segments that is never freed.
unsafe impl Arena for Leaked {
    fn base(&self) -> NonNull<u8> {
        self.0
    }

    fn len(&self) -> usize {
        LAYOUT.size()
    }

    fn segment_size(&self) -> usize {
        4096
    }
}

#[test]
fn pages_flow_without_allocations() {
    let network = NetworkPool::new(Box::new(Leaked::new()));
    let pool = network.create_local(2, 4).expect("eight segments are free");
    let (mut producer, mut consumer) = Ring::<Buffer>::with_capacity(4);
    let table = LendTable::new(2);
    // Tables that grow to their largest size once.
    let token = table.lend(pool.request().expect("a segment")).expect("a slot");
    drop(table.take_back(token));

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for round in 0..1_000u64 {
        let segment = pool.request().expect("a segment");
        let token = table.lend(segment).expect("a slot");
        let mut segment = table.take_back(token).expect("the token is new");
        let mut writer = SliceWriter::new(&mut segment);
        writer.write_u64(round).expect("there is room");
        writer.write_str("a row").expect("there is room");
        let len = writer.position() as usize;
        let buffer = segment.freeze(len);
        producer.push(buffer.slice(..)).expect("there is room");
        let received = consumer.pop().expect("it was pushed");
        let pieces = [buffer, received];
        let mut input = InputView::new(&pieces);
        assert_eq!(input.read_u64(), Ok(round));
        assert_eq!(input.read_str().expect("it was written"), "a row");
        let [buffer, received] = pieces;
        drop(buffer);
        let segment = received.try_unfreeze().expect("the other reader is gone");
        let _overdraft = [pool.request(), pool.request(), pool.request(), pool.request_overdraft()];
        assert!(pool.request().is_none());
        pool.register(Waker::noop());
        drop(segment);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
