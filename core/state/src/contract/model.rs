//! What a backend is compared with.

extern crate std;

use std::{collections::BTreeMap, vec::Vec};

use super::{MAX_PARALLELISM, hash, specs};
use crate::{Backend, Cursor, Key, Kind, Owned, Place, StateId, list};

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
    pub(crate) fn assert_is<B: Backend>(&self, backend: &B, owned: Owned) {
        let mut found = BTreeMap::new();
        for (number, spec) in specs().iter().enumerate() {
            let state = StateId(number as u16);
            for group in owned.first..owned.end {
                for (key, namespace, place) in scan(backend, state, group) {
                    assert_eq!(self::group(&key), group, "the group of a key");
                    let batch = Key { hash: hash(&key), key: &key, namespace: &namespace };
                    let content = match spec.kind {
                        Kind::Value => Content::Value(bytes_of(backend, place)),
                        Kind::List => {
                            let bytes = bytes_of(backend, place);
                            let elements = list::elements(&bytes, spec.value);
                            Content::List(elements.map(<[u8]>::to_vec).collect())
                        }
                        Kind::Map => Content::Map(map(backend, state, &batch)),
                    };
                    let mut places = Vec::new();
                    backend.lookup(state, &batch.batch(), &mut places).expect("found");
                    assert_eq!(backend.find(state, &batch), Ok(place));
                    assert_eq!(places, [place], "a scan and a lookup find the same");
                    let before = found.insert((number, key, namespace), content);
                    assert_eq!(before, None, "a scan finds a key once");
                }
            }
            let count = found.keys().filter(|name| name.0 == number).count();
            assert_eq!(backend.entries(state), count as u64, "entries of `{}`", spec.name);
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

/// All entries of a group, with a cursor that is put down at every third.
fn scan<B: Backend>(backend: &B, state: StateId, group: u32) -> Vec<(Vec<u8>, Vec<u8>, Place)> {
    let mut found = Vec::new();
    let mut cursor = Cursor::default();
    loop {
        let before = found.len();
        backend
            .scan(state, group, &mut cursor, &mut |entry| {
                found.push((entry.key.to_vec(), entry.namespace.to_vec(), entry.value));
                found.len() < before + 3
            })
            .expect("scanned");
        if found.len() < before + 3 {
            return found;
        }
    }
}

/// A map, whose order and bounds are checked on the way.
fn map<B: Backend>(backend: &B, state: StateId, key: &Key<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found: Vec<(Vec<u8>, Place)> = Vec::new();
    backend
        .scan_entries(state, key, &[], &mut |map_key, place| {
            found.push((map_key.to_vec(), place));
            true
        })
        .expect("scanned");
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "map keys are in order");
    for (number, (map_key, place)) in found.iter().enumerate().step_by(7) {
        let mut places = Vec::new();
        let column = crate::Column::Same(map_key);
        backend.lookup_entries(state, &key.batch(), column, &mut places).expect("found");
        assert_eq!(places, [*place], "a scan and a lookup find the same");
        assert_eq!(backend.find_entry(state, key, map_key), Ok(*place));
        // Just behind this entry begins the rest.
        let mut bound = map_key.clone();
        bound.push(0);
        let mut behind = None;
        backend
            .scan_entries(state, key, &bound, &mut |map_key, _| {
                behind = Some(map_key.to_vec());
                false
            })
            .expect("scanned");
        assert_eq!(behind.as_ref(), found.get(number + 1).map(|next| &next.0), "behind {bound:?}");
    }
    found.into_iter().map(|(key, place)| (key, bytes_of(backend, place))).collect()
}
