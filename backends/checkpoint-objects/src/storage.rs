//! Which objects are a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use millstream_checkpoint::{
    CheckpointStorage, Checksum, Manifest,
    manifest::{self, Handle, is_file_name, is_shared},
    storage::{Care, Cause, METADATA, Operation, Refusal, Refused, Restored, StorageError},
};
use object_store::{GetOptions, GetRange, ObjectStoreExt, path::Path};

use crate::{Objects, StateFile};

const CHECKPOINT: &str = "chk-";
/// The object that says that a checkpoint was begun. No file of a checkpoint has such a name.
const BEGUN: &str = ".begun";
/// What files that checkpoints share are below, beside the checkpoints.
const SHARED: &str = "shared";
/// Written and removed to see whether that can be done.
const PROBE: &str = ".probe";

/// The checkpoints of one job in an object store, or one savepoint. See the [crate].
///
/// Clones are the same storage, and several threads may use it. Calls block.
#[derive(Clone, Debug)]
pub struct Storage {
    objects: Objects,
    prefix: Path,
    /// Whether there is one checkpoint, right below the prefix, whatever its number.
    single: bool,
}

/// What there is of a checkpoint.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Storage {
    /// The storage of a job below a prefix.
    ///
    /// # Errors
    /// [`StorageError`] if objects cannot be written there, with what helps.
    pub fn open(objects: &Objects, prefix: &str, job: &str) -> Result<Self, StorageError> {
        let prefix = Path::from(format!("{prefix}/{job}"));
        if !is_file_name(job) {
            let what = "a job needs a name of letters, digits, `-`, `_` and `.` that begins with a \
                        letter or digit; give it another";
            let cause = Cause::Invalid { what };
            let path = objects.show(&prefix);
            return Err(StorageError { operation: Operation::Open, path, cause });
        }
        let probe = prefix.clone().join(PROBE);
        let tried = objects.look(&prefix).and_then(|()| objects.put(&probe, Vec::new()));
        let tried = tried.and_then(|()| objects.remove(&probe));
        tried.map_err(|error| objects.error(Operation::Open, &prefix, &error))?;
        Ok(Self { objects: objects.clone(), prefix, single: false })
    }

    /// The storage of one savepoint, or of one checkpoint of any job, below this prefix.
    pub fn savepoint(objects: &Objects, prefix: &str) -> Self {
        Self { objects: objects.clone(), prefix: Path::from(prefix), single: true }
    }

    /// Reads the [savepoint](Self::savepoint), and verifies its files with as much `care`.
    ///
    /// # Errors
    /// [`Refused`] if there is none, or it is not whole.
    pub fn restore_only(&self, care: Care) -> Result<Restored, Refused> {
        let read = self.read_manifest(0).and_then(|bytes| Restored::read_any(&bytes));
        let restored = read.map_err(|reason| self.refuse(0, reason))?;
        self.verify_all(&restored.manifest, care)?;
        Ok(restored)
    }

    /// A checkpoint that this is the [storage](Self::savepoint) of is not needed any more, nor are those of
    /// the files that it shares which no other checkpoint of its job refers to. That holds if the job that
    /// took it runs no more.
    ///
    /// # Errors
    /// [`StorageError`] if something is still there.
    pub fn discard_claimed(&self, manifest: &Manifest) -> Result<(), StorageError> {
        self.discard(manifest.checkpoint)?;
        let shared = manifest.files.iter().filter(|file| is_shared(&file.name));
        let mut names: Vec<String> = shared.map(|file| file.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let job = Self { objects: self.objects.clone(), prefix: self.beside(), single: false };
        let references = job.references()?;
        names.retain(|name| !references.has_unreadable() && !references.is_used(name));
        job.unshare(&names)
    }

    /// What the files are below that checkpoints share, without the last part.
    fn beside(&self) -> Path {
        let count = self.prefix.parts().count();
        match self.single {
            true => self.prefix.parts().take(count.saturating_sub(1)).collect(),
            false => self.prefix.clone(),
        }
    }

    /// What a checkpoint is called, as an URL.
    pub fn directory(&self, checkpoint: u64) -> String {
        self.objects.show(&self.path(checkpoint))
    }

    fn path(&self, checkpoint: u64) -> Path {
        match self.single {
            true => self.prefix.clone(),
            false => self.prefix.clone().join(format!("{CHECKPOINT}{checkpoint}")),
        }
    }

    fn object(&self, checkpoint: u64, name: &str) -> Path {
        match is_shared(name) {
            true => self.beside().join(SHARED).join(name),
            false => self.path(checkpoint).join(name),
        }
    }

    fn fail(&self, operation: Operation, path: &Path, cause: Cause) -> StorageError {
        StorageError { operation, path: self.objects.show(path), cause }
    }

    /// Whether there is an object of a checkpoint.
    fn has(&self, operation: Operation, path: &Path) -> Result<Option<u64>, StorageError> {
        self.objects.length(path).map_err(|error| self.objects.error(operation, path, &error))
    }

    /// Fails if a checkpoint was not begun, or is complete.
    fn check_open(&self, operation: Operation, checkpoint: u64) -> Result<(), StorageError> {
        let path = self.path(checkpoint);
        if self.has(operation, &self.object(checkpoint, BEGUN))?.is_none() {
            return Err(self.fail(operation, &path, Cause::NotFound));
        }
        match self.has(operation, &self.object(checkpoint, METADATA))? {
            Some(_) => Err(self.fail(operation, &path, Cause::Exists)),
            None => Ok(()),
        }
    }

    fn read_manifest(&self, checkpoint: u64) -> Result<Vec<u8>, Refusal> {
        let path = self.object(checkpoint, METADATA);
        let objects = &self.objects;
        let read = objects.wait(async { objects.store().get(&path).await?.bytes().await });
        let read = read.map_err(|error| objects.error(Operation::Read, &path, &error));
        read.map(Vec::from).map_err(Refusal::Storage)
    }

    /// The objects of all checkpoints, by number.
    fn all(&self) -> Result<BTreeMap<u64, Names>, StorageError> {
        let mut all: BTreeMap<u64, Names> = BTreeMap::new();
        let listed = self.objects.list(&self.prefix);
        let fail = |error| self.objects.error(Operation::List, &self.prefix, &error);
        for (path, _) in listed.map_err(fail)? {
            let Some(parts) = path.prefix_match(&self.prefix) else { continue };
            let parts: Vec<_> = parts.collect();
            let [checkpoint, name] = &parts[..] else { continue };
            let checkpoint = checkpoint.as_ref();
            let id = checkpoint.strip_prefix(CHECKPOINT).and_then(|id| id.parse::<u64>().ok());
            // `chk-007` is not ours.
            if let Some(id) = id.filter(|id| format!("{CHECKPOINT}{id}") == checkpoint) {
                all.entry(id).or_default().0.insert(name.as_ref().to_owned());
            }
        }
        Ok(all)
    }

    /// Those of which `is` holds, ascending.
    fn those(&self, is: impl Fn(&Names) -> bool) -> Result<Vec<u64>, StorageError> {
        if self.single {
            let number = self.read_manifest(0).and_then(|bytes| Restored::read_any(&bytes)).ok();
            let is_complete = is(&Names::of([METADATA, BEGUN]));
            let number = number.map(|restored| restored.manifest.checkpoint);
            return Ok(number.filter(|_| is_complete).into_iter().collect());
        }
        let all = self.all()?;
        Ok(all.into_iter().filter(|(_, names)| is(names)).map(|(id, _)| id).collect())
    }

    /// Removes objects of a checkpoint: those that nobody may find first.
    fn remove(&self, checkpoint: u64, keep: &str) -> Result<(), StorageError> {
        let path = self.path(checkpoint);
        let fail = |error| self.objects.error(Operation::Discard, &path, &error);
        let first = [METADATA, BEGUN].into_iter().filter(|name| *name != keep);
        for name in first {
            self.objects.remove(&self.object(checkpoint, name)).map_err(fail)?;
        }
        for (object, _) in self.objects.list(&path).map_err(fail)? {
            let is_own = object.prefix_match(&path).is_some_and(|parts| parts.count() == 1);
            if is_own && object.filename() != Some(keep) {
                self.objects.remove(&object).map_err(fail)?;
            }
        }
        Ok(())
    }
}

impl Names {
    fn of<const N: usize>(names: [&str; N]) -> Self {
        Self(names.map(String::from).into())
    }

    fn is_complete(&self) -> bool {
        self.0.contains(METADATA)
    }

    fn is_unfinished(&self) -> bool {
        self.0.contains(BEGUN) && !self.is_complete()
    }
}

impl CheckpointStorage for Storage {
    type File = StateFile;

    fn begin(&self, checkpoint: u64) -> Result<(), StorageError> {
        let begun = self.object(checkpoint, BEGUN);
        let path = self.path(checkpoint);
        let created = self.objects.create(&begun, Vec::new());
        created.map_err(|error| self.objects.error(Operation::Begin, &path, &error))?;
        // What a task wrote to one of this number that was discarded.
        self.remove(checkpoint, BEGUN)
    }

    fn create(&self, checkpoint: u64, name: &str) -> Result<StateFile, StorageError> {
        let path = self.object(checkpoint, name);
        if !is_file_name(name) || is_shared(name) {
            let what = "no file of a checkpoint can have such a name";
            return Err(self.fail(Operation::Create, &path, Cause::Invalid { what }));
        }
        let marker = self.object(checkpoint, BEGUN);
        if self.has(Operation::Create, &marker)?.is_none() {
            return Err(self.fail(Operation::Create, &path, Cause::NotFound));
        }
        if self.has(Operation::Create, &path)?.is_some() {
            return Err(self.fail(Operation::Create, &path, Cause::Exists));
        }
        Ok(StateFile::new(self.objects.clone(), path, Some(marker), name.into()))
    }

    fn share(&self, name: &str) -> Result<StateFile, StorageError> {
        let path = self.beside().join(SHARED).join(name);
        let invalid = match (is_shared(name), self.single) {
            (false, _) => Some("no file that checkpoints share can have such a name"),
            (true, true) => Some("a savepoint has all that it needs in itself"),
            (true, false) => None,
        };
        if let Some(what) = invalid {
            return Err(self.fail(Operation::Create, &path, Cause::Invalid { what }));
        }
        if self.has(Operation::Create, &path)?.is_some() {
            return Err(self.fail(Operation::Create, &path, Cause::Exists));
        }
        Ok(StateFile::new(self.objects.clone(), path, None, name.into()))
    }

    fn shared(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        let path = self.beside().join(SHARED);
        let listed = self.objects.list(&path);
        let listed = listed.map_err(|error| self.objects.error(Operation::List, &path, &error))?;
        let own = listed.into_iter().filter_map(|(object, length)| {
            let name = object.filename().filter(|name| path.clone().join(*name) == object)?;
            is_shared(name).then(|| (name.to_owned(), length))
        });
        Ok(own.collect())
    }

    fn unshare(&self, names: &[String]) -> Result<(), StorageError> {
        // They are not a savepoint's.
        let own = names.iter().filter(|name| is_shared(name) && !self.single);
        let paths: Vec<Path> = own.map(|name| self.object(0, name)).collect();
        let removed = self.objects.remove_all(&paths);
        removed.map_err(|(path, error)| self.objects.error(Operation::Discard, &path, &error))
    }

    fn complete(&self, manifest: &Manifest) -> Result<(), StorageError> {
        let checkpoint = manifest.checkpoint;
        let operation = Operation::Complete;
        self.check_open(operation, checkpoint)?;
        let is_any_shared = manifest.files.iter().any(|file| is_shared(&file.name));
        let shared = if is_any_shared { self.shared()? } else { BTreeMap::new() };
        for file in &manifest.files {
            let path = self.object(checkpoint, &file.name);
            if !is_file_name(&file.name) {
                let what = "no file of a checkpoint can have such a name";
                return Err(self.fail(operation, &path, Cause::Invalid { what }));
            }
            let found = match is_shared(&file.name) {
                true => shared.get(&file.name).copied(),
                false => self.has(operation, &path)?,
            };
            let found = found.ok_or_else(|| self.fail(operation, &path, Cause::NotFound))?;
            if found != file.length {
                let cause = Cause::Length { expected: file.length, found };
                return Err(self.fail(operation, &path, cause));
            }
        }
        let bytes = manifest.encode();
        let path = self.path(checkpoint);
        // What cannot be read must not be written.
        Manifest::decode(&bytes)
            .map_err(|error| self.fail(operation, &path, Cause::Invalid { what: error.what }))?;
        let metadata = self.object(checkpoint, METADATA);
        let created = self.objects.create(&metadata, bytes);
        created.map_err(|error| self.objects.error(operation, &path, &error))
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        self.those(Names::is_complete)
    }

    fn unfinished(&self) -> Result<Vec<u64>, StorageError> {
        self.those(Names::is_unfinished)
    }

    fn metadata(&self, checkpoint: u64) -> Result<Restored, Refused> {
        let read = self.read_manifest(checkpoint);
        let restored = read.and_then(|bytes| Restored::read(checkpoint, &bytes));
        restored.map_err(|reason| self.refuse(checkpoint, reason))
    }

    fn verify(&self, checkpoint: u64, file: &manifest::File) -> Result<(), Refused> {
        let path = self.object(checkpoint, &file.name);
        let objects = &self.objects;
        let summed = objects.wait(async {
            let found = objects.store().get(&path).await?;
            let mut checksum = Checksum::new();
            // One of another length is not read.
            if found.meta.size == file.length {
                let mut bytes = found.into_stream();
                while let Some(bytes) = bytes.try_next().await? {
                    checksum.update(&bytes);
                }
                return Ok((checksum.length(), checksum.value()));
            }
            Ok((found.meta.size, checksum.value()))
        });
        let verified = summed.map_err(|error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => Refusal::Missing { file: file.name.clone() },
            error => Refusal::Storage(objects.error(Operation::Read, &path, &error)),
        });
        let verified = verified.and_then(|(length, checksum)| file.verify(length, checksum));
        verified.map_err(|reason| self.refuse(checkpoint, reason))
    }

    fn refuse(&self, checkpoint: u64, reason: Refusal) -> Refused {
        Refused { checkpoint, path: self.directory(checkpoint), reason }
    }

    fn read(
        &self,
        checkpoint: u64,
        handle: &Handle,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), StorageError> {
        let path = self.object(checkpoint, &handle.file);
        let fail = |cause| self.fail(Operation::Read, &path, cause);
        if !is_file_name(&handle.file) {
            let what = "no file of a checkpoint can have such a name";
            return Err(fail(Cause::Invalid { what }));
        }
        let at = handle.locate(offset, into.len()).map_err(fail)?;
        if into.is_empty() {
            return Ok(());
        }
        let end = at.saturating_add(into.len() as u64);
        let objects = &self.objects;
        let range = Some(GetRange::Bounded(at..end));
        let read = objects.wait(async {
            let options = GetOptions::new().with_range(range);
            objects.store().get_opts(&path, options).await?.bytes().await
        });
        if let Ok(bytes) = &read
            && bytes.len() == into.len()
        {
            into.copy_from_slice(bytes);
            return Ok(());
        }
        // It ends before, or there is none: whichever the store made of that.
        let found = self.has(Operation::Read, &path)?.ok_or_else(|| fail(Cause::NotFound))?;
        match read {
            Err(error) if found >= end => Err(objects.error(Operation::Read, &path, &error)),
            _ => Err(fail(Cause::Length { expected: end, found })),
        }
    }

    fn discard(&self, checkpoint: u64) -> Result<(), StorageError> {
        self.remove(checkpoint, "")
    }

    fn clean(&self) -> Result<Vec<u64>, StorageError> {
        let unfinished = self.unfinished()?;
        for checkpoint in &unfinished {
            self.discard(*checkpoint)?;
        }
        // What was written to a checkpoint after it was discarded.
        let left = self.those(|names| !names.is_complete() && !names.is_unfinished())?;
        for checkpoint in left {
            self.discard(checkpoint)?;
        }
        Ok(unfinished)
    }
}
