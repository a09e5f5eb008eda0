//! What a snapshot has is there again after a crash, whenever that comes.

extern crate std;

use std::{collections::BTreeMap, sync::Arc, vec, vec::Vec};

use millstream_state::{
    Backend, Column, Cursor, Key, Kind, Owned, StateError, StateId, StateSpec, contract, list,
};
use millstream_storage::{Faults, FileId, MemoryStorage, Request, Storage, Submit};
use proptest::{collection, prelude::*};

use super::{Machine, compressed::Zstd, lease};
use crate::{LsmBackend, LsmConfig, SnapshotFiles, compression::Levels};

const OWNED: Owned = Owned { first: 0, end: 8, max_parallelism: 8 };
const BUDGET: u64 = 1 << 20;
const SEGMENT: usize = 4 << 10;
/// Files of a machine that is opened again have numbers from a multiple of this on.
const FILES: u64 = 10_000;

const COUNTS: StateId = StateId(0);
const LISTS: StateId = StateId(1);
const MAPS: StateId = StateId(2);
const PANES: StateId = StateId(3);

/// What the states have: in the last are keys in namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    counts: BTreeMap<u32, u64>,
    lists: BTreeMap<u32, Vec<u32>>,
    maps: BTreeMap<(u32, u8), Vec<u8>>,
    panes: BTreeMap<(u32, u8), u64>,
}

#[derive(Clone, Debug)]
enum Operation {
    Count { first: u32, keys: u32 },
    Append { first: u32, keys: u32, element: u32 },
    Put { key: u32, map_keys: u8, size: usize },
    Remove { first: u32, keys: u32 },
    RemoveEntries { key: u32, map_keys: u8 },
    Pane { pane: u8, first: u32, keys: u32, value: u64 },
    Clear { pane: u8 },
    Steps(usize),
    Snapshot,
    Crash { torn: bool },
    Rescale,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (first, keys) = (0..300u32, 1..200u32);
    prop_oneof![
        4 => (first.clone(), keys.clone())
            .prop_map(|(first, keys)| Operation::Count { first, keys }),
        3 => (first.clone(), keys.clone(), any::<u32>())
            .prop_map(|(first, keys, element)| Operation::Append { first, keys, element }),
        3 => (0..9u32, any::<u8>(), 0..900usize)
            .prop_map(|(key, map_keys, size)| Operation::Put { key, map_keys, size }),
        2 => (first, keys).prop_map(|(first, keys)| Operation::Remove { first, keys }),
        1 => (0..9u32, any::<u8>())
            .prop_map(|(key, map_keys)| Operation::RemoveEntries { key, map_keys }),
        3 => (0..3u8, 0..300u32, 1..200u32, any::<u64>())
            .prop_map(|(pane, first, keys, value)| Operation::Pane { pane, first, keys, value }),
        2 => (0..3u8).prop_map(|pane| Operation::Clear { pane }),
        3 => (0..200usize).prop_map(Operation::Steps),
        3 => Just(Operation::Snapshot),
        2 => any::<bool>().prop_map(|torn| Operation::Crash { torn }),
        1 => Just(Operation::Rescale),
    ]
}

fn specs() -> [StateSpec; 4] {
    let spec = |name: &str, kind, namespace, value| StateSpec {
        name: name.into(),
        kind,
        key: Some(4),
        namespace: Some(namespace),
        value,
    };
    [
        spec("counts", Kind::Value, 0, Some(8)),
        spec("lists", Kind::List, 0, Some(4)),
        spec("maps", Kind::Map, 0, None),
        spec("panes", Kind::Value, 1, Some(8)),
    ]
}

fn keyed(key: &[u8; 4]) -> Key<'_> {
    Key { hash: contract::hash(key), key, namespace: &[] }
}

/// Calls until the backend does not wait any more.
fn patient<R>(
    machine: &mut Machine,
    mut call: impl FnMut(&mut LsmBackend<millstream_state::ManagedLease>) -> Result<R, StateError>,
) -> Result<R, StateError> {
    loop {
        match call(&mut machine.lsm) {
            Err(StateError::Waits) => assert!(machine.step()?, "what it waits for never comes"),
            outcome => return outcome,
        }
    }
}

/// Small states have some slices of so many bytes.
const SLICE: u64 = 8 << 10;

fn opened(owned: Owned, first_file: u64, storage: MemoryStorage, manifests: &[&[u8]]) -> Machine {
    let config = LsmConfig::new(BUDGET).slice_min(SLICE).first_file(FileId(first_file));
    // What was configured may be another after each restart.
    let config = config.compression(levels(first_file / FILES));
    let config =
        if (first_file / FILES).is_multiple_of(2) { config.without_indexes() } else { config };
    let lsm = LsmBackend::open(lease(BUDGET, SEGMENT), owned, contract::hash, config, manifests);
    let mut lsm = lsm.expect("its own manifest").with_compression(Arc::new(Zstd));
    for (number, spec) in specs().iter().enumerate() {
        assert_eq!(lsm.register(spec), Ok(StateId(number as u16)));
    }
    Machine { lsm, storage, entries: 20, freeze_after: usize::MAX, writes: 0 }
}

/// How files are compressed by who was opened so often before.
fn levels(opened: u64) -> Levels {
    let all = ["lz4,zstd", "zstd", "none,lz4", "zstd,none", "lz4", "none"];
    all[opened as usize % all.len()].parse().expect("codecs")
}

/// The same files, without the requests that were on their way.
fn surviving(storage: &mut MemoryStorage, last: u64, seed: u64) -> MemoryStorage {
    let mut after = MemoryStorage::new().shuffled(seed);
    for number in 0..last {
        let file = FileId(number);
        let Some(content) = storage.content(file) else { continue };
        let content = content.clone();
        after.submit(0, Request::Create { file }).expect("room for a request");
        assert!(after.poll().expect("done").result.is_ok());
        *after.content(file).expect("created") = content;
    }
    after
}

struct World {
    machine: Machine,
    model: Model,
    /// The last snapshot, and what the model was.
    last: Option<(SnapshotFiles, Model)>,
    opened: u64,
}

impl World {
    fn new() -> Self {
        Self::after(0)
    }

    /// As if it had been opened so often before: that decides how files are compressed, and whether their
    /// indexes are in memory.
    fn after(opened: u64) -> Self {
        let storage = MemoryStorage::new();
        let machine = self::opened(OWNED, (opened * FILES).max(1), storage, &[]);
        Self { machine, model: Model::default(), last: None, opened }
    }

    /// Does something to the backend and, if that is not broken, to the model.
    fn apply(&mut self, operation: &Operation) -> Result<(), StateError> {
        let machine = &mut self.machine;
        match *operation {
            Operation::Count { first, keys } => {
                for number in first..first + keys {
                    let key = number.to_le_bytes();
                    patient(machine, |lsm| {
                        let add = |_: usize, value: &mut [u8]| {
                            let count = value.first_chunk_mut().expect("8 bytes");
                            *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
                        };
                        let updated = lsm.update(COUNTS, &keyed(&key).batch(), &[0; 8], add);
                        updated.map_err(|stopped| stopped.error)
                    })?;
                    *self.model.counts.entry(number).or_default() += 1;
                }
            }
            Operation::Append { first, keys, element } => {
                for number in first..first + keys {
                    let key = number.to_le_bytes();
                    patient(machine, |lsm| {
                        let element = element.to_le_bytes();
                        let element = Column::Same(&element);
                        let appended = lsm.append(LISTS, &keyed(&key).batch(), element);
                        appended.map_err(|stopped| stopped.error)
                    })?;
                    self.model.lists.entry(number).or_default().push(element);
                }
            }
            Operation::Put { key: number, map_keys, size } => {
                let (key, value) = (number.to_le_bytes(), vec![map_keys; size]);
                for map_key in 0..map_keys {
                    patient(machine, |lsm| {
                        let (map_key, value) = ([map_key], Column::Same(&value));
                        let keys = keyed(&key);
                        let put =
                            lsm.put_entries(MAPS, &keys.batch(), Column::Same(&map_key), value);
                        put.map_err(|stopped| stopped.error)
                    })?;
                    self.model.maps.insert((number, map_key), value.clone());
                }
            }
            Operation::Remove { first, keys } => {
                for number in first..first + keys {
                    let key = number.to_le_bytes();
                    for state in [COUNTS, LISTS, MAPS] {
                        patient(machine, |lsm| {
                            let removed = lsm.remove(state, &keyed(&key).batch());
                            removed.map_err(|stopped| stopped.error)
                        })?;
                    }
                    self.model.counts.remove(&number);
                    self.model.lists.remove(&number);
                    self.model.maps.retain(|name, _| name.0 != number);
                }
            }
            Operation::RemoveEntries { key: number, map_keys } => {
                let key = number.to_le_bytes();
                for map_key in (0..map_keys).step_by(2) {
                    patient(machine, |lsm| {
                        let map_key = [map_key];
                        let map_key = Column::Same(&map_key);
                        let removed = lsm.remove_entries(MAPS, &keyed(&key).batch(), map_key);
                        removed.map_err(|stopped| stopped.error)
                    })?;
                    self.model.maps.remove(&(number, map_key));
                }
            }
            Operation::Pane { pane, first, keys, value } => {
                for number in first..first + keys {
                    let (key, namespace) = (number.to_le_bytes(), [pane]);
                    patient(machine, |lsm| {
                        let key = Key { namespace: &namespace, ..keyed(&key) };
                        let put = lsm.put(PANES, &key.batch(), Column::Same(&value.to_le_bytes()));
                        put.map_err(|stopped| stopped.error)
                    })?;
                    self.model.panes.insert((number, pane), value);
                }
            }
            Operation::Clear { pane } => {
                patient(machine, |lsm| lsm.clear_namespace(PANES, &[pane]))?;
                self.model.panes.retain(|name, _| name.1 != pane);
            }
            Operation::Steps(count) => {
                for _ in 0..count {
                    machine.step()?;
                }
            }
            Operation::Snapshot => self.snapshot()?,
            Operation::Crash { torn } => self.crash(torn),
            Operation::Rescale => self.rescale()?,
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), StateError> {
        let machine = &mut self.machine;
        patient(machine, LsmBackend::open_snapshot)?;
        let files = patient(machine, LsmBackend::snapshot_files)?.expect("it is open");
        for file in &files.files {
            let content = machine.storage.content(file.file).expect("a file of the snapshot");
            assert_eq!((content.len() as u64, crate::sum::Sum::of(content)), {
                (file.length, file.checksum)
            });
        }
        let before = self.last.replace((files, self.model.clone()));
        if let Some((before, _)) = before {
            machine.lsm.release_snapshot(before.number);
        }
        Ok(())
    }

    /// Begins again with the last snapshot, in another process.
    fn crash(&mut self, torn: bool) {
        self.opened += 1;
        let seed = self.opened;
        let mut storage = surviving(&mut self.machine.storage, self.opened * FILES, seed);
        let manifests = match &mut self.last {
            Some((files, model)) => {
                // Another backend counts its snapshots from one again.
                files.number = 0;
                self.model = model.clone();
                vec![files.manifest.clone()]
            }
            None => {
                self.model = Model::default();
                vec![]
            }
        };
        if torn {
            let known = |file: u64| {
                let files = self.last.iter().flat_map(|(files, _)| &files.files);
                files.into_iter().any(|known| known.file == FileId(file))
            };
            for number in (0..self.opened * FILES).filter(|number| !known(*number)) {
                if let Some(content) = storage.content(FileId(number)) {
                    content.truncate(content.len() / 2);
                }
            }
        }
        let manifests: Vec<&[u8]> = manifests.iter().map(|manifest| &**manifest).collect();
        self.machine = opened(OWNED, self.opened * FILES, storage, &manifests);
    }

    /// Goes on as two subtasks of half the key groups each, and then as one again.
    fn rescale(&mut self) -> Result<(), StateError> {
        self.snapshot()?;
        let Some((files, _)) = &self.last else { return Ok(()) };
        let (files, mut manifests, mut storages) = (files.manifest.clone(), vec![], vec![]);
        for half in 0..2u32 {
            self.opened += 1;
            let last = self.opened * FILES;
            let storage = surviving(&mut self.machine.storage, last, last);
            let owned = Owned { first: half * 4, end: half * 4 + 4, ..OWNED };
            let mut part = opened(owned, last, storage, &[&files]);
            let kept = |key: &u32| group(*key) / 4 == half;
            let mut model = self.model.clone();
            model.counts.retain(|key, _| kept(key));
            model.lists.retain(|key, _| kept(key));
            model.maps.retain(|name, _| kept(&name.0));
            model.panes.retain(|name, _| kept(&name.0));
            // Something new, so that there are several runs of one half.
            for number in (1000..1020).filter(kept) {
                let key = number.to_le_bytes();
                let put = |lsm: &mut LsmBackend<_>| {
                    let put = lsm.put(COUNTS, &keyed(&key).batch(), Column::Same(&[1; 8]));
                    put.map_err(|stopped| stopped.error)
                };
                patient(&mut part, put)?;
                model.counts.insert(number, u64::from_le_bytes([1; 8]));
                self.model.counts.insert(number, u64::from_le_bytes([1; 8]));
            }
            assert_eq!(read(&mut part, owned)?, model);
            patient(&mut part, LsmBackend::open_snapshot)?;
            let files = patient(&mut part, LsmBackend::snapshot_files)?.expect("it is open");
            manifests.push(files.manifest);
            storages.push(part.storage);
        }
        self.opened += 1;
        let last = self.opened * FILES;
        let mut storage = surviving(&mut self.machine.storage, last, last);
        for mut other in storages {
            for number in 0..last {
                let file = FileId(number);
                let Some(content) = other.content(file) else { continue };
                if storage.content(file).is_none() {
                    storage.submit(0, Request::Create { file }).expect("room for a request");
                    assert!(storage.poll().expect("done").result.is_ok());
                }
                *storage.content(file).expect("created") = content.clone();
            }
        }
        self.last = None;
        self.machine = opened(OWNED, last, storage, &[&manifests[0], &manifests[1]]);
        self.snapshot()
    }
}

fn group(key: u32) -> u32 {
    ((u128::from(contract::hash(&key.to_le_bytes())) * 8) >> 64) as u32
}

/// All that a backend has.
fn read(machine: &mut Machine, owned: Owned) -> Result<Model, StateError> {
    let mut model = Model::default();
    for state in [COUNTS, LISTS, MAPS] {
        for group in owned.first..owned.end {
            let (mut cursor, mut keys) = (Cursor::default(), Vec::new());
            patient(machine, |lsm| {
                lsm.scan(state, group, &mut cursor, &mut |entry| {
                    keys.push(*entry.key.first_chunk().expect("4 bytes"));
                    true
                })
            })?;
            for key in keys {
                read_key(machine, state, &key, &mut model)?;
            }
        }
    }
    for group in owned.first..owned.end {
        let (mut cursor, mut names) = (Cursor::default(), Vec::new());
        patient(machine, |lsm| {
            lsm.scan(PANES, group, &mut cursor, &mut |entry| {
                names.push((*entry.key.first_chunk().expect("4 bytes"), entry.namespace[0]));
                true
            })
        })?;
        for (key, pane) in names {
            let value = patient(machine, |lsm| {
                let namespace = [pane];
                let place = lsm.find(PANES, &Key { namespace: &namespace, ..keyed(&key) })?;
                Ok(lsm.pieces(place).collect::<Vec<_>>().concat())
            })?;
            let value = u64::from_le_bytes(value.try_into().expect("8 bytes"));
            let before = model.panes.insert((u32::from_le_bytes(key), pane), value);
            assert_eq!(before, None, "a key comes once");
        }
    }
    Ok(model)
}

fn read_key(
    machine: &mut Machine,
    state: StateId,
    key: &[u8; 4],
    model: &mut Model,
) -> Result<(), StateError> {
    let number = u32::from_le_bytes(*key);
    if state == MAPS {
        let mut from = vec![];
        return patient(machine, |lsm| {
            let lsm = &*lsm;
            let begin = from.clone();
            lsm.scan_entries(state, &keyed(key), &begin, &mut |map_key, place| {
                let value = lsm.pieces(place).collect::<Vec<_>>().concat();
                let before = model.maps.insert((number, map_key[0]), value);
                assert_eq!(before, None, "an entry comes once");
                from = vec![map_key[0], 0];
                true
            })
        });
    }
    let bytes = patient(machine, |lsm| {
        let place = lsm.find(state, &keyed(key))?;
        Ok(lsm.pieces(place).collect::<Vec<_>>().concat())
    })?;
    if state == COUNTS {
        let count = u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        assert_eq!(model.counts.insert(number, count), None, "a key comes once");
    } else {
        let elements = list::elements(&bytes, Some(4));
        let word = |element: &[u8]| u32::from_le_bytes(element.try_into().expect("4 bytes"));
        let before = model.lists.insert(number, elements.map(word).collect());
        assert_eq!(before, None, "a key comes once");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_crash_loses_nothing_of_a_snapshot(operations in collection::vec(operation(), 1..40)) {
        let mut world = World::new();
        for operation in &operations {
            world.apply(operation).expect("a storage without faults");
        }
        let found = read(&mut world.machine, OWNED).expect("a storage without faults");
        prop_assert!(found == world.model);
        world.crash(true);
        let found = read(&mut world.machine, OWNED).expect("a storage without faults");
        prop_assert!(found == world.model);
    }

    /// After so many writes none succeeds any more: calls say so, and the last snapshot is whole.
    #[test]
    fn a_disk_that_fails_at_any_write(
        operations in collection::vec(operation(), 1..40),
        writes in 0..120u64,
    ) {
        let mut world = World::new();
        let faults = Faults { writes: Some(writes), ..Faults::default() };
        world.machine.storage = MemoryStorage::new().faults(faults);
        for operation in &operations {
            if matches!(operation, Operation::Crash { .. } | Operation::Rescale) {
                continue;
            }
            if let Err(error) = world.apply(operation) {
                prop_assert!(matches!(error, StateError::Storage(_)), "{}", error);
                let again = world.machine.lsm.find(COUNTS, &keyed(&[0; 4]));
                prop_assert_eq!(again, Err(error));
                break;
            }
        }
        world.crash(true);
        let found = read(&mut world.machine, OWNED).expect("a storage without faults");
        prop_assert!(found == world.model);
    }
}

/// Counts of many keys in files, read again by a machine that has nothing in memory.
fn filled(opened: u64) -> (Machine, Vec<FileId>) {
    let mut world = World::after(opened);
    world.apply(&Operation::Count { first: 0, keys: 3000 }).expect("a storage without faults");
    world.apply(&Operation::Snapshot).expect("a storage without faults");
    world.crash(false);
    let files = world.last.expect("a snapshot").0.files;
    (world.machine, files.iter().map(|file| file.file).collect())
}

#[test]
fn each_damaged_byte_of_a_block_is_named() {
    // Files that are compressed in each way, and not at all.
    for opened in [0, 1, 2] {
        let (mut machine, files) = filled(opened);
        let length = machine.storage.content(files[0]).expect("a file").len();
        for at in (0..length).step_by(997) {
            let (mut machine, files) = filled(opened);
            machine.storage.content(files[0]).expect("a file")[at] ^= 1;
            let error = read(&mut machine, OWNED).expect_err("it is damaged");
            let StateError::DamagedFile { file, offset, .. } = error else { panic!("{error}") };
            assert_eq!(file, files[0].0);
            // A block is at most so long, and index and filter are checked as a whole.
            assert!(offset <= (at + crate::block::BLOCK_MAX) as u64, "byte {at}, {offset}");
        }
        assert!(read(&mut machine, OWNED).is_ok());
    }
}

#[test]
fn snapshots_share_files_until_they_are_released() {
    let mut world = World::new();
    let count = |first, keys| Operation::Count { first, keys };
    world.apply(&count(0, 5000)).expect("a storage without faults");
    world.apply(&Operation::Snapshot).expect("a storage without faults");
    let first = world.last.clone().expect("a snapshot").0;
    assert!(first.files.iter().all(|file| file.is_new));
    world.apply(&count(10, 3)).expect("a storage without faults");
    world.apply(&Operation::Snapshot).expect("a storage without faults");
    let second = world.last.clone().expect("a snapshot").0;
    let new: u64 = second.files.iter().filter(|file| file.is_new).map(|file| file.length).sum();
    let all: u64 = second.files.iter().map(|file| file.length).sum();
    assert!(new * 20 < all, "{new} of {all} bytes are new");
    // Merged runs are deleted when no snapshot has them.
    for round in 0..20 {
        world.apply(&count(round * 100, 200)).expect("a storage without faults");
        world.apply(&Operation::Snapshot).expect("a storage without faults");
        world.apply(&Operation::Steps(500)).expect("a storage without faults");
    }
    world.apply(&Operation::Snapshot).expect("a storage without faults");
    world.apply(&Operation::Steps(100)).expect("a storage without faults");
    let files = world.last.clone().expect("a snapshot").0.files.len();
    // The state is 60 KiB: seven slices, under a few layers of a file or two.
    assert!(files <= 28, "{files} files");
    assert!(world.machine.storage.files() <= files + 1, "{}", world.machine.storage.files());
}

#[test]
fn memory_goes_back() {
    let memory = {
        let (mut machine, _) = filled(0);
        assert!(read(&mut machine, OWNED).is_ok());
        assert!(machine.held() <= BUDGET);
        machine.lsm.metrics()
    };
    assert!(memory.runs > 0 && memory.indexes > 0);
}
