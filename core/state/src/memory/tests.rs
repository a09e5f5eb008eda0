//! The memory backend passes the contract, however many pages it may copy.

extern crate std;

use std::{boxed::Box, vec, vec::Vec};

use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;

use crate::{
    Backend, Column, Key, KeyHash, Kind, ManagedLease, MemoryBackend, MemoryConfig, Owned,
    StateError, StateSpec, contract, restore,
};

fn open(owned: Owned, bytes: u64, copies_max: u32) -> MemoryBackend<ManagedLease> {
    hashed(contract::hash, owned, bytes, copies_max)
}

fn hashed(hash: KeyHash, owned: Owned, bytes: u64, copies_max: u32) -> MemoryBackend<ManagedLease> {
    let segments = bytes as usize / (32 << 10);
    let memory = ManagedMemory::new(Box::new(HeapArena::new(32 << 10, segments).expect("memory")));
    let owner = memory.open("test (1/1)").expect("an owner");
    let lease = ManagedLease::new(memory, owner);
    MemoryBackend::new(lease, owned, hash, MemoryConfig { copies_max })
}

#[test]
fn contract_without_copies() {
    contract::check(&|owned, bytes| open(owned, bytes, 0));
}

#[test]
fn contract_with_few_copies() {
    contract::check(&|owned, bytes| open(owned, bytes, 3));
}

#[test]
fn contract_with_many_copies() {
    contract::check(&|owned, bytes| open(owned, bytes, u32::MAX));
}

/// Keys whose hashes are all equal: their pages are chained. Values grow while snapshots are open
/// and nothing may be copied.
#[test]
fn keys_of_one_hash() {
    const HASH: u64 = 0x1234_5678_9ABC_DEF0;
    let hash: KeyHash = |_| HASH;
    let owned = contract::all();
    let open = || {
        let mut backend = hashed(hash, owned, contract::AMPLE, 0);
        let spec = StateSpec {
            name: "values".into(),
            kind: Kind::Value,
            key: None,
            namespace: None,
            value: None,
        };
        let state = backend.register(&spec).expect("registered");
        (backend, state)
    };
    let (mut backend, state) = open();
    let value = |number: usize, round: usize| vec![number as u8; 10 + number * round % 1500];
    let mut snapshot = Vec::new();
    for round in 0..4 {
        snapshot.clear();
        assert_eq!(backend.open_snapshot(), Ok(()));
        for index in 0..400usize {
            // Every other time backwards: the pages far from the head change first.
            let number = if round % 2 == 1 { 399 - index } else { index };
            let bytes = number.to_le_bytes();
            let key = Key { hash: HASH, key: &bytes, namespace: &[] };
            let value = value(number, round);
            while let Err(stopped) = backend.put(state, &key.batch(), Column::Same(&value)) {
                assert_eq!(stopped.error, StateError::SnapshotFirst);
                assert_eq!(
                    backend.next_chunk(&mut snapshot),
                    Ok(true),
                    "the page that is waited for"
                );
            }
        }
        while backend.next_chunk(&mut snapshot).expect("memory") {}
        let (mut before, id) = open();
        restore(&mut before, owned, hash, &[id], &snapshot).expect("restored");
        assert_eq!(before.entries(id), if round == 0 { 0 } else { 400 });
        for (backend, round) in [(&backend, Some(round)), (&before, round.checked_sub(1))] {
            let Some(round) = round else { continue };
            for number in 0..400usize {
                let bytes = number.to_le_bytes();
                let key = Key { hash: HASH, key: &bytes, namespace: &[] };
                let place = backend.find(state, &key).expect("its own key");
                let found = backend.pieces(place).collect::<Vec<_>>().concat();
                assert_eq!(found, value(number, round), "{number} in round {round}");
            }
        }
    }
    for number in 0..400usize {
        let bytes = number.to_le_bytes();
        let key = Key { hash: HASH, key: &bytes, namespace: &[] };
        assert_eq!(backend.remove(state, &key.batch()), Ok(()));
    }
    assert_eq!((backend.entries(state), backend.used()), (0, 0), "no page is lost");
}
