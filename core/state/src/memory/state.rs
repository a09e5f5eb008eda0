//! One state of a memory backend: what all kinds have in common.

use super::{
    KEY_MAX, State, VALUE_MAX,
    bucket::{self, INLINE_MAX},
    chain::{Chain, REFERENCE, Refused},
    pages::Pages,
    table::Found,
    tree::Tree,
};
use crate::{Column, Cursor, IN_PLACE_MAX, Key, Keys, Kind, Lease, StateError, Stopped};

impl State {
    /// Serves keys one by one. What they need is read before, for many at a time.
    pub(super) fn each<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &Keys<'_>,
        mut serve: impl FnMut(&mut Self, &mut Pages<L>, usize, Key<'_>) -> Result<(), StateError>,
    ) -> Result<(), Stopped> {
        for done in 0..keys.len() {
            let key = keys.at(done);
            let stopped = |error| Stopped { done, error };
            self.table.warm(pages, keys, done);
            self.check_key(&key).map_err(stopped)?;
            serve(self, pages, done, key).map_err(stopped)?;
        }
        Ok(())
    }

    /// Checks that values of fixed size lie in place, and the sizes of a batch once, as far as its
    /// columns say them.
    #[inline]
    pub(super) fn check_in_place(
        &self,
        keys: &Keys<'_>,
        values: &Column<'_>,
    ) -> Result<(), Stopped> {
        let Some(expected) = self.spec.value else {
            let what = "has values of variable size, which cannot be updated in place; use `put`";
            let error = StateError::Misused { state: self.spec.name.clone(), what };
            return Err(Stopped { done: 0, error });
        };
        let one_size = |column: &Column<'_>| !matches!(column, Column::Variable { .. });
        let all = [&keys.keys, &keys.namespaces, values].into_iter().all(one_size);
        let checked = if all { 1 } else { keys.len() };
        for done in 0..checked.min(keys.len()) {
            let key = keys.at(done);
            let stopped = |error| Stopped { done, error };
            self.check_key(&key).map_err(stopped)?;
            self.check_value(values.at(done).len()).map_err(stopped)?;
            let bytes = key.key.len() + key.namespace.len() + expected;
            if bytes > IN_PLACE_MAX {
                return Err(stopped(self.too_large(bytes, IN_PLACE_MAX)));
            }
        }
        Ok(())
    }

    pub(super) fn check_key(&self, key: &Key<'_>) -> Result<(), StateError> {
        let bytes = key.key.len() + key.namespace.len();
        for (expected, found) in
            [(self.spec.key, key.key.len()), (self.spec.namespace, key.namespace.len())]
        {
            self.check_width(expected, found)?;
        }
        // A fixed shape has checked what fits when it was made.
        if self.table.shape.fixed.is_none() && bytes > KEY_MAX {
            return Err(self.too_large(bytes, KEY_MAX));
        }
        Ok(())
    }

    pub(super) fn check_value(&self, bytes: usize) -> Result<(), StateError> {
        self.check_width(self.spec.value, bytes)?;
        if bytes > VALUE_MAX { Err(self.too_large(bytes, VALUE_MAX)) } else { Ok(()) }
    }

    pub(super) fn too_large(&self, bytes: usize, max: usize) -> StateError {
        StateError::TooLarge { state: self.spec.name.clone(), bytes, max }
    }

    fn check_width(&self, expected: Option<usize>, found: usize) -> Result<(), StateError> {
        match expected {
            Some(expected) if expected != found => {
                Err(StateError::Width { state: self.spec.name.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }

    /// Why something in the pages behind an entry did not happen.
    pub(super) fn refused<L: Lease>(
        &self,
        pages: &mut Pages<L>,
        found: Option<Found>,
        refused: Refused,
    ) -> StateError {
        match refused {
            Refused::SnapshotFirst => {
                // A snapshot writes such pages with the page of their entry.
                pages.cow.urgent = found.map_or(pages.cow.urgent, |found| found.page);
                StateError::SnapshotFirst
            }
            Refused::OutOfBudget => {
                StateError::OutOfBudget { state: self.spec.name.clone(), held: pages.held() }
            }
        }
    }

    /// Removes an entry with all that it has.
    pub(super) fn remove<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
    ) -> Result<(), StateError> {
        let parts = bucket::parts(pages.page(found.page), &self.table.shape, found.entry);
        let mut reference = [0; REFERENCE];
        if parts.chained {
            reference.copy_from_slice(&pages.page(found.page)[parts.value..parts.end]);
        }
        self.table.take_out(pages, key, found)?;
        if parts.chained {
            self.free(pages, &reference);
        }
        self.table.tidy(pages, key, found.page);
        Ok(())
    }

    /// Gives up the pages that an entry refers to.
    pub(super) fn free<L: Lease>(&self, pages: &mut Pages<L>, reference: &[u8]) {
        match self.spec.kind {
            Kind::Map => Tree::from_bytes(reference).into_iter().for_each(|tree| tree.free(pages)),
            Kind::Value | Kind::List => {
                Chain::from_bytes(reference).into_iter().for_each(|chain| chain.free(pages));
            }
        }
    }

    pub(super) fn clear_namespace<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        namespace: &[u8],
    ) -> Result<(), StateError> {
        for group in self.table.owned.first..self.table.owned.end {
            let mut cursor = Cursor::default();
            loop {
                let mut bytes = [0; KEY_MAX + INLINE_MAX];
                let mut length = None;
                self.table.scan(pages, group, &mut cursor, &mut |entry| {
                    if entry.namespace == namespace {
                        bytes[..entry.key.len()].copy_from_slice(entry.key);
                        length = Some(entry.key.len());
                    }
                    length.is_none()
                });
                let Some(length) = length else { break };
                let key = &bytes[..length];
                let key = Key { hash: self.table.hash(key), key, namespace };
                if let Some(found) = self.table.find(pages, &key)? {
                    self.remove(pages, &key, found)?;
                }
                cursor = self.table.again(cursor);
            }
        }
        Ok(())
    }
}

/// The longest value that lies beside its key.
pub(super) fn longest(key: &Key<'_>) -> usize {
    INLINE_MAX - key.key.len() - key.namespace.len()
}

/// The room for a value of `bytes` that grows, `wanted` if possible.
pub(super) fn room(key: &Key<'_>, bytes: usize, wanted: usize) -> usize {
    wanted.next_multiple_of(8).min(longest(key)).max(bytes)
}
