//! Budgets that are as small as they may be: what was written in one opens again in it.

extern crate std;

use std::{format, vec::Vec};

use millstream_state::{
    Backend, Column, Key, Kind, Owned, StateError, StateId, StateSpec, contract,
};
use millstream_storage::{MemoryStorage, Storage};

use super::{Machine, lease};
use crate::{LsmBackend, LsmConfig, manifest::Manifest};

const OWNED: Owned = Owned { first: 0, end: 8, max_parallelism: 8 };
const SEGMENT: usize = 8 << 10;

fn spec(name: &str, kind: Kind) -> StateSpec {
    StateSpec { name: name.into(), kind, key: Some(4), namespace: Some(0), value: None }
}

fn keyed(number: &[u8; 4]) -> Key<'_> {
    Key { hash: contract::hash(number), key: number, namespace: &[] }
}

/// A value that takes some room.
fn value(number: u32) -> Vec<u8> {
    format!("{number} {}", "and more ".repeat(number as usize % 40)).into_bytes()
}

/// Repeats a call until it does not wait.
fn patient<R>(
    machine: &mut Machine,
    mut call: impl FnMut(&mut Machine) -> Result<R, StateError>,
) -> R {
    for _ in 0..20_000 {
        match call(machine) {
            Err(StateError::Waits) => {
                machine.step().expect("a storage without faults");
            }
            outcome => return outcome.expect("a call"),
        }
    }
    panic!("a call waits for ever");
}

fn fill(machine: &mut Machine, states: &[StateId; 2], keys: u32) {
    for number in 0..keys {
        let bytes = number.to_le_bytes();
        let key = keyed(&bytes);
        let keys = key.batch();
        let text = value(number);
        patient(machine, |machine| {
            let put = machine.lsm.put(states[0], &keys, Column::Same(&text));
            put.map_err(|stopped| stopped.error)
        });
        // One map has most of the entries, so that it fills many pages of an index.
        let of_map = [0, 0, 0, (number % 3) as u8];
        let key = keyed(&of_map);
        let keys = key.batch();
        patient(machine, |machine| {
            let (map_keys, values) = (Column::Same(&bytes), Column::Same(&text));
            let put = machine.lsm.put_entries(states[1], &keys, map_keys, values);
            put.map_err(|stopped| stopped.error)
        });
    }
}

/// Takes a snapshot, and opens a backend with its files.
fn again(mut machine: Machine, config: LsmConfig) -> Machine {
    assert_eq!(machine.lsm.open_snapshot(), Ok(()));
    let files = patient(&mut machine, |machine| machine.lsm.snapshot_files());
    let manifest = files.expect("a snapshot").manifest;
    while machine.lsm.in_flight() > 0 {
        let completion = machine.storage.poll().expect("what is in flight");
        assert_eq!(machine.lsm.completed(completion), Ok(()));
    }
    let Machine { storage, lsm, .. } = machine;
    drop(lsm);
    let lease = lease(config.budget, SEGMENT);
    let opened = LsmBackend::open(lease, OWNED, contract::hash, config, &[&manifest]);
    assert!(Manifest::decode(&manifest).is_ok());
    let lsm = opened.expect("its own manifest");
    Machine { lsm, storage, entries: 64, freeze_after: usize::MAX, writes: 0 }
}

fn check(machine: &mut Machine, states: &[StateId; 2], keys: u32) {
    for number in (0..keys + 50).step_by(7) {
        let bytes = number.to_le_bytes();
        let of_map = [0, 0, 0, (number % 3) as u8];
        for (state, map_key) in [(states[0], None), (states[1], Some(&bytes))] {
            let found = patient(machine, |machine| {
                let place = match map_key {
                    None => machine.lsm.find(state, &keyed(&bytes))?,
                    Some(map_key) => machine.lsm.find_entry(state, &keyed(&of_map), map_key)?,
                };
                let found = machine.lsm.pieces(place).flatten().copied().collect::<Vec<u8>>();
                Ok((!place.is_absent()).then_some(found))
            });
            let wanted = (number < keys).then(|| value(number));
            assert_eq!(found, wanted, "{number} {map_key:?}");
        }
    }
    assert!(machine.held() <= LsmConfig::least_budget(SEGMENT));
}

#[test]
fn much_is_written_and_opened_again_in_the_least_budget() {
    let least = LsmConfig::least_budget(SEGMENT);
    let config = LsmConfig::new(least).slice_min(64 << 10);
    let mut machine = Machine::with(OWNED, config, SEGMENT, MemoryStorage::new());
    let specs = [spec("texts", Kind::Value), spec("maps", Kind::Map)];
    let states = specs.each_ref().map(|spec| machine.register(spec).expect("registered"));
    let keys = 30_000;
    fill(&mut machine, &states, keys);
    let written = machine.lsm.metrics();
    assert!(written.bytes > 20 * least, "{} bytes of {least}", written.bytes);
    assert!(written.paged > 0, "{written:?}");
    check(&mut machine, &states, keys);
    let mut machine = again(machine, config.first_file(millstream_storage::FileId(1 << 20)));
    let states = specs.each_ref().map(|spec| machine.register(spec).expect("registered"));
    check(&mut machine, &states, keys);
    let opened = machine.lsm.metrics();
    assert!(opened.paged > 0 && opened.files > 1, "{opened:?}");
    // It goes on with it, too.
    fill(&mut machine, &states, 2000);
    while machine.step().expect("a storage without faults") {}
    check(&mut machine, &states, keys);
    for number in 0..3 {
        let bytes = [0, 0, 0, number];
        let mut seen: Vec<Vec<u8>> = Vec::new();
        patient(&mut machine, |machine| {
            // Who has been shown something goes on behind it.
            let from = seen.last().map_or(Vec::new(), |last| [last, &[0][..]].concat());
            machine.lsm.scan_entries(states[1], &keyed(&bytes), &from, &mut |map_key, _| {
                seen.push(map_key.to_vec());
                true
            })
        });
        assert_eq!(seen.len() as u32, keys / 3, "of the map {number}");
    }
}

#[test]
fn a_budget_that_is_too_small_says_what_it_needs() {
    for segment in [4 << 10, 8 << 10, 32 << 10] {
        let least = LsmConfig::least_budget(segment);
        let open = |budget: u64| {
            let lease = lease(least, segment);
            LsmBackend::new(lease, OWNED, contract::hash, LsmConfig::new(budget)).map(|_| ())
        };
        let given = least - segment as u64;
        assert_eq!(open(given), Err(StateError::BudgetTooSmall { given, needed: least }));
        assert_eq!(open(least), Ok(()));
    }
    let text = format!("{}", StateError::BudgetTooSmall { given: 1, needed: 2 });
    assert!(text.contains("1 bytes") && text.contains("at least 2"), "{text}");
}
