//! The memory backend passes the contract, however many pages it may copy.

extern crate std;

use std::{boxed::Box, vec, vec::Vec};

use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;

use crate::{
    Backend, Column, Cursor, Key, KeyHash, Keys, Kind, ManagedLease, MemoryBackend, MemoryConfig,
    Owned, StateError, StateId, StateSpec, contract, restore,
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

/// A count for each key, a word behind its hash: in more pages than fit the cache.
fn counted(backend: &mut MemoryBackend<ManagedLease>, keys: u64) -> StateId {
    let spec = StateSpec {
        name: "counts".into(),
        kind: Kind::Value,
        key: Some(16),
        namespace: Some(0),
        value: Some(8),
    };
    let state = backend.register(&spec).expect("registered");
    for round in 0..3 {
        // Each key, and those of the first round again.
        let numbers: Vec<u64> = (0..keys).flat_map(|key| [key, key % (keys / 2)]).collect();
        for numbers in numbers.chunks(700) {
            let hashes: Vec<u64> =
                numbers.iter().map(|key| contract::hash(&key.to_le_bytes())).collect();
            let all = hashes
                .iter()
                .zip(numbers)
                .flat_map(|(hash, key)| [hash.to_le_bytes(), key.to_le_bytes()]);
            let bytes: Vec<u8> = all.flatten().collect();
            let add = |_: usize, value: &mut [u8]| {
                let count = u64::from_le_bytes(value.try_into().expect("eight bytes"));
                value.copy_from_slice(&(count + 1 + round).to_le_bytes());
            };
            backend.update(state, &Keys::fixed(&hashes, 16, &bytes), &[0; 8], add).expect("room");
        }
    }
    state
}

fn first_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

#[test]
fn words_behind_their_hashes_are_counted() {
    let keys = 60_000;
    let mut backend = hashed(first_word, contract::all(), 64 << 20, 0);
    let state = counted(&mut backend, keys);
    assert!(backend.used() > 2 << 20, "not all of it fits a megabyte");
    assert_eq!(backend.entries(state), keys);
    let mut found = Vec::new();
    let owned = contract::all();
    for group in owned.first..owned.end {
        let each = &mut |entry: crate::Entry<'_>| {
            let value: Vec<u8> = backend.pieces(entry.value).flatten().copied().collect();
            found.push((first_word(&entry.key[8..]), first_word(&value)));
            true
        };
        backend.scan(state, group, &mut Cursor::default(), each).expect("a group");
    }
    found.sort_unstable();
    let count = |key| if key < keys / 2 { 3 * 6 } else { 6 };
    assert!(found.into_iter().eq((0..keys).map(|key| (key, count(key)))));
}

#[test]
fn what_is_cleared_stays_in_the_snapshot_and_gives_its_pages_back() {
    let owned = contract::all();
    let mut backend = hashed(first_word, owned, 64 << 20, 0);
    let state = counted(&mut backend, 9_000);
    let open = |backend: &mut MemoryBackend<ManagedLease>| {
        backend.open_snapshot().expect("none is open");
        let mut chunks = Vec::new();
        while backend.next_chunk(&mut chunks).expect("memory") {}
        chunks
    };
    let before = open(&mut backend);
    backend.open_snapshot().expect("none is open");
    for group in owned.first..owned.end {
        assert_eq!(backend.clear_at_once(state, group), Ok(true));
    }
    assert_eq!(backend.entries(state), 0);
    let mut chunks = Vec::new();
    while backend.next_chunk(&mut chunks).expect("memory") {}
    let sorted = |chunks: &[u8]| {
        let mut restored = hashed(first_word, owned, 64 << 20, 0);
        let state = {
            let spec = backend.spec(state).expect("a state").clone();
            restored.register(&spec).expect("registered")
        };
        restore(&mut restored, owned, first_word, &[state], chunks).expect("chunks");
        restored.entries(state)
    };
    assert_eq!((sorted(&before), sorted(&chunks)), (9_000, 9_000));
    assert_eq!(backend.used(), 0, "all pages are free");
    assert!(matches!(backend.clear_at_once(state, owned.end), Err(StateError::ForeignKey { .. })));
}
