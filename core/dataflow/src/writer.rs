//! The end of a chain: rows go straight into the page of their subpartition.
//!
//! A batch is never split by hash into smaller batches that somebody must glue again.

pub mod run;
#[cfg(test)]
mod tests;

use alloc::{format, sync::Arc, vec, vec::Vec};
use core::{fmt, marker::PhantomData};

use millstream_data::{
    Key, Value,
    hash::SEED,
    page::{Demand, Layout, PageBuilder, Sealed, Shape, Sizing},
    types::Schema,
    value::Record,
};
use millstream_exchange::event::{Event, StreamStatus};
use millstream_memory::Segment;
use millstream_state::{KeyGroups, time::WATERMARK_MIN};

use crate::{
    chain::{ALL, Context, OpenInfo, OutputInfo, PageInfo, Signal, TaskError},
    operator::{Row, Stage},
};

/// Which subpartition a row belongs to.
pub trait Route<T: Value>: Send + 'static {
    /// Whether every subpartition gets every row, in one page that they share.
    const BROADCAST: bool = false;

    /// The subpartition, less than there are; another one fails the task.
    fn route(&mut self, row: T::View<'_>) -> u32;
}

/// How the rows of an output are divided, before the number of subpartitions is known.
pub trait Partitioner<T: Value>: Clone + Send + Sync + 'static {
    /// What it becomes for one output of one subtask.
    type Route: Route<T>;

    /// The route for output number `output` of the subtask.
    fn open(&self, info: &OpenInfo, output: u16) -> Self::Route;
}

/// A stage that writes rows into the pages of one output.
pub struct PartitionWriter<T: Value, R> {
    output: u16,
    route: R,
    sizing: Sizing,
    compact: bool,
    /// By subpartition: the page that is being filled.
    pages: Vec<Option<PageBuilder<T, Segment>>>,
    /// The last watermark, and for each subpartition the one that it was sent.
    watermark: i64,
    sent: Vec<i64>,
}

impl<T: Value, R: Route<T>> PartitionWriter<T, R> {
    /// The writer of output number `output`.
    ///
    /// # Errors
    /// If not even one row of `T` without long strings fits a segment.
    pub fn new<P: Partitioner<T, Route = R>>(
        partitioner: &P,
        output: u16,
        info: &OpenInfo,
    ) -> Result<Self, TaskError> {
        let schema = T::schema();
        let shape = Arc::new(Shape::new(&schema));
        let (sizing, target) = (sizing(&schema, shape, info)?, target(output, info)?);
        let pages = if R::BROADCAST { 1 } else { target.subpartitions };
        Ok(Self {
            output,
            route: partitioner.open(info, output),
            sizing,
            compact: target.compact,
            pages: (0..pages).map(|_| None).collect(),
            watermark: WATERMARK_MIN,
            sent: vec![WATERMARK_MIN; pages as usize],
        })
    }

    /// The row found its page full, or none open.
    #[cold]
    #[inline(never)]
    fn roll(&mut self, index: usize, row: T::View<'_>, context: &mut Context<'_>) {
        if index >= self.pages.len() {
            return context.fail(TaskError::new(format!(
                "the partitioner named subtask {index}, but there are {}: it is to answer with less \
                 than the number that it is given",
                self.pages.len()
            )));
        }
        self.submit(index, context);
        let subpartition = if R::BROADCAST { ALL } else { index as u32 };
        loop {
            let Some(lease) = context.lease(self.output, subpartition) else { return };
            let (shape, layout) = (self.sizing.shape(), self.sizing.layout());
            let mut page = PageBuilder::new(lease.segment, shape, layout);
            page.limit(layout.rows_within(lease.page_bytes));
            if page.append(row).is_ok() {
                self.pages[index] = Some(page);
                return;
            }
            drop(page);
            let demand = Demand::of::<T>(row);
            if !self.sizing.make_room(&demand) {
                return self.write_jumbo(subpartition, row, &demand, context);
            }
        }
    }

    /// The row does not fit a segment: it travels in a page of its own.
    fn write_jumbo(
        &mut self,
        subpartition: u32,
        row: T::View<'_>,
        demand: &Demand,
        context: &mut Context<'_>,
    ) {
        let shape = self.sizing.shape();
        let Some(layout) = Layout::jumbo(shape, demand) else {
            return context.fail(TaskError::new("a row of 4 GiB or more cannot be sent"));
        };
        let layout = Arc::new(layout);
        let Some(segment) = context.lease_jumbo(self.output, layout.size()) else { return };
        let mut page = PageBuilder::<T, _>::new(segment, shape, &layout);
        if page.append(row).is_err() {
            let schema = T::schema();
            return context.fail(TaskError::new(format!(
                "a row of ({schema}) does not fit the page that was made for it"
            )));
        }
        let Sealed { buffer, length, .. } = page.seal(shape, self.compact);
        let info = PageInfo { length: length as u32, rows: 1 };
        context.submit(self.output, subpartition, buffer, info);
    }

    /// Submits the page of a subpartition, if it has rows, and the watermark behind it.
    ///
    /// Rows that came behind the watermark and are in the page are not late, so it makes no difference
    /// to them; one that is late has [sealed](Self::seal_before_late) the page.
    fn submit(&mut self, index: usize, context: &mut Context<'_>) {
        self.submit_page(index, context);
        if self.sent[index] < self.watermark {
            self.sent[index] = self.watermark;
            self.event(index, Event::Watermark(self.watermark), context);
        }
    }

    fn event(&self, index: usize, event: Event, context: &mut Context<'_>) {
        let subpartition = if R::BROADCAST { ALL } else { index as u32 };
        context.event(self.output, subpartition, event);
    }

    #[cold]
    fn status(&mut self, status: StreamStatus, context: &mut Context<'_>) {
        for index in 0..self.pages.len() {
            self.submit(index, context);
            self.event(index, Event::Status(status), context);
        }
    }

    /// Lets no further row into pages that lack the last watermark: the next row, which is late, would
    /// overtake it. Where there is no page the watermark goes first, as the row begins one.
    fn seal_before_late(&mut self, context: &mut Context<'_>) {
        for index in 0..self.pages.len() {
            match &mut self.pages[index] {
                _ if self.sent[index] >= self.watermark => {}
                Some(page) => page.limit(page.rows() as u32),
                None => self.submit(index, context),
            }
        }
    }

    fn submit_page(&mut self, index: usize, context: &mut Context<'_>) {
        let Some(page) = self.pages[index].take() else { return };
        let Sealed { buffer, length, rows, demand, .. } =
            page.seal(self.sizing.shape(), self.compact);
        self.sizing.learn(rows, &demand);
        let subpartition = if R::BROADCAST { ALL } else { index as u32 };
        let info = PageInfo { length: length as u32, rows: rows as u32 };
        context.submit(self.output, subpartition, buffer, info);
    }
}

impl<T: Value, R: Route<T>> Stage<T> for PartitionWriter<T, R> {
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        let index = if R::BROADCAST { 0 } else { self.route.route(row) as usize };
        if let Some(Some(page)) = self.pages.get_mut(index)
            && page.append(row).is_ok()
        {
            return;
        }
        self.roll(index, row, context);
    }

    fn resume(&mut self, context: &mut Context<'_>) -> bool {
        !context.is_blocked()
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        !context.is_blocked()
    }

    #[inline(always)]
    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        match signal {
            Signal::Watermark(time) => {
                self.watermark = self.watermark.max(time);
                context.wants_flush_soon();
            }
            Signal::Late => self.seal_before_late(context),
            Signal::Idle => self.status(StreamStatus::Idle, context),
            Signal::Active => self.status(StreamStatus::Active, context),
            Signal::SplitBegins | Signal::LastSplit | Signal::Barrier | Signal::Time(_) => {}
        }
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        for index in 0..self.pages.len() {
            let subpartition = if R::BROADCAST { ALL } else { index as u32 };
            let waits = self.pages[index].is_some() || self.sent[index] < self.watermark;
            if waits && (force || context.wants_flush(self.output, subpartition)) {
                self.submit(index, context);
            }
        }
    }
}

impl<T: Value, R> fmt::Debug for PartitionWriter<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionWriter(output {})", self.output)
    }
}

/// The sizes of pages for rows of a schema, if one fits a segment.
fn sizing(schema: &Schema, shape: Arc<Shape>, info: &OpenInfo) -> Result<Sizing, TaskError> {
    let size = info.segment_size as usize;
    Sizing::new(shape, size).ok_or_else(|| {
        TaskError::new(format!(
            "a row of ({schema}) does not fit a segment of {size} bytes: raise `memory.segment-size`"
        ))
    })
}

/// An output of the chain.
fn target(output: u16, info: &OpenInfo) -> Result<OutputInfo, TaskError> {
    info.outputs.get(usize::from(output)).copied().ok_or_else(|| {
        TaskError::new(format!("the chain has no output {output}: the job graph is damaged"))
    })
}

/// Rows go by the key group of their key.
pub struct ByKey<K, S> {
    selector: S,
    key: PhantomData<fn() -> K>,
}

impl<K, S> ByKey<K, S> {
    /// Divides rows by the key that `selector` takes from them.
    pub fn new(selector: S) -> Self {
        Self { selector, key: PhantomData }
    }
}

impl<K, S: Clone> Clone for ByKey<K, S> {
    fn clone(&self) -> Self {
        Self::new(self.selector.clone())
    }
}

impl<K, S> fmt::Debug for ByKey<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByKey")
    }
}

/// [`ByKey`] for one subtask.
#[derive(Debug)]
pub struct KeyRoute<K, S> {
    selector: S,
    groups: KeyGroups,
    key: PhantomData<fn() -> K>,
}

impl<T, K, S> Partitioner<T> for ByKey<K, S>
where
    T: Value,
    K: Key,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    type Route = KeyRoute<K, S>;

    fn open(&self, info: &OpenInfo, output: u16) -> Self::Route {
        let target = info.outputs[usize::from(output)];
        let groups = KeyGroups::new(target.subpartitions, target.max_parallelism);
        KeyRoute { selector: self.selector.clone(), groups, key: PhantomData }
    }
}

impl<T, K, S> Route<T> for KeyRoute<K, S>
where
    T: Value,
    K: Key,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Send + 'static,
{
    #[inline(always)]
    fn route(&mut self, row: T::View<'_>) -> u32 {
        self.groups.owner(K::hash((self.selector)(Row::new(row)), SEED))
    }
}

/// Every row goes to the one consumer of this subtask, or to the first of several.
#[derive(Clone, Copy, Debug)]
pub struct Single;

impl<T: Value> Partitioner<T> for Single {
    type Route = Self;

    fn open(&self, _info: &OpenInfo, _output: u16) -> Self {
        Self
    }
}

impl<T: Value> Route<T> for Single {
    #[inline(always)]
    fn route(&mut self, _row: T::View<'_>) -> u32 {
        0
    }
}

/// Every row goes to every consumer.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast;

impl<T: Value> Partitioner<T> for Broadcast {
    type Route = Self;

    fn open(&self, _info: &OpenInfo, _output: u16) -> Self {
        Self
    }
}

impl<T: Value> Route<T> for Broadcast {
    const BROADCAST: bool = true;

    fn route(&mut self, _row: T::View<'_>) -> u32 {
        0
    }
}

/// Rows go to one consumer after the other.
#[derive(Clone, Copy, Debug)]
pub struct RoundRobin;

/// [`RoundRobin`] for one subtask.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    next: u32,
    subpartitions: u32,
}

impl<T: Value> Partitioner<T> for RoundRobin {
    type Route = Turn;

    fn open(&self, info: &OpenInfo, output: u16) -> Turn {
        let subpartitions = info.outputs[usize::from(output)].subpartitions;
        // Subtasks begin at different consumers, so that few rows are spread, too.
        Turn { next: info.subtask % subpartitions, subpartitions }
    }
}

impl<T: Value> Route<T> for Turn {
    #[inline(always)]
    fn route(&mut self, _row: T::View<'_>) -> u32 {
        let turn = self.next;
        self.next = if turn + 1 == self.subpartitions { 0 } else { turn + 1 };
        turn
    }
}

/// Rows go to consumers at random, the same in every run.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle;

/// [`Shuffle`] for one subtask.
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    state: u64,
    subpartitions: u32,
}

impl<T: Value> Partitioner<T> for Shuffle {
    type Route = Dice;

    fn open(&self, info: &OpenInfo, output: u16) -> Dice {
        let subpartitions = info.outputs[usize::from(output)].subpartitions;
        Dice { state: SEED ^ u64::from(info.subtask), subpartitions }
    }
}

impl<T: Value> Route<T> for Dice {
    #[inline(always)]
    fn route(&mut self, _row: T::View<'_>) -> u32 {
        self.state = self.state.wrapping_add(SEED);
        let word = millstream_data::hash::word(self.state, 0);
        ((u128::from(word) * u128::from(self.subpartitions)) >> 64) as u32
    }
}

/// Rows go where a function of the row and the number of consumers says.
pub struct Custom<F>(pub F);

impl<F: Clone> Clone for Custom<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F> fmt::Debug for Custom<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

/// [`Custom`] for one subtask.
pub struct CustomRoute<F> {
    function: F,
    subpartitions: u32,
}

impl<F> fmt::Debug for CustomRoute<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomRoute")
    }
}

impl<T, F> Partitioner<T> for Custom<F>
where
    T: Value,
    F: Fn(T::View<'_>, u32) -> u32 + Clone + Send + Sync + 'static,
{
    type Route = CustomRoute<F>;

    fn open(&self, info: &OpenInfo, output: u16) -> CustomRoute<F> {
        let subpartitions = info.outputs[usize::from(output)].subpartitions;
        CustomRoute { function: self.0.clone(), subpartitions }
    }
}

impl<T, F> Route<T> for CustomRoute<F>
where
    T: Value,
    F: Fn(T::View<'_>, u32) -> u32 + Send + 'static,
{
    #[inline(always)]
    fn route(&mut self, row: T::View<'_>) -> u32 {
        (self.function)(row, self.subpartitions)
    }
}
