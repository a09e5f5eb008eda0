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
use crate::manifest::{File, Handle, Manifest, is_file_name, is_shared};

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
    /// Files that checkpoints share.
    shared: BTreeMap<String, Content>,
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
        let disk = &mut *self.0.borrow_mut();
        for files in disk.checkpoints.values_mut().chain([&mut disk.shared]) {
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
        let Some(files) = disk.files(checkpoint, file) else { return false };
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
            let files = self.checkpoints.values().chain([&self.shared]);
            let files = files.flat_map(BTreeMap::values);
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
        self.files(checkpoint, file).and_then(|files| files.get_mut(file)).ok_or(Cause::NotFound)
    }

    /// The files among which one of this name is.
    fn files(&mut self, checkpoint: u64, file: &str) -> Option<&mut BTreeMap<String, Content>> {
        match is_shared(file) {
            true => Some(&mut self.shared),
            false => self.checkpoints.get_mut(&checkpoint),
        }
    }

    fn complete(&mut self, manifest: &Manifest) -> Result<(), Cause> {
        const UNFINISHED: &str = ".metadata";
        let id = manifest.checkpoint;
        let files = self.checkpoints.get(&id).ok_or(Cause::NotFound)?;
        if files.contains_key(METADATA) {
            return Err(Cause::Exists);
        }
        for file in &manifest.files {
            let content = match is_shared(&file.name) {
                // One that is being written is not there yet.
                true => self.shared.get(&file.name).filter(|content| content.durable.is_some()),
                false => files.get(&file.name),
            };
            let found = content.ok_or(Cause::NotFound)?.bytes.len() as u64;
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

fn place(checkpoint: u64, file: &str) -> String {
    match is_shared(file) {
        true => format!("memory:shared/{file}"),
        false => format!("{}/{file}", directory(checkpoint)),
    }
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
        if !is_file_name(name) || is_shared(name) {
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

    fn share(&self, name: &str) -> Result<MemoryFile, StorageError> {
        let (storage, checksum) = (self.clone(), Checksum::new());
        let file = MemoryFile { storage, checkpoint: 0, name: name.to_string(), checksum };
        if !is_shared(name) {
            let what = "no file that checkpoints share can have such a name";
            return Err(file.error(Operation::Create, Cause::Invalid { what }));
        }
        let mut disk = self.0.borrow_mut();
        let is_there = disk.shared.contains_key(name);
        let changed = if is_there { Err(Cause::Exists) } else { disk.change() };
        changed.map_err(|cause| file.error(Operation::Create, cause))?;
        disk.shared.insert(name.into(), Content::default());
        Ok(file)
    }

    fn shared(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        let disk = self.0.borrow();
        let finished = disk.shared.iter().filter(|(_, content)| content.durable.is_some());
        let length = |content: &Content| content.bytes.len() as u64;
        Ok(finished.map(|(name, content)| (name.clone(), length(content))).collect())
    }

    fn unshare(&self, names: &[String]) -> Result<(), StorageError> {
        let mut disk = self.0.borrow_mut();
        for name in names.iter().filter(|name| is_shared(name)) {
            let path = place(0, name);
            let operation = Operation::Discard;
            disk.change().map_err(|cause| StorageError { operation, path, cause })?;
            disk.shared.remove(name);
        }
        Ok(())
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
        let refused = |reason| self.refuse(checkpoint, reason);
        let mut disk = self.0.borrow_mut();
        let metadata = disk.content(checkpoint, METADATA).map_err(|cause| {
            refused(Refusal::Storage(error(Operation::Read, checkpoint, cause)))
        })?;
        Restored::read(checkpoint, &metadata.bytes).map_err(refused)
    }

    fn verify(&self, checkpoint: u64, file: &File) -> Result<(), Refused> {
        let refused = |reason| self.refuse(checkpoint, reason);
        let mut disk = self.0.borrow_mut();
        let Ok(content) = disk.content(checkpoint, &file.name) else {
            return Err(refused(Refusal::Missing { file: file.name.clone() }));
        };
        let mut checksum = Checksum::new();
        checksum.update(&content.bytes);
        file.verify(checksum.length(), checksum.value()).map_err(refused)
    }

    fn refuse(&self, checkpoint: u64, reason: Refusal) -> Refused {
        Refused { checkpoint, path: directory(checkpoint), reason }
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
            path: place(checkpoint, &handle.file),
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

    fn clean(&self) -> Result<Vec<u64>, StorageError> {
        self.0.borrow_mut().shared.retain(|_, content| content.durable.is_some());
        let unfinished = self.unfinished()?;
        unfinished.iter().try_for_each(|checkpoint| self.discard(*checkpoint))?;
        Ok(unfinished)
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
        let path = place(self.checkpoint, &self.name);
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
