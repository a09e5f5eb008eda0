//! What was in flight at the checkpoint that a task begins from comes before anything else.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use millstream_data::page::ValidPage;
use millstream_exchange::event::Event;
use millstream_memory::Buffer;

use super::{Current, Task, output::Split};
use crate::chain::{Chain, Context, Signal, TaskError};

/// What was in flight at the checkpoint that a task begins from, and comes before anything else.
pub enum Recovered {
    /// To be written anew to this output by a chain of its own, which divides it as the output is.
    Sent(u16, Box<dyn Chain>, VecDeque<Again>),
    /// To be processed by the task's chain, on this input.
    Received(u16, VecDeque<Again>),
}

/// How a task begins, if something was in flight anywhere at the checkpoint that all begin from.
pub struct Recovery {
    /// What it sees to itself, in this order.
    pub recovered: Vec<Recovered>,
    /// Inputs on whose channels others do so: nothing else is read before all that was in flight has come
    /// there.
    pub ports: Vec<u16>,
    /// It comes in so many rounds, see [`recovery_rounds`](super::recovery_rounds).
    pub rounds: u32,
}

/// An element that comes again.
#[derive(Debug)]
pub enum Again {
    /// The rows of a page from one on.
    Page(Buffer, usize),
    /// What follows is of another split.
    SplitBegins,
}

impl Task {
    /// Goes on with what was in flight.
    pub(super) fn recover_some(&mut self, now: u64) -> Result<(), TaskError> {
        if let Some(current) = self.current.take() {
            return self.process(now, current);
        }
        match self.recovered.front_mut() {
            Some(Recovered::Received(..)) | None if !self.has_sent_again => {
                (self.has_sent_again, self.rounds) = (true, 1);
            }
            None => (self.recovers, self.rounds) = (false, self.rounds_received),
            Some(Recovered::Received(port, elements)) => {
                let port = *port;
                match elements.pop_front() {
                    Some(Again::Page(page, row)) => {
                        self.process(now, Current { input: None, port, page, row })?;
                    }
                    Some(Again::SplitBegins) => {
                        self.call(now, |chain, context| {
                            chain.signal(Signal::SplitBegins, context)
                        })?;
                        self.pass_split_on(now, Signal::SplitBegins)?;
                    }
                    None => drop(self.recovered.pop_front()),
                }
            }
            Some(Recovered::Sent(output, writer, elements)) => {
                self.outputs.set_now(now);
                let mut context = Context::new(&mut self.outputs);
                if let Some(Again::SplitBegins) = elements.front() {
                    elements.pop_front();
                    writer.flush(true, &mut context);
                    self.outputs.tell_of_split(Split::Begins, Some(*output));
                } else {
                    let sent = send(writer, elements, &mut context);
                    sent.map_err(|error| error.at(&self.name))?;
                }
                if elements.is_empty() {
                    self.recovered.pop_front();
                }
                self.metrics.sent(self.outputs.take_counts());
            }
        }
        Ok(())
    }

    /// The chain was told of a split: those who read just what it writes are told, too, behind what it has written.
    pub(super) fn pass_split_on(&mut self, now: u64, signal: Signal) -> Result<(), TaskError> {
        let split = match signal {
            Signal::SplitBegins => Split::Begins,
            Signal::LastSplit => Split::IsLast,
            _ => return Ok(()),
        };
        if self.outputs.pass_splits() {
            self.call(now, |chain, context| chain.flush(true, context))?;
            self.outputs.tell_of_split(split, None);
        }
        Ok(())
    }

    /// Says the end of a round, unless the chain has to wait for room for what it made in it.
    pub(super) fn end_round(&mut self, now: u64) -> Result<(), TaskError> {
        if !self.call(now, |chain, context| chain.signal(Signal::Barrier, context))? {
            return Ok(());
        }
        self.rounds -= 1;
        self.call(now, |chain, context| chain.flush(true, context))?;
        self.flush_at = None;
        self.outputs.event_to_all(Event::EndOfRecovery);
        Ok(())
    }
}

/// Writes rows of one page anew; those of the last one are flushed.
fn send(
    writer: &mut Box<dyn Chain>,
    elements: &mut VecDeque<Again>,
    context: &mut Context<'_>,
) -> Result<(), TaskError> {
    if let Some(Again::Page(page, row)) = elements.pop_front() {
        let view =
            ValidPage::trusted(&page).map_err(|error| TaskError::new(alloc::format!("{error}")))?;
        let next = writer.process(0, &view, row, context);
        if next < view.rows() {
            elements.push_front(Again::Page(page, next));
        }
    }
    if elements.is_empty() {
        writer.flush(true, context);
    }
    context.take_error().map_or(Ok(()), Err)
}
