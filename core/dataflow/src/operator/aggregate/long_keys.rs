//! Accumulators of keys that are too long for a backend: under the hash of the key, beside the key itself.
//!
//! A value is a list of keys and accumulators in turn: those of all keys that have the hash.

use alloc::{format, vec, vec::Vec};

use millstream_state::{
    Kind, StateId, StateSpec,
    description::Part,
    list::{elements, frame},
};

use crate::{
    chain::TaskError,
    state::{Contents, GroupKey, HASH, KeyedState, hash_of},
};

/// Bytes of the longest key that a backend takes, its hash included.
pub(super) const KEY_MAX: usize = 512;

/// The accumulators of long keys.
#[derive(Debug)]
pub(super) struct LongKeys {
    pub(super) values: StateId,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl LongKeys {
    /// Adds the state that they are in. Its bytes are not looked into when it is put back, so that its name says
    /// which accumulators they are of.
    pub(super) fn register(fingerprint: u64, state: &mut KeyedState) -> Result<Self, TaskError> {
        let values = state.register(&StateSpec {
            name: format!("values of long keys {fingerprint:016x}"),
            kind: Kind::Value,
            key: Some(HASH),
            namespace: Some(0),
            value: None,
        })?;
        let value = vec![Part::Opaque(None)];
        state.describe(values, Contents { of_group: true, value, ..Contents::default() });
        Ok(Self { values, old: Vec::new(), new: Vec::new() })
    }

    /// Reads the accumulator of a key; `false` if there is none.
    pub(super) fn read(
        &mut self,
        state: &mut KeyedState,
        key: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        state.read(self.values, &place(key).within(&[]), &mut self.old)?;
        let found = pairs(&self.old).find(|(other, _)| *other == key);
        value.clear();
        value.extend(found.into_iter().flat_map(|(_, found)| found));
        Ok(found.is_some())
    }

    /// Sets the accumulator of a key.
    pub(super) fn put(
        &mut self,
        state: &mut KeyedState,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), TaskError> {
        let Self { values, old, new } = self;
        let place = place(key);
        state.read(*values, &place.within(&[]), old)?;
        new.clear();
        let others = pairs(old).filter(|(other, _)| *other != key);
        for (key, value) in others.chain([(key, value)]) {
            frame(key, new);
            frame(value, new);
        }
        state.set(*values, &place.within(&[]), new)
    }
}

/// The keys and accumulators of a value.
pub(super) fn pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut all = elements(value, None);
    core::iter::from_fn(move || Some((all.next()?, all.next()?)))
}

/// What the hash in front of a key is kept under.
fn place(key: &[u8]) -> GroupKey {
    let hash = hash_of(key);
    GroupKey { hash, bytes: hash.to_le_bytes() }
}
