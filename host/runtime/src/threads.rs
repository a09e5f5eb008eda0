//! Sources and sinks of plugins, on threads of their own.

mod aligned;
mod pace;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

pub(crate) use aligned::{Groups, Member};
use millstream_checkpoint::Permit;
use millstream_dataflow::{TaskError, graph::execution::Subtask};
use millstream_executor::blocking::{BlockingSink, BlockingSource, Read};
use millstream_loader::{OpenSink, Reader, ReaderPage, Writer};
use millstream_memory::{Buffer, JumboBudget, Segment, segment::JumboError};
pub(crate) use pace::Pace;
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
    /// The next split for a subtask of a source that nobody has taken; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn next(&self, subtask: Subtask) -> Result<Option<Split>, TaskError>;

    /// Whether there is none left for this subtask.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn is_exhausted(&self, subtask: Subtask) -> Result<bool, TaskError>;

    /// A subtask begins anew as it was when it had taken these splits. Those that it took since come to it
    /// again, and to nobody else: what others have made of event time may be further.
    ///
    /// # Errors
    /// If that cannot be said.
    fn begin_anew(&self, subtask: Subtask, taken: &[u32]) -> Result<(), TaskError>;
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
    /// By subtask, the numbers of those that it has taken.
    taken: BTreeMap<u32, BTreeSet<u32>>,
    /// By subtask, those that it had taken before it began anew, and has not taken again.
    again: BTreeMap<u32, VecDeque<Split>>,
}

impl Splits {
    /// Adds the splits of a source.
    pub(crate) fn add(&self, node: u32, splits: Vec<Vec<u8>>) {
        let numbered = splits.iter().cloned().zip(0..);
        let left = numbered.map(|(bytes, number)| Split { number, bytes }).collect();
        let splits = SourceSplits { left, all: splits, ..SourceSplits::default() };
        self.lock().insert(node, splits);
    }

    /// Whether those of a source were added.
    pub(crate) fn knows(&self, node: u32) -> bool {
        self.lock().contains_key(&node)
    }

    /// The next split for a subtask.
    pub(crate) fn take(&self, subtask: Subtask) -> Option<Split> {
        let mut all = self.lock();
        let SourceSplits { left, taken, again, .. } = all.get_mut(&subtask.node)?;
        let own = again.get_mut(&subtask.index).and_then(VecDeque::pop_front);
        let split = own.or_else(|| left.pop_front())?;
        taken.entry(subtask.index).or_default().insert(split.number);
        Some(split)
    }

    /// All splits of all sources, as the run began.
    pub(crate) fn all(&self) -> BTreeMap<u32, Vec<Vec<u8>>> {
        self.lock().iter().map(|(node, splits)| (*node, splits.all.clone())).collect()
    }

    /// Whether a source has none left for a subtask.
    pub(crate) fn is_empty(&self, subtask: Subtask) -> bool {
        self.lock().get(&subtask.node).is_none_or(|SourceSplits { left, again, .. }| {
            left.is_empty() && again.get(&subtask.index).is_none_or(VecDeque::is_empty)
        })
    }

    /// What a subtask has taken since it had taken those of `taken` comes to it again, in order.
    pub(crate) fn give_again(&self, subtask: Subtask, taken: &[u32]) {
        let mut all = self.lock();
        let Some(splits) = all.get_mut(&subtask.node) else { return };
        let kept: BTreeSet<u32> = taken.iter().copied().collect();
        let before = splits.taken.insert(subtask.index, kept).unwrap_or_default();
        let since = before.into_iter().filter(|number| !taken.contains(number));
        let again = splits.again.entry(subtask.index).or_default();
        again.extend(since.filter_map(|number| {
            let bytes = splits.all.get(number as usize)?.clone();
            Some(Split { number, bytes })
        }));
        again.make_contiguous().sort_by_key(|split| split.number);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, SourceSplits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SplitService for Splits {
    fn next(&self, subtask: Subtask) -> Result<Option<Split>, TaskError> {
        Ok(self.take(subtask))
    }

    fn is_exhausted(&self, subtask: Subtask) -> Result<bool, TaskError> {
        Ok(self.is_empty(subtask))
    }

    fn begin_anew(&self, subtask: Subtask, taken: &[u32]) -> Result<(), TaskError> {
        self.give_again(subtask, taken);
        Ok(())
    }
}

/// How long a source waits before it asks again whether splits are left. As long as there are, event
/// time stands still.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A source of a plugin, for one subtask.
pub(crate) struct PluginSource {
    reader: Reader,
    /// For whom splits are asked for.
    subtask: Subtask,
    splits: Arc<dyn SplitService>,
    /// What is left of a split that was being read at the checkpoint that this one goes on from.
    resumed: Option<Split>,
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
    /// How fast it reads, if that is limited.
    pub(crate) pace: Option<Pace>,
    /// The sources that it waits for, if any.
    pub(crate) aligned: Option<Member>,
}

impl PluginSource {
    /// Reads rows of at most `record_bytes_max` bytes.
    pub(crate) fn new(
        reader: Reader,
        subtask: Subtask,
        splits: Arc<dyn SplitService>,
        record_bytes_max: u32,
    ) -> Self {
        let record_bytes_max = u64::from(record_bytes_max);
        let budget = JumboBudget::new(record_bytes_max, record_bytes_max);
        Self {
            reader,
            subtask,
            splits,
            resumed: None,
            reading: None,
            taken: Vec::new(),
            exhausted: false,
            ask_at: Instant::now(),
            jumbo: None,
            record_bytes_max,
            budget,
            pace: None,
            aligned: None,
        }
    }

    /// Goes on from where its subtask was at a checkpoint of the same run, and takes again what it has
    /// taken since.
    ///
    /// # Errors
    /// If that cannot be asked for.
    pub(crate) fn resume(self, position: Position) -> Result<Self, TaskError> {
        let Position { taken, current } = position;
        self.splits.begin_anew(self.subtask, &taken)?;
        Ok(Self { taken, resumed: current, ..self })
    }

    /// The split to read next: what is left of one that was begun, or a new one.
    fn next_split(&mut self) -> Result<Option<Split>, TaskError> {
        if let Some(resumed) = self.resumed.take() {
            return Ok(Some(resumed));
        }
        let next = self.splits.next(self.subtask)?;
        self.taken.extend(next.iter().map(|split| split.number));
        Ok(next)
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
                let Some(split) = self.next_split()? else {
                    self.aligned = None;
                    return Ok(Read::End);
                };
                self.reader.begin(&split.bytes)?;
                self.reading = Some(split.number);
                return Ok(Read::SplitBegins);
            }
            if !self.exhausted && self.ask_at <= Instant::now() {
                self.exhausted = self.splits.is_exhausted(self.subtask)?;
                self.ask_at = Instant::now() + ASK_AGAIN;
                if self.exhausted {
                    return Ok(Read::LastSplit);
                }
            }
            if let Some(left) = self.aligned.as_ref().and_then(Member::waits) {
                // Orders wake the thread, as does the end of the job.
                thread::park_timeout(left);
                return Ok(Read::Nothing);
            }
            let whole = segment.len();
            let bytes = match &mut self.pace {
                Some(pace) if !pace.is_due() => return Ok(Read::Nothing),
                Some(pace) => pace.bytes(whole),
                None => whole,
            };
            match self.reader.fill(segment.get_mut(..bytes).unwrap_or_default())? {
                ReaderPage::Page { length, rows } => {
                    self.jumbo = None;
                    self.pace.iter_mut().for_each(|pace| pace.made(rows));
                    return Ok(Read::Page { segment, length, rows });
                }
                ReaderPage::Nothing => return Ok(Read::Nothing),
                ReaderPage::SplitDone => self.reading = None,
                ReaderPage::TooSmall { needed } if needed <= whole => {
                    self.pace.iter_mut().for_each(|pace| pace.needs(needed));
                }
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
            None => self.resumed.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_since_a_checkpoint_comes_again_to_who_took_it_alone() {
        let splits = Splits::default();
        splits.add(3, (0..6).map(|number| vec![number]).collect());
        let subtask = |index| Subtask { node: 3, index };
        let take = |index| splits.take(subtask(index)).map(|split| (split.number, split.bytes));
        let split = |number: u8| Some((u32::from(number), vec![number]));
        assert_eq!([take(0), take(1), take(0), take(0), take(1)], [0, 1, 2, 3, 4].map(split));
        // It was at its first split at the checkpoint.
        splits.give_again(subtask(0), &[0]);
        assert!(!splits.is_empty(subtask(0)) && !splits.is_empty(subtask(1)));
        assert_eq!([take(1), take(1)], [split(5), None]);
        assert!(splits.is_empty(subtask(1)), "the others are not for this one");
        assert_eq!(take(0), split(2));
        // It fails once more before it has read all of them.
        splits.give_again(subtask(0), &[0]);
        assert_eq!([take(0), take(0), take(0)], [split(2), split(3), None]);
        // From the beginning.
        splits.give_again(subtask(0), &[]);
        assert_eq!([take(0), take(0), take(0), take(0)], [split(0), split(2), split(3), None]);
        assert!(splits.is_empty(subtask(0)));
    }
}
