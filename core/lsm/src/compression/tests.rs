//! What is stored is read, and nothing else is.

extern crate std;

use std::{vec, vec::Vec};

use proptest::{collection, prelude::*};

use super::*;

/// Stands for Zstandard: counts bytes that are the same. Each pair is a count and a byte.
#[derive(Debug)]
pub(crate) struct Runs;

impl Compression for Runs {
    fn memory(&self) -> u64 {
        1000
    }

    fn compress(&self, plain: &[u8], into: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        for run in plain.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
            into.get_mut(at..at + 2)?.copy_from_slice(&[run.len() as u8, run[0]]);
            at += 2;
        }
        Some(at)
    }

    fn decompress(&self, stored: &[u8], into: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        for [count, byte] in stored.as_chunks::<2>().0 {
            into.get_mut(at..at + usize::from(*count))?.fill(*byte);
            at += usize::from(*count);
        }
        Some(at)
    }
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
    let stored = Stored::check(Format::WithZstd, bytes)?;
    let mut out = vec![0; stored.length()];
    stored.unpack(Some(&Runs), &mut out).map(|()| out)
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Plain), Just(Codec::Lz4), Just(Codec::Zstd)]
}

/// What can be compressed, and what cannot.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let most = BLOCK_MAX - TAIL;
    let runs = collection::vec((any::<u8>(), 1..300usize), 0..40).prop_map(move |runs| {
        let mut block: Vec<u8> =
            runs.into_iter().flat_map(|(byte, count)| vec![byte; count]).collect();
        block.truncate(most);
        block
    });
    prop_oneof![runs, collection::vec(any::<u8>(), 0..=most)]
}

proptest! {
    #[test]
    fn what_is_stored_is_read(codec in codec(), blocks in collection::vec(block(), 1..4)) {
        let mut packer = Packer::default();
        for block in blocks {
            let stored = packer.pack(codec, Some(&Runs), &block).to_vec();
            prop_assert!(stored.len() <= block.len() + TAIL && stored.len() <= BLOCK_MAX);
            let saved = (block.len() + TAIL).saturating_sub(stored.len());
            match Stored::check(Format::WithZstd, &stored) {
                Ok(Stored::Plain(_)) => prop_assert_eq!(saved, 0),
                Ok(Stored::Compressed { .. }) => prop_assert!(saved >= block.len() / SAVES),
                Err(error) => panic!("{error}"),
            }
            prop_assert_eq!(unpacked(&stored), Ok(block));
        }
    }

    #[test]
    fn damage_is_found(
        codec in codec(),
        block in block(),
        at in any::<usize>(),
        bit in 0..8u8,
    ) {
        let mut stored = Packer::default().pack(codec, Some(&Runs), &block).to_vec();
        let at = at % stored.len();
        stored[at] ^= 1 << bit;
        prop_assert!(Stored::check(Format::Tagged, &stored).is_err());
        prop_assert!(Stored::check(Format::Tagged, &stored[..at]).is_err());
    }

    /// Whoever can forge a checksum gets no panic, and no more memory than a block has.
    #[test]
    fn forged_blocks_are_bounded(codec in codec(), block in block(), at in any::<usize>(), to in any::<u8>()) {
        let mut stored = Packer::default().pack(codec, Some(&Runs), &block).to_vec();
        stored.truncate(stored.len() - CHECKSUM);
        let at = at % stored.len();
        stored[at] = to;
        let sum = checksum(&stored);
        stored.extend(sum.to_le_bytes());
        if let Ok(found) = Stored::check(Format::Tagged, &stored) {
            prop_assert!(found.length() <= BLOCK_MAX);
            let mut out = vec![0; found.length()];
            let _ = found.unpack(Some(&Runs), &mut out);
        }
    }
}

fn forged(bytes: &[u8]) -> Vec<u8> {
    [bytes, &checksum(bytes).to_le_bytes()].concat()
}

#[test]
fn what_no_packer_writes_is_refused() {
    let what = |bytes: &[u8]| unpacked(&forged(bytes)).expect_err("nothing").what;
    let larger = "a block is larger than any is";
    let [low, high] = (BLOCK_MAX as u16 + 1).to_le_bytes();
    assert_eq!((what(&[low, high, 1]), what(&[7, 2])), (larger, larger));
    assert_eq!(what(&[3]), "a block is compressed in a way that is not known");
    assert_eq!(what(&[]), "a block is longer");
    let other = "what is compressed is not the block that its length says";
    // A run of five, where four and six are said.
    assert_eq!((what(&[5, 7, 4, 0, 2]), what(&[5, 7, 6, 0, 2])), (other, other));
    assert_eq!(unpacked(&forged(&[5, 7, 5, 0, 2])), Ok(vec![7; 5]));
    assert_eq!(Stored::check(Format::Tagged, &[0; 7]).unwrap_err().what, "a block is longer");
}

#[test]
fn levels_are_told_by_one_word_or_two() {
    let levels = |upper, bottom| Ok(Levels { upper, bottom });
    assert_eq!("lz4".parse(), levels(Codec::Lz4, Codec::Lz4));
    assert_eq!("none, zstd".parse(), levels(Codec::Plain, Codec::Zstd));
    for wrong in ["", "lz4,", "lz4,zstd,none", "gzip"] {
        assert_eq!(wrong.parse::<Levels>(), Err(NoCodec), "{wrong}");
    }
}

#[test]
fn the_format_never_changes() {
    // Stored in checkpoints.
    let mut packer = Packer::default();
    let plain = packer.pack(Codec::Lz4, None, b"few").to_vec();
    assert_eq!(plain[..4], *b"few\0");
    assert_eq!(plain.len(), 4 + CHECKSUM);
    let lz4 = packer.pack(Codec::Zstd, None, &[7; 200]).to_vec();
    assert_eq!(lz4[..lz4.len() - CHECKSUM][lz4.len() - CHECKSUM - 3..], [200, 0, 1]);
    assert_eq!(unpacked(&lz4), Ok(vec![7; 200]));
    let zstd = packer.pack(Codec::Zstd, Some(&Runs), &[7; 200]).to_vec();
    assert_eq!(zstd[..5], [200, 7, 200, 0, 2]);
    let stored = Stored::check(Format::Tagged, &zstd).unwrap();
    let error = stored.unpack(None, &mut [0; 200]).unwrap_err();
    assert_eq!(error.what, "its file has none that are compressed with zstd");
    let untagged = forged(b"block");
    assert_eq!(Stored::check(Format::Untagged, &untagged), Ok(Stored::Plain(b"block")));
}
