//! Sources and sinks of plugins, on threads of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use millstream_checkpoint::Permit;
use millstream_dataflow::TaskError;
use millstream_executor::blocking::{BlockingSink, BlockingSource, Read};
use millstream_loader::{OpenSink, Reader, ReaderPage, Writer};
use millstream_memory::{Buffer, JumboBudget, Segment, segment::JumboError};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Position, encode_splits};

/// A split of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Split {
    /// Its number among all that there were when the run began.
    pub(crate) number: u32,
    /// What its source knows it by.
    pub(crate) bytes: Vec<u8>,
}

/// Hands out the splits of sources, each once: whoever is free takes the next.
pub(crate) trait SplitService: Send + Sync {
    /// The next split of a source that nobody has taken; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn next(&self, node: u32) -> Result<Option<Split>, TaskError>;

    /// Whether there is none left.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn is_exhausted(&self, node: u32) -> Result<bool, TaskError>;
}

/// The splits of the sources of a job, in the process that enumerated them.
#[derive(Debug, Default)]
pub(crate) struct Splits(Mutex<BTreeMap<u32, SourceSplits>>);

/// The splits of one source.
#[derive(Debug, Default)]
struct SourceSplits {
    /// Those that nobody has taken.
    left: VecDeque<Split>,
    /// All that there were when the run began.
    all: Vec<Vec<u8>>,
}

impl Splits {
    /// Adds the splits of a source.
    pub(crate) fn add(&self, node: u32, splits: Vec<Vec<u8>>) {
        let numbered = splits.iter().cloned().zip(0..);
        let left = numbered.map(|(bytes, number)| Split { number, bytes }).collect();
        let splits = SourceSplits { left, all: splits };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, splits);
    }

    /// The next split of a source.
    pub(crate) fn take(&self, node: u32) -> Option<Split> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(&node)?.left.pop_front()
    }

    /// All splits of all sources, as the run began.
    pub(crate) fn all(&self) -> BTreeMap<u32, Vec<Vec<u8>>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(node, splits)| (*node, splits.all.clone())).collect()
    }

    /// Whether a source has none left.
    pub(crate) fn is_empty(&self, node: u32) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&node).is_none_or(|splits| splits.left.is_empty())
    }
}

impl SplitService for Splits {
    fn next(&self, node: u32) -> Result<Option<Split>, TaskError> {
        Ok(self.take(node))
    }

    fn is_exhausted(&self, node: u32) -> Result<bool, TaskError> {
        Ok(self.is_empty(node))
    }
}

/// How long a source waits before it asks again whether splits are left. As long as there are, event
/// time stands still.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A source of a plugin, for one subtask.
pub(crate) struct PluginSource {
    reader: Reader,
    /// The source's node, by which its splits are asked for.
    node: u32,
    splits: Arc<dyn SplitService>,
    /// The split that is being read.
    reading: Option<u32>,
    /// The splits that were begun.
    taken: Vec<u32>,
    /// It is known that there is no split left.
    exhausted: bool,
    /// When to ask again whether there is.
    ask_at: Instant,
    /// Bytes that the next row needs, which fits no segment.
    jumbo: Option<usize>,
    /// The most that it may need.
    record_bytes_max: u64,
    /// For such rows: one page of them after the other.
    budget: JumboBudget,
}

impl PluginSource {
    /// Reads rows of at most `record_bytes_max` bytes.
    pub(crate) fn new(
        reader: Reader,
        node: u32,
        splits: Arc<dyn SplitService>,
        record_bytes_max: u32,
    ) -> Self {
        let record_bytes_max = u64::from(record_bytes_max);
        let budget = JumboBudget::new(record_bytes_max, record_bytes_max);
        Self {
            reader,
            node,
            splits,
            reading: None,
            taken: Vec::new(),
            exhausted: false,
            ask_at: Instant::now(),
            jumbo: None,
            record_bytes_max,
            budget,
        }
    }

    /// Memory for a row that fits no segment. `None` if the one before still holds it; this thread
    /// has then slept until that changed, or the job ended.
    fn jumbo_segment(&self, bytes: usize) -> Result<Option<Segment>, TaskError> {
        let bytes = bytes as u64;
        let refused = |error: JumboError| TaskError::new(error.to_string());
        if bytes > self.record_bytes_max {
            return Err(TaskError::new(format!(
                "a row of a source needs more than {} bytes, the most that a record may have: raise \
                 `exchange.max-record-size`, or shorten its longest column",
                self.record_bytes_max
            )));
        }
        let lease = match self.budget.reserve(bytes) {
            Ok(lease) => lease,
            Err(JumboError::BudgetUsed { .. }) => {
                self.budget.register(&this_thread());
                match self.budget.reserve(bytes) {
                    Ok(lease) => lease,
                    Err(_) => {
                        thread::park();
                        return Ok(None);
                    }
                }
            }
            Err(error) => return Err(refused(error)),
        };
        Segment::jumbo(lease, bytes as usize).map(Some).map_err(refused)
    }
}

impl BlockingSource for PluginSource {
    fn read(&mut self, segment: Segment) -> Result<Read, TaskError> {
        let mut segment = segment;
        loop {
            if let Some(bytes) = self.jumbo {
                match self.jumbo_segment(bytes)? {
                    Some(jumbo) => segment = jumbo,
                    None => return Ok(Read::Nothing),
                }
            }
            if self.reading.is_none() {
                let Some(split) = self.splits.next(self.node)? else { return Ok(Read::End) };
                self.reader.begin(&split.bytes)?;
                self.reading = Some(split.number);
                self.taken.push(split.number);
                return Ok(Read::SplitBegins);
            }
            if !self.exhausted && self.ask_at <= Instant::now() {
                self.exhausted = self.splits.is_exhausted(self.node)?;
                self.ask_at = Instant::now() + ASK_AGAIN;
                if self.exhausted {
                    return Ok(Read::LastSplit);
                }
            }
            match self.reader.fill(&mut segment)? {
                ReaderPage::Page { length, rows } => {
                    self.jumbo = None;
                    return Ok(Read::Page { segment, length, rows });
                }
                ReaderPage::Nothing => return Ok(Read::Nothing),
                ReaderPage::SplitDone => self.reading = None,
                // The segment goes back first: a jumbo counts against the budget of the next.
                ReaderPage::TooSmall { needed } => {
                    self.jumbo = Some(needed);
                    return Ok(Read::Nothing);
                }
            }
        }
    }

    fn position(&mut self) -> Result<Option<Vec<u8>>, TaskError> {
        // A row that was too large for its segment is kept by the reader, and not behind it.
        if self.jumbo.is_some() {
            return Ok(None);
        }
        let current = match self.reading {
            Some(number) => Some(Split { number, bytes: self.reader.rest()? }),
            None => None,
        };
        Ok(Some(position(&self.taken, current)))
    }
}

/// Where a source is, as a checkpoint has it.
fn position(taken: &[u32], current: Option<Split>) -> Vec<u8> {
    let position = Position { taken: taken.to_vec(), current };
    serde_json::to_vec(&position).unwrap_or_default()
}

/// Wakes a thread that waits for memory.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// A sink of a plugin, for one subtask.
pub(crate) struct PluginSink {
    writer: Writer,
    sink: OpenSink,
    prepared: Arc<Prepared>,
}

/// Transactions of a sink's subtask that are not shown yet, by checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Prepared(Mutex<VecDeque<(u64, Vec<u8>)>>);

impl Prepared {
    /// Shows what belongs to checkpoints up to this one, in order.
    pub(crate) fn show(&self, sink: &OpenSink, until: u64) -> Result<(), TaskError> {
        let mut prepared = self.lock();
        while let Some((checkpoint, transaction)) = prepared.front()
            && *checkpoint <= until
        {
            sink.show(transaction)?;
            prepared.pop_front();
        }
        Ok(())
    }

    /// As a checkpoint keeps them.
    fn encode(&self) -> Vec<u8> {
        let transactions: Vec<_> = self.lock().iter().map(|(_, bytes)| bytes.clone()).collect();
        encode_splits(&transactions)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Vec<u8>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PluginSink {
    /// Writes to `sink` with `writer`, which is one of its own.
    pub(crate) fn new(sink: OpenSink, writer: Writer) -> (Self, Arc<Prepared>) {
        let prepared = Arc::new(Prepared::default());
        (Self { writer, sink, prepared: Arc::clone(&prepared) }, prepared)
    }
}

impl BlockingSink for PluginSink {
    fn write(&mut self, page: &Buffer) -> Result<(), TaskError> {
        Ok(self.writer.write(page)?)
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(self.writer.finish()?)
    }

    fn snapshot(&mut self, checkpoint: u64) -> Result<Vec<u8>, TaskError> {
        let transaction = self.writer.prepare()?;
        if !transaction.is_empty() {
            self.prepared.lock().push_back((checkpoint, transaction));
        }
        Ok(self.prepared.encode())
    }

    fn complete(&mut self, permit: Permit) -> Result<(), TaskError> {
        self.prepared.show(&self.sink, permit.checkpoint())
    }
}
