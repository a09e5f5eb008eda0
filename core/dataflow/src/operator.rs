//! Operators, fused at compile time.
//!
//! An [`Operator`] describes a step of a program. Attached to what follows it, it becomes a
//! [`Stage`]; the stages of a chain contain one another, so that the compiler sees the whole chain
//! as one loop body. A stage takes a row as its zero-copy view, whether it lies in a page or was
//! just made by the stage before.

mod aggregate;
#[cfg(test)]
pub(crate) mod bench;
mod connected;
mod head;
mod interval_join;
pub mod process;
pub mod rows;
mod side;
mod source;
mod stateless;
mod time;
mod timers;
pub mod window;

use core::{fmt, marker::PhantomData, ops::Deref};

use millstream_data::{Value, page::ValidPage, value::Record};

pub use aggregate::{AggregateAtEndChain, AggregateChain, AggregateFunction, Reduce};
pub use connected::{CoChain, CoFlatMap, CoFunction, CoMap};
pub(crate) use interval_join::Interval;
pub use interval_join::IntervalJoinChain;
pub use side::{EmitSide, ProcessSide, Split};
pub use source::SourceChain;
pub use stateless::{Emit, Filter, FlatMap, ForEach, Inspect, Map, Process};
pub use time::{AssignWatermarks, Punctuated, WatermarkStrategy, WithAlignment, WithIdleness};

use crate::chain::{Chain, Context, OpenInfo, Signal, TaskError};

/// A row as a key selector is given it: `T::View<'a>` by [`Deref`].
///
/// (Rust wants the lifetime of what a closure returns to appear in the type that it is given, and a
/// projection like `T::View<'a>` does not count.)
pub struct Row<'a, T: Value> {
    view: T::View<'a>,
}

impl<'a, T: Value> Row<'a, T> {
    /// The row of a view.
    #[inline(always)]
    pub fn new(view: T::View<'a>) -> Self {
        Self { view }
    }
}

impl<'a, T: Value> Deref for Row<'a, T> {
    type Target = T::View<'a>;

    #[inline(always)]
    fn deref(&self) -> &T::View<'a> {
        &self.view
    }
}

impl<T: Value> fmt::Debug for Row<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Row")
    }
}

/// A part of a running chain that takes rows of type `T`.
pub trait Stage<T: Value>: Send + 'static {
    /// Takes a row. It is always taken; afterwards the context says whether another may follow.
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>);

    /// Goes on with what a blocked context kept back; `false` if it is blocked again.
    fn resume(&mut self, context: &mut Context<'_>) -> bool;

    /// There are no more rows: emits what is left. `false` if the context is blocked before it is
    /// done; call again then.
    fn finish(&mut self, context: &mut Context<'_>) -> bool;

    /// Something happened in the stream beside its rows, behind those pushed so far. `false` if the
    /// context is blocked before it is answered; call again with the same signal then.
    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool;

    /// Submits pages that have rows.
    fn flush(&mut self, force: bool, context: &mut Context<'_>);
}

/// A step of a program, before it is attached to what follows it.
pub trait Operator: Clone + Send + Sync + 'static {
    /// What it takes.
    type In: Value;
    /// What it emits.
    type Out: Value;
    /// What it becomes.
    type Stage<N: Stage<Self::Out>>: Stage<Self::In>;

    /// The operator's name in graphs and metrics.
    const NAME: &'static str;

    /// The stage that does this step and gives its rows to `next`.
    ///
    /// # Errors
    /// If it cannot run with the segments and outputs there are.
    fn attach<N: Stage<Self::Out>>(
        self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Self::Stage<N>, TaskError>;
}

/// A chain that reads pages of `T`.
#[derive(Debug)]
pub struct PageChain<T, S> {
    stage: S,
    fingerprint: u64,
    input: PhantomData<fn(T)>,
}

impl<T: Value, S: Stage<T>> PageChain<T, S> {
    /// The chain of `stage` and all that follows it.
    pub fn new(stage: S) -> Self {
        let fingerprint = T::schema().fingerprint();
        Self { stage, fingerprint, input: PhantomData }
    }
}

/// Checks that a page has rows of `T`, whose schema has this fingerprint.
#[inline(always)]
fn check_schema<T: Value>(page: &ValidPage<'_>, fingerprint: u64) -> Result<(), TaskError> {
    if page.fingerprint() == fingerprint {
        return Ok(());
    }
    let schema = T::schema();
    Err(TaskError::new(alloc::format!(
        "a page of another schema arrived where rows of ({schema}) are read"
    )))
}

/// Hands the rows of a page from `start` on to `push`, and gives the row to go on with.
#[inline(always)]
fn process_page<T: Value>(
    page: &ValidPage<'_>,
    fingerprint: u64,
    start: usize,
    context: &mut Context<'_>,
    mut push: impl FnMut(T::View<'_>, &mut Context<'_>),
) -> usize {
    if let Err(error) = check_schema::<T>(page, fingerprint) {
        context.fail(error);
        return start;
    }
    let columns = T::bind(page);
    for row in start..page.rows() {
        push(T::at(&columns, row), context);
        if context.is_blocked() {
            return row + 1;
        }
    }
    page.rows()
}

impl<T: Value, S: Stage<T>> Chain for PageChain<T, S> {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let Self { stage, fingerprint, .. } = self;
        if !stage.resume(context) {
            return start;
        }
        process_page::<T>(page, *fingerprint, start, context, |row, context| {
            stage.push(row, context);
        })
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.stage.resume(context) && self.stage.finish(context)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.stage.resume(context) && self.stage.signal(signal, context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.stage.flush(force, context);
    }
}
