//! Functions with keyed state on rows whose columns are known only at run time: what SQL is lowered to.
//!
//! A [`RowFunction`] is given rows of a page, as many as it wants to take at once; their keys are a
//! [`RowKeys`], a batch for calls of its [`RowStates`]. What it emits it adds to [`Changes`], which are
//! written once it has returned: it never has to stop in the middle of a row.

mod assign;
mod at_once;
mod buffer;
mod changes;
mod gathered;
mod interval;
mod keys;
mod living;
mod local;
mod marks;
mod ordered;
mod page;
mod sessions;
mod slices;
mod states;
mod temporal;
mod timed;
mod window_join;
mod windows;

use core::fmt;

use alloc::{sync::Arc, vec::Vec};

use millstream_data::{page::ValidPage, row::RowLayout};
use millstream_exchange::event::Purpose;
use millstream_state::time::WATERMARK_MAX;

pub use assign::RowAssignment;
pub use at_once::RowsAtOnce;
pub use buffer::{RowBuffer, RowReplay, Until};
pub use changes::{Changes, Part};
pub use interval::{RowInterval, RowIntervalJoin};
pub use keys::{EntryKeys, EqualKeys, RowKeys};
pub use local::{LocalTime, WindowClock};
pub use marks::Marks;
pub use page::{PageFunction, PageFunctionChain};
pub use sessions::RowSessions;
pub use states::{ENTRY_BYTES_MAX, Entries, Lists, Maps, RowStates, Values};
pub use temporal::{RowTemporalJoin, RowVersions};
pub use timed::RowPairs;
pub use window_join::{RowMatches, RowWindowJoin, RowWindowMatch};
pub use windows::{RowFold, RowTime, RowWindow, RowWindows};

use crate::{
    chain::{Chain, Context, Signal, TaskError},
    writer::run::RunWriter,
};

/// What is done with the rows of each key.
pub trait RowFunction: Send + 'static {
    /// How the two parts of a row that it emits lie in their bytes. The second may be of no columns.
    fn parts(&self) -> [Arc<RowLayout>; 2];

    /// Takes rows of a page from `start` on, at least one; gives the row to go on with. It should take
    /// a few hundred at once, so that cache misses of the state overlap, and stop earlier if `out` has
    /// [become large](Changes::is_large).
    ///
    /// # Errors
    /// What the states say, or the function's own. The task fails with it.
    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError>;

    /// The watermark has risen, or the time is [due](Self::due): emits what is. `false` if that is not all; it is called again when what
    /// it has emitted is written.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let _ = (states, out);
        Ok(true)
    }

    /// The processing time at which it wants to [advance](Self::advance), in milliseconds of the
    /// [clock](RowStates::go_by) of its states, if it does.
    fn due(&self) -> Option<i64> {
        None
    }

    /// How far the watermark that it passes on is behind that of its inputs, in milliseconds: rows of times that
    /// have passed may still be emitted.
    fn holds_back(&self) -> i64 {
        0
    }

    /// Whether its rows are known by a key, so that one that is updated is said as it is now, and not as it was:
    /// no UPDATE_BEFORE is written.
    fn upserts(&self) -> bool {
        false
    }

    /// The states were put back, before the first row.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        let _ = states;
        Ok(())
    }
}

/// The chain of a function.
pub struct RowFunctionChain<F> {
    function: F,
    states: RowStates,
    /// What was emitted, and how much of it is written.
    out: Changes,
    written: usize,
    writer: RunWriter,
}

impl<F: RowFunction> RowFunctionChain<F> {
    /// The chain of `function`, whose states these are.
    pub fn new(function: F, states: RowStates, writer: RunWriter) -> Self {
        let mut out = Changes::new(function.parts());
        out.upserts(function.upserts());
        Self { function, states, out, written: 0, writer }
    }

    /// Emits and writes what is due; `false` if the context is blocked before all of it is written.
    fn advance(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            let Self { function, states, out, .. } = self;
            match function.advance(states, out) {
                Ok(done) if !self.write(context) || context.is_blocked() => {
                    return done && self.out.is_empty();
                }
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    context.fail(error);
                    return false;
                }
            }
        }
    }

    /// Asks to be told when the function's time has come.
    fn ask(&self, context: &mut Context<'_>) {
        if let Some(due) = self.function.due() {
            context.wake_at(self.states.clock.ended(due));
        }
    }

    /// Writes what was emitted; `false` if the context is blocked before all of it is.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        self.out.write(&mut self.written, &mut self.writer, context)
    }
}

impl<F: RowFunction> Chain for RowFunctionChain<F> {
    fn process(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let mut row = start;
        self.states.state.time = self.states.clock.at(context.time());
        while self.write(context) && !context.is_blocked() && row < page.rows() {
            let Self { function, states, out, .. } = self;
            match function.take(input, page, row, states, out) {
                Ok(next) => row = next,
                Err(error) => context.fail(error),
            }
        }
        self.ask(context);
        row
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.write(context) && !context.is_blocked()
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        if !self.write(context) {
            return false;
        }
        let RowStates { state, clock, .. } = &mut self.states;
        state.time = clock.reached(context.time());
        let advances = match signal {
            Signal::Watermark(time) => {
                state.watermark = state.watermark.max(clock.passed(time));
                true
            }
            Signal::Time(time) => {
                state.time = clock.reached(time);
                self.function.due().is_some_and(|due| due <= state.time)
            }
            _ => false,
        };
        if advances && !self.advance(context) {
            return false;
        }
        self.ask(context);
        let passed_on = match signal {
            Signal::Watermark(time) if time < WATERMARK_MAX => {
                Signal::Watermark(time.saturating_sub(self.function.holds_back()))
            }
            other => other,
        };
        self.writer.signal(passed_on, context);
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.writer.flush(force, context);
    }

    fn begin_snapshot(&mut self, purpose: Purpose) -> Result<(), TaskError> {
        self.states.state.begin_snapshot(purpose)
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        self.states.state.next_chunk(out)
    }

    fn abort_snapshot(&mut self) {
        self.states.state.abort_snapshot();
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.states.state.restore(chunks)?;
        self.function.restored(&mut self.states)
    }
}

impl<F> fmt::Debug for RowFunctionChain<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowFunctionChain({} changes wait)", self.out.len() - self.written)
    }
}
