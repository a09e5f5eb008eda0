//! Between tasks and coordinator: orders on their way to a task, and state on its way to files.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use millstream_checkpoint::{
    Checksum, MemoryStorage, TaskId,
    coordinator::{Decline, Input},
    manifest::{File, Handle, Place},
    storage::{CheckpointStorage, StateFile, StorageError},
};
use millstream_dataflow::{
    TaskError,
    task::{Checkpoints, Order},
};

use super::{
    EngineBug, bytes,
    cx::{Cx, Event},
};

/// What a task says to the keeper of its process.
enum Said {
    State(u64, Vec<u8>),
    InFlight(u64, Vec<u8>),
    Finish(u64),
    Decline(u64, String),
    EndOfData,
}

/// What lies between a task and the others.
#[derive(Default)]
struct Content {
    orders: VecDeque<Order>,
    task: Option<Waker>,
    said: VecDeque<Said>,
    /// Bytes among what was said.
    load: usize,
    /// Bytes that may be.
    load_max: usize,
    room: Option<Waker>,
    keeper: Option<Waker>,
}

/// The mailbox of a task.
#[derive(Clone, Default)]
pub(super) struct Mailbox(Arc<Mutex<Content>>);

impl Mailbox {
    /// A mailbox that holds so many bytes of state, emptied by whom `keeper` wakes.
    pub(super) fn new(load_max: usize, keeper: Waker) -> Self {
        let content = Content { load_max, keeper: Some(keeper), ..Content::default() };
        Self(Arc::new(Mutex::new(content)))
    }

    /// The task's end. Barriers overtake after so many milliseconds, if they do.
    pub(super) fn end(&self, overtakes_after: Option<u32>) -> End {
        End { mailbox: self.clone(), overtakes_after }
    }

    /// Gives the task an order.
    pub(super) fn order(&self, order: Order) {
        let mut content = self.lock();
        content.orders.push_back(order);
        content.task.iter().for_each(Waker::wake_by_ref);
    }

    fn take(&self) -> Option<Said> {
        let mut content = self.lock();
        let said = content.said.pop_front()?;
        if let Said::State(_, chunk) = &said {
            content.load -= chunk.len();
            if let Some(waker) = content.room.take() {
                waker.wake();
            }
        }
        Some(said)
    }

    fn has_mail(&self) -> bool {
        !self.lock().said.is_empty()
    }

    fn tell(&self, said: Said) {
        let mut content = self.lock();
        if let Said::State(_, chunk) = &said {
            content.load += chunk.len();
        }
        content.said.push_back(said);
        content.keeper.iter().for_each(Waker::wake_by_ref);
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's end of its mailbox.
pub(super) struct End {
    mailbox: Mailbox,
    overtakes_after: Option<u32>,
}

impl Checkpoints for End {
    fn next_order(&mut self, waker: &Waker) -> Option<Order> {
        let mut content = self.mailbox.lock();
        content.task.get_or_insert_with(|| waker.clone());
        content.orders.pop_front()
    }

    fn has_room(&mut self, waker: &Waker) -> bool {
        let mut content = self.mailbox.lock();
        let has_room = content.load < content.load_max;
        if !has_room {
            content.room = Some(waker.clone());
        }
        has_room
    }

    fn write(&mut self, checkpoint: u64, chunk: Vec<u8>) {
        self.mailbox.tell(Said::State(checkpoint, chunk));
    }

    fn finish(&mut self, checkpoint: u64) {
        self.mailbox.tell(Said::Finish(checkpoint));
    }

    fn decline(&mut self, checkpoint: u64, reason: String) {
        self.mailbox.tell(Said::Decline(checkpoint, reason));
    }

    fn end_of_data(&mut self) {
        self.mailbox.tell(Said::EndOfData);
    }

    fn overtakes_after(&self) -> Option<u32> {
        self.overtakes_after
    }

    fn write_in_flight(&mut self, checkpoint: u64, data: Vec<u8>) {
        self.mailbox.tell(Said::InFlight(checkpoint, data));
    }
}

/// Writes the state of a process's tasks to files, one thing at a time.
pub(super) struct Keeper {
    tasks: BTreeMap<u32, (Mailbox, Parts)>,
    inline_max: usize,
    /// Files that are made durable later, which is a mistake.
    late: Vec<<MemoryStorage as CheckpointStorage>::File>,
}

/// What there is of a task's part in a checkpoint.
#[derive(Default)]
struct Parts {
    checkpoint: u64,
    state: Partial,
    in_flight: Partial,
}

#[derive(Default)]
struct Partial {
    /// What is not in a file yet.
    bytes: Vec<u8>,
    file: Option<<MemoryStorage as CheckpointStorage>::File>,
    checksum: Checksum,
    name: String,
    failed: Option<String>,
}

impl Keeper {
    /// State of more bytes than `inline_max` goes into files.
    pub(super) fn new(inline_max: usize) -> Self {
        Self { tasks: BTreeMap::new(), inline_max, late: Vec::new() }
    }

    pub(super) fn add(&mut self, task: u32, mailbox: Mailbox) {
        self.tasks.insert(task, (mailbox, Parts::default()));
    }

    /// Does one thing; `false` if there is none.
    pub(super) fn poll(&mut self, cx: &mut Cx) -> bool {
        if !self.late.is_empty() && cx.random.percent(5) {
            for file in self.late.drain(..) {
                // Whoever should know was told long ago.
                let _ = file.finish();
            }
        }
        let waiting: Vec<u32> = self
            .tasks
            .iter()
            .filter(|(_, (mailbox, _))| mailbox.has_mail())
            .map(|(task, _)| *task)
            .collect();
        if waiting.is_empty() {
            return !self.late.is_empty();
        }
        let task = waiting[cx.random.index(waiting.len())];
        let inline_max = self.inline_max;
        let Some((mailbox, parts)) = self.tasks.get_mut(&task) else { return false };
        let Some(said) = mailbox.take() else { return false };
        let number = TaskId(task);
        match said {
            Said::State(checkpoint, chunk) => {
                let state = &mut of(parts, checkpoint).state;
                state.write(&cx.storage, checkpoint, &format!("task-{task}"), &chunk, inline_max);
            }
            Said::InFlight(..) if cx.has_bug(EngineBug::ForgetInFlight) => {}
            Said::InFlight(checkpoint, data) => {
                cx.count("data in flight are written");
                let name = format!("in-flight-{task}");
                let in_flight = &mut of(parts, checkpoint).in_flight;
                in_flight.write(&cx.storage, checkpoint, &name, &data, inline_max);
            }
            Said::Finish(checkpoint) => {
                cx.points += 1;
                let Parts { state, in_flight, .. } = std::mem::take(of(parts, checkpoint));
                let late = &mut self.late;
                let mut finish = |partial: Partial| match cx.bug {
                    Some(EngineBug::AcknowledgeBeforeUpload) => Ok(partial.promise(late)),
                    _ => partial.finish(),
                };
                let finished = finish(state).and_then(|state| Ok((state, finish(in_flight)?)));
                cx.say(|| match &finished {
                    Ok(_) => format!("task {task} has its part of {checkpoint} durable"),
                    Err(reason) => format!("task {task} has no part of {checkpoint}: {reason}"),
                });
                let input = match finished {
                    Ok((state, in_flight)) => {
                        let mut bytes = Vec::new();
                        bytes::put_all(&state, &mut bytes);
                        bytes::put_all(&in_flight, &mut bytes);
                        Input::Acknowledge { checkpoint, task: number, state: bytes.into() }
                    }
                    Err(reason) => {
                        let reason = Decline::Failed(reason);
                        Input::Decline { checkpoint, task: number, reason }
                    }
                };
                tell(cx, &input);
            }
            Said::Decline(checkpoint, reason) => {
                *parts = Parts::default();
                let reason = Decline::Failed(reason);
                tell(cx, &Input::Decline { checkpoint, task: number, reason });
            }
            Said::EndOfData => tell(cx, &Input::EndOfData { task: number }),
        }
        true
    }
}

/// Sends the coordinator a message, which takes its time, and sometimes comes twice.
fn tell(cx: &mut Cx, input: &Input) {
    loop {
        let delay = match cx.random.percent(5) {
            true => cx.random.below(20_000),
            false => cx.random.below(300),
        };
        cx.after(delay, Event::Told(input.clone()));
        if !cx.random.percent(10) {
            return;
        }
        cx.count("a message comes twice");
    }
}

/// What there is of a task at a checkpoint; what there was of an older one is dropped.
fn of(parts: &mut Parts, checkpoint: u64) -> &mut Parts {
    if parts.checkpoint != checkpoint {
        *parts = Parts { checkpoint, ..Parts::default() };
    }
    parts
}

impl Partial {
    /// Adds bytes, in a file of this name if they are many.
    fn write(
        &mut self,
        storage: &MemoryStorage,
        checkpoint: u64,
        name: &str,
        bytes: &[u8],
        inline_max: usize,
    ) {
        if self.failed.is_some() {
            return;
        }
        name.clone_into(&mut self.name);
        self.checksum.update(bytes);
        if let Err(error) = self.try_write(storage, checkpoint, bytes, inline_max) {
            self.failed = Some(error.to_string());
        }
    }

    fn try_write(
        &mut self,
        storage: &MemoryStorage,
        checkpoint: u64,
        bytes: &[u8],
        inline_max: usize,
    ) -> Result<(), StorageError> {
        if self.file.is_none() && self.bytes.len() + bytes.len() <= inline_max {
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = self.file.insert(storage.create(checkpoint, &self.name)?);
                file.append(&std::mem::take(&mut self.bytes))?;
                file
            }
        };
        file.append(bytes)
    }

    /// Where the bytes are, once they are durable, as [`place`] reads it.
    fn finish(self) -> Result<Vec<u8>, String> {
        if let Some(reason) = self.failed {
            return Err(reason);
        }
        match self.file {
            None => Ok(inline(&self.bytes)),
            Some(file) => Ok(filed(&file.finish().map_err(|error| error.to_string())?)),
        }
    }

    /// Where the bytes will be, if all goes well.
    fn promise(self, late: &mut Vec<<MemoryStorage as CheckpointStorage>::File>) -> Vec<u8> {
        let Some(file) = self.file else { return inline(&self.bytes) };
        late.push(file);
        let (length, checksum) = (self.checksum.length(), self.checksum.value());
        filed(&File { name: self.name, length, checksum })
    }
}

fn inline(bytes: &[u8]) -> Vec<u8> {
    let mut part = Vec::new();
    bytes::put(0, &mut part);
    bytes::put_all(bytes, &mut part);
    part
}

fn filed(file: &File) -> Vec<u8> {
    let mut part = Vec::new();
    bytes::put(1, &mut part);
    bytes::put_all(file.name.as_bytes(), &mut part);
    bytes::put(file.length, &mut part);
    bytes::put(file.checksum, &mut part);
    part
}

/// Where the state of a task is, in words of the manifest; nowhere if it has none.
pub(super) fn place(part: &[u8], files: &mut Vec<File>) -> Result<Option<Place>, TaskError> {
    let rest = &mut &*part;
    if bytes::take(rest)? == 0 {
        let inline = bytes::take_all(rest)?;
        return Ok((!inline.is_empty()).then(|| Place::Inline(inline.into())));
    }
    let name = String::from_utf8_lossy(bytes::take_all(rest)?).into_owned();
    let (length, checksum) = (bytes::take(rest)?, bytes::take(rest)?);
    files.push(File { name: name.clone(), length, checksum });
    Ok(Some(Place::File(Handle { file: name, offset: 0, length })))
}
