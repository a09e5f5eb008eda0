//! Lists: elements one behind the other.

use super::{
    State, VALUE_MAX,
    bucket::{self, INLINE_MAX},
    chain::Chain,
    pages::Pages,
    state::{longest, room},
};
use crate::{Key, Lease, StateError, list};

/// Bytes of room that a list that has grown beyond its own gets for more, at most.
const GROWTH_MAX: usize = 256;

impl State {
    pub(super) fn append<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        element: &[u8],
    ) -> Result<(), StateError> {
        if self.spec.value.is_some() {
            return self.append_bytes(pages, key, element);
        }
        let mut framed = core::mem::take(&mut self.scratch);
        framed.clear();
        list::frame(element, &mut framed);
        let appended = self.append_bytes(pages, key, &framed);
        self.scratch = framed;
        appended
    }

    /// Sets a list to the elements in `elements`.
    pub(super) fn put_list<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError> {
        let mut rest = elements;
        while let Some((_, behind)) = list::split_first(rest, self.spec.value) {
            rest = behind;
        }
        if !rest.is_empty() {
            let what = "was given a list that ends within an element";
            return Err(StateError::Misused { state: self.spec.name.clone(), what });
        }
        if elements.len() > VALUE_MAX {
            return Err(self.too_large(elements.len(), VALUE_MAX));
        }
        if !elements.is_empty() {
            return self.put(pages, key, elements);
        }
        match self.table.find(pages, key)? {
            Some(found) => self.remove(pages, key, found),
            None => Ok(()),
        }
    }

    fn append_bytes<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        element: &[u8],
    ) -> Result<(), StateError> {
        let Some(found) = self.table.find(pages, key)? else {
            // Most lists of some states have one element.
            return self.insert(pages, key, element, element.len());
        };
        pages.prepare(found.page)?;
        let parts = bucket::parts(pages.page(found.page), &self.table.shape, found.entry);
        let (value, end) = (parts.value, parts.end);
        if parts.chained {
            let chain = Chain::from_bytes(&pages.page(found.page)[value..end]);
            let Some(mut chain) = chain else { return Ok(()) };
            let bytes = chain.bytes as usize + element.len();
            if bytes > VALUE_MAX {
                return Err(self.too_large(bytes, VALUE_MAX));
            }
            chain
                .append(pages, element)
                .map_err(|refused| self.refused(pages, Some(found), refused))?;
            pages.page_mut(found.page)[value..end].copy_from_slice(&chain.to_bytes());
            return Ok(());
        }
        let (old, new) = (end - value, end - value + element.len());
        if new <= parts.room {
            let page = pages.page_mut(found.page);
            page[end..end + element.len()].copy_from_slice(element);
            bucket::set_length(page, &self.table.shape, found.entry, new);
            return Ok(());
        }
        let mut joined = [0; INLINE_MAX];
        joined[..old].copy_from_slice(&pages.page(found.page)[value..end]);
        if new <= longest(key) {
            joined[old..new].copy_from_slice(element);
            let room = room(key, new, new + new.min(GROWTH_MAX));
            return self.replace_inline(pages, key, found, (&joined[..new], room, false));
        }
        let chain = Chain::new(pages, &[&joined[..old], element])
            .map_err(|refused| self.refused(pages, Some(found), refused))?;
        self.replace_by_chain(pages, key, found, chain)
    }
}
