//! The head of a chain that keeps keyed state: what all of them do alike.

use alloc::vec::Vec;

use millstream_data::{Value, page::ValidPage};
use millstream_exchange::event::Purpose;

use super::{
    Stage,
    timers::{TimeKind, TimerService},
};
use crate::{
    chain::{Chain, Context, Signal, TaskError},
    state::KeyedState,
};

/// An operator with keyed state, at the head of its chain. It is a [`Chain`]: rows, time, snapshots
/// and what follows are brought together here.
pub(crate) trait KeyedHead: Send {
    /// What it emits.
    type Out: Value;
    /// What follows it.
    type Next: Stage<Self::Out>;

    /// What follows it.
    fn next(&mut self) -> &mut Self::Next;

    /// Its state.
    fn state(&mut self) -> &mut KeyedState;

    /// Its timers, if it has some of processing time.
    fn timers(&mut self) -> Option<&mut TimerService> {
        None
    }

    /// Takes rows as [`Chain::process`] does.
    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError>;

    /// Does what a kind of time, as the state has it, has made due; `false` if the context is
    /// blocked before all is done.
    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError>;

    /// Whether a signal is passed on, once it was answered.
    fn passes(&self, signal: Signal) -> bool {
        let _ = signal;
        true
    }

    /// All input has ended: emits what is left. `false` if the context is blocked before it is done.
    fn end(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        let _ = context;
        Ok(true)
    }

    /// The state is about to be frozen.
    fn before_snapshot(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// The state was put back.
    fn restored(&mut self) -> Result<(), TaskError>;

    /// Appends the state that is not of keys to a snapshot, in chunks.
    fn freeze_more(&self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Puts the state back.
    fn restore_state(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.state().restore(chunks)
    }

    /// Passes a signal to a side output, which is never blocked by one.
    fn signal_side(&mut self, signal: Signal, context: &mut Context<'_>) {
        let _ = (signal, context);
    }

    /// Flushes a side output.
    fn flush_side(&mut self, force: bool, context: &mut Context<'_>) {
        let _ = (force, context);
    }
}

impl<H: KeyedHead> Chain for H {
    fn process(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        if !self.next().resume(context) {
            return start;
        }
        self.state().time = context.time();
        let taken = self.take(input, page, start, context);
        if let Some(timers) = self.timers() {
            timers.ask(context);
        }
        taken.unwrap_or_else(|error| {
            context.fail(error);
            start
        })
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        if !self.next().resume(context) {
            return false;
        }
        let state = self.state();
        state.time = context.time();
        let advanced = match signal {
            Signal::Watermark(time) => {
                state.watermark = state.watermark.max(time);
                self.advance(TimeKind::Event, context)
            }
            Signal::Time(_) => {
                if let Some(timers) = self.timers() {
                    timers.was_told();
                }
                self.advance(TimeKind::Processing, context)
            }
            _ => Ok(true),
        };
        if let Some(timers) = self.timers() {
            timers.ask(context);
        }
        match advanced {
            Ok(true) if !self.passes(signal) => true,
            Ok(true) => {
                self.signal_side(signal, context);
                self.next().signal(signal, context)
            }
            Ok(false) => false,
            Err(error) => {
                context.fail(error);
                false
            }
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        if !self.next().resume(context) {
            return false;
        }
        match self.end(context) {
            Ok(ended) => ended && self.next().finish(context),
            Err(error) => {
                context.fail(error);
                false
            }
        }
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next().flush(force, context);
        self.flush_side(force, context);
    }

    fn begin_snapshot(&mut self, purpose: Purpose) -> Result<(), TaskError> {
        self.before_snapshot()?;
        self.state().begin_snapshot(purpose)?;
        let mut more = Vec::new();
        self.freeze_more(&mut more);
        self.state().add_to_snapshot(&more);
        Ok(())
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        self.state().next_chunk(out)
    }

    fn abort_snapshot(&mut self) {
        self.state().abort_snapshot();
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.restore_state(chunks)?;
        self.restored()
    }
}

/// What is wrong where a chain of two inputs is given a page of a third one.
pub(super) fn third_input() -> TaskError {
    TaskError::new("a page arrived at a third input of two streams")
}
