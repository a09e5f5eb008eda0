//! Snapshots of keyed state, read and restored.

use millstream_data::{hash, value::Record};
use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;
use millstream_state::{
    Backend, Column, Key, Kind, ManagedLease, MemoryBackend, MemoryConfig, Owned, StateId,
    StateSpec,
    description::{DESCRIPTIONS, Description, Part, split},
    format::{Chunk, ReadChunk, ReadEntry},
    restore,
    ttl::{Ttl, clean_chunks},
};

const OWNED: Owned = Owned { first: 0, end: 1, max_parallelism: 1 };
/// Bytes of a chunk in front of its checksum, and in front of its body.
const SUMMED: usize = 20;
const HEADER: usize = 28;

/// Bytes are no snapshot, or one of a state that has the same snapshot again. Checksums are mended,
/// or nothing behind them would ever be reached.
pub fn state(data: &[u8]) {
    restored(data);
    restored(&mended(data));
}

/// Bytes are no description of a state, or one whose bytes they are.
pub fn description(data: &[u8]) {
    let entry = ReadEntry { key: &[7, 0], namespace: &[], value: data };
    let Ok((7, read)) = Description::read(&entry) else { return };
    let mut out = Vec::new();
    let mut chunk = Chunk::begin(DESCRIPTIONS, 0, &mut out);
    read.write(7, &mut chunk);
    chunk.end();
    let (chunk, _) = ReadChunk::read(&out, 0).expect("a chunk");
    let again = chunk.entries().next().expect("an entry");
    assert_eq!(again.value, data);
    for parts in [&read.key, &read.namespace, &read.map_key, &read.value] {
        let _ = split(parts, data);
    }
}

/// Descriptions of states of each kind.
pub(crate) fn descriptions() -> Vec<Vec<u8>> {
    let schema = <(u64, Option<String>, Vec<i8>)>::schema();
    let describe = |kind| {
        let description = Description {
            name: "state".into(),
            kind,
            key: vec![Part::Hash, Part::Key(schema.clone())],
            namespace: vec![Part::Time],
            map_key: vec![Part::Time, Part::Opaque(None), Part::Opaque(Some(1))],
            value: vec![Part::Flag, Part::Row(schema.clone())],
        };
        let mut out = Vec::new();
        let mut chunk = Chunk::begin(DESCRIPTIONS, 0, &mut out);
        description.write(0, &mut chunk);
        chunk.end();
        let (chunk, _) = ReadChunk::read(&out, 0).expect("a chunk");
        chunk.entries().next().expect("an entry").value.to_vec()
    };
    [Kind::Value, Kind::List, Kind::Map].map(describe).into()
}

fn restored(snapshot: &[u8]) {
    let (mut first, states) = backend();
    let is_restored = restore(&mut first, OWNED, key_hash, &states, snapshot).is_ok();
    let mut clean = Vec::new();
    let living = |number: u16| {
        let id = states.get(usize::from(number))?;
        Some((first.spec(*id)?, Ttl::new(1)))
    };
    // What is damaged behind the checksum is left out, or copied.
    let _ = clean_chunks(snapshot, living, 1 << 40, &mut clean);
    if !is_restored {
        return;
    }
    let again = snapshot_of(&mut first);
    let (mut second, states) = backend();
    restore(&mut second, OWNED, key_hash, &states, &again).expect("its own snapshot");
    for id in states {
        assert_eq!(first.entries(id), second.entries(id));
    }
}

fn key_hash(key: &[u8]) -> u64 {
    hash::bytes(hash::SEED, key)
}

/// A backend of a megabyte, with a state of each kind.
fn backend() -> (MemoryBackend<ManagedLease>, Vec<StateId>) {
    let arena = HeapArena::new(32 << 10, 32).expect("memory");
    let memory = ManagedMemory::new(Box::new(arena));
    let owner = memory.open("fuzz (1/1)").expect("the memory is open");
    let lease = ManagedLease::new(memory, owner);
    let mut backend = MemoryBackend::new(lease, OWNED, key_hash, MemoryConfig::default());
    let specs = [
        ("fixed", Kind::Value, Some(4), Some(0), Some(8)),
        ("value", Kind::Value, None, None, None),
        ("numbers", Kind::List, None, None, Some(4)),
        ("texts", Kind::List, None, None, None),
        ("map", Kind::Map, None, None, None),
    ];
    let register = |(name, kind, key, namespace, value): (&str, _, _, _, _)| {
        let spec = StateSpec { name: name.into(), kind, key, namespace, value };
        backend.register(&spec).expect("room for five")
    };
    let states = specs.into_iter().map(register).collect();
    (backend, states)
}

fn snapshot_of(backend: &mut MemoryBackend<ManagedLease>) -> Vec<u8> {
    let mut snapshot = Vec::new();
    backend.open_snapshot().expect("none is open");
    while backend.next_chunk(&mut snapshot).expect("memory") {}
    snapshot
}

/// The same chunks with the checksums of what is in them.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let mut at = 0;
    while let Some(chunk) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEADER) {
        let body = u32::from_le_bytes(*chunk[16..].first_chunk().expect("a header")) as usize;
        let Some(end) = HEADER.checked_add(body).filter(|end| *end <= chunk.len()) else { break };
        let header = hash::bytes(hash::SEED, &chunk[..SUMMED]);
        let sum = hash::bytes(header, &chunk[HEADER..end]);
        chunk[SUMMED..HEADER].copy_from_slice(&sum.to_le_bytes());
        at += end;
    }
    bytes
}

/// Snapshots with some of everything, short and long.
pub(crate) fn snapshots() -> Vec<Vec<u8>> {
    let write = |keys: u32, size: usize| {
        let (mut backend, states) = backend();
        for number in 0..keys {
            let bytes = number.to_le_bytes();
            let key = Key { hash: key_hash(&bytes), key: &bytes, namespace: &[] };
            let text = vec![number as u8; size];
            let keys = key.batch();
            let served = [
                backend.put(states[0], &keys, Column::Same(&[7; 8])),
                backend.put(states[1], &keys, Column::Same(&text)),
                backend.append(states[2], &keys, Column::Same(&bytes)),
                backend.append(states[3], &keys, Column::Same(&text)),
                backend.append(states[3], &keys, Column::Same(b"second")),
                backend.put_entries(states[4], &keys, Column::Same(b"a"), Column::Same(&text)),
                backend.put_entries(states[4], &keys, Column::Same(b"b"), Column::Same(&bytes)),
            ];
            assert!(served.into_iter().all(|served| served.is_ok()), "room for {keys:?}");
        }
        snapshot_of(&mut backend)
    };
    vec![write(0, 0), write(1, 3), write(12, 30), write(2, 2000)]
}
