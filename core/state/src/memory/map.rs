//! Maps: entries in the order of their map keys.
//!
//! A small map lies beside its key, its entries sorted, each with two bytes for the length of its map
//! key and two for that of its value in front. A larger one is a [`Tree`].

use super::{
    KEY_MAX, State, VALUE_MAX,
    bucket::{self, CHAINED},
    chain::Chain,
    pages::{NONE, Pages},
    state::room,
    table::Found,
    tree::{self, Tree},
};
use crate::{IN_PLACE_MAX, Key, Lease, Place, StateError};

/// Bytes in front of an entry of a small map.
pub(super) const ENTRY: usize = 4;
/// Bytes of the largest map beside its key, with that: it is searched from its begin.
const SMALL_MAX: usize = IN_PLACE_MAX;

/// Where in a small map an entry is.
struct Spot {
    begin: usize,
    value: usize,
    end: usize,
    is: bool,
}

/// An entry of a small map that begins at `at`.
pub(super) fn small_entry(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.get(at..)?.split_first_chunk::<ENTRY>()?;
    let (key, value) = (u16::from_le_bytes([header[0], header[1]]), [header[2], header[3]]);
    let (key, rest) = rest.split_at_checked(usize::from(key))?;
    Some((key, rest.get(..usize::from(u16::from_le_bytes(value)))?))
}

/// Where a map key is, or belongs.
fn spot(bytes: &[u8], key: &[u8]) -> Spot {
    let mut begin = 0;
    while let Some((found, content)) = small_entry(bytes, begin) {
        let value = begin + ENTRY + found.len();
        let end = value + content.len();
        if found >= key {
            let is = found == key;
            return Spot { begin, value, end: if is { end } else { begin }, is };
        }
        begin = end;
    }
    Spot { begin, value: begin, end: begin, is: false }
}

/// What the entry of a key is.
enum Map {
    Small { value: usize, end: usize },
    Large(Tree),
}

impl State {
    fn map<L: Lease>(&self, pages: &Pages<L>, found: Found) -> Map {
        let page = pages.page(found.page);
        let parts = bucket::parts(page, &self.table.shape, found.entry);
        let tree =
            if parts.chained { Tree::from_bytes(&page[parts.value..parts.end]) } else { None };
        tree.map_or(Map::Small { value: parts.value, end: parts.end }, Map::Large)
    }

    pub(super) fn check_map_key(&self, map_key: &[u8]) -> Result<(), StateError> {
        let bytes = map_key.len();
        if bytes > KEY_MAX { Err(self.too_large(bytes, KEY_MAX)) } else { Ok(()) }
    }

    pub(super) fn put_entry<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        map_key: &[u8],
        value: &[u8],
    ) -> Result<(), StateError> {
        let mut bytes = [0; SMALL_MAX];
        let mut length = 0;
        let mut at = Spot { begin: 0, value: 0, end: 0, is: false };
        let found = self.table.find(pages, key)?;
        if let Some(found) = found {
            pages.prepare(found.page)?;
            match self.map(pages, found) {
                Map::Large(tree) => {
                    return self.put_in_tree(pages, found, tree, map_key, value);
                }
                Map::Small { value: begin, end } => {
                    let small = &pages.page(found.page)[begin..end];
                    at = spot(small, map_key);
                    if at.is && at.end - at.value == value.len() {
                        let place = begin + at.value..begin + at.end;
                        pages.page_mut(found.page)[place].copy_from_slice(value);
                        return Ok(());
                    }
                    length = small.len();
                    bytes[..length].copy_from_slice(small);
                }
            }
        }
        let old = &bytes[..length];
        let new = ENTRY + map_key.len() + value.len();
        let total = length - (at.end - at.begin) + new;
        if key.key.len() + key.namespace.len() + total > SMALL_MAX {
            return self.make_tree(pages, key, found, old, map_key, value);
        }
        let mut joined = [0; SMALL_MAX];
        let (front, back) = (&old[..at.begin], &old[at.end..]);
        let header = [(map_key.len() as u16).to_le_bytes(), (value.len() as u16).to_le_bytes()];
        let mut end = 0;
        for part in [front, header.as_flattened(), map_key, value, back] {
            joined[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        let room = room(key, total, total + total / 2);
        match found {
            None => self.insert(pages, key, &joined[..total], total),
            Some(found) => self.put_at(pages, key, found, &joined[..total], room),
        }
    }

    /// Makes a small map large, with one more entry.
    fn make_tree<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Option<Found>,
        small: &[u8],
        map_key: &[u8],
        value: &[u8],
    ) -> Result<(), StateError> {
        self.table.place(key)?;
        let tree = Tree::new(pages).map_err(|why| self.refused(pages, found, why))?;
        let filled = self.fill(pages, tree, small, map_key, value);
        let tree = filled.map_err(|why| self.refused(pages, found, why))?;
        let reference = tree.to_bytes();
        let made = match found {
            None => self.insert_reference(pages, key, &reference),
            Some(found) => {
                self.replace_inline(pages, key, found, (&reference, reference.len(), true))
            }
        };
        if made.is_err() {
            tree.free(pages);
        }
        made
    }

    fn fill<L: Lease>(
        &self,
        pages: &mut Pages<L>,
        mut tree: Tree,
        small: &[u8],
        map_key: &[u8],
        value: &[u8],
    ) -> Result<Tree, super::chain::Refused> {
        let mut at = 0;
        let mut filled = Ok(());
        while let Some((key, content)) = small_entry(small, at)
            && filled.is_ok()
        {
            filled = tree.put(pages, key, content, false).map(drop);
            at += ENTRY + key.len() + content.len();
        }
        let filled = filled.and_then(|()| put_value(pages, &mut tree, map_key, value));
        match filled {
            Ok(_) => Ok(tree),
            Err(refused) => {
                tree.free(pages);
                Err(refused)
            }
        }
    }

    fn put_in_tree<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        found: Found,
        before: Tree,
        map_key: &[u8],
        value: &[u8],
    ) -> Result<(), StateError> {
        let mut tree = before;
        let put = put_value(pages, &mut tree, map_key, value);
        let old = put.map_err(|refused| self.refused(pages, Some(found), refused))?;
        self.set_tree(pages, found, before, tree);
        if let Some(old) = old {
            old.free(pages);
        }
        Ok(())
    }

    fn set_tree<L: Lease>(&self, pages: &mut Pages<L>, found: Found, before: Tree, tree: Tree) {
        if tree != before {
            let page = pages.page_mut(found.page);
            let parts = bucket::parts(page, &self.table.shape, found.entry);
            page[parts.value..parts.end].copy_from_slice(&tree.to_bytes());
        }
    }

    pub(super) fn remove_entry<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<(), StateError> {
        let Some(found) = self.table.find(pages, key)? else { return Ok(()) };
        match self.map(pages, found) {
            Map::Large(before) => {
                if !before.find(pages, map_key).2 {
                    return Ok(());
                }
                pages.prepare(found.page)?;
                let mut tree = before;
                let removed = tree.remove(pages, map_key);
                let (chain, empty) =
                    removed.map_err(|refused| self.refused(pages, Some(found), refused))?;
                if let Some(chain) = chain {
                    chain.free(pages);
                }
                if !empty {
                    self.set_tree(pages, found, before, tree);
                    return Ok(());
                }
                // Its pages are gone already.
                self.table.take_out(pages, key, found)?;
                self.table.tidy(pages, key, found.page);
                Ok(())
            }
            Map::Small { value, end } => {
                let small = &pages.page(found.page)[value..end];
                let at = spot(small, map_key);
                if !at.is {
                    return Ok(());
                }
                let left = small.len() - (at.end - at.begin);
                if left == 0 {
                    return self.remove(pages, key, found);
                }
                let mut bytes = [0; SMALL_MAX];
                bytes[..at.begin].copy_from_slice(&small[..at.begin]);
                bytes[at.begin..left].copy_from_slice(&small[at.end..]);
                self.put_at(pages, key, found, &bytes[..left], left)
            }
        }
    }

    /// Where the value of a map key is.
    pub(super) fn entry<L: Lease>(
        &self,
        pages: &Pages<L>,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<Place, StateError> {
        let Some(found) = self.table.find(pages, key)? else { return Ok(Place::ABSENT) };
        Ok(match self.map(pages, found) {
            Map::Small { value, end } => {
                let at = spot(&pages.page(found.page)[value..end], map_key);
                match at.is {
                    true => small_place(found.page, value + at.value, at.end - at.value),
                    false => Place::ABSENT,
                }
            }
            Map::Large(tree) => match tree.find(pages, map_key) {
                (leaf, number, true) => tree_place(pages, leaf, number),
                _ => Place::ABSENT,
            },
        })
    }

    /// Calls `each` for the entries of a map, in order, from the first whose key is not below `from`,
    /// until it says `false`.
    pub(super) fn scan_entries<L: Lease>(
        &self,
        pages: &Pages<L>,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError> {
        let Some(found) = self.table.find(pages, key)? else { return Ok(()) };
        match self.map(pages, found) {
            Map::Small { value, end } => {
                let small = &pages.page(found.page)[value..end];
                let mut at = spot(small, from).begin;
                while let Some((key, content)) = small_entry(small, at) {
                    let begin = at + ENTRY + key.len();
                    if !each(key, small_place(found.page, value + begin, content.len())) {
                        break;
                    }
                    at = begin + content.len();
                }
            }
            Map::Large(tree) => {
                let (mut leaf, mut number, _) = tree.find(pages, from);
                while leaf != NONE {
                    let page = pages.page(leaf);
                    while number < tree::count(page) {
                        let key = tree::item(page, number).key;
                        if !each(key, tree_place(pages, leaf, number)) {
                            return Ok(());
                        }
                        number += 1;
                    }
                    (leaf, number) = (tree::next(page), 0);
                }
            }
        }
        Ok(())
    }
}

fn small_place(page: u32, at: usize, length: usize) -> Place {
    Place { page, at: at as u16, length: length as u16 }
}

fn tree_place<L: Lease>(pages: &Pages<L>, page: u32, number: usize) -> Place {
    let item = tree::item(pages.page(page), number);
    let flag = if item.chained { CHAINED } else { 0 };
    Place { page, at: item.at as u16, length: item.value.len() as u16 | flag }
}

/// Puts a value into a tree, or beside it if it is long; gives the chain that was there before.
fn put_value<L: Lease>(
    pages: &mut Pages<L>,
    tree: &mut Tree,
    key: &[u8],
    value: &[u8],
) -> Result<Option<Chain>, super::chain::Refused> {
    if key.len() + value.len() <= SMALL_MAX {
        return tree.put(pages, key, value, false);
    }
    debug_assert!(value.len() <= VALUE_MAX);
    let chain = Chain::new(pages, &[value])?;
    let put = tree.put(pages, key, &chain.to_bytes(), true);
    if put.is_err() {
        chain.free(pages);
    }
    put
}
