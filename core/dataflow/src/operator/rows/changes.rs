//! What a function emits.

use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use millstream_data::{
    hash::SEED,
    page::{RowBuilder, RowKind},
    row::{Row, RowLayout, put_cells, put_rows_run},
};
use millstream_memory::Segment;

use crate::{
    chain::Context,
    writer::run::{Run, RunWriter},
};

/// Bytes from which on a function should stop and have its changes written.
const LARGE: usize = 1 << 20;

/// Rows that are emitted, each with its kind, and made of one or two rows side by side.
#[derive(Debug)]
pub struct Changes {
    parts: [Arc<RowLayout>; 2],
    bytes: Vec<u8>,
    changes: Vec<Change>,
    /// Whether rows that are updated are not said as they were.
    upserts: bool,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    kind: RowKind,
    parts: [Part; 2],
}

/// Bytes of a row that [`Changes`] keep: where they begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(usize, usize);

impl Changes {
    /// None, of rows whose parts are of these layouts.
    pub(super) fn new(parts: [Arc<RowLayout>; 2]) -> Self {
        Self { parts, bytes: Vec::new(), changes: Vec::new(), upserts: false }
    }

    /// Whether rows as they were before an update are left away.
    pub(super) fn upserts(&mut self, upserts: bool) {
        self.upserts = upserts;
    }

    /// Keeps a row's bytes until all changes are written, to be part of any number of them.
    pub fn keep(&mut self, row: &[u8]) -> Part {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(row);
        Part(begin, self.bytes.len())
    }

    /// The bytes of a row that is kept.
    pub fn kept(&self, Part(begin, end): Part) -> &[u8] {
        self.bytes.get(begin..end).unwrap_or(&[])
    }

    /// Whether rows that are emitted with this kind are said.
    pub fn says(&self, kind: RowKind) -> bool {
        !self.upserts || kind != RowKind::UpdateBefore
    }

    /// Emits a row of these parts.
    pub fn emit(&mut self, kind: RowKind, first: Part, second: Part) {
        if self.says(kind) {
            self.changes.push(Change { kind, parts: [first, second] });
        }
    }

    /// Whether it is time to write what was emitted.
    pub fn is_large(&self) -> bool {
        self.bytes.len() >= LARGE || self.changes.len() * size_of::<Change>() >= LARGE
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes them, of which so many are `written` already, and begins anew; `false` if the context is blocked
    /// before all are.
    pub(super) fn write(
        &mut self,
        written: &mut usize,
        writer: &mut RunWriter,
        context: &mut Context<'_>,
    ) -> bool {
        if *written < self.changes.len() {
            *written = writer.write(&*self, *written..self.changes.len(), context);
        }
        if *written < self.changes.len() {
            return false;
        }
        self.bytes.clear();
        self.changes.clear();
        *written = 0;
        true
    }

    /// The parts of a change as rows.
    fn parts(&self, index: usize) -> Option<[Row<'_>; 2]> {
        let [first, second] = &self.parts;
        let [a, b] = self.changes.get(index)?.parts;
        let bytes = |Part(begin, end)| self.bytes.get(begin..end);
        Some([first.trusted(bytes(a)?).ok()?, second.trusted(bytes(b)?).ok()?])
    }
}

impl Run for Changes {
    fn rows(&self) -> usize {
        self.changes.len()
    }

    fn heap_bytes(&self, row: usize) -> usize {
        if self.parts.iter().all(|part| part.is_fixed()) {
            return 0;
        }
        self.parts(row).map_or(0, |parts| parts.iter().map(Row::heap_bytes).sum())
    }

    fn heap_bytes_at_most(&self, rows: Range<usize>) -> usize {
        // What is behind their cells: short texts, too.
        let [first, second] = &self.parts;
        if first.is_fixed() && second.is_fixed() {
            return 0;
        }
        let of = |layout: &RowLayout, Part(begin, end)| {
            (end - begin).saturating_sub(layout.fixed_bytes())
        };
        let changes = self.changes.get(rows).unwrap_or(&[]).iter();
        changes.map(|Change { parts: [a, b], .. }| of(first, *a) + of(second, *b)).sum()
    }

    fn hash(&self, row: usize, columns: &[usize]) -> u64 {
        let Some([first, second]) = self.parts(row) else { return SEED };
        let width = first.layout().columns();
        columns.iter().fold(SEED, |state, column| match column.checked_sub(width) {
            None => first.hash(*column, state),
            Some(column) => second.hash(column, state),
        })
    }

    fn write(&self, from: usize, rows: usize, page: &mut RowBuilder<Segment>) {
        let has_kinds = page.shape().has_row_kinds();
        if !self.parts.iter().any(|part| part.has_lists()) {
            let mut first = 0;
            for (part, layout) in self.parts.iter().enumerate() {
                let bytes = |row: usize| self.kept(self.changes[from + row].parts[part]);
                put_rows_run(layout, first, rows, bytes, page);
                first += layout.columns();
            }
            if has_kinds {
                page.put_kinds_run(rows, |row| self.changes[from + row].kind);
            }
            return page.commit_run(rows);
        }
        for row in from..from + rows {
            let Some([first, second]) = self.parts(row) else { continue };
            let put = put_cells(&first, 0, page);
            let put = put.and_then(|()| put_cells(&second, first.layout().columns(), page));
            assert!(put.is_ok(), "the page has no room for the rows of the run");
            if has_kinds {
                page.put_kind(self.changes[row].kind);
            }
            page.commit();
        }
    }
}
