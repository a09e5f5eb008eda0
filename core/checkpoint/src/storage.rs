//! Where checkpoints are kept.
//!
//! A checkpoint is a directory: tasks write files of state into it, each in one go, and last comes the
//! manifest, which appears as a whole or not at all. A directory without a manifest is not a checkpoint,
//! whoever left it behind.
//!
//! Calls block. Who must not wait makes them on a thread of its own.
//!
//! # The contract
//!
//! * What was written is there after a loss of power: a file once it was
//!   [finished](StateFile::finish), the checkpoint with all its files once
//!   [`complete`](CheckpointStorage::complete) has returned.
//! * A checkpoint is in the [list](CheckpointStorage::list) if it is complete, and not before.
//! * A checkpoint is [restored](CheckpointStorage::restore) if every file is there with the length and
//!   the checksum that its manifest says, and else refused, with the reason.
//!   [`latest`](CheckpointStorage::latest) goes back to the one before.
//! * A failed call leaves no checkpoint behind that can be taken for a complete one.
//! * Discarding what is not there is no error.
//! * A [shared](CheckpointStorage::share) file is a file of each checkpoint whose manifest lists it. It
//!   stays when they are discarded: whoever keeps account of it ([`SharedFiles`]) removes it, or
//!   [`sweep`](CheckpointStorage::sweep) does.
//!
//! The feature `contract` has the suite that checks this; [`MemoryStorage`] is the reference, and fails
//! on demand.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use crate::coordinator::History;
use crate::manifest::{File, Handle, Manifest, Purpose, is_shared};
use crate::{Permit, SharedFiles};

mod error;
mod memory;

pub use error::{Cause, Operation, Refusal, Refused, StorageError};
pub use memory::{Damage, Faults, MemoryStorage};

/// The name of the manifest's file, as in Flink.
pub const METADATA: &str = "_metadata";

/// Files of a job's checkpoints. See the [module](self) for the contract.
pub trait CheckpointStorage {
    /// A file that is being written.
    type File: StateFile;

    /// Makes room for a checkpoint.
    ///
    /// # Errors
    /// [`StorageError`]; [`Cause::Exists`] if there is one of this id.
    fn begin(&self, checkpoint: u64) -> Result<(), StorageError>;

    /// Creates a file in a checkpoint that was [begun](Self::begin), see
    /// [`is_file_name`](crate::manifest::is_file_name) for its name.
    ///
    /// # Errors
    /// [`StorageError`]; [`Cause::Exists`] if there is one of this name, [`Cause::NotFound`] if the
    /// checkpoint was not begun, or discarded.
    fn create(&self, checkpoint: u64, name: &str) -> Result<Self::File, StorageError>;

    /// Creates a file that checkpoints share, beside all of them; [`is_shared`] holds of its name. It is seen
    /// when it is finished, and not before.
    ///
    /// # Errors
    /// [`StorageError`]; [`Cause::Exists`] if there is one of this name, [`Cause::Invalid`] of a savepoint's
    /// storage, since a savepoint has all that it needs in itself.
    fn share(&self, name: &str) -> Result<Self::File, StorageError>;

    /// Shared files that are there, with their bytes.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn shared(&self) -> Result<BTreeMap<String, u64>, StorageError>;

    /// Removes shared files, to which no checkpoint refers any more.
    ///
    /// # Errors
    /// [`StorageError`] if one of them is still there.
    fn unshare(&self, names: &[String]) -> Result<(), StorageError>;

    /// Makes the manifest durable, and with it the checkpoint, whose files are all finished.
    ///
    /// # Errors
    /// [`StorageError`]; [`Cause::Exists`] if it is complete, [`Cause::Invalid`] if the manifest is
    /// inconsistent, [`Cause::NotFound`] or [`Cause::Length`] if a file is not as it says.
    fn complete(&self, manifest: &Manifest) -> Result<(), StorageError>;

    /// Complete checkpoints, ascending, whether they can be restored or not.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn list(&self) -> Result<Vec<u64>, StorageError>;

    /// Checkpoints that were begun and not completed, ascending.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn unfinished(&self) -> Result<Vec<u64>, StorageError>;

    /// Reads the manifest of a complete checkpoint, and nothing else.
    ///
    /// # Errors
    /// [`Refused`] if it is missing or damaged.
    fn metadata(&self, checkpoint: u64) -> Result<Restored, Refused>;

    /// Reads a file of a checkpoint and compares length and checksum.
    ///
    /// # Errors
    /// [`Refused`] if it is missing or damaged.
    fn verify(&self, checkpoint: u64, file: &File) -> Result<(), Refused>;

    /// The refusal of a checkpoint, with the place where it is.
    fn refuse(&self, checkpoint: u64, reason: Refusal) -> Refused;

    /// Fills `into` with bytes of a state, from `offset` in the state on.
    ///
    /// # Errors
    /// [`StorageError`]; [`Cause::Length`] if the state or its file ends before.
    fn read(
        &self,
        checkpoint: u64,
        handle: &Handle,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), StorageError>;

    /// Removes a checkpoint, complete or not; its manifest first.
    ///
    /// # Errors
    /// [`StorageError`] if something is still there.
    fn discard(&self, checkpoint: u64) -> Result<(), StorageError>;

    /// Reads the manifest of a complete checkpoint and verifies all its files.
    ///
    /// # Errors
    /// [`Refused`] if anything is missing or damaged.
    fn restore(&self, checkpoint: u64) -> Result<Restored, Refused> {
        let restored = self.metadata(checkpoint)?;
        self.verify_all(&restored.manifest, Care::Whole)?;
        Ok(restored)
    }

    /// Verifies the files of a checkpoint that is complete.
    ///
    /// # Errors
    /// [`Refused`] if one is missing or damaged.
    fn verify_all(&self, manifest: &Manifest, care: Care) -> Result<(), Refused> {
        let checkpoint = manifest.checkpoint;
        let is_looked_at = |file: &&File| care == Care::Look && is_shared(&file.name);
        let read: Vec<&File> = manifest.files.iter().filter(|file| !is_looked_at(file)).collect();
        self.verify_each(checkpoint, &read)?;
        let mut looked_at = manifest.files.iter().filter(is_looked_at).peekable();
        if looked_at.peek().is_none() {
            return Ok(());
        }
        let shared = self.shared();
        let shared = shared.map_err(|e| self.refuse(checkpoint, Refusal::Storage(e)))?;
        for file in looked_at {
            let length = shared.get(&file.name).copied();
            let verified = length
                .ok_or_else(|| Refusal::Missing { file: file.name.clone() })
                .and_then(|length| file.verify(length, file.checksum));
            verified.map_err(|reason| self.refuse(checkpoint, reason))?;
        }
        Ok(())
    }

    /// [Verifies](Self::verify) files of a checkpoint, several at a time if that is faster.
    ///
    /// # Errors
    /// [`Refused`], for the first that is missing or damaged.
    fn verify_each(&self, checkpoint: u64, files: &[&File]) -> Result<(), Refused> {
        files.iter().try_for_each(|file| self.verify(checkpoint, file))
    }

    /// The newest checkpoint that can be restored, and those that were refused on the way to it.
    /// Savepoints are the user's, and are not looked at, but for one that the job stopped with.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn latest(&self) -> Result<Latest, StorageError> {
        self.latest_since(0, Care::Whole)
    }

    /// As [`latest`](Self::latest), of those whose id is at least `since`, verified with as much `care`.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn latest_since(&self, since: u64, care: Care) -> Result<Latest, StorageError> {
        let mut refused = Vec::new();
        for checkpoint in self.list()?.into_iter().rev().filter(|id| *id >= since) {
            let restored = self.metadata(checkpoint).and_then(|restored| {
                if restored.manifest.purpose == Purpose::Savepoint {
                    return Ok(None);
                }
                self.verify_all(&restored.manifest, care).map(|()| Some(restored))
            });
            match restored {
                Ok(None) => {}
                Ok(restored) => return Ok(Latest { restored, refused }),
                Err(refusal) => refused.push(refusal),
            }
        }
        Ok(Latest { restored: None, refused })
    }

    /// What a coordinator has to know of a job that begins from `restored`: which ids are taken, and
    /// which checkpoints are kept and will be discarded in their turn. Those that were refused are left
    /// where they are.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn history(&self, restored: Option<u64>) -> Result<History, StorageError> {
        let mut retained = self.checkpoints()?;
        retained.retain(|checkpoint| restored.is_some_and(|restored| *checkpoint <= restored));
        Ok(History { next: self.next_id()?, retained, newest: restored })
    }

    /// Discards all but the newest `count` checkpoints, and gives the ids of those that are gone.
    /// Savepoints stay, as does what cannot be read.
    ///
    /// # Errors
    /// [`StorageError`] if something cannot be removed.
    fn retain(&self, count: usize) -> Result<Vec<u64>, StorageError> {
        let mut checkpoints = self.checkpoints()?;
        checkpoints.truncate(checkpoints.len().saturating_sub(count));
        for checkpoint in &checkpoints {
            self.discard(*checkpoint)?;
        }
        Ok(checkpoints)
    }

    /// Complete checkpoints that are the job's own, ascending, and whose manifests can be read.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn checkpoints(&self) -> Result<Vec<u64>, StorageError> {
        let mut checkpoints = self.list()?;
        checkpoints.retain(|checkpoint| {
            let metadata = self.metadata(*checkpoint);
            metadata.is_ok_and(|found| found.manifest.purpose == Purpose::Checkpoint)
        });
        Ok(checkpoints)
    }

    /// Removes what unfinished checkpoints have left behind, and gives their ids. Only before a job
    /// begins, as everything that is being written is unfinished.
    ///
    /// # Errors
    /// [`StorageError`] if something cannot be removed.
    fn clean(&self) -> Result<Vec<u64>, StorageError> {
        let unfinished = self.unfinished()?;
        for checkpoint in &unfinished {
            self.discard(*checkpoint)?;
        }
        Ok(unfinished)
    }

    /// Which checkpoints refer to which shared files.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn references(&self) -> Result<SharedFiles, StorageError> {
        let mut references = SharedFiles::new();
        for checkpoint in self.list()? {
            match self.metadata(checkpoint) {
                Ok(Restored { manifest, .. }) => {
                    let names = manifest.files.into_iter().map(|file| file.name);
                    references.found(checkpoint, names.filter(|name| is_shared(name)));
                }
                Err(_) => references.unreadable(checkpoint),
            }
        }
        Ok(references)
    }

    /// Removes the shared files that no complete checkpoint refers to, and gives their names: what
    /// checkpoints that were given up, and processes that were killed, have left behind. Nothing is removed
    /// while there is a manifest that cannot be read. Only before a job begins, or when it is done, as
    /// checkpoints on their way refer to files, too.
    ///
    /// # Errors
    /// [`StorageError`] if something cannot be read or removed.
    fn sweep(&self) -> Result<Vec<String>, StorageError> {
        let mut names: Vec<String> = self.shared()?.into_keys().collect();
        if names.is_empty() {
            return Ok(names);
        }
        let references = self.references()?;
        names.retain(|name| !references.has_unreadable() && !references.is_used(name));
        self.unshare(&names)?;
        Ok(names)
    }

    /// The first id that no checkpoint has, not even an unfinished one, and none behind it.
    ///
    /// # Errors
    /// [`StorageError`] if the storage cannot be read.
    fn next_id(&self) -> Result<u64, StorageError> {
        let newest = self.list()?.into_iter().chain(self.unfinished()?).max();
        Ok(newest.map_or(1, |newest| newest.saturating_add(1)))
    }
}

/// How carefully a checkpoint is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// All files are read.
    Whole,
    /// Of shared files only length is looked at: whoever takes one reads it anyway, and verifies it then.
    Look,
}

/// A file that is being written. Dropped unfinished, it may or may not be there.
pub trait StateFile {
    /// Writes behind what was written before.
    ///
    /// # Errors
    /// [`StorageError`]; the file is of no use then.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Bytes so far.
    fn length(&self) -> u64;

    /// Makes the file durable, and says what the manifest has to say of it.
    ///
    /// # Errors
    /// [`StorageError`]; the file is of no use then.
    fn finish(self) -> Result<File, StorageError>;
}

/// A checkpoint that is there as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What it consists of.
    pub manifest: Manifest,
    /// The right of its sinks to commit what it has pending.
    pub permit: Permit,
}

/// What a job can begin from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// The newest checkpoint that can be restored.
    pub restored: Option<Restored>,
    /// Newer ones that cannot, the newest first.
    pub refused: Vec<Refused>,
}

impl Restored {
    /// Reads the manifest that was found where that of `checkpoint` should be.
    ///
    /// # Errors
    /// [`Refusal`] if the bytes are no manifest, or another one.
    pub fn read(checkpoint: u64, metadata: &[u8]) -> Result<Self, Refusal> {
        let read = Self::read_any(metadata)?;
        match read.manifest.checkpoint {
            found if found != checkpoint => Err(Refusal::OtherCheckpoint { found }),
            _ => Ok(read),
        }
    }

    /// Reads the manifest of a savepoint, whatever its number is.
    ///
    /// # Errors
    /// [`Refusal`] if the bytes are no manifest.
    pub fn read_any(metadata: &[u8]) -> Result<Self, Refusal> {
        let (manifest, permit) = Permit::restored(metadata).map_err(Refusal::Manifest)?;
        Ok(Self { manifest, permit })
    }
}

impl File {
    /// Compares what is there with what was written.
    ///
    /// # Errors
    /// [`Refusal`] if length or checksum differ.
    pub fn verify(&self, length: u64, checksum: u64) -> Result<(), Refusal> {
        let file = self.name.clone();
        if length != self.length {
            return Err(Refusal::Length { file, expected: self.length, found: length });
        }
        if checksum != self.checksum {
            return Err(Refusal::Checksum { file, expected: self.checksum, found: checksum });
        }
        Ok(())
    }
}

impl Handle {
    /// Where in the file so many bytes at this offset of the state begin.
    ///
    /// # Errors
    /// [`Cause::Length`] if the state ends before.
    pub fn locate(&self, offset: u64, length: usize) -> Result<u64, Cause> {
        let end = offset.checked_add(length as u64);
        match (end, self.offset.checked_add(offset)) {
            (Some(end), Some(at)) if end <= self.length => Ok(at),
            _ => {
                let expected = offset.saturating_add(length as u64);
                Err(Cause::Length { expected, found: self.length })
            }
        }
    }
}
