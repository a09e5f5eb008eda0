//! A chain that sorts: the engine's own, since it needs nothing of a program but field names.
//!
//! It takes pages, gathers their rows into the [row format](millstream_data::row), and hands them to
//! an external [`Sorter`], which works in managed memory and spills when that is used up. When the
//! input has ended it writes the rows in order into pages. While a file is read or written the task
//! waits, and its worker does something else.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, task::Waker};

use millstream_data::{
    order::{Nulls, SortField},
    page::{Demand, Layout, RowBuilder, Shape, Sizing, ValidPage},
    row::{PageRows, Row, RowLayout, scatter},
    types::Schema,
};
use millstream_exchange::event::Purpose;
use millstream_memory::Segment;
use millstream_sort::{ByFields, Lease, Next, Progress, Push, Rows, SortConfig, SortError, Sorter};
use millstream_storage::{BlockingStorage, Completion, Refused, Request, Storage, Submit};

use crate::chain::{Chain, Context, OpenInfo, PageInfo, Signal, TaskError};

/// One field that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Its name.
    pub field: String,
    /// Largest first.
    pub descending: bool,
    /// NULL behind all values.
    pub nulls_last: bool,
}

impl SortKey {
    /// Smallest first, NULL before them: SQL's `ASC` as Flink reads it.
    pub fn ascending(field: impl Into<String>) -> Self {
        Self { field: field.into(), descending: false, nulls_last: false }
    }

    /// Largest first, NULL behind them: SQL's `DESC` as Flink reads it.
    pub fn descending(field: impl Into<String>) -> Self {
        Self { field: field.into(), descending: true, nulls_last: true }
    }

    /// The same field with NULL before all values.
    #[must_use]
    pub fn nulls_first(self) -> Self {
        Self { nulls_last: false, ..self }
    }

    /// The same field with NULL behind all values.
    #[must_use]
    pub fn nulls_last(self) -> Self {
        Self { nulls_last: true, ..self }
    }

    fn resolve(&self, schema: &Schema) -> Result<SortField, TaskError> {
        let field = schema.position(&self.field).ok_or_else(|| {
            let name = &self.field;
            TaskError::new(format!("cannot sort by `{name}`: the rows have ({schema})"))
        })?;
        let sort = match self.descending {
            false => SortField::ascending(field),
            true => SortField::descending(field),
        };
        Ok(sort.nulls(if self.nulls_last { Nulls::Last } else { Nulls::First }))
    }
}

/// How rows of a schema are ordered by keys.
///
/// # Errors
/// If a field is not there or has no order.
pub(crate) fn order(
    schema: &Schema,
    keys: &[SortKey],
    layout: RowLayout,
) -> Result<ByFields, TaskError> {
    let fields = keys.iter().map(|key| key.resolve(schema));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    ByFields::new(schema, layout, &fields).map_err(|error| TaskError::new(format!("{error}")))
}

/// Where a task spills to, and how it hears of it.
pub trait Spill: BlockingStorage + Send {
    /// Asks to be woken at the next completion. Look for completions after this call.
    fn notify(&mut self, waker: &Waker);
}

impl Submit for Box<dyn Spill> {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        (**self).submit(token, request)
    }
}

impl Storage for Box<dyn Spill> {
    fn poll(&mut self) -> Option<Completion> {
        (**self).poll()
    }

    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }
}

impl BlockingStorage for Box<dyn Spill> {
    fn wait(&mut self) -> Option<Completion> {
        (**self).wait()
    }
}

impl Spill for Box<dyn Spill> {
    fn notify(&mut self, waker: &Waker) {
        (**self).notify(waker);
    }
}

/// What a sorting chain works with.
#[derive(Debug)]
pub struct SortResources<L, S> {
    /// Memory.
    pub memory: L,
    /// The most segments to take.
    pub segments_max: usize,
    /// Where to spill.
    pub storage: S,
}

/// A chain that sorts the rows of its input by some fields.
pub struct SortChain<L, S> {
    sorter: Sorter<Rows<ByFields>, L>,
    storage: S,
    layout: RowLayout,
    /// The row that is being gathered.
    row: Vec<u8>,
    pages: Pages,
    /// A request is in flight that has to complete first.
    waits: bool,
    ended: bool,
}

/// Passes over a segment that one call makes at most: some milliseconds.
const STEPS_PER_CALL: u32 = 64;
/// Rows that one call hands out at most.
const ROWS_PER_CALL: usize = 16 << 10;

impl<L: Lease + Send, S: Spill> SortChain<L, S> {
    /// A chain that sorts rows of `schema` by `keys`, the first of them first; rows that are equal
    /// in them stay in the order in which they came.
    ///
    /// # Errors
    /// If a field is not there or has no order, or there is too little memory to begin with.
    pub fn new(
        schema: &Schema,
        keys: &[SortKey],
        resources: SortResources<L, S>,
        info: &OpenInfo,
    ) -> Result<Self, TaskError> {
        let wrong = |error: &dyn fmt::Display| TaskError::new(format!("{error}"));
        let layout = RowLayout::new(schema);
        let order = order(schema, keys, layout.clone())?;
        let SortResources { memory, segments_max, storage } = resources;
        let config = SortConfig::new(segments_max).stable();
        let sorter = Sorter::new(Rows(order), memory, config).map_err(|error| wrong(&error))?;
        let pages = Pages::new(schema, info)?;
        let row = Vec::new();
        Ok(Self { sorter, storage, layout, row, pages, waits: false, ended: false })
    }

    /// Takes the completions that are there.
    fn take_completions(&mut self) {
        while let Some(completion) = self.storage.poll() {
            self.sorter.complete(completion);
            self.waits = false;
        }
    }

    /// Lets the sorter work. `true` if it got where it wanted: it takes rows, or hands them out.
    fn work(&mut self, context: &mut Context<'_>) -> bool {
        match self.sorter.run(&mut self.storage, STEPS_PER_CALL) {
            Ok(Progress::Accepts | Progress::Sorted) => true,
            Ok(Progress::More) => false,
            Ok(Progress::Waits) => {
                self.waits = true;
                false
            }
            Err(error) => {
                fail(context, &error);
                false
            }
        }
    }

    /// Takes the rows of a page from `start` on, and gives the row to go on with.
    fn take(&mut self, rows: &PageRows<'_>, start: usize, context: &mut Context<'_>) -> usize {
        for number in start..rows.rows() {
            self.row.clear();
            rows.gather(number, &mut self.row);
            loop {
                match self.sorter.push(&self.row) {
                    Ok(Push::Taken) => break,
                    Ok(Push::Full) if self.work(context) => {}
                    Ok(Push::Full) => return number,
                    Err(error) => {
                        fail(context, &error);
                        return number;
                    }
                }
            }
        }
        rows.rows()
    }

    /// Writes rows in order. `true` if there are no more.
    fn hand_out(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..ROWS_PER_CALL {
            if context.is_blocked() {
                return false;
            }
            match self.sorter.next(&mut self.storage) {
                Ok(Next::Record(record)) => match self.layout.trusted(record) {
                    Ok(row) => self.pages.write(&row, context),
                    Err(error) => {
                        context.fail(TaskError::new(format!("a sorted row is damaged: {error}")));
                    }
                },
                Ok(Next::Waits) => {
                    self.waits = true;
                    return false;
                }
                Ok(Next::End) => {
                    self.pages.submit(context);
                    return true;
                }
                Err(error) => fail(context, &error),
            }
        }
        false
    }
}

fn fail(context: &mut Context<'_>, error: &SortError) {
    context.fail(TaskError::new(format!("{error}")));
}

impl<L: Lease + Send, S: Spill> Chain for SortChain<L, S> {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        self.take_completions();
        let layout = self.layout.clone();
        match PageRows::new(&layout, page) {
            Ok(rows) => self.take(&rows, start, context),
            Err(error) => {
                context.fail(TaskError::new(format!("a page cannot be sorted: {error}")));
                start
            }
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        if !self.ended {
            self.sorter.finish();
            self.ended = true;
        }
        self.take_completions();
        self.work(context) && self.hand_out(context)
    }

    fn signal(&mut self, _signal: Signal, _context: &mut Context<'_>) -> bool {
        // Rows come when the input has ended: no time passes before.
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        if force {
            self.pages.submit(context);
        }
    }

    fn begin_snapshot(&mut self, _purpose: Purpose) -> Result<(), TaskError> {
        Err(TaskError::new(
            "sorting keeps its rows in files of its own and takes no checkpoints yet",
        ))
    }

    fn waits(&mut self, waker: &Waker) -> bool {
        if self.waits {
            self.storage.notify(waker);
            self.take_completions();
        }
        self.waits
    }
}

impl<L, S> fmt::Debug for SortChain<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortChain").field("waits", &self.waits).finish_non_exhaustive()
    }
}

/// The pages that sorted rows are written to, those of the chain's only output.
struct Pages {
    sizing: Sizing,
    open: Option<RowBuilder<Segment>>,
    compact: bool,
}

impl Pages {
    fn new(schema: &Schema, info: &OpenInfo) -> Result<Self, TaskError> {
        let size = info.segment_size as usize;
        let sizing = Sizing::new(Arc::new(Shape::new(schema)), size).ok_or_else(|| {
            TaskError::new(format!(
                "a row of ({schema}) does not fit a segment of {size} bytes: raise \
                 `memory.segment-size`"
            ))
        })?;
        let compact = info.outputs.first().is_some_and(|output| output.compact);
        Ok(Self { sizing, open: None, compact })
    }

    fn write(&mut self, row: &Row<'_>, context: &mut Context<'_>) {
        if let Some(page) = &mut self.open {
            if scatter(row, page).is_ok() {
                return;
            }
            self.submit(context);
        }
        loop {
            let Some(lease) = context.lease(0, 0) else { return };
            let mut page =
                RowBuilder::new(lease.segment, self.sizing.shape(), self.sizing.layout());
            if scatter(row, &mut page).is_ok() {
                self.open = Some(page);
                return;
            }
            drop(page);
            let demand = row.demand(self.sizing.shape());
            if !self.sizing.make_room(&demand) {
                return self.write_jumbo(row, &demand, context);
            }
        }
    }

    /// A row that was sorted in a segment, but does not fit one as a page of its own.
    fn write_jumbo(&mut self, row: &Row<'_>, demand: &Demand, context: &mut Context<'_>) {
        let layout = Layout::jumbo(self.sizing.shape(), demand).map(Arc::new);
        let Some(layout) = layout else {
            return context.fail(TaskError::new("a row of 4 GiB or more cannot be sent"));
        };
        let Some(segment) = context.lease_jumbo(0, layout.size()) else { return };
        let mut page = RowBuilder::new(segment, self.sizing.shape(), &layout);
        if scatter(row, &mut page).is_err() {
            return context.fail(TaskError::new("a sorted row is larger than it was"));
        }
        self.open = Some(page);
        self.submit(context);
    }

    fn submit(&mut self, context: &mut Context<'_>) {
        let Some(page) = self.open.take() else { return };
        let sealed = page.seal(self.compact);
        self.sizing.learn(sealed.rows, &sealed.demand);
        let info = PageInfo { length: sealed.length as u32, rows: sealed.rows as u32 };
        context.submit(0, 0, sealed.buffer, info);
    }
}
