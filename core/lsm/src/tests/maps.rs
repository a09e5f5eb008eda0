//! Maps that are scanned while what they are read from is not in memory.

extern crate std;

use std::vec::Vec;

use millstream_state::{Backend, Column, Key, Kind, Owned, StateError, StateSpec, contract};
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
    let key = Key { hash: contract::hash(&[1; 4]), key: &[1; 4], namespace: &[] };
    for number in 0..ENTRIES {
        let (name, value) = (name(number), number.to_le_bytes());
        patient(&mut machine, |machine| {
            let (name, value) = (Column::Same(&name), Column::Same(&value));
            let put = machine.put_entries(state, &key.batch(), name, value);
            put.map_err(|stopped| stopped.error)
        });
    }
    snapshot(&mut machine);
    for number in 1..ENTRIES - 1 {
        let name = name(number);
        patient(&mut machine, |machine| {
            let removed = machine.remove_entries(state, &key.batch(), Column::Same(&name));
            removed.map_err(|stopped| stopped.error)
        });
    }
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
        let scanned = machine.scan_entries(state, &key, &begin, &mut |name, _| {
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
