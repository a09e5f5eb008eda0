//! A map that does not fit beside its key: its entries in order, in pages of their own.
//!
//! A B+ tree. Each page has its entries in a heap at its end and their places, in order, at its
//! begin; leaves know the leaf behind them. A page that is full is split, one that is empty is given
//! up, and nothing else is balanced: what is put in and taken out in order, as timers are, stays
//! dense. A snapshot reads leaves only, so the pages above them are never copied for one.

mod node;

use super::{
    chain::{Chain, REFERENCE, Refused},
    pages::{Page, Pages},
};
use crate::Lease;
use node::{
    Item, LEVEL, append, bytes, child, clear, has_room, put_in, search, set_chained, set_next,
    shorten_first, take_out,
};
pub(super) use node::{count, item, next};

/// More levels than pages of five entries each can have.
const LEVELS: usize = 24;

/// Where a map's pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    root: u32,
    /// The leaf of the smallest keys.
    pub(super) first: u32,
}

/// The pages from the root to a leaf, with the number of the entry that was followed.
struct Path {
    nodes: [(u32, usize); LEVELS],
    length: usize,
}

impl Tree {
    /// An empty tree of one page.
    pub(super) fn new<L: Lease>(pages: &mut Pages<L>) -> Result<Self, Refused> {
        let page = pages.take().ok_or(Refused::OutOfBudget)?;
        clear(pages.page_mut(page), 0);
        Ok(Self { root: page, first: page })
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (root, rest) = bytes.split_first_chunk::<4>()?;
        let first = rest.first_chunk::<4>()?;
        Some(Self { root: u32::from_le_bytes(*root), first: u32::from_le_bytes(*first) })
    }

    pub(super) fn to_bytes(self) -> [u8; REFERENCE] {
        let mut bytes = [0; REFERENCE];
        bytes[..4].copy_from_slice(&self.root.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.first.to_le_bytes());
        bytes
    }

    /// The leaf and number of the first entry whose key is not below `key`, and whether it is `key`.
    pub(super) fn find<L: Lease>(&self, pages: &Pages<L>, key: &[u8]) -> (u32, usize, bool) {
        let path = self.descend(pages, key);
        let (leaf, _) = path.nodes[path.length];
        let (number, is) = search(pages.page(leaf), key);
        (leaf, number, is)
    }

    fn descend<L: Lease>(&self, pages: &Pages<L>, key: &[u8]) -> Path {
        let mut path = Path { nodes: [(self.root, 0); LEVELS], length: 0 };
        let mut page = self.root;
        while pages.page(page)[LEVEL] != 0 {
            let bytes = pages.page(page);
            let (number, is) = search(bytes, key);
            // The first child has whatever is smaller than the second one's key.
            let number = if is { number } else { number.saturating_sub(1) };
            path.nodes[path.length] = (page, number);
            path.length += 1;
            page = child(bytes, number);
        }
        path.nodes[path.length] = (page, 0);
        path
    }

    /// Sets the value of a key, all or nothing; gives the chain that was its value before.
    pub(super) fn put<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &[u8],
        value: &[u8],
        chained: bool,
    ) -> Result<Option<Chain>, Refused> {
        let path = self.descend(pages, key);
        let (leaf, _) = path.nodes[path.length];
        let (number, exists) = search(pages.page(leaf), key);
        // One for each level that may be split, one for a new root.
        if !has_room(pages.page(leaf), key.len() + value.len())
            && !pages.ensure(path.length as u32 + 2)
        {
            return Err(Refused::OutOfBudget);
        }
        pages.prepare(leaf).map_err(|_| Refused::SnapshotFirst)?;
        let page = pages.page_mut(leaf);
        let mut before = None;
        if exists {
            let old = item(page, number);
            before = if old.chained { Chain::from_bytes(old.value) } else { None };
            let at = old.at;
            if old.value.len() == value.len() {
                page[at..at + value.len()].copy_from_slice(value);
                set_chained(page, number, chained);
                return Ok(before);
            }
            take_out(page, number);
        }
        self.insert(pages, &path, key, value, chained);
        Ok(before)
    }

    /// Adds an entry; the leaf is prepared and there are pages to split with.
    fn insert<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        path: &Path,
        key: &[u8],
        value: &[u8],
        chained: bool,
    ) {
        let mut depth = path.length;
        let (mut node, _) = path.nodes[depth];
        let mut separator = [0; super::KEY_MAX];
        let mut length = key.len();
        separator[..length].copy_from_slice(key);
        let (mut right_page, mut flag) = ([0; 4], chained);
        loop {
            let upper = depth < path.length;
            let content: &[u8] = if upper { &right_page } else { value };
            let new = &separator[..length];
            if has_room(pages.page(node), new.len() + content.len()) {
                put_in(pages.page_mut(node), new, content, flag);
                return;
            }
            let right = split(pages, node);
            let first = item(pages.page(right), 0).key;
            let mut between = [0; super::KEY_MAX];
            let between_length = first.len();
            between[..between_length].copy_from_slice(first);
            if upper {
                shorten_first(pages.page_mut(right));
            }
            let half = if new < &between[..between_length] { node } else { right };
            put_in(pages.page_mut(half), new, content, flag);
            (separator, length, right_page, flag) =
                (between, between_length, right.to_le_bytes(), false);
            let Some(above) = depth.checked_sub(1) else {
                let level = pages.page(node)[LEVEL] + 1;
                let root = pages.take();
                assert!(root.is_some(), "pages were set aside");
                let Some(root) = root else { return };
                let page = pages.page_mut(root);
                clear(page, level);
                put_in(page, &[], &node.to_le_bytes(), false);
                put_in(page, &separator[..length], &right_page, false);
                self.root = root;
                return;
            };
            depth = above;
            (node, _) = path.nodes[depth];
        }
    }

    /// Removes a key, all or nothing; gives the chain that was its value, and whether the tree has
    /// nothing left and its last page was given up.
    pub(super) fn remove<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &[u8],
    ) -> Result<(Option<Chain>, bool), Refused> {
        let path = self.descend(pages, key);
        let (leaf, _) = path.nodes[path.length];
        let (number, exists) = search(pages.page(leaf), key);
        if !exists {
            return Ok((None, false));
        }
        let last = count(pages.page(leaf)) == 1;
        let before = if last { self.before(pages, &path) } else { None };
        for page in [Some(leaf), before].into_iter().flatten() {
            pages.prepare(page).map_err(|_| Refused::SnapshotFirst)?;
        }
        let old = item(pages.page(leaf), number);
        let chain = if old.chained { Chain::from_bytes(old.value) } else { None };
        if !last {
            take_out(pages.page_mut(leaf), number);
            return Ok((chain, false));
        }
        let behind = next(pages.page(leaf));
        match before {
            Some(before) => set_next(pages.page_mut(before), behind),
            None => self.first = behind,
        }
        pages.give(leaf);
        Ok((chain, self.cut(pages, &path)))
    }

    /// The leaf in front of a path's.
    fn before<L: Lease>(&self, pages: &Pages<L>, path: &Path) -> Option<u32> {
        let (page, number) =
            path.nodes[..path.length].iter().rfind(|(_, number)| *number > 0).copied()?;
        let mut page = child(pages.page(page), number - 1);
        while pages.page(page)[LEVEL] != 0 {
            let bytes = pages.page(page);
            page = child(bytes, count(bytes) - 1);
        }
        Some(page)
    }

    /// Forgets the leaf of a path, which was given up; whether nothing is left.
    fn cut<L: Lease>(&mut self, pages: &mut Pages<L>, path: &Path) -> bool {
        for (page, number) in path.nodes[..path.length].iter().rev().copied() {
            let bytes = pages.page_mut(page);
            if count(bytes) > 1 {
                take_out(bytes, number);
                if number == 0 {
                    shorten_first(bytes);
                }
                self.lower_root(pages);
                return false;
            }
            pages.discard(page);
        }
        true
    }

    fn lower_root<L: Lease>(&mut self, pages: &mut Pages<L>) {
        loop {
            let page = pages.page(self.root);
            if page[LEVEL] == 0 || count(page) > 1 {
                return;
            }
            let only = child(page, 0);
            pages.discard(self.root);
            self.root = only;
        }
    }

    /// Gives up all pages.
    pub(super) fn free<L: Lease>(self, pages: &mut Pages<L>) {
        free_node(pages, self.root);
    }
}

fn free_node<L: Lease>(pages: &mut Pages<L>, page: u32) {
    let is_leaf = pages.page(page)[LEVEL] == 0;
    for number in 0..count(pages.page(page)) {
        let bytes = pages.page(page);
        let found = item(bytes, number);
        if !is_leaf {
            free_node(pages, child(bytes, number));
        } else if found.chained
            && let Some(chain) = Chain::from_bytes(found.value)
        {
            chain.free(pages);
        }
    }
    if is_leaf { pages.give(page) } else { pages.discard(page) }
}

/// Moves the upper half of a page's entries, by bytes, to a new one.
fn split<L: Lease>(pages: &mut Pages<L>, page: u32) -> u32 {
    let right = pages.take();
    assert!(right.is_some(), "pages were set aside");
    let Some(right) = right else { return page };
    let old: Page = *pages.page(page);
    let total: usize = (0..count(&old)).map(|number| bytes(&item(&old, number))).sum();
    clear(pages.page_mut(page), old[LEVEL]);
    clear(pages.page_mut(right), old[LEVEL]);
    let mut moved = 0;
    for number in 0..count(&old) {
        let Item { key, value, chained, .. } = item(&old, number);
        let last = number + 1 == count(&old);
        let to = if (moved < total / 2 && !last) || number == 0 { page } else { right };
        append(pages.page_mut(to), key, value, chained);
        moved += bytes(&item(&old, number));
    }
    set_next(pages.page_mut(right), next(&old));
    set_next(pages.page_mut(page), right);
    right
}
