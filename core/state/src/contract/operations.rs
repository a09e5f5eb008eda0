//! Random operations, on a backend and on the model.

extern crate std;

use std::{format, vec, vec::Vec};

use super::{
    Driven, all, chunks, hash,
    model::{self, Content, Model, Name},
    patient, specs,
};
use crate::{Column, Key, Keys, Kind, StateError, StateId, Stopped};

/// Something to do; what does not suit the state is another of the same kind.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) code: u8,
    pub(crate) state: usize,
    /// For all keys; each has one of its own if `None`.
    pub(crate) namespace: Option<u8>,
    pub(crate) keys: Vec<u32>,
    pub(crate) size: usize,
    pub(crate) seed: u8,
}

/// A snapshot on its way.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    open: Option<(Vec<u8>, Model)>,
    done: Option<(Vec<u8>, Model)>,
}

impl Snapshot {
    pub(crate) fn take_done(&mut self) -> Option<(Vec<u8>, Model)> {
        self.done.take()
    }
}

pub(crate) struct World<B> {
    backend: B,
    states: Vec<StateId>,
    model: Model,
    pub(crate) snapshot: Snapshot,
}

/// Byte strings in a column of any width.
struct Strings {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Strings {
    fn new<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut ends, mut bytes) = (Vec::new(), Vec::new());
        for string in strings {
            bytes.extend_from_slice(string);
            ends.push(bytes.len() as u32);
        }
        Self { ends, bytes }
    }

    /// A column of one width if all have that.
    fn column(&self, width: Option<usize>) -> Column<'_> {
        match width {
            Some(width) => Column::Fixed { width, bytes: &self.bytes },
            None => Column::Variable { begin: 0, ends: &self.ends, bytes: &self.bytes },
        }
    }
}

/// A value that tells where it comes from.
fn content(size: usize, seed: u8, index: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u8).wrapping_mul(31) ^ seed ^ index as u8).collect()
}

fn add(value: &mut [u8], operand: &[u8]) {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let sum = word(value).wrapping_add(word(operand));
    value.copy_from_slice(&sum.to_le_bytes());
}

impl<B: Driven> World<B> {
    pub(crate) fn new(backend: B) -> Self {
        let mut backend = backend;
        let states = model::register(&mut backend);
        Self { backend, states, model: Model::default(), snapshot: Snapshot::default() }
    }

    /// Compares the backend with the model.
    pub(crate) fn compare(&mut self) {
        self.model.assert_is(&mut self.backend, all());
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        let spec = &specs()[operation.state];
        match operation.code {
            0 => self.clear_namespace(operation),
            1 => self.open_snapshot(),
            2..=4 => self.chunk(),
            5 if operation.seed < 60 => {
                self.backend.abort_snapshot();
                self.snapshot.open = None;
            }
            5 => self.finish_snapshot(),
            6..=8 => self.remove(operation),
            code => match spec.kind {
                Kind::Value if spec.value.is_none() || code < 11 => self.put(operation),
                Kind::Value if code < 14 => self.merge(operation),
                Kind::Value => self.update(operation),
                Kind::List if code == 16 => self.put_list(operation),
                Kind::List => self.append(operation),
                Kind::Map if code < 14 => self.put_entries(operation),
                Kind::Map => self.remove_entries(operation),
            },
        }
    }

    fn names(operation: &Operation) -> Vec<Name> {
        let spec = &specs()[operation.state];
        let name = |number: &u32| {
            let key = match spec.key {
                Some(4) => number.to_be_bytes().to_vec(),
                Some(_) => u64::from(*number).to_le_bytes().to_vec(),
                None => format!("{number:.>width$}", width = *number as usize % 60).into_bytes(),
            };
            let namespace = operation.namespace.unwrap_or(*number as u8 % 2);
            let namespace = match spec.namespace {
                Some(width) => vec![namespace; width],
                // Among them the empty one.
                None => vec![7; usize::from(namespace)],
            };
            (operation.state, key, namespace)
        };
        operation.keys.iter().map(name).collect()
    }

    /// Calls a batch, until all keys are served: what has to be in the snapshot first is put there.
    fn drive(
        &mut self,
        names: &[Name],
        mut call: impl FnMut(&mut B, &Keys<'_>, usize) -> Result<(), Stopped>,
    ) {
        let spec = &specs()[names[0].0];
        let hashes: Vec<u64> = names.iter().map(|name| hash(&name.1)).collect();
        let keys = Strings::new(names.iter().map(|name| &*name.1));
        let namespaces = Strings::new(names.iter().map(|name| &*name.2));
        let keys = Keys {
            hashes: &hashes,
            keys: keys.column(spec.key),
            namespaces: namespaces.column(spec.namespace),
            offsets: &[],
        };
        let mut done = 0;
        loop {
            match call(&mut self.backend, &keys.skip(done), done) {
                Ok(()) => return,
                Err(Stopped { done: served, error: StateError::SnapshotFirst }) => {
                    assert!(self.snapshot.open.is_some(), "there is a snapshot to wait for");
                    done += served;
                    self.chunk();
                }
                Err(Stopped { done: served, error: StateError::Waits }) => {
                    done += served;
                    self.backend.drive();
                }
                Err(stopped) => panic!("{stopped}"),
            }
        }
    }

    fn put(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let width = specs()[operation.state].value;
        let size = width.unwrap_or(operation.size);
        let values: Vec<_> = (0..names.len())
            .map(|index| {
                content(
                    if width.is_some() { size } else { size / (index % 3 + 1) },
                    operation.seed,
                    index,
                )
            })
            .collect();
        self.drive(&names, |backend, keys, from| {
            let values = Strings::new(values[from..].iter().map(|value| &**value));
            backend.put(state, keys, values.column(width))
        });
        for (name, value) in names.into_iter().zip(values) {
            self.model.entries.insert(name, Content::Value(value));
        }
    }

    fn merge(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let operand = content(8, operation.seed, 3);
        self.drive(&names, |backend, keys, _| {
            backend.merge(state, keys, Column::Same(&operand), add)
        });
        for name in names {
            match self.model.entries.get_mut(&name) {
                Some(Content::Value(value)) => add(value, &operand),
                _ => drop(self.model.entries.insert(name, Content::Value(operand.clone()))),
            }
        }
    }

    fn update(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let initial = [operation.seed; 8];
        let mut served = Vec::new();
        self.drive(&names, |backend, keys, from| {
            backend.update(state, keys, &initial, |index, value| {
                served.push(from + index);
                add(value, &(index as u64 + from as u64).to_le_bytes());
            })
        });
        assert!(served.into_iter().eq(0..names.len()), "each key once, in order");
        for (index, name) in names.into_iter().enumerate() {
            let value = Content::Value(initial.to_vec());
            if let Content::Value(value) = self.model.entries.entry(name).or_insert(value) {
                add(value, &(index as u64).to_le_bytes());
            }
        }
    }

    fn append(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let width = specs()[operation.state].value;
        let size = width.unwrap_or(operation.size / 3);
        let elements: Vec<_> =
            (0..names.len()).map(|index| content(size, operation.seed, index)).collect();
        self.drive(&names, |backend, keys, from| {
            let elements = Strings::new(elements[from..].iter().map(|element| &**element));
            backend.append(state, keys, elements.column(width))
        });
        for (name, element) in names.into_iter().zip(elements) {
            let list = self.model.entries.entry(name).or_insert(Content::List(Vec::new()));
            if let Content::List(elements) = list {
                elements.push(element);
            }
        }
    }

    /// Sets each list to two elements, or to none.
    fn put_list(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let width = specs()[operation.state].value;
        let element = content(width.unwrap_or(operation.size), operation.seed, 0);
        let elements = vec![element; usize::from(operation.seed % 3)];
        let mut bytes = Vec::new();
        for element in &elements {
            match width {
                Some(_) => bytes.extend_from_slice(element),
                None => crate::list::frame(element, &mut bytes),
            }
        }
        for name in names {
            let key = Key { hash: hash(&name.1), key: &name.1, namespace: &name.2 };
            while let Err(error) = self.backend.put_list(state, &key, &bytes) {
                self.go_on(&error);
            }
            match elements.is_empty() {
                true => self.model.entries.remove(&name),
                false => self.model.entries.insert(name, Content::List(elements.clone())),
            };
        }
    }

    /// One map key for each key of the batch.
    fn map_keys(operation: &Operation) -> Vec<Vec<u8>> {
        let short = |index: usize| {
            let number = (index as u8).wrapping_mul(operation.seed | 1);
            content(usize::from(number) % 9, number, 0)
        };
        let long = |index: usize| format!("{:0>120}", index * 7919 % 1000).into_bytes();
        let key = |index| if operation.seed.is_multiple_of(2) { short(index) } else { long(index) };
        (0..operation.keys.len()).map(key).collect()
    }

    fn put_entries(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let map_keys = Self::map_keys(operation);
        let values: Vec<_> = (0..names.len())
            .map(|index| content(operation.size / (index % 5 + 1), operation.seed, index))
            .collect();
        self.drive(&names, |backend, keys, from| {
            let map_keys = Strings::new(map_keys[from..].iter().map(|key| &**key));
            let values = Strings::new(values[from..].iter().map(|value| &**value));
            backend.put_entries(state, keys, map_keys.column(None), values.column(None))
        });
        for ((name, map_key), value) in names.into_iter().zip(map_keys).zip(values) {
            let map = self.model.entries.entry(name).or_insert(Content::Map([].into()));
            if let Content::Map(map) = map {
                map.insert(map_key, value);
            }
        }
    }

    fn remove_entries(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        let map_keys = Self::map_keys(operation);
        self.drive(&names, |backend, keys, from| {
            let map_keys = Strings::new(map_keys[from..].iter().map(|key| &**key));
            backend.remove_entries(state, keys, map_keys.column(None))
        });
        for (name, map_key) in names.into_iter().zip(map_keys) {
            if let Some(Content::Map(map)) = self.model.entries.get_mut(&name) {
                map.remove(&map_key);
                if map.is_empty() {
                    self.model.entries.remove(&name);
                }
            }
        }
    }

    fn remove(&mut self, operation: &Operation) {
        let (state, names) = (self.states[operation.state], Self::names(operation));
        self.drive(&names, |backend, keys, _| backend.remove(state, keys));
        for name in names {
            self.model.entries.remove(&name);
        }
    }

    fn clear_namespace(&mut self, operation: &Operation) {
        let number = operation.state;
        let namespace = match specs()[number].namespace {
            Some(width) => vec![operation.seed % 2; width],
            None => vec![7; usize::from(operation.seed % 2)],
        };
        let state = self.states[number];
        while let Err(error) = self.backend.clear_namespace(state, &namespace) {
            self.go_on(&error);
        }
        self.model.entries.retain(|name, _| name.0 != number || name.2 != namespace);
    }

    fn open_snapshot(&mut self) {
        let opened = patient(&mut self.backend, B::open_snapshot);
        match self.snapshot.open {
            Some(_) => assert_eq!(opened, Err(StateError::SnapshotOpen)),
            None => {
                assert_eq!(opened, Ok(()));
                self.snapshot.open = Some((Vec::new(), self.model.clone()));
            }
        }
    }

    fn chunk(&mut self) {
        let Some((bytes, _)) = &mut self.snapshot.open else {
            let none = self.backend.next_chunk(&mut Vec::new());
            assert_eq!(none, Ok(false), "there is no snapshot");
            return;
        };
        if patient(&mut self.backend, |backend| backend.next_chunk(bytes)) == Ok(false) {
            self.snapshot.done = self.snapshot.open.take();
        }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        if let Some((mut bytes, model)) = self.snapshot.open.take() {
            assert_eq!(chunks(&mut self.backend, &mut bytes), Ok(()));
            self.snapshot.done = Some((bytes, model));
        }
    }

    /// Does what a call waits for.
    fn go_on(&mut self, error: &StateError) {
        match error {
            StateError::Waits => self.backend.drive(),
            StateError::SnapshotFirst => self.chunk(),
            error => panic!("{error}"),
        }
    }

    /// Removes everything; nothing may be left.
    pub(crate) fn empty(mut self) {
        for (number, state) in self.states.iter().enumerate() {
            for namespace in [&[][..], &[0], &[1], &[7]] {
                let backend = &mut self.backend;
                let cleared =
                    patient(backend, |backend| backend.clear_namespace(*state, namespace));
                assert_eq!(cleared, Ok(()));
            }
            let entries = self.backend.entries(*state);
            assert!(B::SPILLS || entries == 0, "entries of state {number}");
        }
        self.model = Model::default();
        self.compare();
    }
}
