//! The backend keeps the contract, whatever has room in memory.

extern crate std;

mod compressed;
mod crash;
mod maps;
mod older;
mod small;

use std::{boxed::Box, sync::Arc, vec::Vec};

use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;
use millstream_state::{
    Backend, Column, Cursor, Entry, Key, Keys, Kind, ManagedLease, MemoryBackend, MemoryConfig,
    Merge, Owned, Place, StateError, StateId, StateSpec, Stopped,
    contract::{self, Driven},
    format::ReadChunk,
    restore_driven,
    ttl::Ttl,
};
use millstream_storage::{MemoryStorage, Storage};

use crate::{LsmBackend, LsmConfig};

/// A backend and its storage.
pub(crate) struct Machine {
    pub(crate) lsm: LsmBackend<ManagedLease>,
    pub(crate) storage: MemoryStorage,
    /// Entries of a step.
    pub(crate) entries: usize,
    /// Writes from one frozen buffer to the next.
    pub(crate) freeze_after: usize,
    pub(crate) writes: usize,
}

pub(crate) fn lease(bytes: u64, segment: usize) -> ManagedLease {
    let segments = bytes as usize / segment;
    let memory = ManagedMemory::new(Box::new(HeapArena::new(segment, segments).expect("memory")));
    let owner = memory.open("test (1/1)").expect("an owner");
    ManagedLease::new(memory, owner)
}

impl Machine {
    pub(crate) fn new(owned: Owned, bytes: u64, segment: usize, storage: MemoryStorage) -> Self {
        Self::with(owned, LsmConfig::new(bytes), segment, storage)
    }

    pub(crate) fn with(
        owned: Owned,
        config: LsmConfig,
        segment: usize,
        storage: MemoryStorage,
    ) -> Self {
        let bytes = config.budget;
        let lsm = LsmBackend::new(lease(bytes, segment), owned, contract::hash, config);
        Self {
            lsm: lsm.expect("a budget").with_compression(Arc::new(compressed::Zstd)),
            storage,
            entries: 64,
            freeze_after: usize::MAX,
            writes: 0,
        }
    }

    /// To be called with every write.
    fn writes(&mut self) -> &mut LsmBackend<ManagedLease> {
        self.writes += 1;
        if self.writes >= self.freeze_after {
            self.writes = 0;
            // It waits when there are too many.
            let _ = self.lsm.make_room();
        }
        &mut self.lsm
    }

    /// One step, and one completion if there is any; whether anything happened.
    pub(crate) fn step(&mut self) -> Result<bool, StateError> {
        let went = self.lsm.work(&mut self.storage, self.entries)?;
        match self.storage.poll() {
            Some(completion) => self.lsm.completed(completion).map(|()| true),
            None => Ok(went),
        }
    }
}

impl Driven for Machine {
    const SPILLS: bool = true;

    fn drive(&mut self) {
        assert!(self.step().expect("a storage without faults"), "what it waits for never comes");
    }
}

impl Backend for Machine {
    fn register(&mut self, spec: &StateSpec) -> Result<StateId, StateError> {
        self.lsm.register(spec)
    }

    fn lookup(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        self.lsm.lookup(state, keys, places)
    }

    fn find(&self, state: StateId, key: &Key<'_>) -> Result<Place, StateError> {
        self.lsm.find(state, key)
    }

    fn pieces(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        self.lsm.pieces(place)
    }

    fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        self.writes().update(state, keys, initial, each)
    }

    fn merge(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        operands: Column<'_>,
        merge: Merge,
    ) -> Result<(), Stopped> {
        self.writes().merge(state, keys, operands, merge)
    }

    fn put(&mut self, state: StateId, keys: &Keys<'_>, values: Column<'_>) -> Result<(), Stopped> {
        self.writes().put(state, keys, values)
    }

    fn append(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        elements: Column<'_>,
    ) -> Result<(), Stopped> {
        self.writes().append(state, keys, elements)
    }

    fn put_list(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError> {
        self.writes().put_list(state, key, elements)
    }

    fn put_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        values: Column<'_>,
    ) -> Result<(), Stopped> {
        self.writes().put_entries(state, keys, map_keys, values)
    }

    fn remove_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
    ) -> Result<(), Stopped> {
        self.writes().remove_entries(state, keys, map_keys)
    }

    fn lookup_entries(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        self.lsm.lookup_entries(state, keys, map_keys, places)
    }

    fn find_entry(
        &self,
        state: StateId,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<Place, StateError> {
        self.lsm.find_entry(state, key, map_key)
    }

    fn scan_entries(
        &self,
        state: StateId,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError> {
        self.lsm.scan_entries(state, key, from, each)
    }

    fn remove(&mut self, state: StateId, keys: &Keys<'_>) -> Result<(), Stopped> {
        self.writes().remove(state, keys)
    }

    fn scan(
        &self,
        state: StateId,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<(), StateError> {
        self.lsm.scan(state, group, cursor, each)
    }

    fn clear_namespace(&mut self, state: StateId, namespace: &[u8]) -> Result<(), StateError> {
        self.writes().clear_namespace(state, namespace)
    }

    fn open_snapshot(&mut self) -> Result<(), StateError> {
        self.lsm.open_snapshot()
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, StateError> {
        self.lsm.next_chunk(out)
    }

    fn abort_snapshot(&mut self) {
        self.lsm.abort_snapshot();
    }

    fn spec(&self, state: StateId) -> Option<&StateSpec> {
        self.lsm.spec(state)
    }

    fn entries(&self, state: StateId) -> u64 {
        self.lsm.entries(state)
    }

    fn held(&self) -> u64 {
        self.lsm.held()
    }
}

#[test]
fn contract_with_a_large_budget() {
    contract::check(&|owned, bytes| {
        let segment = if bytes < 1 << 20 { 8 << 10 } else { 32 << 10 };
        Machine::new(owned, bytes, segment, MemoryStorage::new())
    });
}

#[test]
fn contract_with_a_tiny_budget() {
    // What the suite calls ample is not, with segments of a block each; and much is in files, whether
    // there is room or not.
    contract::check(&|owned, bytes: u64| {
        let storage = MemoryStorage::new().shuffled(owned.end.into());
        let machine = Machine::new(owned, bytes.min(8 << 20), 4 << 10, storage);
        Machine { freeze_after: 3, entries: 5, ..machine }
    });
}

#[test]
fn contract_with_many_slices() {
    contract::check(&|owned, bytes: u64| {
        let storage = MemoryStorage::new().shuffled(owned.end.into());
        let config = LsmConfig::new(bytes.min(8 << 20)).slice_min(4 << 10);
        let machine = Machine::with(owned, config, 4 << 10, storage);
        Machine { freeze_after: 200, ..machine }
    });
}

#[test]
fn contract_with_indexes_on_disk() {
    contract::check(&|owned, bytes: u64| {
        let storage = MemoryStorage::new().shuffled(owned.end.into());
        let config = LsmConfig::new(bytes.min(8 << 20)).slice_min(4 << 10).without_indexes();
        let machine = Machine::with(owned, config, 4 << 10, storage);
        Machine { freeze_after: 20, ..machine }
    });
}

fn spec(name: &str, kind: Kind, value: Option<usize>) -> StateSpec {
    StateSpec { name: name.into(), kind, key: Some(4), namespace: Some(0), value }
}

#[test]
fn what_expired_is_dropped_when_runs_are_merged() {
    let owned = Owned { first: 0, end: 8, max_parallelism: 8 };
    let mut machine = Machine::new(owned, 1 << 20, 4 << 10, MemoryStorage::new());
    let state = machine.register(&spec("seen", Kind::Value, Some(8))).expect("registered");
    machine.lsm.set_ttl(state, Ttl::new(100));
    machine.lsm.set_time(50);
    for round in 0..6u32 {
        for number in 0..500 {
            let key = (round * 1000 + number).to_le_bytes();
            let key = Key { hash: contract::hash(&key), key: &key, namespace: &[] };
            // Those of the last round were seen later.
            let seen = i64::from(round / 5 * 1000).to_le_bytes();
            let put = machine.put(state, &key.batch(), Column::Same(&seen));
            assert_eq!(put, Ok(()));
        }
        if round == 5 {
            machine.lsm.set_time(1050);
        }
        assert_eq!(machine.open_snapshot(), Ok(()));
        while matches!(machine.lsm.snapshot_files(), Err(StateError::Waits)) {
            machine.drive();
        }
    }
    while machine.step().expect("a storage without faults") {}
    assert_eq!(machine.lsm.metrics().runs, 1);
    assert_eq!((machine.lsm.metrics().merged, machine.entries(state)), (500, 500));
}

/// A savepoint of one kind of backend is restored by the other.
#[test]
fn memory_and_files_have_one_format() {
    let owned = Owned { first: 0, end: 8, max_parallelism: 8 };
    let lease = lease(16 << 20, 32 << 10);
    let mut memory = MemoryBackend::new(lease, owned, contract::hash, MemoryConfig::default());
    let specs = [
        spec("counts", Kind::Value, Some(8)),
        spec("texts", Kind::Value, None),
        spec("lists", Kind::List, None),
        spec("maps", Kind::Map, None),
    ];
    let states = specs.each_ref().map(|spec| memory.register(spec).expect("registered"));
    for number in 0..1000u32 {
        let (bytes, text) = (number.to_le_bytes(), std::vec![7; number as usize * 3]);
        let key = Key { hash: contract::hash(&bytes), key: &bytes, namespace: &[] };
        let keys = key.batch();
        let (number, text) = (Column::Same(&bytes), Column::Same(&text));
        let served = [
            memory.put(states[0], &keys, Column::Same(&[bytes, bytes].concat())),
            memory.put(states[1], &keys, text),
            memory.append(states[2], &keys, text),
            memory.append(states[2], &keys, number),
            memory.put_entries(states[3], &keys, number, text),
            memory.put_entries(states[3], &keys, Column::Same(b""), number),
        ];
        assert!(served.into_iter().all(|served| served.is_ok()), "room for {bytes:?}");
    }
    let first = chunks_of(&mut memory);
    let mut machine = Machine::new(owned, 2 << 20, 4 << 10, MemoryStorage::new());
    assert_eq!(specs.each_ref().map(|spec| machine.register(spec).expect("registered")), states);
    restore_driven(&mut machine, owned, contract::hash, &states, &first, Machine::drive)
        .expect("restored");
    assert!(machine.lsm.metrics().runs > 0, "more than a buffer");
    let second = chunks_of(&mut machine);
    let lease = self::lease(16 << 20, 32 << 10);
    let mut again = MemoryBackend::new(lease, owned, contract::hash, MemoryConfig::default());
    assert_eq!(specs.each_ref().map(|spec| again.register(spec).expect("registered")), states);
    restore_driven(&mut again, owned, contract::hash, &states, &second, |_| ()).expect("restored");
    assert!(entries_of(&first) == entries_of(&chunks_of(&mut again)));
}

fn chunks_of(backend: &mut impl Driven) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(backend.open_snapshot(), Ok(()));
    loop {
        match backend.next_chunk(&mut out) {
            Ok(true) => {}
            Ok(false) => return out,
            Err(StateError::Waits) => backend.drive(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// State, key and value of all entries, in order.
fn entries_of(snapshot: &[u8]) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    let (mut found, mut offset) = (Vec::new(), 0);
    while offset < snapshot.len() {
        let (chunk, next) = ReadChunk::read(snapshot, offset).expect("a chunk");
        let entries = chunk.entries();
        found.extend(entries.map(|it| (chunk.state, it.key.to_vec(), it.value.to_vec())));
        offset = next;
    }
    found.sort();
    found
}
