//! Files that were written before blocks were compressed are still read.

extern crate std;

use std::{string::String, vec::Vec};

use millstream_state::{Backend, Key, Kind, Owned, StateError, StateSpec, contract};
use millstream_storage::{FileId, MemoryStorage, Request, Storage, Submit};

use super::{Machine, lease};
use crate::{LsmBackend, LsmConfig, manifest::Manifest};

const MANIFEST: &[u8] = include_bytes!("before_compression/manifest");
const FILES: [(u64, &[u8]); 2] =
    [(1, include_bytes!("before_compression/1")), (2, include_bytes!("before_compression/2"))];
const OWNED: Owned = Owned { first: 0, end: 8, max_parallelism: 8 };

fn machine() -> Machine {
    let mut storage = MemoryStorage::new();
    for (number, bytes) in FILES {
        let file = FileId(number);
        storage.submit(0, Request::Create { file }).expect("room for a request");
        assert!(storage.poll().expect("done").result.is_ok());
        *storage.content(file).expect("created") = bytes.to_vec();
    }
    let config = LsmConfig::new(1 << 20);
    let lsm = LsmBackend::open(lease(1 << 20, 4096), OWNED, contract::hash, config, &[MANIFEST]);
    let lsm = lsm.expect("a manifest");
    Machine { lsm, storage, entries: 64, freeze_after: usize::MAX, writes: 0 }
}

/// What was written: sixty texts, then half of them anew.
fn text(number: u32) -> String {
    let round = if number < 30 { 1 } else { 0 };
    std::format!("round {round} of {number}, and {}", "more ".repeat(number as usize % 25))
}

#[test]
fn files_of_the_version_before_are_read() {
    assert_eq!(Manifest::decode(MANIFEST).expect("a manifest").layers.len(), 2);
    let mut machine = machine();
    let state = StateSpec {
        name: "texts".into(),
        kind: Kind::Value,
        key: Some(4),
        namespace: Some(0),
        value: None,
    };
    let state = machine.register(&state).expect("registered");
    for number in 0..60u32 {
        let key = number.to_le_bytes();
        let key = Key { hash: contract::hash(&key), key: &key, namespace: &[] };
        let place = loop {
            match machine.lsm.find(state, &key) {
                Err(StateError::Waits) => assert!(machine.step().expect("good files")),
                found => break found.expect("good files"),
            }
        };
        let found: Vec<u8> = machine.lsm.pieces(place).flatten().copied().collect();
        assert_eq!(String::from_utf8(found).expect("text"), text(number));
    }
}
