//! Zstandard for blocks of state in files.
//!
//! Core compresses with LZ4 by itself; Zstandard is C, and comes from here. A [`Zstd`] keeps one context for
//! compressing and one for decompressing, which are made when they are first needed, and never grow beyond what
//! [`memory`](Compression::memory) says: blocks are small, and so are the tables that the library makes for
//! them.
//!
//! ```
//! use millstream_lsm::compression::Compression;
//! use millstream_zstd::Zstd;
//!
//! let (zstd, plain, mut stored) = (Zstd::new(), [7; 1000], [0; 1000]);
//! let length = zstd.compress(&plain, &mut stored).expect("room");
//! let mut again = [0; 1000];
//! assert_eq!(zstd.decompress(&stored[..length], &mut again), Some(1000));
//! assert_eq!(again, plain);
//! ```
#![forbid(unsafe_code)]

use std::{fmt, sync::Mutex};

use millstream_lsm::compression::Compression;
use zstd::zstd_safe::{CCtx, DCtx};

/// The fastest of the usual levels: those above it hardly make a block of 4 KiB any smaller.
const LEVEL: i32 = 1;
/// Bytes of both contexts at most, as the tests ask the library.
const MEMORY: u64 = 256 << 10;

/// Zstandard at level 1. Those who use one at the same time wait for each other.
#[derive(Default)]
pub struct Zstd {
    contexts: Mutex<Contexts>,
}

#[derive(Default)]
struct Contexts {
    compressing: Option<CCtx<'static>>,
    decompressing: Option<DCtx<'static>>,
}

impl Zstd {
    /// Without contexts yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Compression for Zstd {
    fn memory(&self) -> u64 {
        MEMORY
    }

    fn compress(&self, plain: &[u8], into: &mut [u8]) -> Option<usize> {
        let mut contexts = self.contexts.lock().ok()?;
        if contexts.compressing.is_none() {
            contexts.compressing = CCtx::try_create();
        }
        contexts.compressing.as_mut()?.compress(into, plain, LEVEL).ok()
    }

    fn decompress(&self, stored: &[u8], into: &mut [u8]) -> Option<usize> {
        let mut contexts = self.contexts.lock().ok()?;
        if contexts.decompressing.is_none() {
            contexts.decompressing = DCtx::try_create();
        }
        contexts.decompressing.as_mut()?.decompress(into, stored).ok()
    }
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_lsm::block::BLOCK_MAX;

    /// Blocks that compress well, a little, and not at all.
    fn blocks() -> impl Iterator<Item = Vec<u8>> {
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        (0..300).map(move |number| {
            let length = number * BLOCK_MAX / 299;
            let mut next = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                match number % 3 {
                    0 => random as u8,
                    1 => random as u8 & 7,
                    _ => number as u8,
                }
            };
            (0..length).map(|_| next()).collect()
        })
    }

    #[test]
    fn what_is_stored_is_read_and_contexts_stay_small() {
        let zstd = Zstd::new();
        let (mut stored, mut again) = (vec![0; 2 * BLOCK_MAX], vec![0; BLOCK_MAX]);
        for block in blocks() {
            let length = zstd.compress(&block, &mut stored).expect("room");
            let read = zstd.decompress(&stored[..length], &mut again[..block.len()]);
            assert_eq!((read, &again[..block.len()]), (Some(block.len()), &*block));
        }
        let contexts = zstd.contexts.lock().unwrap();
        let compressing = contexts.compressing.as_ref().map_or(0, CCtx::sizeof);
        let decompressing = contexts.decompressing.as_ref().map_or(0, DCtx::sizeof);
        let bytes = (compressing + decompressing) as u64;
        assert!(compressing > 0 && decompressing > 0);
        assert!(bytes <= MEMORY && bytes > MEMORY / 2, "{compressing} and {decompressing}");
    }

    #[test]
    fn a_frame_that_says_more_than_there_is_room_for_is_refused() {
        let zstd = Zstd::new();
        let mut stored = vec![0; 4096];
        let length = zstd.compress(&[7; 3000], &mut stored).expect("room");
        for room in [0, 1, 2999] {
            assert_eq!(zstd.decompress(&stored[..length], &mut vec![0; room]), None);
        }
        for at in 0..length {
            assert_eq!(
                zstd.decompress(&stored[..at], &mut [0; 3000]).unwrap_or(0),
                0,
                "cut at {at}"
            );
        }
        assert_eq!(zstd.decompress(b"no frame", &mut [0; 3000]), None);
        assert_eq!(zstd.compress(&[7; 3000], &mut [0; 3]), None, "no room");
    }
}
