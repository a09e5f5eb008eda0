//! Writing the state of a process's tasks to files.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    task::Waker,
    thread::{self, JoinHandle},
};

use millstream_checkpoint::{
    TaskId,
    storage::{CheckpointStorage, StateFile, StorageError},
};
use millstream_dataflow::task::{Checkpoints, Order};

use super::{
    Part, Report, Store,
    orders::Orders,
    store::{self, Storage},
    work::{Named, Work},
};

/// State that is on its way from a task to its file, at most, in bytes.
const ON_ITS_WAY_MAX: usize = 1 << 20;
/// State of at most so many bytes becomes a part of the manifest.
const INLINE_MAX: usize = 4 << 10;

/// What the keeper is told.
pub(crate) enum Message {
    /// A part of a task's state.
    Write { task: TaskId, checkpoint: u64, chunk: Vec<u8>, load: Arc<Load>, work: Arc<Work> },
    /// Data that are in flight towards a task.
    InFlight { task: TaskId, checkpoint: u64, data: Vec<u8> },
    /// That was all of it.
    Finish { task: TaskId, checkpoint: u64 },
    /// There is no state.
    Decline { task: TaskId, checkpoint: u64, reason: String },
    /// A source has made its last row.
    EndOfData { task: TaskId },
    /// Tasks of a region failed, and have ended.
    Fell { region: u32, tasks: Vec<u32> },
    /// Tasks that failed run again.
    Runs { tasks: Vec<u32> },
    /// The run is over.
    Stop,
}

/// How much state of a task is on its way.
#[derive(Debug, Default)]
pub(crate) struct Load {
    bytes: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Load {
    fn has_room(&self, waker: &Waker) -> bool {
        if self.bytes.load(Ordering::Acquire) < ON_ITS_WAY_MAX {
            return true;
        }
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        // The keeper may have been faster.
        self.bytes.load(Ordering::Acquire) < ON_ITS_WAY_MAX
    }

    fn done(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// A task's end: its state goes to the keeper.
pub(crate) struct Written {
    task: TaskId,
    keeper: Sender<Message>,
    orders: Arc<Orders>,
    load: Arc<Load>,
    registered: bool,
    overtakes_after: Option<u32>,
    work: Arc<Work>,
}

impl Written {
    pub(super) fn new(
        task: TaskId,
        keeper: Sender<Message>,
        orders: Arc<Orders>,
        overtakes_after: Option<u32>,
        work: Arc<Work>,
    ) -> Self {
        let load = Arc::default();
        Self { task, keeper, orders, load, registered: false, overtakes_after, work }
    }

    /// Tells the keeper; one that has gone does not matter, since the run is over then.
    fn tell(&self, message: Message) {
        let _ = self.keeper.send(message);
    }
}

impl Checkpoints for Written {
    fn next_order(&mut self, waker: &Waker) -> Option<Order> {
        if !self.registered {
            self.registered = true;
            self.orders.register(waker);
        }
        self.orders.pop()
    }

    fn has_room(&mut self, waker: &Waker) -> bool {
        self.load.has_room(waker)
    }

    fn write(&mut self, checkpoint: u64, chunk: Vec<u8>) {
        self.load.bytes.fetch_add(chunk.len(), Ordering::AcqRel);
        let (load, work) = (Arc::clone(&self.load), Arc::clone(&self.work));
        self.tell(Message::Write { task: self.task, checkpoint, chunk, load, work });
    }

    fn finish(&mut self, checkpoint: u64) {
        self.tell(Message::Finish { task: self.task, checkpoint });
    }

    fn decline(&mut self, checkpoint: u64, reason: String) {
        self.tell(Message::Decline { task: self.task, checkpoint, reason });
    }

    fn end_of_data(&mut self) {
        self.tell(Message::EndOfData { task: self.task });
    }

    fn overtakes_after(&self) -> Option<u32> {
        self.overtakes_after
    }

    fn write_in_flight(&mut self, checkpoint: u64, data: Vec<u8>) {
        self.tell(Message::InFlight { task: self.task, checkpoint, data });
    }
}

/// The thread that writes.
pub(crate) struct Keeper {
    sender: Sender<Message>,
    /// The run is over, and what is not written yet is not needed.
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it. What tasks have to say goes to `report`.
    pub(crate) fn start(store: Store, report: impl Fn(Report) + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || keep(&store, &receiver, &report, &over));
        Self { sender, is_over, thread: Some(thread) }
    }

    /// Where tasks send their state.
    pub(crate) fn sender(&self) -> Sender<Message> {
        self.sender.clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = self.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What there is of a task's part in a checkpoint.
#[derive(Default)]
struct Parts {
    checkpoint: u64,
    state: Partial,
    in_flight: Partial,
    /// Files that the state refers to.
    named: Named,
}

/// Bytes of which more may come.
#[derive(Default)]
struct Partial {
    /// What is not in a file yet.
    bytes: Vec<u8>,
    file: Option<store::StateFile>,
    failed: Option<String>,
}

fn keep(
    store: &Storage,
    messages: &Receiver<Message>,
    report: &impl Fn(Report),
    is_over: &AtomicBool,
) {
    let mut parts: BTreeMap<u32, Parts> = BTreeMap::new();
    while let Ok(message) = messages.recv() {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        match message {
            Message::Write { task, checkpoint, chunk, load, work } => {
                let Parts { state, named, .. } = of(&mut parts, task, checkpoint);
                match work.name(store, task, checkpoint, &chunk, is_over) {
                    Ok(Named { files, gone }) => {
                        named.files.extend(files);
                        named.gone.extend(gone);
                    }
                    Err(reason) => drop(state.failed.get_or_insert(reason)),
                }
                state.write(store, checkpoint, &format!("task-{}", task.0), &chunk);
                load.done(chunk.len());
            }
            Message::InFlight { task, checkpoint, data } => {
                let in_flight = &mut of(&mut parts, task, checkpoint).in_flight;
                in_flight.write(store, checkpoint, &format!("in-flight-{}", task.0), &data);
            }
            Message::Finish { task, checkpoint } => {
                let Parts { state, in_flight, named, .. } =
                    std::mem::take(of(&mut parts, task, checkpoint));
                let finished = state.finish().and_then(|part| Ok((part, in_flight.finish()?)));
                let task = task.0;
                report(match finished {
                    Ok((part, in_flight)) => {
                        let Named { files, gone } = named;
                        Report::Acknowledge { checkpoint, task, part, in_flight, files, gone }
                    }
                    Err(reason) => Report::Decline { checkpoint, task, reason },
                });
            }
            Message::Decline { task, checkpoint, reason } => {
                parts.remove(&task.0);
                report(Report::Decline { checkpoint, task: task.0, reason });
            }
            Message::EndOfData { task } => report(Report::EndOfData { task: task.0 }),
            Message::Fell { region, tasks } => {
                tasks.iter().for_each(|task| drop(parts.remove(task)));
                report(Report::Fell { region, tasks });
            }
            Message::Runs { tasks } => report(Report::Runs { tasks }),
            Message::Stop => return,
        }
    }
}

/// What there is of a task at a checkpoint; what there was of an older one is dropped.
fn of(parts: &mut BTreeMap<u32, Parts>, task: TaskId, checkpoint: u64) -> &mut Parts {
    let part = parts.entry(task.0).or_default();
    if part.checkpoint != checkpoint {
        *part = Parts { checkpoint, ..Parts::default() };
    }
    part
}

impl Partial {
    /// Adds bytes, in a file of this name if they are many.
    fn write(&mut self, store: &Storage, checkpoint: u64, name: &str, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.try_write(store, checkpoint, name, bytes) {
            self.failed = Some(error.to_string());
        }
    }

    fn try_write(
        &mut self,
        store: &Storage,
        checkpoint: u64,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        if self.file.is_none() && self.bytes.len() + bytes.len() <= INLINE_MAX {
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = self.file.insert(store.create(checkpoint, name)?);
                file.append(&std::mem::take(&mut self.bytes))?;
                file
            }
        };
        file.append(bytes)
    }

    fn finish(self) -> Result<Part, String> {
        if let Some(reason) = self.failed {
            return Err(reason);
        }
        match self.file {
            None => Ok(Part::Inline(self.bytes)),
            Some(file) => {
                let file = file.finish().map_err(|error| error.to_string())?;
                Ok(Part::File { name: file.name, length: file.length, checksum: file.checksum })
            }
        }
    }
}
