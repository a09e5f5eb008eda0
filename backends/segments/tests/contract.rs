//! Every arena of this crate passes the contract suite of the core.

use millstream_memory::contract;
use millstream_segments::{ArenaError, HeapArena};

#[test]
fn heap_arena() {
    contract::arena(|size, segments| Box::new(HeapArena::new(size, segments).unwrap()));
}

#[test]
fn impossible_numbers_are_refused_with_advice() {
    for (segment_size, segments, advice) in [
        (5000, 1, "power of two"),
        (4096, 0, "at least one segment"),
        (4096, usize::MAX / 2, "less than the address space"),
        (4096, 1 << 31, "less than the address space"),
    ] {
        let error = HeapArena::new(segment_size, segments).unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
    }
    let error = HeapArena::new(16 << 20, 1 << 30).unwrap_err();
    assert!(matches!(error, ArenaError::OutOfMemory { .. }), "{error}");
}
