//! What lies in a backend for a value of a type: its row, behind its time if it has one to live.

use alloc::{string::String, vec::Vec};
use core::marker::PhantomData;

use millstream_data::{
    row::{RowLayout, RowValue},
    value::Record,
};

use super::Descriptor;
use crate::{
    Backend, Kind, StateError, StateId, StateSpec,
    ttl::{STAMP, Ttl, TtlUpdate},
};

/// A state whose values are rows of `T`.
#[derive(Debug)]
pub(super) struct Stored<T> {
    pub(super) id: StateId,
    pub(super) layout: RowLayout,
    pub(super) ttl: Option<Ttl>,
    name: String,
    of: PhantomData<fn() -> T>,
}

impl<T: RowValue + Record> Stored<T> {
    pub(super) fn register<B: Backend>(
        backend: &mut B,
        descriptor: &Descriptor,
        kind: Kind,
    ) -> Result<Self, StateError> {
        let Descriptor { name, key, namespace, ttl } = descriptor.clone();
        let layout = RowLayout::new(&T::schema());
        let stamp = if ttl.is_some() { STAMP } else { 0 };
        let value = layout.is_fixed().then_some(stamp + layout.fixed_bytes());
        let id =
            backend.register(&StateSpec { name: name.clone(), kind, key, namespace, value })?;
        Ok(Self { id, layout, ttl, name, of: PhantomData })
    }

    /// Bytes in front of the row.
    pub(super) fn stamp(&self) -> usize {
        if self.ttl.is_some() { STAMP } else { 0 }
    }

    /// Makes `out` what is stored for a value.
    pub(super) fn encode(&self, view: T::View<'_>, now: i64, out: &mut Vec<u8>) {
        out.clear();
        if self.ttl.is_some() {
            out.extend_from_slice(&now.to_le_bytes());
        }
        self.layout.encode::<T>(view, out);
    }

    /// The value of what is stored, which may come from a snapshot.
    pub(super) fn decode<'a>(&'a self, stored: &'a [u8]) -> Result<T::View<'a>, StateError> {
        let row = stored.get(self.stamp()..).unwrap_or(&[]);
        let row = self.layout.validate(row);
        let row = row.map_err(|error| StateError::Damaged { state: self.name.clone(), error })?;
        Ok(self.layout.decode::<T>(row))
    }

    /// Whether what is stored must not be seen any more.
    pub(super) fn hides(&self, stored: &[u8], now: i64) -> bool {
        self.ttl.is_some_and(|ttl| ttl.hides(stored, now))
    }

    /// Whether reading makes state live longer.
    pub(super) fn lives_by_reading(&self) -> bool {
        self.ttl.is_some_and(|ttl| ttl.update == TtlUpdate::OnReadAndWrite)
    }
}

/// Writes the time in front of what is stored.
pub(super) fn set_stamp(stored: &mut [u8], now: i64) {
    if let Some(stamp) = stored.first_chunk_mut() {
        *stamp = now.to_le_bytes();
    }
}
