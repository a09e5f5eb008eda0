//! Snapshots of the memory backend, while it goes on.
//!
//! Opening one writes down the directories' pages and nothing else. From then on a page that is about
//! to change is copied for the snapshot, as long as there may be copies; then it has to be written to
//! the snapshot first. So a snapshot never needs more than the copies that the configuration allows,
//! and eight bytes a page. Each chunk is one page of a table, with the chains of its long values.

use alloc::vec::Vec;

use super::{
    MemoryBackend, State,
    bucket::{self, Content},
    chain::{self, Chain},
    map,
    pages::{NONE, Page, Pages},
    tree::{self, Tree},
};
use crate::{Kind, Lease, StateError, format::Chunk};

/// A chunk of more bytes than this is ended, and another one begun.
const CHUNK: usize = 256 << 10;
/// Bytes that a page takes in the list of a snapshot.
const LISTED: u64 = size_of::<u32>() as u64;

/// The open snapshot.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Pages of tables when it was opened.
    heads: Vec<u32>,
    next: usize,
}

impl<L: Lease> MemoryBackend<L> {
    pub(super) fn open(&mut self) -> Result<(), StateError> {
        if self.snapshot.is_some() {
            return Err(StateError::SnapshotOpen);
        }
        let count: usize = self.states.iter().map(|state| state.table.heads().count()).sum();
        if !self.pages.reserve(count as u64 * LISTED) {
            let state = "snapshot".into();
            return Err(StateError::OutOfBudget { state, held: self.pages.held() });
        }
        let mut heads = Vec::with_capacity(count);
        heads.extend(self.states.iter().flat_map(|state| state.table.heads()));
        self.snapshot = Some(Snapshot { heads, next: 0 });
        self.pages.begin();
        Ok(())
    }

    /// Appends the next chunk; `false` if there is none and the snapshot is closed.
    pub(super) fn chunk(&mut self, out: &mut Vec<u8>) -> bool {
        if self.snapshot.is_none() {
            return false;
        }
        let urgent = core::mem::replace(&mut self.pages.cow.urgent, NONE);
        if urgent != NONE && self.emit(urgent, out) {
            return true;
        }
        while let Some(head) = self.next_head() {
            if self.emit(head, out) {
                return true;
            }
        }
        self.close();
        false
    }

    /// Ends a snapshot of which not everything may have been read.
    pub(super) fn close(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            self.pages.release(snapshot.heads.len() as u64 * LISTED);
            self.pages.end();
        }
    }

    fn next_head(&mut self) -> Option<u32> {
        let snapshot = self.snapshot.as_mut()?;
        let head = snapshot.heads.get(snapshot.next).copied();
        snapshot.next += 1;
        head
    }

    /// Appends a page and those that its table goes on with; `false` if there was nothing.
    fn emit(&mut self, page: u32, out: &mut Vec<u8>) -> bool {
        let mut next = Some(page);
        let before = out.len();
        while let Some(page) = next
            && !self.pages.is_emitted(page)
        {
            let bytes: Page = *self.pages.page(self.pages.frozen(page));
            next = bucket::next(&bytes);
            self.emit_entries(&bytes, out);
            self.pages.emitted(page);
        }
        out.len() > before
    }

    fn emit_entries(&mut self, page: &Page, out: &mut Vec<u8>) {
        let number = bucket::state(page);
        let Some(state) = self.states.get(usize::from(number)) else { return };
        let (pages, shape, count) = (&mut self.pages, state.table.shape, bucket::count(page));
        if count == 0 {
            return;
        }
        let first = bucket::content(page, &shape, 0);
        let group = self.owned.place((self.hash)(first.key)).0;
        let mut chunk = Chunk::begin(number, group, out);
        if let Some((widths, entries)) = bucket::fixed(page, &shape) {
            chunk.wholes(widths, entries);
            return chunk.end();
        }
        for entry in 0..count {
            let content = bucket::content(page, &shape, entry);
            if chunk.length() > CHUNK {
                chunk = chunk.next(number, group);
            }
            let Content { key, namespace, value, .. } = content;
            match (state.spec.kind, content.chained) {
                (Kind::Map, true) => {
                    chunk.entry(key, namespace);
                    chunk = emit_tree(pages, state, &content, chunk, group);
                }
                (Kind::Map, false) => {
                    chunk.entry(key, namespace);
                    emit_small(&content, &mut chunk);
                }
                (_, true) => {
                    chunk.entry(key, namespace);
                    emit_chain(pages, value, &mut chunk);
                }
                (_, false) => chunk.whole(key, namespace, value),
            }
        }
        chunk.end();
    }
}

fn emit_small(content: &Content<'_>, chunk: &mut Chunk<'_>) {
    let mut at = 0;
    while let Some((key, value)) = map::small_entry(content.value, at) {
        chunk.map_entry(key, value.len());
        chunk.value(value);
        at += map::ENTRY + key.len() + value.len();
    }
}

/// Appends a large map; gives the chunk that its end is in.
fn emit_tree<'a, L: Lease>(
    pages: &mut Pages<L>,
    state: &State,
    content: &Content<'_>,
    chunk: Chunk<'a>,
    group: u32,
) -> Chunk<'a> {
    let mut chunk = chunk;
    let mut leaf = Tree::from_bytes(content.value).map_or(NONE, |tree| tree.first);
    while leaf != NONE {
        let page: Page = *pages.page(pages.frozen(leaf));
        for number in 0..tree::count(&page) {
            let item = tree::item(&page, number);
            if item.chained {
                let bytes = Chain::from_bytes(item.value).map_or(0, |chain| chain.bytes as usize);
                chunk.map_entry(item.key, bytes);
                emit_chain(pages, item.value, &mut chunk);
            } else {
                chunk.map_entry(item.key, item.value.len());
                chunk.value(item.value);
            }
        }
        pages.emitted(leaf);
        leaf = tree::next(&page);
        if chunk.length() > CHUNK && leaf != NONE {
            chunk = chunk.next(state.table.number, group);
            chunk.entry(content.key, content.namespace);
        }
    }
    chunk
}

fn emit_chain<L: Lease>(pages: &mut Pages<L>, reference: &[u8], chunk: &mut Chunk<'_>) {
    let Some(chain) = Chain::from_bytes(reference) else { return };
    let mut page = chain.first;
    let mut left = chain.bytes as usize;
    while page != NONE {
        let (part, next) = chain::part(pages.page(pages.frozen(page)));
        chunk.value(&part[..part.len().min(left)]);
        left -= part.len().min(left);
        pages.emitted(page);
        page = next;
    }
}

impl<L: Lease> Pages<L> {
    fn begin(&mut self) {
        // Numbers of snapshots come round after four thousand million of them.
        self.cow.last = self.cow.last.checked_add(1).unwrap_or(1);
        self.cow.open = self.cow.last;
        self.cow.urgent = NONE;
    }

    /// Where a page is as it was when the snapshot was opened.
    fn frozen(&self, page: u32) -> u32 {
        match self.cow.saved[page as usize] {
            NONE => page,
            saved => saved,
        }
    }

    fn is_emitted(&self, page: u32) -> bool {
        let page = page as usize;
        self.cow.seen[page] == self.cow.open && self.cow.saved[page] == NONE
    }

    /// The snapshot has what was in a page.
    fn emitted(&mut self, page: u32) {
        let saved = core::mem::replace(&mut self.cow.saved[page as usize], NONE);
        self.cow.seen[page as usize] = self.cow.open;
        if saved != NONE {
            self.cow.copies -= u32::from(saved != page);
            self.put_free(saved);
        }
    }

    fn end(&mut self) {
        for page in 0..self.cow.saved.len() as u32 {
            if self.cow.saved[page as usize] != NONE {
                self.emitted(page);
            }
        }
        self.cow.open = 0;
        self.cow.urgent = NONE;
    }
}
