//! Threads for code that blocks.
//!
//! A source that blocks fills segments on its own thread and hands pages over through a channel; a
//! sink that blocks takes pages from channels on its own. Both are bounded: by the channel, and by
//! the pool that segments come from.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Waker,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use millstream_checkpoint::Permit;
use millstream_dataflow::{
    TaskError,
    channel::{Element, Receiver, Sender},
    task::{Checkpointing, Checkpoints, Order, Step, TaskMetrics, in_flight::Origin},
};
use millstream_exchange::event::{Event, Purpose};
use millstream_memory::{Buffer, LocalPool, Segment};

pub use crate::doorbell::Doorbell;
use crate::{Outcome, park::Unparker, worker::panic_message};

/// A source whose calls may block.
pub trait BlockingSource: Send {
    /// Fills a segment with the next page, or says that there is none.
    ///
    /// # Errors
    /// Why the source failed: it is not called again.
    fn read(&mut self, segment: Segment) -> Result<Read, TaskError>;

    /// Where it is, behind what was read last, for a checkpoint. `None` if it cannot say so now, but
    /// after another read.
    ///
    /// # Errors
    /// If it can never say so.
    fn position(&mut self) -> Result<Option<Vec<u8>>, TaskError> {
        Err(TaskError::new("the source takes no checkpoints"))
    }
}

/// What a source has read.
#[derive(Debug)]
pub enum Read {
    /// A page: the first `length` bytes of the segment, with this many rows.
    Page {
        /// The segment.
        segment: Segment,
        /// Bytes of the page.
        length: usize,
        /// Rows in the page.
        rows: usize,
    },
    /// The pages that follow are of another split.
    SplitBegins,
    /// No subtask of the source will begin another split.
    LastSplit,
    /// Nothing for now; call again.
    Nothing,
    /// Nothing will follow.
    End,
}

/// A sink whose calls may block.
pub trait BlockingSink: Send {
    /// Writes a page.
    ///
    /// # Errors
    /// Why the sink failed: it is not called again.
    fn write(&mut self, page: &Buffer) -> Result<(), TaskError>;

    /// All input has ended: completes what was written.
    ///
    /// # Errors
    /// Why that failed.
    fn finish(&mut self) -> Result<(), TaskError>;

    /// What it has to know to go on from here, for a checkpoint of this number.
    ///
    /// # Errors
    /// If it cannot go on from here.
    fn snapshot(&mut self, checkpoint: u64) -> Result<Vec<u8>, TaskError> {
        let _ = checkpoint;
        Err(TaskError::new("the sink takes no checkpoints"))
    }

    /// A checkpoint is complete: what belongs to it, and to those before, may be shown.
    ///
    /// # Errors
    /// If it cannot be shown.
    fn complete(&mut self, permit: Permit) -> Result<(), TaskError> {
        let _ = permit;
        Ok(())
    }
}

/// The waker of this thread.
fn this_thread() -> Waker {
    let doorbell = Doorbell::default();
    doorbell.connect(thread::current());
    doorbell.waker()
}

/// Starts a thread that reads `source` into `channel`.
///
/// # Panics
/// If the system gives no thread.
pub fn spawn_source(
    name: String,
    source: Box<dyn BlockingSource>,
    pool: LocalPool,
    channel: Sender,
    metrics: Arc<TaskMetrics>,
    outcome: Arc<Outcome>,
    checkpoints: Option<Box<dyn Checkpoints>>,
) -> JoinHandle<()> {
    let thread_name = name.clone();
    outcome.begin_thread();
    let body = move || {
        outcome.wake_at_end(Unparker::Thread(Arc::new(thread::current().into())));
        let mut reading = Reading {
            source,
            channel,
            checkpoints,
            waker: this_thread(),
            pending: None,
            drains: false,
            stopped: false,
            dismissed: false,
        };
        let run = || reading.run(&pool, &metrics, &outcome);
        report(&name, &outcome, catch_unwind(AssertUnwindSafe(run)));
        // Only now: who reads the channel must not be the first to report its end.
        drop(reading);
        outcome.end_thread();
    };
    thread::Builder::new().name(thread_name).spawn(body).expect("the system gives a thread")
}

/// A source that is being read.
struct Reading {
    source: Box<dyn BlockingSource>,
    channel: Sender,
    checkpoints: Option<Box<dyn Checkpoints>>,
    waker: Waker,
    /// An order that could not be obeyed at once.
    pending: Option<Order>,
    /// The end of data goes in front of the next barrier.
    drains: bool,
    /// The job stops with the savepoint that was taken: nothing is read any more.
    stopped: bool,
    /// The coordinator said that all is done.
    dismissed: bool,
}

impl Reading {
    fn run(
        &mut self,
        pool: &LocalPool,
        metrics: &TaskMetrics,
        outcome: &Outcome,
    ) -> Result<(), TaskError> {
        let mut ended = false;
        loop {
            if outcome.is_over() || !self.obey(outcome)? {
                return Ok(());
            }
            if ended || self.stopped {
                if self.checkpoints.is_none() || self.dismissed {
                    self.push(Element::Event(Event::EndOfPartition), outcome);
                    return Ok(());
                }
                thread::park();
                continue;
            }
            let Some(segment) = pool.request() else {
                pool.register(&self.waker);
                thread::park();
                continue;
            };
            let element = match self.source.read(segment)? {
                Read::Page { segment, length, rows } => {
                    metrics.emitted(rows, length);
                    Element::Page(segment.freeze(length))
                }
                Read::SplitBegins => Element::SplitBegins,
                Read::LastSplit => Element::LastSplit,
                Read::Nothing => continue,
                Read::End => {
                    ended = true;
                    let Some(checkpoints) = &mut self.checkpoints else { continue };
                    checkpoints.end_of_data();
                    Element::Event(Event::EndOfData { drain: true })
                }
            };
            if !self.push(element, outcome) {
                return Ok(());
            }
        }
    }

    /// Obeys the coordinator of checkpoints; `false` if nobody reads any more.
    fn obey(&mut self, outcome: &Outcome) -> Result<bool, TaskError> {
        loop {
            let Some(checkpoints) = &mut self.checkpoints else { return Ok(true) };
            let pending = self.pending.take();
            match pending.or_else(|| checkpoints.next_order(&self.waker)) {
                None => return Ok(true),
                Some(Order::Trigger(barrier)) => {
                    match self.source.position() {
                        Ok(Some(position)) => {
                            checkpoints.write(barrier.checkpoint, position);
                            checkpoints.finish(barrier.checkpoint);
                        }
                        Ok(None) => {
                            self.pending = Some(Order::Trigger(barrier));
                            return Ok(true);
                        }
                        Err(error) => {
                            checkpoints.decline(barrier.checkpoint, error.to_string());
                            continue;
                        }
                    }
                    let end = Event::EndOfData { drain: true };
                    if self.drains && !self.push(Element::Event(end), outcome) {
                        return Ok(false);
                    }
                    if !self.push(Element::Event(Event::Barrier(barrier)), outcome) {
                        return Ok(false);
                    }
                    self.stopped |= barrier.purpose == Purpose::StopWithSavepoint;
                }
                Some(Order::Drain) => self.drains = true,
                Some(Order::Abort(_) | Order::Complete(_)) => {}
                Some(Order::End) => self.dismissed = true,
            }
        }
    }

    fn push(&mut self, element: Element, outcome: &Outcome) -> bool {
        push(&mut self.channel, element, outcome, &self.waker)
    }
}

/// Waits for room. `false` if the run is over or nobody reads.
fn push(channel: &mut Sender, element: Element, outcome: &Outcome, waker: &Waker) -> bool {
    let mut element = element;
    loop {
        match channel.push(element) {
            Ok(()) => return true,
            Err(refused) => element = refused,
        }
        channel.notify_room(waker);
        if outcome.is_over() || channel.is_abandoned() {
            return false;
        }
        if channel.is_full() {
            thread::park();
        }
    }
}

/// What a sink reads.
#[derive(Debug, Default)]
pub struct SinkInputs {
    /// Its channels, from where each says.
    pub channels: Vec<(Receiver, Option<Origin>)>,
    /// If something was in flight at the checkpoint that all begin from: in how many rounds that comes.
    pub recovers: Option<u32>,
}

/// Starts a thread that writes what arrives on its `inputs` to `sink`. The channels ring `doorbell`.
///
/// # Panics
/// If the system gives no thread.
pub fn spawn_sink(
    name: String,
    sink: Box<dyn BlockingSink>,
    inputs: SinkInputs,
    doorbell: &Doorbell,
    metrics: Arc<TaskMetrics>,
    outcome: Arc<Outcome>,
    checkpoints: Option<Box<dyn Checkpoints>>,
) -> JoinHandle<()> {
    let thread_name = name.clone();
    outcome.begin_thread();
    let body = move || {
        outcome.wake_at_end(Unparker::Thread(Arc::new(thread::current().into())));
        let run = || run_sink(sink, inputs, &metrics, &outcome, checkpoints);
        report(&name, &outcome, catch_unwind(AssertUnwindSafe(run)));
        outcome.end_thread();
    };
    let handle =
        thread::Builder::new().name(thread_name).spawn(body).expect("the system gives a thread");
    doorbell.connect(handle.thread().clone());
    handle
}

fn run_sink(
    mut sink: Box<dyn BlockingSink>,
    SinkInputs { channels, recovers }: SinkInputs,
    metrics: &TaskMetrics,
    outcome: &Outcome,
    checkpoints: Option<Box<dyn Checkpoints>>,
) -> Result<(), TaskError> {
    let mut checkpointing = Checkpointing::new(channels.len());
    if let Some(writer) = checkpoints {
        checkpointing.write_to(writer, channels.iter().map(|(_, origin)| *origin));
    }
    if let Some(rounds) = recovers {
        checkpointing.recover(0..channels.len(), rounds);
    }
    let (waker, begun) = (this_thread(), Instant::now());
    let channels = channels.into_iter().enumerate();
    let mut channels: Vec<_> = channels.map(|(number, (channel, _))| (number, channel)).collect();
    while !channels.is_empty() {
        let now = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if outcome.is_over() {
            return Ok(());
        }
        let mut any = false;
        while let Some(order) = checkpointing.next_order(&waker) {
            match order {
                Order::Complete(permit) => sink.complete(permit)?,
                order => checkpointing.on_order(now, order),
            }
            any = true;
        }
        if checkpointing.overtakes() {
            for (number, channel) in &mut channels {
                checkpointing.look(now, *number, channel);
            }
            checkpointing.on_time(now);
            any |= take_steps(&mut *sink, &mut channels, &mut checkpointing, now);
        }
        let mut index = 0;
        while let Some((number, channel)) = channels.get_mut(index) {
            let number = *number;
            index += 1;
            if checkpointing.is_blocked(number) {
                continue;
            }
            let mut wrote = false;
            match channel.pop() {
                Some(element) if checkpointing.popped(number, &element) => {
                    channel.resume();
                    any = true;
                }
                Some(Element::Page(page)) => {
                    sink.write(&page)?;
                    wrote = true;
                    metrics.consumed(rows(&page), page.len());
                    channel.give_back(page);
                    any = true;
                }
                Some(Element::Event(event)) => {
                    any = true;
                    checkpointing.on_event(now, number, event);
                    if event == Event::EndOfPartition {
                        index -= 1;
                        channels.swap_remove(index);
                    }
                }
                // Sinks have no use for splits.
                Some(Element::SplitBegins | Element::LastSplit) => any = true,
                None if channel.is_abandoned() && channel.is_empty() => {
                    return Err(TaskError::new("a task upstream ended before its partition did"));
                }
                None => {}
            }
            any |= take_steps(&mut *sink, &mut channels, &mut checkpointing, now);
            // A page may take long to write, and a barrier should not wait for those of other channels.
            if wrote && checkpointing.overtakes() {
                channels.rotate_left(index);
                break;
            }
        }
        if !any {
            match checkpointing.deadline() {
                Some(at) => thread::park_timeout(Duration::from_micros(at.saturating_sub(now))),
                None => thread::park(),
            }
        }
    }
    sink.finish()
}

/// Does what follows from barriers at a sink; whether there was anything.
fn take_steps(
    sink: &mut dyn BlockingSink,
    channels: &mut [(usize, Receiver)],
    checkpointing: &mut Checkpointing,
    now: u64,
) -> bool {
    let mut any = false;
    while let Some(step) = checkpointing.next_step(now) {
        any = true;
        match step {
            Step::Snapshot { barrier, .. } => {
                let state = sink.snapshot(barrier.checkpoint);
                checkpointing.hand_over(barrier.checkpoint, state);
            }
            Step::Capture(number) => {
                if let Some((_, channel)) = channels.iter_mut().find(|(other, _)| *other == number)
                {
                    checkpointing.capture(now, number, channel);
                }
            }
            Step::Resume(number) => {
                if let Some((_, channel)) = channels.iter().find(|(other, _)| *other == number) {
                    channel.resume();
                }
            }
            Step::Abort { checkpoint, .. } => checkpointing.forget(checkpoint),
        }
    }
    any
}

fn report(name: &str, outcome: &Outcome, result: thread::Result<Result<(), TaskError>>) {
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => outcome.failed(error.at(name)),
        Err(panic) => {
            let what = panic_message(&*panic);
            outcome.failed(TaskError::new(format!("{name}: panicked: {what}")));
        }
    }
}

/// Rows of a page, by its header.
fn rows(page: &Buffer) -> usize {
    millstream_data::page::ValidPage::trusted(page).map_or(0, |page| page.rows())
}
