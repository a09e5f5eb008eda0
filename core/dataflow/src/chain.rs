//! The border between a chain of operators and whoever runs it.
//!
//! A chain is compiled as one loop over the rows of a page. It may live in this program or in a
//! compiled job that was loaded; either way its runner calls it once a page, and it calls back once
//! a page: to lease a segment and to submit a page that is full. No call crosses per record.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, task::Waker};

use millstream_data::page::ValidPage;
use millstream_exchange::event::{Event, Purpose};
pub use millstream_lsm::compression::{Codec, Levels};
use millstream_memory::Segment;
use millstream_storage::{BlockingStorage, FileId};

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

    /// Something happened in the stream beside its rows. `false` if the context is blocked before the
    /// chain has answered it; call again with the same signal once output is possible.
    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool;

    /// Submits the pages that have rows, as far as [`ChainIo::wants_flush`] agrees.
    fn flush(&mut self, force: bool, context: &mut Context<'_>);

    /// Freezes the chain's state as it is. It is then read with [`next_chunk`](Self::next_chunk) while
    /// the chain goes on; a chain without state has none. A checkpoint may refer to files that are
    /// [kept](FilesUse::Kept); a savepoint has all of the state in itself.
    ///
    /// # Errors
    /// If there is no memory for it, or a snapshot is open already.
    fn begin_snapshot(&mut self, purpose: Purpose) -> Result<(), TaskError> {
        let _ = purpose;
        Ok(())
    }

    /// Appends a part of the frozen state to `out`; `false` if that was all of it.
    ///
    /// # Errors
    /// If it cannot be read; the snapshot is worth nothing then.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        let _ = out;
        Ok(false)
    }

    /// The snapshot is not wanted any more.
    fn abort_snapshot(&mut self) {}

    /// Puts state back, before the first row: what the chain's node has written in a snapshot, or a part
    /// of it, in chunks that are whole. What belongs to other subtasks is skipped.
    ///
    /// # Errors
    /// If the bytes are damaged or another chain's, or there is no memory for them.
    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        match chunks {
            [] => Ok(()),
            _ => Err(TaskError::new("state was restored to a chain that has none")),
        }
    }

    /// Whether the chain waits for something of its own, a file for instance, and must not be called
    /// before; `waker` is then woken when that may be there.
    fn waits(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        false
    }
}

/// What happens in a stream beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Event time has come so far, in milliseconds: rows at or before it that still follow are late.
    Watermark(i64),
    /// The next row is behind the last watermark, which it must not overtake. Within a chain only:
    /// between rows that are not late, nobody can tell where exactly a watermark was.
    Late,
    /// No rows will come for a while, and nobody should wait for them.
    Idle,
    /// Rows come again.
    Active,
    /// The source begins another split; times begin anew.
    SplitBegins,
    /// A snapshot is about to be taken: what was kept back, since there was no room for it, comes first. It
    /// is of rows that were processed already.
    Barrier,
    /// The split that the source reads is the last one that it or any other subtask will begin.
    LastSplit,
    /// Processing time has come so far, in milliseconds since the epoch. Said once before anything
    /// else, and then when the chain asked for it ([`Context::wake_at`]); without a reason it does
    /// no harm.
    Time(i64),
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

    /// The processing time when the call began: milliseconds since the epoch. Within a process it
    /// never goes back.
    fn time(&self) -> i64;

    /// Has the chain told the time ([`Signal::Time`]) once this processing time has come. Of the
    /// times asked for the earliest counts; once the chain was told, it has to ask anew.
    fn wake_at(&mut self, time: i64);

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

    /// Sends an event behind what was submitted to a subpartition so far; with [`ALL`] to every one. What is sent
    /// to [`NOBODY`] is for the runner itself.
    fn event(&mut self, output: u16, subpartition: u32, event: Event);

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

/// Stands for no output: an event to it is read by the runner only.
pub const NOBODY: u16 = u16::MAX;

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

    /// The processing time when the call began: milliseconds since the epoch. Within a process it
    /// never goes back.
    pub fn time(&self) -> i64 {
        self.io.time()
    }

    /// See [`ChainIo::wake_at`].
    pub fn wake_at(&mut self, time: i64) {
        self.io.wake_at(time);
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

    /// Whether the task has failed.
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// The failure, taken.
    pub fn take_error(&mut self) -> Option<TaskError> {
        self.error.take()
    }

    /// Whether a page was opened during the call, and so rows may wait in it, or an event waits.
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

    /// Something waits to be sent with the next [flush](Chain::flush).
    pub fn wants_flush_soon(&mut self) {
        self.open_rows = true;
    }

    /// Sends an event behind what was submitted to a subpartition so far.
    pub fn event(&mut self, output: u16, subpartition: u32, event: Event) {
        self.io.event(output, subpartition, event);
    }

    /// Tells the runner how far event time has come, before anybody downstream can know.
    pub fn tell_time(&mut self, event: Event) {
        self.io.event(NOBODY, ALL, event);
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

/// Managed memory that a chain keeps its state in. May be asked from any thread; never blocks.
pub trait StateMemory: Send + Sync + 'static {
    /// Bytes in each segment.
    fn segment_size(&self) -> usize;

    /// One more segment; `None` if the budget is used up. It goes back by being dropped, at the latest
    /// when the chain is.
    fn lease(&self) -> Option<Segment>;

    /// Reserves bytes out of the same budget for what is not in segments; `false` if it is used up.
    fn reserve(&self, bytes: u64) -> bool;

    /// Ends a reservation of so many bytes.
    fn release(&self, bytes: u64);

    /// Files for state that is larger than memory, or was; `None` if all of it is to stay in memory. Asked
    /// once, when the chain is opened.
    fn files(&self) -> Option<StateFiles> {
        None
    }
}

/// Files that a chain keeps its state in, and how much memory that may take.
pub struct StateFiles {
    /// The files, which nobody else sees.
    pub storage: Box<dyn BlockingStorage + Send>,
    /// Bytes of managed memory for write buffers, caches and indexes.
    pub budget: u64,
    /// What they are for.
    pub purpose: FilesUse,
    /// How new ones are compressed.
    pub compression: Levels,
}

/// What the files of a chain's state are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesUse {
    /// State is kept in them, and they are gone with the chain: snapshots are in the canonical format.
    Scratch,
    /// State is kept in them, and checkpoints refer to them. A file that a checkpoint has named is there
    /// until the next one has, or longer.
    Kept {
        /// The number of the first file that the chain makes: neither this one nor those behind it were
        /// ever used by what a checkpoint has that it may begin from.
        first: FileId,
    },
    /// State stays in memory: files that a checkpoint has named are read to put it back.
    Restore,
}

impl fmt::Debug for StateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFiles").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// What a chain must know when it is made for a subtask.
#[derive(Clone)]
pub struct OpenInfo {
    /// The subtask, from 0.
    pub subtask: u32,
    /// How many subtasks there are.
    pub parallelism: u32,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// Memory for its state; `None` if the graph says that it has none.
    pub state: Option<Arc<dyn StateMemory>>,
    /// Bytes of a segment.
    pub segment_size: u32,
    /// The chain's outputs, in the order of the node's edges.
    pub outputs: Vec<OutputInfo>,
}

impl fmt::Debug for OpenInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subtask, parallelism, .. } = self;
        write!(f, "OpenInfo(subtask {subtask} of {parallelism})")
    }
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
