//! Files in memory, for tests and simulations: the reference for other storages.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use millstream_memory::Segment;

use crate::{
    BlockingStorage, Cause, Completion, FileId, Lent, Refused, Request, Storage, StorageError,
    Submit,
};

/// Requests that are taken at once.
const IN_FLIGHT_MAX: usize = 32;

/// What goes wrong, and when.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Bytes that fit in all files together; `None` for no limit.
    pub capacity: Option<u64>,
    /// Bytes that the device moves at a time: a longer operation takes several.
    pub chunk: Option<usize>,
    /// How many reads succeed before all others fail; `None` if none fails.
    pub reads: Option<u64>,
    /// How many writes succeed before all others fail; `None` if none fails.
    pub writes: Option<u64>,
}

/// Files in memory.
///
/// An operation is carried out when its completion is polled, and which of those in flight is next
/// follows from a seed: all orders that a disk may choose can happen here, and happen again.
#[derive(Debug)]
pub struct MemoryStorage {
    files: BTreeMap<FileId, Vec<u8>>,
    waiting: Vec<(u64, Request)>,
    in_flight_max: usize,
    faults: Faults,
    /// Of the generator that decides what is next; 0 means first in, first out.
    order: u64,
}

impl MemoryStorage {
    /// Operations are carried out in the order of their submission, and none fails.
    pub fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            waiting: Vec::new(),
            in_flight_max: IN_FLIGHT_MAX,
            faults: Faults::default(),
            order: 0,
        }
    }

    /// Carries operations out in an order that follows from `seed`.
    #[must_use]
    pub fn shuffled(self, seed: u64) -> Self {
        Self { order: seed | 1, ..self }
    }

    /// Takes at most `requests` at once.
    #[must_use]
    pub fn in_flight_max(self, requests: usize) -> Self {
        Self { in_flight_max: requests, ..self }
    }

    /// Fails as told.
    #[must_use]
    pub fn faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// Files that there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }

    /// The content of a file, to look at or to damage.
    pub fn content(&mut self, file: FileId) -> Option<&mut Vec<u8>> {
        self.files.get_mut(&file)
    }

    /// Which of those that wait is next: xorshift, as in Marsaglia's paper of 2003.
    fn choose(&mut self) -> usize {
        if self.order == 0 {
            return 0;
        }
        self.order ^= self.order << 13;
        self.order ^= self.order >> 7;
        self.order ^= self.order << 17;
        (self.order % self.waiting.len() as u64) as usize
    }

    fn carry_out(&mut self, request: &mut Request) -> Result<(), Cause> {
        let (offset, length) = request.place();
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(length));
        let end = end.filter(|end| *end <= isize::MAX as usize);
        let end = end.ok_or(Cause::Invalid { what: "it ends beyond what can be addressed" })?;
        let at = end - length;
        match request {
            Request::Create { file } if self.files.contains_key(file) => Err(Cause::Exists),
            Request::Create { file } => {
                self.files.insert(*file, Vec::new());
                Ok(())
            }
            Request::Delete { file } => self.files.remove(file).map(drop).ok_or(Cause::NoSuchFile),
            Request::Sync { file } if self.files.contains_key(file) => Ok(()),
            Request::Sync { .. } => Err(Cause::NoSuchFile),
            Request::Write { file, data, .. } => {
                spend(&mut self.faults.writes)?;
                let others = self.bytes();
                let content = self.files.get_mut(file).ok_or(Cause::NoSuchFile)?;
                let room = self.faults.capacity.map(|capacity| {
                    capacity.saturating_sub(others - content.len() as u64) as usize
                });
                write(content, at, data, room, self.faults.chunk.unwrap_or(usize::MAX))
            }
            Request::Read { file, into, .. } => {
                spend(&mut self.faults.reads)?;
                let content = self.files.get(file).ok_or(Cause::NoSuchFile)?;
                read(content, at, length, into)
            }
        }
    }
}

/// Uses one of what is left, if there is a limit.
fn spend(left: &mut Option<u64>) -> Result<(), Cause> {
    match left {
        Some(0) => Err(Cause::System { errno: Some(5), message: "an injected fault".into() }),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

/// Writes chunk by chunk, as far as there is room.
fn write(
    content: &mut Vec<u8>,
    at: usize,
    data: &[u8],
    room: Option<usize>,
    chunk: usize,
) -> Result<(), Cause> {
    let mut at = at;
    for piece in data.chunks(chunk) {
        let end = at + piece.len();
        if room.is_some_and(|room| end > room) {
            return Err(Cause::Full { directory: "memory".into() });
        }
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(piece);
        at = end;
    }
    Ok(())
}

fn read(content: &[u8], at: usize, length: usize, into: &mut Segment) -> Result<(), Cause> {
    let into = into.get_mut(..length);
    let into = into.ok_or(Cause::Invalid { what: "the segment is shorter than the read" })?;
    let found = content.len().saturating_sub(at);
    let bytes = content.get(at..at + length).ok_or(Cause::EndOfFile { found })?;
    into.copy_from_slice(bytes);
    Ok(())
}

fn path(file: FileId) -> String {
    format!("memory:{}", file.0)
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl Submit for MemoryStorage {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        if self.waiting.len() >= self.in_flight_max {
            return Err(Refused { request });
        }
        self.waiting.push((token, request));
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn poll(&mut self) -> Option<Completion> {
        if self.waiting.is_empty() {
            return None;
        }
        let next = self.choose();
        let (token, mut request) = self.waiting.remove(next);
        let result = self.carry_out(&mut request);
        let result =
            result.map_err(|cause| StorageError::of(&request, path(request.file()), cause));
        let lent: Lent = request.into_lent();
        Some(Completion { token, lent, result })
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
    }
}

impl BlockingStorage for MemoryStorage {
    fn wait(&mut self) -> Option<Completion> {
        self.poll()
    }
}
