//! Values, and how an entry is replaced.

use super::{
    State,
    bucket::{self, Content},
    chain::{Chain, REFERENCE},
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
        self.replace(pages, key, found, value, room)
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

    /// Replaces the value of an entry by one that may grow to `room` bytes. If that fails, the old one is
    /// there.
    pub(super) fn replace<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        value: &[u8],
        room: usize,
    ) -> Result<(), StateError> {
        if value.len() <= longest(key) {
            return self.replace_inline(pages, key, found, (value, room, false));
        }
        let chain = Chain::new(pages, &[value])
            .map_err(|refused| self.refused(pages, Some(found), refused))?;
        self.replace_by_chain(pages, key, found, chain)
    }

    /// As [`replace`](Self::replace), by a value that is in pages of its own; they are given up if that fails.
    pub(super) fn replace_by_chain<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        chain: Chain,
    ) -> Result<(), StateError> {
        let reference = chain.to_bytes();
        let replaced = self.replace_inline(pages, key, found, (&reference, reference.len(), true));
        if replaced.is_err() {
            chain.free(pages);
        }
        replaced
    }

    /// Replaces what lies beside a key. What an old value refers to is given up, unless it is a map.
    pub(super) fn replace_inline<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        (value, room, chained): (&[u8], usize, bool),
    ) -> Result<(), StateError> {
        pages.prepare(found.page)?;
        let shape = self.table.shape;
        let old = bucket::content(pages.page(found.page), &shape, found.entry);
        let mut reference = [0; REFERENCE];
        let was_chained = old.chained;
        if was_chained {
            reference.copy_from_slice(old.value);
        }
        let new = (room, chained);
        if !bucket::move_within(pages.page_mut(found.page), &shape, found.entry, value, new) {
            self.move_out(pages, key, found, (value, room, chained))?;
        }
        if was_chained {
            self.free(pages, &reference);
        }
        Ok(())
    }

    /// Replaces what lies beside a key where its page has no room for that.
    fn move_out<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        (value, room, chained): (&[u8], usize, bool),
    ) -> Result<(), StateError> {
        let Key { key: bytes, namespace, .. } = *key;
        let page: Page = *pages.page(found.page);
        let old = bucket::content(&page, &self.table.shape, found.entry);
        self.table.take_out(pages, key, found)?;
        let new = Content { key: bytes, namespace, value, room, chained };
        match self.table.insert(pages, key, &new) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.table.put_back(pages, key, found.page, &old)?;
                Err(error)
            }
        }
    }
}
