//! Reading a table: many keys, or a whole key group.

use alloc::vec::Vec;

use super::{Found, Table};
use crate::{
    Cursor, Entry, Keys, Lease, Place, StateError,
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
            let found = self.find(pages, &keys.at(index))?;
            places.push(match found {
                Some(Found { page, entry, .. }) => self.value(pages, page, entry),
                None => Place::ABSENT,
            });
        }
        Ok(())
    }

    /// Where the value of an entry is.
    fn value<L: Lease>(&self, pages: &Pages<L>, page: u32, entry: usize) -> Place {
        let parts = bucket::parts(pages.page(page), &self.shape, entry);
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
        let heads = group.pages().flat_map(|head| {
            core::iter::successors(Some(head), |page| bucket::next(pages.page(*page)))
        });
        for page in heads.skip(cursor.page as usize) {
            let bytes = pages.page(page);
            while (cursor.entry as usize) < bucket::count(bytes) {
                let number = cursor.entry as usize;
                cursor.entry += 1;
                let content = bucket::content(bytes, &self.shape, number);
                let value = self.value(pages, page, number);
                let entry = Entry { key: content.key, namespace: content.namespace, value };
                if !each(entry) {
                    return;
                }
            }
            *cursor = Cursor { page: cursor.page + 1, entry: 0 };
        }
    }

    /// Where to go on after the entry that a scan stopped at was removed. That may have merged its
    /// page with one before or behind it, so one page is read again.
    pub(in crate::memory) fn again(&self, cursor: Cursor) -> Cursor {
        Cursor { page: cursor.page.saturating_sub(1), entry: 0 }
    }
}
