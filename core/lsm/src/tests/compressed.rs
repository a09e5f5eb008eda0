//! The contract, with files that are compressed in each way.

extern crate std;

use std::vec::Vec;

use millstream_state::{
    Backend, Column, Key, Kind, Owned, StateError,
    contract::{self, Driven},
};
use millstream_storage::MemoryStorage;

use super::{Machine, lease, spec};
use crate::{
    LsmBackend, LsmConfig,
    compression::{Compression, Levels},
};

/// Zstandard itself, as a host brings it.
#[derive(Debug)]
pub(crate) struct Zstd;

impl Compression for Zstd {
    fn memory(&self) -> u64 {
        48 << 10
    }

    fn compress(&self, plain: &[u8], into: &mut [u8]) -> Option<usize> {
        zstd::zstd_safe::compress(into, plain, 1).ok()
    }

    fn decompress(&self, stored: &[u8], into: &mut [u8]) -> Option<usize> {
        zstd::zstd_safe::decompress(into, stored).ok()
    }
}

fn levels(text: &str) -> Levels {
    text.parse().expect("codecs")
}

fn check(compression: &str, freeze_after: usize) {
    contract::check(&|owned, bytes: u64| {
        let storage = MemoryStorage::new().shuffled(owned.end.into());
        let config = LsmConfig::new(bytes.min(8 << 20)).slice_min(4 << 10);
        let config = config.compression(levels(compression));
        Machine { freeze_after, ..Machine::with(owned, config, 4 << 10, storage) }
    });
}

#[test]
fn contract_with_lz4() {
    check("lz4", 200);
}

#[test]
fn contract_with_zstd() {
    check("zstd", 200);
}

#[test]
fn contract_with_both() {
    check("lz4,zstd", 100);
}

const OWNED: Owned = Owned { first: 0, end: 8, max_parallelism: 8 };

/// Texts of many keys in files, and how many bytes these have.
fn written(compression: &str) -> (Machine, Vec<u8>, u64) {
    let config = LsmConfig::new(1 << 20).slice_min(4 << 10).compression(levels(compression));
    let mut machine = Machine::with(OWNED, config, 4 << 10, MemoryStorage::new());
    let state = machine.register(&spec("texts", Kind::Value, None)).expect("registered");
    for number in 0..4000u32 {
        let key = number.to_le_bytes();
        let key = Key { hash: contract::hash(&key), key: &key, namespace: &[] };
        while let Err(stopped) = machine.put(state, &key.batch(), Column::Same(&[7; 100])) {
            assert_eq!(stopped.error, StateError::Waits);
            machine.drive();
        }
    }
    assert_eq!(machine.open_snapshot(), Ok(()));
    let files = loop {
        match machine.lsm.snapshot_files() {
            Ok(files) => break files.expect("it is open"),
            Err(StateError::Waits) => machine.drive(),
            Err(error) => panic!("{error}"),
        }
    };
    let bytes = files.files.iter().map(|file| file.length).sum();
    (machine, files.manifest, bytes)
}

#[test]
fn compressed_files_are_smaller() {
    let bytes = |compression| written(compression).2;
    let (none, lz4, zstd) = (bytes("none"), bytes("lz4"), bytes("zstd"));
    assert!(none > 4000 * 100 && lz4 * 3 < none && zstd != lz4, "{none}, {lz4}, {zstd}");
}

/// Reads something of a state whose files are compressed with Zstandard.
fn read(budget: u64, zstd: bool) -> Result<(), StateError> {
    let (machine, manifest, _) = written("zstd");
    let config = LsmConfig::new(budget);
    let lease = lease(budget, 4 << 10);
    let lsm = LsmBackend::open(lease, OWNED, contract::hash, config, &[&manifest]);
    let mut lsm = lsm.expect("its manifest");
    if zstd {
        lsm = lsm.with_compression(std::sync::Arc::new(Zstd));
    }
    let mut machine = Machine { lsm, ..machine };
    let state = machine.register(&spec("texts", Kind::Value, None))?;
    let key = Key { hash: contract::hash(&[0; 4]), key: &[0; 4], namespace: &[] };
    loop {
        match machine.lsm.find(state, &key) {
            Err(StateError::Waits) => {
                machine.step()?;
            }
            found => return found.map(|place| assert!(!place.is_absent())),
        }
    }
}

#[test]
fn zstd_is_missed_only_where_it_is_needed() {
    assert_eq!(read(1 << 20, true), Ok(()));
    let error = read(1 << 20, false).expect_err("nobody has brought it");
    assert!(matches!(error, StateError::Misused { .. }), "{error}");
    let error = read(256 << 10, true).expect_err("it has no room");
    assert!(matches!(error, StateError::OutOfBudget { .. }), "{error}");
}
