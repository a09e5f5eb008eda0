//! Reading a table: many keys, or a whole key group.

use alloc::vec::Vec;

use super::{Found, Table};
use crate::{
    Cursor, Entry, Key, Keys, Kind, Lease, Place, StateError,
    memory::{
        bucket::{self, CHAINED},
        pages::Pages,
    },
};

impl Table {
    /// Pushes the place of each key's value.
    pub(in crate::memory) fn lookup<L: Lease>(
        &self,
        pages: &Pages<L>,
        keys: &Keys<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        for index in 0..keys.len() {
            self.warm(pages, keys, index);
            places.push(self.find_value(pages, &keys.at(index))?);
        }
        Ok(())
    }

    /// The place of a key's value.
    pub(in crate::memory) fn find_value<L: Lease>(
        &self,
        pages: &Pages<L>,
        key: &Key<'_>,
    ) -> Result<Place, StateError> {
        Ok(match self.find(pages, key)? {
            Some(Found { page, entry, .. }) => self.value(pages, page, entry),
            None => Place::ABSENT,
        })
    }

    /// Where the value of an entry is.
    fn value<L: Lease>(&self, pages: &Pages<L>, page: u32, entry: usize) -> Place {
        let parts = bucket::parts(pages.page(page), &self.shape, entry);
        if self.kind == Kind::Map {
            return Place { page, at: parts.value as u16, length: 0 };
        }
        let flag = if parts.chained { CHAINED } else { 0 };
        Place { page, at: parts.value as u16, length: (parts.end - parts.value) as u16 | flag }
    }

    /// Calls `each` for the entries of a group from where the cursor stands, until it says `false`.
    pub(in crate::memory) fn scan<L: Lease>(
        &self,
        pages: &Pages<L>,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) {
        let Some(group) = self.group(group) else { return };
        while !cursor.is_done {
            let Some(head) = group.page(cursor.position) else { break };
            let mut skip = cursor.entry as usize;
            let mut next = Some(head);
            while let Some(page) = next {
                let bytes = pages.page(page);
                let count = bucket::count(bytes);
                for number in skip.min(count)..count {
                    cursor.entry += 1;
                    let content = bucket::content(bytes, &self.shape, number);
                    let value = self.value(pages, page, number);
                    let entry = Entry { key: content.key, namespace: content.namespace, value };
                    if !each(entry) {
                        return;
                    }
                }
                skip = skip.saturating_sub(count);
                next = bucket::next(bytes);
            }
            // The first position that is not this page's.
            let width = 63 - bucket::depth(pages.page(head)).min(63);
            let behind = ((cursor.position >> width >> 1) + 1).checked_shl(width + 1);
            match behind.filter(|behind| *behind > cursor.position) {
                Some(position) => *cursor = Cursor { position, entry: 0, is_done: false },
                None => break,
            }
        }
        cursor.is_done = true;
    }

    /// Where to go on after the entry that a scan stopped at was removed. Another entry took its
    /// place, or the page was merged with its other half: so the page is read again.
    pub(in crate::memory) fn again(&self, cursor: Cursor) -> Cursor {
        Cursor { entry: 0, is_done: false, ..cursor }
    }
}
