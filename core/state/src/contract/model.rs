//! What a backend is compared with.

extern crate std;

use std::{collections::BTreeMap, vec::Vec};

use super::{Driven, MAX_PARALLELISM, hash, patient, specs};
use crate::{Backend, Column, Cursor, Key, Kind, Owned, Place, StateId, list};

/// State, key, namespace.
pub(crate) type Name = (usize, Vec<u8>, Vec<u8>);

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Value(Vec<u8>),
    List(Vec<Vec<u8>>),
    Map(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// All state, kept simply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Name, Content>,
}

pub(crate) fn group(key: &[u8]) -> u32 {
    ((u128::from(hash(key)) * u128::from(MAX_PARALLELISM)) >> 64) as u32
}

/// Registers the states of the suite.
pub(crate) fn register<B: Backend>(backend: &mut B) -> Vec<StateId> {
    specs().iter().map(|spec| backend.register(spec).expect("registered")).collect()
}

pub(crate) fn bytes_of<B: Backend>(backend: &B, place: Place) -> Vec<u8> {
    backend.pieces(place).collect::<Vec<_>>().concat()
}

impl Model {
    /// What belongs to key groups.
    pub(crate) fn within(&self, owned: Owned) -> Self {
        let mut entries = self.entries.clone();
        entries.retain(|name, _| (owned.first..owned.end).contains(&group(&name.1)));
        Self { entries }
    }

    /// Compares all of a backend, by scanning it and by looking each key up.
    pub(crate) fn assert_is<B: Driven>(&self, backend: &mut B, owned: Owned) {
        let mut found = BTreeMap::new();
        for (number, spec) in specs().iter().enumerate() {
            let state = StateId(number as u16);
            for group in owned.first..owned.end {
                for (key, namespace, bytes) in scan(backend, state, group) {
                    assert_eq!(self::group(&key), group, "the group of a key");
                    let batch = Key { hash: hash(&key), key: &key, namespace: &namespace };
                    let content = match spec.kind {
                        Kind::Value => Content::Value(bytes.clone()),
                        Kind::List => {
                            let elements = list::elements(&bytes, spec.value);
                            Content::List(elements.map(<[u8]>::to_vec).collect())
                        }
                        Kind::Map => Content::Map(map(backend, state, &batch)),
                    };
                    let place = patient(backend, |backend| {
                        let mut places = Vec::new();
                        backend.lookup(state, &batch.batch(), &mut places)?;
                        assert_eq!(places.len(), 1, "a place for each key");
                        Ok(places[0])
                    });
                    let place = place.expect("found");
                    assert!(!place.is_absent() && bytes == bytes_of(backend, place), "{batch:?}");
                    let place = patient(backend, |backend| backend.find(state, &batch));
                    let place = place.expect("found");
                    assert!(!place.is_absent() && bytes == bytes_of(backend, place), "{batch:?}");
                    let before = found.insert((number, key, namespace), content);
                    assert_eq!(before, None, "a scan finds a key once");
                }
            }
            let count = found.keys().filter(|name| name.0 == number).count();
            let entries = backend.entries(state);
            match B::SPILLS {
                true => assert!(entries >= count as u64, "entries of `{}`", spec.name),
                false => assert_eq!(entries, count as u64, "entries of `{}`", spec.name),
            }
        }
        assert!(found == self.entries, "{}", self.difference(&found));
    }

    fn difference(&self, found: &BTreeMap<Name, Content>) -> std::string::String {
        let names = self.entries.keys().chain(found.keys());
        let name = names.into_iter().find(|name| self.entries.get(name) != found.get(name));
        let Some(name) = name else { return "nothing differs".into() };
        let (expected, found) = (self.entries.get(name), found.get(name));
        std::format!("{name:?} has\n{found:?}, not\n{expected:?}")
    }
}

/// All entries of a group, with a cursor that is put down after three, six more, and so on.
fn scan<B: Driven>(
    backend: &mut B,
    state: StateId,
    group: u32,
) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let (mut cursor, mut count) = (Cursor::default(), 3);
    loop {
        let before = found.len();
        let scanned = patient(backend, |backend| {
            let reader = &*backend;
            reader.scan(state, group, &mut cursor, &mut |entry| {
                let bytes = bytes_of(reader, entry.value);
                found.push((entry.key.to_vec(), entry.namespace.to_vec(), bytes));
                found.len() < before + count
            })
        });
        assert_eq!(scanned, Ok(()));
        if found.len() < before + count {
            return found;
        }
        count *= 2;
    }
}

/// A map, whose order and bounds are checked on the way.
fn map<B: Driven>(backend: &mut B, state: StateId, key: &Key<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let found = entries_from(backend, state, key, &[], usize::MAX);
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "map keys are in order");
    for (number, (map_key, value)) in found.iter().enumerate().step_by(7) {
        let place = patient(backend, |backend| {
            let mut places = Vec::new();
            let column = Column::Same(map_key);
            backend.lookup_entries(state, &key.batch(), column, &mut places)?;
            assert_eq!(places.len(), 1, "a place for each key");
            Ok(places[0])
        });
        let place = place.expect("found");
        assert!(!place.is_absent() && *value == bytes_of(backend, place), "{map_key:?}");
        let place = patient(backend, |backend| backend.find_entry(state, key, map_key));
        let place = place.expect("found");
        assert!(!place.is_absent() && *value == bytes_of(backend, place), "{map_key:?}");
        // Just behind this entry begins the rest.
        let mut bound = map_key.clone();
        bound.push(0);
        let behind = entries_from(backend, state, key, &bound, 1);
        assert_eq!(behind.first(), found.get(number + 1), "behind {bound:?}");
    }
    found.into_iter().collect()
}

/// Entries of a map from a map key on, at most so many.
fn entries_from<B: Driven>(
    backend: &mut B,
    state: StateId,
    key: &Key<'_>,
    from: &[u8],
    count: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let scanned = patient(backend, |backend| {
        let reader = &*backend;
        // A scan that waited goes on behind the last entry.
        let from = found.last().map_or(from.to_vec(), |(last, _)| [last, &[0][..]].concat());
        reader.scan_entries(state, key, &from, &mut |map_key, place| {
            found.push((map_key.to_vec(), bytes_of(reader, place)));
            found.len() < count
        })
    });
    assert_eq!(scanned, Ok(()));
    found
}
