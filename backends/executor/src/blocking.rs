//! Threads for code that blocks.
//!
//! A source that blocks fills segments on its own thread and hands pages over through a channel; a
//! sink that blocks takes pages from channels on its own. Both are bounded: by the channel, and by
//! the pool that segments come from.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Wake, Waker},
    thread::{self, JoinHandle, Thread},
};

use millstream_dataflow::{
    TaskError,
    channel::{Element, Receiver, Sender},
    task::TaskMetrics,
};
use millstream_exchange::event::Event;
use millstream_memory::{Buffer, LocalPool, Segment};

use crate::{Outcome, park::Unparker, worker::panic_message};

/// A source whose calls may block.
pub trait BlockingSource: Send {
    /// Fills a segment with the next page, or says that there is none.
    ///
    /// # Errors
    /// Why the source failed: it is not called again.
    fn read(&mut self, segment: Segment) -> Result<Read, TaskError>;
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
}

/// Wakes a thread that waits for a channel or a pool.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// The waker of this thread.
fn this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
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
) -> JoinHandle<()> {
    let thread_name = name.clone();
    outcome.begin_thread();
    let body = move || {
        outcome.wake_at_end(Unparker::Thread(Arc::new(thread::current().into())));
        let waker = this_thread();
        let mut channel = channel;
        let run = || run_source(source, &pool, &mut channel, &metrics, &outcome, &waker);
        report(&name, &outcome, catch_unwind(AssertUnwindSafe(run)));
        // Only now: who reads the channel must not be the first to report its end.
        drop(channel);
        outcome.end_thread();
    };
    thread::Builder::new().name(thread_name).spawn(body).expect("the system gives a thread")
}

fn run_source(
    mut source: Box<dyn BlockingSource>,
    pool: &LocalPool,
    channel: &mut Sender,
    metrics: &TaskMetrics,
    outcome: &Outcome,
    waker: &Waker,
) -> Result<(), TaskError> {
    loop {
        let segment = loop {
            if outcome.is_over() {
                return Ok(());
            }
            match pool.request() {
                Some(segment) => break segment,
                None => {
                    pool.register(waker);
                    thread::park();
                }
            }
        };
        let element = match source.read(segment)? {
            Read::Page { segment, length, rows } => {
                metrics.emitted(rows, length);
                Element::Page(segment.freeze(length))
            }
            Read::SplitBegins => Element::SplitBegins,
            Read::LastSplit => Element::LastSplit,
            Read::Nothing => continue,
            Read::End => Element::Event(Event::EndOfPartition),
        };
        let ends = matches!(element, Element::Event(_));
        if !push(channel, element, outcome, waker) || ends {
            return Ok(());
        }
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

/// Starts a thread that writes what arrives on `channels` to `sink`. The channels ring `doorbell`.
///
/// # Panics
/// If the system gives no thread.
pub fn spawn_sink(
    name: String,
    sink: Box<dyn BlockingSink>,
    channels: Vec<Receiver>,
    doorbell: &Doorbell,
    metrics: Arc<TaskMetrics>,
    outcome: Arc<Outcome>,
) -> JoinHandle<()> {
    let thread_name = name.clone();
    outcome.begin_thread();
    let body = move || {
        outcome.wake_at_end(Unparker::Thread(Arc::new(thread::current().into())));
        let run = || run_sink(sink, channels, &metrics, &outcome);
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
    mut channels: Vec<Receiver>,
    metrics: &TaskMetrics,
    outcome: &Outcome,
) -> Result<(), TaskError> {
    while !channels.is_empty() {
        if outcome.is_over() {
            return Ok(());
        }
        let mut any = false;
        let mut index = 0;
        while index < channels.len() {
            match channels[index].pop() {
                Some(Element::Page(page)) => {
                    sink.write(&page)?;
                    metrics.consumed(rows(&page), page.len());
                    channels[index].give_back(page);
                    any = true;
                }
                Some(Element::Event(Event::EndOfPartition)) => {
                    channels.swap_remove(index);
                    any = true;
                    continue;
                }
                // Sinks have no use for time.
                Some(_) => any = true,
                None if channels[index].is_abandoned() && channels[index].is_empty() => {
                    return Err(TaskError::new("a task upstream ended before its partition did"));
                }
                None => {}
            }
            index += 1;
        }
        if !any {
            thread::park();
        }
    }
    sink.finish()
}

/// Wakes a thread that does not exist yet: the wakers of its channels are made first.
#[derive(Clone, Debug, Default)]
pub struct Doorbell(Arc<std::sync::OnceLock<Thread>>);

impl Doorbell {
    /// What rings it.
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::new(Ring(self.clone())))
    }

    /// The thread that is woken from now on.
    pub fn connect(&self, thread: Thread) {
        // Whoever rang before the bell was connected was not heard, so it rings once now.
        let _ = self.0.set(thread.clone());
        thread.unpark();
    }
}

struct Ring(Doorbell);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(thread) = self.0.0.get() {
            thread.unpark();
        }
    }
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
