//! Arenas take addresses at once and memory when it is touched.
//!
//! A test program of its own, with one test: the resident size belongs to the whole process.
#![cfg(target_os = "linux")]

use std::fs;

use millstream_memory::{Arena, NetworkPool};
use millstream_segments::{HeapArena, MmapArena};

const SEGMENT: usize = 32 << 10;
const SEGMENTS: usize = 32 << 10; // 1 GiB
const TOUCHED: usize = 512; // 16 MiB

#[test]
fn only_what_is_touched_is_occupied() {
    check(Box::new(HeapArena::new(SEGMENT, SEGMENTS).unwrap()));
    check(Box::new(MmapArena::new(SEGMENT, SEGMENTS).unwrap()));
}

fn check(arena: Box<dyn Arena>) {
    let network = NetworkPool::new(arena);
    let pool = network.create_local(SEGMENTS, SEGMENTS).unwrap();
    let before = resident();
    let mut held: Vec<_> = (0..TOUCHED).map(|_| pool.request().unwrap()).collect();
    assert!(resident() - before < 4 << 20, "taking segments touches nothing");
    held.iter_mut().for_each(|segment| segment.fill(1));
    let touched = resident() - before;
    assert!(
        (TOUCHED * SEGMENT..TOUCHED * SEGMENT + (4 << 20)).contains(&touched),
        "{touched} bytes are resident after touching {}",
        TOUCHED * SEGMENT
    );
    drop(held);
    for _ in 0..10 * TOUCHED {
        pool.request().unwrap().fill(2);
    }
    assert!(resident() - before < TOUCHED * SEGMENT + (4 << 20), "hot segments are used again");
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}
