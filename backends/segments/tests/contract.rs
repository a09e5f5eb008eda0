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

#[cfg(target_os = "linux")]
mod mmap {
    use std::fs;
    use std::io;

    use millstream_memory::{Arena, contract};
    use millstream_segments::{ArenaError, MmapArena, MmapOptions};

    fn make(segment_size: usize, segments: usize, options: MmapOptions) -> Box<MmapArena> {
        Box::new(MmapArena::with_options(segment_size, segments, options).unwrap())
    }

    #[test]
    fn plain() {
        contract::arena(|size, segments| make(size, segments, MmapOptions::default()));
    }

    #[test]
    fn huge() {
        let options = MmapOptions { huge_pages: true, locked: false };
        contract::arena(|size, segments| make(size, segments, options));
        let arena = make(32 << 10, 128, options);
        assert_eq!(arena.base().as_ptr() as usize % (2 << 20), 0, "huge pages need alignment");
        let known = fs::exists("/sys/kernel/mm/transparent_hugepage/enabled").unwrap();
        assert_eq!(arena.huge_pages(), known, "granted where the kernel knows them");
    }

    #[test]
    fn locked_or_refused_with_the_name_of_the_limit() {
        let options = MmapOptions { huge_pages: false, locked: true };
        match MmapArena::with_options(1 << 20, 16, options) {
            Ok(arena) => {
                let status = fs::read_to_string("/proc/self/status").unwrap();
                let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
                let locked: u64 = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
                assert!(locked >= 16 << 10, "{locked} KiB are locked");
                drop(arena);
            }
            Err(error) => assert!(matches!(error, ArenaError::LockRefused { .. }), "{error}"),
        }
        let cause = io::Error::from_raw_os_error(12);
        let error = ArenaError::LockRefused { bytes: 16 << 20, limit: Some(8 << 20), cause };
        let text = error.to_string();
        assert!(text.contains("RLIMIT_MEMLOCK is 8388608 bytes: raise it"), "{text}");
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let error = MmapArena::new(5000, 1).unwrap_err();
        assert!(error.to_string().contains("power of two"), "{error}");
        let error = MmapArena::new(16 << 20, 1 << 30).unwrap_err();
        assert!(matches!(error, ArenaError::OutOfMemory { .. }), "{error}");
    }
}
