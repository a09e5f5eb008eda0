//! Checkpoints in memory, for tests and simulations: the reference for other storages.

use alloc::{
    collections::BTreeMap,
    format,
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::RefCell;

use super::{
    Cause, CheckpointStorage, METADATA, Operation, Refusal, Refused, Restored, StateFile,
    StorageError,
};
use crate::Checksum;
use crate::manifest::{File, Handle, Manifest, is_file_name};

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// How many changes succeed before one fails, as all behind it do; `None` if none fails. A change is
    /// what a power failure may fall behind: a directory or file made, bytes written, a file made
    /// durable, renamed, removed.
    pub changes: Option<u64>,
    /// Whether the first half of the bytes is written by a write that fails.
    pub torn: bool,
    /// Bytes that fit in all files together; `None` for no limit.
    pub capacity: Option<u64>,
}

/// How a file is to be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is removed.
    Remove,
    /// It ends there, in bytes.
    Truncate(usize),
    /// A bit of this byte is another.
    Flip(usize),
}

/// Checkpoints in memory. Clones are the same storage, as several processes see it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(Rc<RefCell<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    checkpoints: BTreeMap<u64, BTreeMap<String, Content>>,
    faults: Faults,
    changes: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Bytes that survive a loss of power; `None` if not even the name does.
    durable: Option<usize>,
}

impl MemoryStorage {
    /// Empty, and nothing fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails as told from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Changes that were made so far, see [`Faults::changes`].
    pub fn changes(&self) -> u64 {
        self.0.borrow().changes
    }

    /// Power is lost: what is not durable is gone. Of files that were being written, as many bytes as
    /// `keep` says remain, given how many there are; `None` if the whole file is gone.
    pub fn lose_power(&self, mut keep: impl FnMut(usize) -> Option<usize>) {
        for files in self.0.borrow_mut().checkpoints.values_mut() {
            files.retain(|_, content| {
                let kept = content.durable.max(keep(content.bytes.len()));
                content.bytes.truncate(kept.unwrap_or(0));
                kept.is_some()
            });
        }
    }

    /// Damages a file of a checkpoint, the manifest if it is [`METADATA`]. `false` if it is not there,
    /// or not so long.
    pub fn damage(&self, checkpoint: u64, file: &str, damage: Damage) -> bool {
        let mut disk = self.0.borrow_mut();
        let Some(files) = disk.checkpoints.get_mut(&checkpoint) else { return false };
        if damage == Damage::Remove {
            return files.remove(file).is_some();
        }
        let Some(content) = files.get_mut(file) else { return false };
        match damage {
            Damage::Truncate(length) if length < content.bytes.len() => {
                content.bytes.truncate(length);
                true
            }
            Damage::Flip(at) => content.bytes.get_mut(at).is_some_and(|byte| {
                *byte ^= 1;
                true
            }),
            _ => false,
        }
    }
}

impl Disk {
    /// Whether one more change succeeds.
    fn change(&mut self) -> Result<(), Cause> {
        if self.faults.changes.is_some_and(|changes| self.changes >= changes) {
            return Err(Cause::System { errno: Some(5), message: "an injected fault".into() });
        }
        self.changes += 1;
        Ok(())
    }

    fn write(&mut self, checkpoint: u64, file: &str, bytes: &[u8]) -> Result<(), Cause> {
        let fault = self.change().err();
        let room = self.faults.capacity.map(|capacity| {
            let files = self.checkpoints.values().flat_map(BTreeMap::values);
            capacity.saturating_sub(files.map(|content| content.bytes.len() as u64).sum())
        });
        let fits = room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        let written = match fault {
            Some(_) if self.faults.torn => fits.min(bytes.len() / 2),
            Some(_) => 0,
            None => fits,
        };
        let content = self.content(checkpoint, file)?;
        content.bytes.extend_from_slice(bytes.get(..written).unwrap_or(bytes));
        match fault {
            Some(cause) => Err(cause),
            None if fits < bytes.len() => Err(Cause::Full { directory: "memory".into() }),
            None => Ok(()),
        }
    }

    fn sync(&mut self, checkpoint: u64, file: &str) -> Result<(), Cause> {
        self.change()?;
        let content = self.content(checkpoint, file)?;
        content.durable = Some(content.bytes.len());
        Ok(())
    }

    fn content(&mut self, checkpoint: u64, file: &str) -> Result<&mut Content, Cause> {
        let files = self.checkpoints.get_mut(&checkpoint);
        files.and_then(|files| files.get_mut(file)).ok_or(Cause::NotFound)
    }

    fn complete(&mut self, manifest: &Manifest) -> Result<(), Cause> {
        const UNFINISHED: &str = ".metadata";
        let id = manifest.checkpoint;
        let files = self.checkpoints.get(&id).ok_or(Cause::NotFound)?;
        if files.contains_key(METADATA) {
            return Err(Cause::Exists);
        }
        for file in &manifest.files {
            let found = files.get(&file.name).ok_or(Cause::NotFound)?.bytes.len() as u64;
            if found != file.length {
                return Err(Cause::Length { expected: file.length, found });
            }
        }
        let bytes = manifest.encode();
        Manifest::decode(&bytes).map_err(|error| Cause::Invalid { what: error.what })?;
        self.change()?;
        let files = self.checkpoints.get_mut(&id).ok_or(Cause::NotFound)?;
        files.insert(UNFINISHED.into(), Content::default());
        self.write(id, UNFINISHED, &bytes)?;
        self.sync(id, UNFINISHED)?;
        self.change()?;
        let files = self.checkpoints.get_mut(&id).ok_or(Cause::NotFound)?;
        let content = files.remove(UNFINISHED).ok_or(Cause::NotFound)?;
        files.insert(METADATA.into(), content);
        Ok(())
    }
}

fn directory(checkpoint: u64) -> String {
    format!("memory:chk-{checkpoint}")
}

fn error(operation: Operation, checkpoint: u64, cause: Cause) -> StorageError {
    StorageError { operation, path: directory(checkpoint), cause }
}

impl CheckpointStorage for MemoryStorage {
    type File = MemoryFile;

    fn begin(&self, checkpoint: u64) -> Result<(), StorageError> {
        let mut disk = self.0.borrow_mut();
        let fail = |cause| error(Operation::Begin, checkpoint, cause);
        if disk.checkpoints.contains_key(&checkpoint) {
            return Err(fail(Cause::Exists));
        }
        disk.change().map_err(fail)?;
        disk.checkpoints.insert(checkpoint, BTreeMap::new());
        Ok(())
    }

    fn create(&self, checkpoint: u64, name: &str) -> Result<MemoryFile, StorageError> {
        let file = MemoryFile {
            storage: self.clone(),
            checkpoint,
            name: name.to_string(),
            checksum: Checksum::new(),
        };
        if !is_file_name(name) {
            let what = "no file of a checkpoint can have such a name";
            return Err(file.error(Operation::Create, Cause::Invalid { what }));
        }
        let mut disk = self.0.borrow_mut();
        let changed = match disk.checkpoints.get(&checkpoint) {
            None => Err(Cause::NotFound),
            Some(files) if files.contains_key(name) => Err(Cause::Exists),
            Some(_) => disk.change(),
        };
        changed.map_err(|cause| file.error(Operation::Create, cause))?;
        let files = disk.checkpoints.entry(checkpoint).or_default();
        files.insert(name.into(), Content::default());
        Ok(file)
    }

    fn complete(&self, manifest: &Manifest) -> Result<(), StorageError> {
        let completed = self.0.borrow_mut().complete(manifest);
        completed.map_err(|cause| error(Operation::Complete, manifest.checkpoint, cause))
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        let disk = self.0.borrow();
        let complete = disk.checkpoints.iter().filter(|(_, files)| files.contains_key(METADATA));
        Ok(complete.map(|(checkpoint, _)| *checkpoint).collect())
    }

    fn unfinished(&self) -> Result<Vec<u64>, StorageError> {
        let disk = self.0.borrow();
        let others = disk.checkpoints.iter().filter(|(_, files)| !files.contains_key(METADATA));
        Ok(others.map(|(checkpoint, _)| *checkpoint).collect())
    }

    fn metadata(&self, checkpoint: u64) -> Result<Restored, Refused> {
        let refused = |reason| Refused { checkpoint, path: directory(checkpoint), reason };
        let mut disk = self.0.borrow_mut();
        let metadata = disk.content(checkpoint, METADATA).map_err(|cause| {
            refused(Refusal::Storage(error(Operation::Read, checkpoint, cause)))
        })?;
        Restored::read(checkpoint, &metadata.bytes).map_err(refused)
    }

    fn verify(&self, checkpoint: u64, file: &File) -> Result<(), Refused> {
        let refused = |reason| Refused { checkpoint, path: directory(checkpoint), reason };
        let mut disk = self.0.borrow_mut();
        let Ok(content) = disk.content(checkpoint, &file.name) else {
            return Err(refused(Refusal::Missing { file: file.name.clone() }));
        };
        let mut checksum = Checksum::new();
        checksum.update(&content.bytes);
        file.verify(checksum.length(), checksum.value()).map_err(refused)
    }

    fn read(
        &self,
        checkpoint: u64,
        handle: &Handle,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), StorageError> {
        let fail = |cause| StorageError {
            operation: Operation::Read,
            path: format!("{}/{}", directory(checkpoint), handle.file),
            cause,
        };
        let at = handle.locate(offset, into.len()).map_err(fail)?;
        let mut disk = self.0.borrow_mut();
        let bytes = &disk.content(checkpoint, &handle.file).map_err(fail)?.bytes;
        let found = bytes.len() as u64;
        let expected = at.saturating_add(into.len() as u64);
        let begin = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = bytes.get(begin..).and_then(|bytes| bytes.get(..into.len()));
        into.copy_from_slice(bytes.ok_or_else(|| fail(Cause::Length { expected, found }))?);
        Ok(())
    }

    fn discard(&self, checkpoint: u64) -> Result<(), StorageError> {
        let mut disk = self.0.borrow_mut();
        if !disk.checkpoints.contains_key(&checkpoint) {
            return Ok(());
        }
        let fail = |cause| error(Operation::Discard, checkpoint, cause);
        disk.change().map_err(fail)?;
        if let Some(files) = disk.checkpoints.get_mut(&checkpoint) {
            files.remove(METADATA);
        }
        disk.change().map_err(fail)?;
        disk.checkpoints.remove(&checkpoint);
        Ok(())
    }
}

/// A file in memory that is being written.
#[derive(Debug)]
pub struct MemoryFile {
    storage: MemoryStorage,
    checkpoint: u64,
    name: String,
    checksum: Checksum,
}

impl MemoryFile {
    fn error(&self, operation: Operation, cause: Cause) -> StorageError {
        let path = format!("{}/{}", directory(self.checkpoint), self.name);
        StorageError { operation, path, cause }
    }
}

impl StateFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let written = self.storage.0.borrow_mut().write(self.checkpoint, &self.name, bytes);
        written.map_err(|cause| self.error(Operation::Write, cause))?;
        self.checksum.update(bytes);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.checksum.length()
    }

    fn finish(self) -> Result<File, StorageError> {
        let synced = self.storage.0.borrow_mut().sync(self.checkpoint, &self.name);
        synced.map_err(|cause| self.error(Operation::Write, cause))?;
        let (length, checksum) = (self.checksum.length(), self.checksum.value());
        Ok(File { name: self.name, length, checksum })
    }
}
