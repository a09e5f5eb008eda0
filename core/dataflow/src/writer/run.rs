//! Runs of rows whose columns are known only at run time, written column by column.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, ops::Range};

use millstream_data::{
    hash::{self, SEED},
    page::{ColumnKind, Demand, Layout, RowBuilder, Sealed, Shape, Sizing, ValidPage, heap_bytes},
    row::{PageRows, Row, RowLayout, put_cells},
    types::Schema,
};
use millstream_exchange::event::{Event, StreamStatus};
use millstream_memory::Segment;
use millstream_state::{KeyGroups, time::WATERMARK_MIN};

use super::{sizing, target};
use crate::chain::{ALL, Chain, Context, OpenInfo, PageInfo, Signal, TaskError};

/// Rows that are written together: what vectorised expressions have made of a page.
pub trait Run {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// Bytes that a row takes of a page beside its cells: its texts and byte strings, see
    /// [`heap_bytes`].
    fn heap_bytes(&self, row: usize) -> usize;

    /// At least as many bytes as these rows take in this way; [`usize::MAX`] if that is not known at once.
    fn heap_bytes_at_most(&self, rows: Range<usize>) -> usize {
        let _ = rows;
        usize::MAX
    }

    /// Adds the elements of a row's lists and maps to their numbers, by domain (see
    /// [`Shape::list_lengths`]); only asked of rows that have lists.
    fn count_elements(&self, row: usize, elements: &mut [u32]) {
        let _ = (row, elements);
    }

    /// The [hash] of these physical columns of a row, which says where it goes.
    fn hash(&self, row: usize, columns: &[usize]) -> u64;

    /// Writes `rows` rows from `from` on, which find room, and commits them. If the page has row kinds,
    /// they are written, too.
    fn write(&self, from: usize, rows: usize, page: &mut RowBuilder<Segment>);
}

/// How the rows of an output are divided among those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Division {
    /// There is one who reads.
    None,
    /// By the [hash](Run::hash) of these physical columns.
    Key(Vec<usize>),
    /// Not at all: all read the same pages.
    All,
}

/// Writes runs into the pages of an output.
pub struct RunWriter {
    output: u16,
    sizing: Sizing,
    compact: bool,
    division: Division,
    groups: KeyGroups,
    /// By subpartition, or one for all: the page that is being filled, and the watermark that was sent.
    pages: Vec<(Option<RowBuilder<Segment>>, i64)>,
    /// The last watermark.
    watermark: i64,
}

impl RunWriter {
    /// The writer of output number `output`, for rows of `schema`.
    ///
    /// # Errors
    /// If not even one row without long strings fits a segment.
    pub fn new(
        schema: &Schema,
        division: &Division,
        output: u16,
        info: &OpenInfo,
    ) -> Result<Self, TaskError> {
        let shape = Arc::new(Shape::new(schema));
        let (sizing, target) = (sizing(schema, shape, info)?, target(output, info)?);
        let pages = if *division == Division::All { 1 } else { target.subpartitions };
        let pages = (0..pages).map(|_| (None, WATERMARK_MIN));
        Ok(Self {
            output,
            sizing,
            compact: target.compact,
            division: division.clone(),
            groups: KeyGroups::new(target.subpartitions, target.max_parallelism),
            pages: pages.collect(),
            watermark: WATERMARK_MIN,
        })
    }

    /// Writes some rows of a run; gives the row to go on with once the context is not blocked any more, which
    /// is the one behind them when all are written.
    pub fn write(
        &mut self,
        run: &impl Run,
        rows: Range<usize>,
        context: &mut Context<'_>,
    ) -> usize {
        self.write_while(run, rows, context, |context| !context.is_blocked())
    }

    /// As [`write`](Self::write), also if the context is blocked: for an output of several, of which another
    /// has taken its part of the same rows. They are few, such as those of a page. Only if the task has failed
    /// not all of them are written.
    pub fn write_through(
        &mut self,
        run: &impl Run,
        rows: Range<usize>,
        context: &mut Context<'_>,
    ) -> usize {
        self.write_while(run, rows, context, |context| !context.has_failed())
    }

    /// Writes some rows of a run as long as the context lets it.
    fn write_while(
        &mut self,
        run: &impl Run,
        rows: Range<usize>,
        context: &mut Context<'_>,
        may: impl Fn(&Context<'_>) -> bool,
    ) -> usize {
        let mut next = rows.start;
        while next < rows.end && may(context) {
            let (index, end) = self.stretch(run, next..rows.end);
            while next < end && may(context) {
                let Some((Some(page), _)) = self.pages.get_mut(index) else {
                    if !self.open(index, context) {
                        break;
                    }
                    continue;
                };
                let first = next;
                let heap = |row| run.heap_bytes(first + row);
                let fit = match page.shape().has_lists() {
                    false => page
                        .room_for_all(end - next, |rows| {
                            run.heap_bytes_at_most(first..first + rows)
                        })
                        .unwrap_or_else(|| page.room_for_run(end - next, heap)),
                    true => page.room_for_lists(end - next, heap, |row, elements| {
                        run.count_elements(first + row, elements);
                    }),
                };
                if fit > 0 {
                    run.write(next, fit, page);
                    next += fit;
                } else if page.rows() > 0 {
                    self.submit(index, context);
                } else {
                    // Not even an empty page takes it.
                    let mut elements = page.shape().list_lengths();
                    run.count_elements(next, &mut elements);
                    let demand = Demand { heap_bytes: run.heap_bytes(next), elements };
                    self.pages[index].0 = None;
                    if !self.sizing.make_room(&demand) {
                        self.write_jumbo(run, next, (index, &demand), context);
                        next += 1;
                    }
                }
            }
        }
        next
    }

    /// The subpartition of the first of some rows, and the row behind those of the same one that follow it.
    fn stretch(&self, run: &impl Run, rows: Range<usize>) -> (usize, usize) {
        let key = match &self.division {
            Division::Key(key) if self.pages.len() > 1 => key,
            _ => return (0, rows.end),
        };
        let of = |row| self.groups.owner(run.hash(row, key)) as usize;
        let index = of(rows.start);
        let end = (rows.start + 1..rows.end).find(|row| of(*row) != index);
        (index, end.unwrap_or(rows.end))
    }

    /// Answers a signal as the end of a chain does.
    pub fn signal(&mut self, signal: Signal, context: &mut Context<'_>) {
        match signal {
            Signal::Watermark(time) => {
                self.watermark = self.watermark.max(time);
                context.wants_flush_soon();
            }
            // The row that follows must not get into a page in front of the watermark, nor begin one there.
            Signal::Late => {
                for index in 0..self.pages.len() {
                    match &mut self.pages[index] {
                        (_, sent) if *sent >= self.watermark => {}
                        (Some(page), _) if page.rows() > 0 => page.limit(page.rows() as u32),
                        _ => self.submit(index, context),
                    }
                }
            }
            Signal::Idle => self.status(StreamStatus::Idle, context),
            Signal::Active => self.status(StreamStatus::Active, context),
            Signal::SplitBegins | Signal::LastSplit | Signal::Barrier | Signal::Time(_) => {}
        }
    }

    /// Submits pages that have rows, and the watermark behind them.
    pub fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        for index in 0..self.pages.len() {
            let (page, sent) = &self.pages[index];
            let waits = page.is_some() || *sent < self.watermark;
            if waits && (force || context.wants_flush(self.output, self.target(index))) {
                self.submit(index, context);
            }
        }
    }

    /// What the context calls the subpartition with this page.
    fn target(&self, index: usize) -> u32 {
        if self.division == Division::All { ALL } else { index as u32 }
    }

    /// Opens a page for a subpartition; `false` if that failed the task.
    fn open(&mut self, index: usize, context: &mut Context<'_>) -> bool {
        let Some(lease) = context.lease(self.output, self.target(index)) else { return false };
        let (shape, layout) = (self.sizing.shape(), self.sizing.layout());
        let mut page = RowBuilder::new(lease.segment, shape, layout);
        page.limit(layout.rows_within(lease.page_bytes));
        self.pages[index].0 = Some(page);
        true
    }

    fn submit(&mut self, index: usize, context: &mut Context<'_>) {
        let target = self.target(index);
        let (page, sent) = &mut self.pages[index];
        if let Some(page) = page.take()
            && page.rows() > 0
        {
            let Sealed { buffer, length, rows, demand, .. } = page.seal(self.compact);
            self.sizing.learn(rows, &demand);
            let info = PageInfo { length: length as u32, rows: rows as u32 };
            context.submit(self.output, target, buffer, info);
        }
        if *sent < self.watermark {
            *sent = self.watermark;
            context.event(self.output, target, Event::Watermark(self.watermark));
        }
    }

    #[cold]
    fn status(&mut self, status: StreamStatus, context: &mut Context<'_>) {
        for index in 0..self.pages.len() {
            self.submit(index, context);
            context.event(self.output, self.target(index), Event::Status(status));
        }
    }

    /// The row does not fit a segment: it travels in a page of its own.
    fn write_jumbo(
        &mut self,
        run: &impl Run,
        row: usize,
        (index, demand): (usize, &Demand),
        context: &mut Context<'_>,
    ) {
        let shape = self.sizing.shape();
        let Some(layout) = Layout::jumbo(shape, demand) else {
            return context.fail(TaskError::new("a row of 4 GiB or more cannot be sent"));
        };
        let Some(segment) = context.lease_jumbo(self.output, layout.size()) else { return };
        let mut page = RowBuilder::new(segment, shape, &Arc::new(layout));
        run.write(row, 1, &mut page);
        let Sealed { buffer, length, .. } = page.seal(self.compact);
        let info = PageInfo { length: length as u32, rows: 1 };
        context.submit(self.output, self.target(index), buffer, info);
    }
}

impl fmt::Debug for RunWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunWriter(output {})", self.output)
    }
}

/// The rows of a page, as they are.
struct Copied<'a> {
    page: &'a ValidPage<'a>,
    shape: &'a Shape,
    /// How rows are copied one by one, if they have lists.
    layout: Option<&'a RowLayout>,
}

impl Copied<'_> {
    /// Calls `take` with a row that has lists.
    fn row<R>(&self, row: usize, take: impl FnOnce(&Row<'_>) -> R) -> Option<R> {
        let layout = self.layout?;
        let mut bytes = Vec::new();
        PageRows::new(layout, self.page).ok()?.gather(row, &mut bytes);
        Some(take(&layout.trusted(&bytes).ok()?))
    }
}

impl Run for Copied<'_> {
    fn rows(&self) -> usize {
        self.page.rows()
    }

    fn heap_bytes(&self, row: usize) -> usize {
        if self.shape.has_lists() {
            // At most: short texts need no heap.
            return self.row(row, |row| row.bytes().len()).unwrap_or(0);
        }
        let columns = self.shape.columns().iter().enumerate();
        let views = columns.filter(|(_, column)| column.kind.is_view());
        views.map(|(index, _)| heap_bytes(self.page.column(index).views().at(row))).sum()
    }

    fn count_elements(&self, row: usize, elements: &mut [u32]) {
        self.row(row, |row| row.count_elements(0, self.shape, elements));
    }

    fn hash(&self, row: usize, columns: &[usize]) -> u64 {
        columns.iter().fold(SEED, |state, index| {
            let (physical, column) = (self.shape.columns()[*index], self.page.column(*index));
            if !column.validity().is_valid(row) {
                return hash::null(state);
            }
            match physical.kind {
                ColumnKind::String | ColumnKind::Bytes => {
                    hash::bytes(state, column.views().at(row))
                }
                ColumnKind::Bit => hash::cell(state, &[u8::from(column.bits().at(row))]),
                _ => hash::cell(state, column.cells(row..row + 1).unwrap_or(&[])),
            }
        })
    }

    fn write(&self, from: usize, rows: usize, page: &mut RowBuilder<Segment>) {
        if self.shape.has_lists() {
            for row in from..from + rows {
                let put = self.row(row, |row| put_cells(row, 0, page));
                assert_eq!(put, Some(Ok(())), "the page has no room for the rows of the run");
                if page.shape().has_row_kinds() {
                    page.put_kind(self.page.row_kind(row));
                }
                page.commit();
            }
            return;
        }
        for index in 0..self.shape.columns().len() {
            page.put_column_run(index, &self.page.column(index), from..from + rows);
        }
        page.commit_run(rows);
    }
}

/// A chain that writes the rows of its pages as they are.
#[derive(Debug)]
pub struct CopyChain {
    shape: Shape,
    layout: Option<RowLayout>,
    writer: RunWriter,
}

impl CopyChain {
    /// The chain that writes rows of `schema`.
    pub fn new(schema: &Schema, writer: RunWriter) -> Self {
        let shape = Shape::new(schema);
        let layout = shape.has_lists().then(|| RowLayout::new(schema));
        Self { shape, layout, writer }
    }
}

impl Chain for CopyChain {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        if page.fingerprint() != self.shape.fingerprint() {
            context.fail(TaskError::new("a page of another schema arrived where rows are copied"));
            return start;
        }
        let copied = Copied { page, shape: &self.shape, layout: self.layout.as_ref() };
        self.writer.write(&copied, start..page.rows(), context)
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        !context.is_blocked()
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.writer.signal(signal, context);
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.writer.flush(force, context);
    }
}
