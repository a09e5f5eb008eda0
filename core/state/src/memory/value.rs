//! Values, and how an entry is replaced.

use super::{
    State,
    bucket::{self, Content},
    chain::Chain,
    pages::{Page, Pages},
    state::longest,
    table::Found,
};
use crate::{Key, Lease, StateError};

impl State {
    pub(super) fn put<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        value: &[u8],
    ) -> Result<(), StateError> {
        match self.table.find(pages, key)? {
            None => self.insert(pages, key, value, value.len()),
            Some(found) => self.put_at(pages, key, found, value, value.len()),
        }
    }

    /// Replaces the value of an entry by one that may grow to `room` bytes.
    pub(super) fn put_at<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        value: &[u8],
        room: usize,
    ) -> Result<(), StateError> {
        pages.prepare(found.page)?;
        let parts = bucket::parts(pages.page(found.page), &self.table.shape, found.entry);
        // Reused unless that would waste more than half.
        if !parts.chained && value.len() <= parts.room && value.len() >= parts.room / 2 {
            let page = pages.page_mut(found.page);
            page[parts.value..parts.value + value.len()].copy_from_slice(value);
            if self.table.shape.fixed.is_none() {
                bucket::set_length(page, &self.table.shape, found.entry, value.len());
            }
            return Ok(());
        }
        self.replace(pages, key, found, |state, pages| state.insert(pages, key, value, room))
    }

    /// Adds an entry for a key that has none, whose value may grow to `room` bytes where it is.
    pub(super) fn insert<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        value: &[u8],
        room: usize,
    ) -> Result<(), StateError> {
        let Key { key: bytes, namespace, .. } = *key;
        if self.table.shape.fixed.is_some() || value.len() <= longest(key) {
            let new = Content { key: bytes, namespace, value, room, chained: false };
            return self.table.insert(pages, key, &new).map(drop);
        }
        self.table.place(key)?;
        let chain =
            Chain::new(pages, &[value]).map_err(|refused| self.refused(pages, None, refused))?;
        let inserted = self.insert_reference(pages, key, &chain.to_bytes());
        if inserted.is_err() {
            chain.free(pages);
        }
        inserted
    }

    /// Adds an entry for a key that has none, whose value is in pages of its own.
    pub(super) fn insert_reference<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        value: &[u8],
    ) -> Result<(), StateError> {
        let Key { key: bytes, namespace, .. } = *key;
        let new = Content { key: bytes, namespace, value, room: value.len(), chained: true };
        self.table.insert(pages, key, &new).map(drop)
    }

    /// Replaces an entry by what `insert` adds for the same key; the old one is back if that fails.
    /// What the old one refers to is given up, unless it is a map.
    pub(super) fn replace<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        insert: impl FnOnce(&mut Self, &mut Pages<L>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let page: Page = *pages.page(found.page);
        let old = bucket::content(&page, &self.table.shape, found.entry);
        self.table.take_out(pages, key, found)?;
        let inserted = insert(self, pages);
        match inserted {
            Ok(()) if old.chained => self.free(pages, old.value),
            Ok(()) => {}
            Err(_) => self.table.put_back(pages, key, found.page, &old)?,
        }
        inserted
    }
}
