//! Maps that are scanned while what they are read from is not in memory.

extern crate std;

use std::{ops::Range, vec::Vec};

use millstream_state::{
    Backend, Column, Key, Kind, Owned, StateError, StateId, StateSpec, contract,
};
use millstream_storage::{FileId, MemoryStorage};

use super::{Machine, lease, spec};
use crate::{LsmBackend, LsmConfig, SnapshotFiles};

const OWNED: Owned = Owned { first: 0, end: 8, max_parallelism: 8 };
/// Entries of the map: enough for several blocks of names.
const ENTRIES: u32 = 1000;

/// Names in the order of their numbers.
fn name(number: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[7; 60]].concat()
}

fn maps() -> StateSpec {
    spec("maps", Kind::Map, None)
}

/// Calls until the backend does not wait any more.
fn patient<R>(
    machine: &mut Machine,
    mut call: impl FnMut(&mut Machine) -> Result<R, StateError>,
) -> R {
    loop {
        match call(machine) {
            Err(StateError::Waits) => assert!(machine.step().expect("good files")),
            outcome => return outcome.expect("no other error"),
        }
    }
}

/// The key whose map it is.
fn key() -> Key<'static> {
    Key { hash: contract::hash(&[1; 4]), key: &[1; 4], namespace: &[] }
}

fn put(machine: &mut Machine, state: StateId, numbers: Range<u32>) {
    for number in numbers {
        let (name, value) = (name(number), number.to_le_bytes());
        patient(machine, |machine| {
            let (name, value) = (Column::Same(&name), Column::Same(&value));
            let put = machine.put_entries(state, &key().batch(), name, value);
            put.map_err(|stopped| stopped.error)
        });
    }
}

fn remove(machine: &mut Machine, state: StateId, numbers: Range<u32>) {
    for number in numbers {
        let name = name(number);
        patient(machine, |machine| {
            let removed = machine.remove_entries(state, &key().batch(), Column::Same(&name));
            removed.map_err(|stopped| stopped.error)
        });
    }
}

/// A snapshot, so that what was written is in a run of its own.
fn snapshot(machine: &mut Machine) -> SnapshotFiles {
    patient(machine, |machine| machine.lsm.open_snapshot());
    patient(machine, |machine| machine.lsm.snapshot_files()).expect("it is open")
}

/// The first and the last entry are there; those in between were removed, which takes several blocks to say. None
/// of them is in memory, so that a scan that has come by the first entry waits for the second block.
#[test]
fn an_entry_in_front_of_many_that_are_gone_is_shown() {
    let mut machine = Machine::new(OWNED, 1 << 20, 4 << 10, MemoryStorage::new());
    let state = machine.register(&maps()).expect("registered");
    put(&mut machine, state, 0..ENTRIES);
    snapshot(&mut machine);
    remove(&mut machine, state, 1..ENTRIES - 1);
    let files = snapshot(&mut machine);
    assert_eq!(machine.lsm.metrics().runs, 2, "what is gone is in a run of its own");
    // What goes on from the snapshot has nothing in memory.
    let config = LsmConfig::new(1 << 20).first_file(FileId(1000));
    let lsm = lease(1 << 20, 4 << 10);
    let lsm = LsmBackend::open(lsm, OWNED, contract::hash, config, &[&files.manifest]);
    machine.lsm = lsm.expect("its own manifest");
    assert_eq!(machine.register(&maps()), Ok(state));
    let (mut from, mut shown, mut waits) = (Vec::new(), Vec::new(), 0);
    patient(&mut machine, |machine| {
        let begin = from.clone();
        let scanned = machine.scan_entries(state, &key(), &begin, &mut |name, _| {
            from = [name, &[0]].concat();
            shown.push(u32::from_be_bytes(*name.first_chunk().expect("a number")));
            true
        });
        waits += u32::from(scanned.is_err());
        scanned
    });
    assert_eq!(shown, [0, ENTRIES - 1]);
    assert!(waits > 2, "it has waited in the middle");
}

/// What was in no file has not to be removed from any: no run says so, and no scan has to pass it.
#[test]
fn entries_that_come_and_go_between_two_snapshots_leave_nothing() {
    let mut machine = Machine::new(OWNED, 1 << 20, 4 << 10, MemoryStorage::new());
    let state = machine.register(&maps()).expect("registered");
    put(&mut machine, state, 0..ENTRIES);
    snapshot(&mut machine);
    // Nobody waits to find out whether an entry is new: what tells so is in memory.
    patient(&mut machine, |machine| machine.scan_entries(state, &key(), &[], &mut |_, _| true));
    put(&mut machine, state, ENTRIES..2 * ENTRIES);
    remove(&mut machine, state, ENTRIES..2 * ENTRIES);
    snapshot(&mut machine);
    assert_eq!(machine.lsm.metrics().runs, 1);
    // What is in a file, and was set again, is gone for good.
    put(&mut machine, state, 0..1);
    remove(&mut machine, state, 0..1);
    snapshot(&mut machine);
    assert_eq!(machine.lsm.metrics().runs, 2);
    let gone = patient(&mut machine, |machine| machine.find_entry(state, &key(), &name(0)));
    assert!(gone.is_absent());
}
