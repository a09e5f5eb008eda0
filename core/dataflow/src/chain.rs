//! The border between a chain of operators and whoever runs it.
//!
//! A chain is compiled as one loop over the rows of a page. It may live in this program or in a
//! compiled job that was loaded; either way its runner calls it once a page, and it calls back once
//! a page: to lease a segment and to submit a page that is full. No call crosses per record.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, task::Waker};

use millstream_data::page::ValidPage;
use millstream_memory::Segment;

/// A chain of operators, ready to run as one subtask.
pub trait Chain: Send {
    /// Processes the rows of `page` from `start` on and gives the row to go on with: the number of
    /// rows if the page is done, less if the context is [blocked](Context::is_blocked), in which
    /// case the runner calls again with that row once output is possible.
    fn process(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize;

    /// For a chain that begins with a source of its own: makes up to `rows` rows. It must not block.
    fn produce(&mut self, rows: usize, context: &mut Context<'_>) -> Produced {
        let _ = (rows, context);
        Produced::Finished
    }

    /// All input has ended: emits what is left. `false` if the context is blocked before it is done;
    /// call again once output is possible.
    fn finish(&mut self, context: &mut Context<'_>) -> bool;

    /// Submits the pages that have rows, as far as [`ChainIo::wants_flush`] agrees.
    fn flush(&mut self, force: bool, context: &mut Context<'_>);

    /// Whether the chain waits for something of its own, a file for instance, and must not be called
    /// before; `waker` is then woken when that may be there.
    fn waits(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        false
    }
}

/// What [`Chain::produce`] has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Produced {
    /// There is more, now.
    More,
    /// There is nothing before this time of the runner's clock ([`Context::now`]).
    Until(u64),
    /// There will be nothing more.
    Finished,
}

/// What a chain may ask of its runner.
pub trait ChainIo {
    /// The time when the call began: microseconds of a clock that never goes back.
    fn now(&self) -> u64;

    /// A segment for the next page of a subpartition. The runner may lend a little more than the
    /// budget, so that the row at hand always finds room; [`ChainIo::ready`] then says no.
    ///
    /// # Errors
    /// If even that is used up.
    fn lease(&mut self, output: u16, subpartition: u32) -> Result<Lease, TaskError>;

    /// Memory of its own for one row that does not fit a segment, of at least `bytes`.
    ///
    /// # Errors
    /// If the row is larger than any may be, or the memory for such rows is used up.
    fn lease_jumbo(&mut self, output: u16, bytes: usize) -> Result<Segment, TaskError>;

    /// Hands over a page: the first `length` bytes of `segment`. [`ALL`] as the subpartition hands
    /// it to every one.
    fn submit(&mut self, output: u16, subpartition: u32, segment: Segment, page: PageInfo);

    /// Whether the chain may go on: every output has a segment to lend and room in its queues.
    fn ready(&mut self) -> bool;

    /// Whether a page that is not full should be submitted now: not while the consumer still has
    /// full pages to read, for then the page can as well fill up.
    fn wants_flush(&mut self, output: u16, subpartition: u32) -> bool;
}

/// A segment for a page.
#[derive(Debug)]
pub struct Lease {
    /// The segment.
    pub segment: Segment,
    /// How many bytes of rows the page should have at most; a page has at least one row, however
    /// large. Under backpressure less is then in flight, see
    /// [debloating](millstream_exchange::debloat).
    pub page_bytes: u32,
}

/// Stands for every subpartition of an output.
pub const ALL: u32 = u32::MAX;

/// What the runner should know of a page beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Bytes of the page.
    pub length: u32,
    /// Rows in the page.
    pub rows: u32,
}

/// What an operator is given beside the row.
pub struct Context<'a> {
    io: &'a mut dyn ChainIo,
    blocked: bool,
    open_rows: bool,
    error: Option<TaskError>,
}

impl<'a> Context<'a> {
    /// A context for one call of a chain.
    pub fn new(io: &'a mut dyn ChainIo) -> Self {
        Self { io, blocked: false, open_rows: false, error: None }
    }

    /// The time when the call began: microseconds of a clock that never goes back.
    pub fn now(&self) -> u64 {
        self.io.now()
    }

    /// Whether the chain must not take another row for now.
    #[inline(always)]
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The row is lost and the task with it: the first failure counts.
    #[cold]
    pub fn fail(&mut self, error: TaskError) {
        self.error.get_or_insert(error);
        self.blocked = true;
    }

    /// The failure, taken.
    pub fn take_error(&mut self) -> Option<TaskError> {
        self.error.take()
    }

    /// Whether a page was opened during the call, and so rows may wait in it.
    pub fn has_open_rows(&self) -> bool {
        self.open_rows
    }

    /// A segment for the next page of a subpartition; `None` if that failed the task.
    pub fn lease(&mut self, output: u16, subpartition: u32) -> Option<Lease> {
        self.open_rows = true;
        match self.io.lease(output, subpartition) {
            Ok(lease) => Some(lease),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Memory for a row that does not fit a segment; `None` if that failed the task.
    pub fn lease_jumbo(&mut self, output: u16, bytes: usize) -> Option<Segment> {
        match self.io.lease_jumbo(output, bytes) {
            Ok(segment) => Some(segment),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Hands over a page, and looks whether the chain may go on.
    pub fn submit(&mut self, output: u16, subpartition: u32, segment: Segment, page: PageInfo) {
        self.io.submit(output, subpartition, segment, page);
        self.blocked |= !self.io.ready();
    }

    /// See [`ChainIo::wants_flush`].
    pub fn wants_flush(&mut self, output: u16, subpartition: u32) -> bool {
        self.io.wants_flush(output, subpartition)
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("blocked", &self.blocked).finish_non_exhaustive()
    }
}

/// What a chain must know when it is made for a subtask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInfo {
    /// The subtask, from 0.
    pub subtask: u32,
    /// How many subtasks there are.
    pub parallelism: u32,
    /// Bytes of a segment.
    pub segment_size: u32,
    /// The chain's outputs, in the order of the node's edges.
    pub outputs: Vec<OutputInfo>,
}

/// One output of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputInfo {
    /// Into how many subpartitions rows are divided.
    pub subpartitions: u32,
    /// Number of key groups of the consumer, for rows that are divided by key.
    pub max_parallelism: u32,
    /// Whether pages leave this process, so that closing the gap inside them pays.
    pub compact: bool,
}

/// Why a task failed: one sentence for people, with the place and, where there is one, the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskError {
    message: String,
}

impl TaskError {
    /// An error that says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The same error, with the place in front.
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message) }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for TaskError {}
