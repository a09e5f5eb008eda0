//! Budgets, foreign keys, misuse, and what is long.

extern crate std;

use std::{collections::BTreeMap, format, string::ToString, vec, vec::Vec};

use super::{
    AMPLE, Driven, MAX_PARALLELISM, all, chunks, hash,
    model::{self, Content, Model},
    patient, patient_batch, restored, specs,
};
use crate::{Column, Key, Keys, Kind, Owned, StateError, StateId, Stopped};

/// Batches that a backend gets whose budget is never used up.
const SPILLED: u32 = 100;

/// What is served before the budget is used up stays; with less state there is room again.
pub(super) fn out_of_budget<B: Driven>(open: &impl Fn(Owned, u64) -> B) {
    for (number, spec) in specs().iter().enumerate() {
        let mut backend = open(all(), 512 << 10);
        let state = model::register(&mut backend)[number];
        let mut before = 20;
        for round in 0..3 {
            let mut model = Model::default();
            let stopped = fill(&mut backend, state, number, &mut model);
            assert!(backend.held() <= 512 << 10, "{} bytes are held", backend.held());
            match stopped {
                Some(stopped @ StateError::OutOfBudget { .. }) => {
                    let text = stopped.to_string();
                    assert!(text.contains("lsm") && text.contains("memory.managed.size"), "{text}");
                }
                Some(stopped) => panic!("`{}`: {stopped}", spec.name),
                None => assert!(B::SPILLS, "`{}` never fills the budget", spec.name),
            }
            // What was removed left nothing behind.
            let entries = model.entries.len();
            assert!(entries >= before, "`{}`, round {round}: {entries}, {before}", spec.name);
            before = entries - entries / 20;
            model.assert_is(&mut backend, all());
            for (_, key, namespace) in model.entries.keys() {
                let key = Key { hash: hash(key), key, namespace };
                let removed = patient_batch(&mut backend, &key.batch(), |backend, keys, _| {
                    backend.remove(state, keys)
                });
                assert_eq!(removed, Ok(()));
            }
            Model::default().assert_is(&mut backend, all());
        }
    }
}

/// Batches of 50 keys until the budget is used up, if it ever is; some of the keys grow.
fn fill<B: Driven>(
    backend: &mut B,
    state: StateId,
    number: usize,
    model: &mut Model,
) -> Option<StateError> {
    let spec = &specs()[number];
    // Values of one size fill a budget by their number, others by growing.
    let grows = spec.kind != Kind::Value || spec.value.is_none();
    let keys = if grows { 3001 } else { u32::MAX };
    for batch in 0..if B::SPILLS { SPILLED } else { 20_000 } {
        let width = spec.key.unwrap_or(9);
        let key = |index: u32| {
            let number = (batch * 50 + index) % keys;
            let mut key = vec![0; width];
            key[..4].copy_from_slice(&number.to_le_bytes());
            key
        };
        let keys: Vec<_> = (0..50).map(key).collect();
        let hashes: Vec<_> = keys.iter().map(|key| hash(key)).collect();
        let bytes = keys.concat();
        let namespace = vec![1; spec.namespace.unwrap_or(0)];
        let columns = Keys::fixed(&hashes, width, &bytes).within(Column::Same(&namespace));
        let value = vec![batch as u8; spec.value.unwrap_or(batch as usize * 97 % 1500)];
        let map_key = (batch % 1999).to_be_bytes();
        let (values, map_keys) = (Column::Same(&value), Column::Same(&map_key));
        let served = patient_batch(backend, &columns, |backend, keys, _| match spec.kind {
            Kind::Value => backend.put(state, keys, values),
            Kind::List => backend.append(state, keys, values),
            Kind::Map => backend.put_entries(state, keys, map_keys, values),
        });
        let done = served.as_ref().map_or_else(|stopped| stopped.done, |()| 50);
        for key in &keys[..done] {
            let name = (number, key.clone(), namespace.clone());
            match (spec.kind, model.entries.get_mut(&name)) {
                (_, Some(Content::Value(old))) => *old = value.clone(),
                (_, Some(Content::List(list))) => list.push(value.clone()),
                (_, Some(Content::Map(map))) => drop(map.insert(map_key.into(), value.clone())),
                (Kind::Value, None) => {
                    drop(model.entries.insert(name, Content::Value(value.clone())));
                }
                (Kind::List, None) => {
                    model.entries.insert(name, Content::List(vec![value.clone()]));
                }
                (Kind::Map, None) => {
                    let map = BTreeMap::from([(map_key.to_vec(), value.clone())]);
                    model.entries.insert(name, Content::Map(map));
                }
            }
        }
        if let Err(stopped) = served {
            return Some(stopped.error);
        }
    }
    None
}

/// A key of another's group is refused, and what is in front of it is served.
pub(super) fn foreign_keys<B: Driven>(open: &impl Fn(Owned, u64) -> B) {
    let owned = Owned { first: 2, end: 5, ..all() };
    let is_own = |key: &u64| (2..5).contains(&model::group(&key.to_le_bytes()));
    let own: Vec<u64> = (0..1000).filter(is_own).take(70).collect();
    let foreign = (0..1000).find(|key| !is_own(key)).expect("another group");
    for at in [0, 1, 40, 69] {
        let mut backend = open(owned, AMPLE);
        let state = model::register(&mut backend)[1];
        let mut keys = own.clone();
        keys[at] = foreign;
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let hashes: Vec<u64> = bytes.chunks(8).map(hash).collect();
        let keys = Keys::fixed(&hashes, 8, &bytes);
        let group = model::group(&foreign.to_le_bytes());
        let refused = Err(Stopped { done: at, error: StateError::ForeignKey { group } });
        let mut calls = 0;
        assert_eq!(backend.update(state, &keys, &[0; 8], |_, _| calls += 1), refused);
        assert_eq!((calls, backend.entries(state)), (at, at as u64));
        assert_eq!(backend.put(state, &keys, Column::Same(&[1; 8])), refused);
        assert_eq!(backend.remove(state, &keys), refused);
        let found = backend.lookup(state, &keys, &mut Vec::new());
        assert_eq!(found, Err(StateError::ForeignKey { group }));
        for group in [1, 5, MAX_PARALLELISM, u32::MAX] {
            let scanned = backend.scan(state, group, &mut Default::default(), &mut |_| true);
            assert_eq!(scanned, Err(StateError::ForeignKey { group }));
        }
    }
}

/// What is used wrongly is an error, and changes nothing.
pub(super) fn misuse<B: Driven>(open: &impl Fn(Owned, u64) -> B) {
    let mut backend = open(all(), AMPLE);
    let states = model::register(&mut backend);
    for spec in specs() {
        assert!(matches!(backend.register(&spec), Err(StateError::Misused { .. })), "{spec:?}");
    }
    let (four, eight) = ([0; 4], [0; 8]);
    let keyed = |key| Key { hash: hash(key), key, namespace: &[1] };
    let (short, long) = (keyed(&four), keyed(&eight));
    let value = Column::Same(&eight);
    let mut is_misuse = |state: usize, number: usize| {
        let (state, keys) = (states[state], short.batch());
        let called = match number {
            0 => backend.update(state, &keys, &eight, |_, _| panic!("called")),
            1 => backend.put(state, &keys, value),
            2 => backend.append(state, &keys, value),
            3 => backend.put_entries(state, &keys, value, value),
            _ => backend.remove_entries(state, &keys, value),
        };
        let error = called.expect_err("another kind").error;
        assert!(matches!(error, StateError::Misused { .. }), "{error}");
    };
    for (state, number) in [(0, 2), (0, 3), (0, 4), (4, 0), (4, 1), (4, 3), (6, 0), (6, 1), (6, 2)]
    {
        is_misuse(state, number);
    }
    // Values of variable size are not updated in place.
    is_misuse(3, 0);
    let width = |outcome: Result<(), Stopped>| {
        let error = outcome.expect_err("another width").error;
        assert!(matches!(error, StateError::Width { .. }), "{error}");
    };
    width(backend.put(states[0], &long.batch(), value));
    width(backend.put(states[0], &short.batch(), Column::Same(&[0; 7])));
    width(backend.update(states[0], &short.batch(), &[0; 9], |_, _| {}));
    width(backend.append(states[4], &short.batch(), value));
    let huge = vec![7; 5000];
    let huge = keyed(&huge);
    let large = |outcome: Result<(), Stopped>| {
        let error = outcome.expect_err("too large").error;
        assert!(matches!(error, StateError::TooLarge { .. }), "{error}");
    };
    large(backend.put(states[3], &huge.batch(), value));
    large(backend.append(states[5], &huge.batch(), value));
    large(backend.put_entries(states[6], &short.batch(), Column::Same(huge.key), value));
    let unknown = StateId(99);
    assert!(backend.put(unknown, &short.batch(), value).is_err());
    assert!(backend.lookup(unknown, &short.batch(), &mut Vec::new()).is_err());
    assert!(backend.spec(unknown).is_none());
    Model::default().assert_is(&mut backend, all());
}

/// A value and a list of a megabyte, through a snapshot.
pub(super) fn long_values<B: Driven>(open: &impl Fn(Owned, u64) -> B) {
    let mut backend = open(all(), AMPLE);
    let states = model::register(&mut backend);
    let mut model = Model::default();
    let key = Key { hash: hash(b"long"), key: b"long", namespace: b"" };
    let value: Vec<u8> = (0..1_000_003u32).map(|at| (at % 251) as u8).collect();
    let put = patient_batch(&mut backend, &key.batch(), |backend, keys, _| {
        backend.put(states[3], keys, Column::Same(&value))
    });
    assert_eq!(put, Ok(()));
    model.entries.insert((3, b"long".into(), vec![]), Content::Value(value));
    let mut list = Vec::new();
    for number in 0..3000u32 {
        let element = format!("{number:>width$}", width = number as usize % 900).into_bytes();
        let appended = patient_batch(&mut backend, &key.batch(), |backend, keys, _| {
            backend.append(states[5], keys, Column::Same(&element))
        });
        assert_eq!(appended, Ok(()));
        list.push(element);
    }
    model.entries.insert((5, b"long".into(), vec![]), Content::List(list));
    through_snapshot(open, backend, &model);
}

/// A map of many entries: filled in several orders, half of it removed, through a snapshot.
pub(super) fn long_maps<B: Driven>(open: &impl Fn(Owned, u64) -> B) {
    for (entries, width) in [(20_000, 4), (3000, 400)] {
        let orders: [fn(u32, u32) -> u32; 3] = [
            |number, _| number,
            |number, entries| entries - 1 - number,
            |number, entries| number * 7919 % entries,
        ];
        for order in orders {
            long_map(open, (0..entries).map(|number| order(number, entries)).collect(), width);
        }
    }
}

fn long_map<B: Driven>(open: &impl Fn(Owned, u64) -> B, order: Vec<u32>, width: usize) {
    let mut backend = open(all(), AMPLE);
    let state = model::register(&mut backend)[6];
    let key = Key { hash: hash(b"map"), key: b"map", namespace: &[1] };
    let map_key = |number: u32| {
        let mut bytes = vec![b'.'; width];
        bytes[width - 4..].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let put = |backend: &mut B, map_key: &[u8], value: &[u8]| {
        let (map_keys, values) = (Column::Same(map_key), Column::Same(value));
        let put = patient_batch(backend, &key.batch(), |backend, keys, _| {
            backend.put_entries(state, keys, map_keys, values)
        });
        assert_eq!(put, Ok(()));
    };
    let remove = |backend: &mut B, map_key: &[u8]| {
        let map_keys = Column::Same(map_key);
        let removed = patient_batch(backend, &key.batch(), |backend, keys, _| {
            backend.remove_entries(state, keys, map_keys)
        });
        assert_eq!(removed, Ok(()));
    };
    let mut map = BTreeMap::new();
    for number in order.iter().copied() {
        let value = vec![number as u8; number as usize % 40];
        put(&mut backend, &map_key(number), &value);
        map.insert(map_key(number), value);
    }
    let held = backend.held();
    for number in &order[..order.len() / 2] {
        remove(&mut backend, &map_key(*number));
        map.remove(&map_key(*number));
    }
    for number in &order[..order.len() / 3] {
        put(&mut backend, &map_key(*number), b"again");
        map.insert(map_key(*number), b"again".to_vec());
    }
    assert!(B::SPILLS || backend.held() <= held, "what was removed is used again");
    let mut model = Model::default();
    model.entries.insert((6, b"map".into(), vec![1]), Content::Map(map.clone()));
    model.assert_is(&mut backend, all());
    map.keys().for_each(|map_key| remove(&mut backend, map_key));
    Model::default().assert_is(&mut backend, all());
    map.iter().for_each(|(map_key, value)| put(&mut backend, map_key, value));
    through_snapshot(open, backend, &model);
}

fn through_snapshot<B: Driven>(open: &impl Fn(Owned, u64) -> B, backend: B, model: &Model) {
    let mut backend = backend;
    model.assert_is(&mut backend, all());
    let mut snapshot = Vec::new();
    assert_eq!(patient(&mut backend, B::open_snapshot), Ok(()));
    assert_eq!(chunks(&mut backend, &mut snapshot), Ok(()));
    let mut restored = restored(open(all(), AMPLE), all(), &snapshot).expect("restored");
    model.assert_is(&mut restored, all());
}
