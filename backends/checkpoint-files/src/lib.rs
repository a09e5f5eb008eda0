//! Checkpoints in a local directory, whole or not at all.
//!
//! The directories are those of Flink:
//!
//! ```text
//! <directory>/<job>/chk-7/               a checkpoint
//! <directory>/<job>/chk-7/count-0        a file of state, as many as there are
//! <directory>/<job>/chk-7/_metadata      the manifest
//! <directory>/<job>/shared/shared-1      a file of state that several checkpoints refer to
//! <directory>/<job>/chk-8/               one without a manifest: unfinished, and nothing worth
//! <directory>/<job>/.discarded-6/        on its way out
//! <directory>/<job>/.work-4711-0/        files of state that checkpoints link to
//! ```
//!
//! ```
//! use millstream_checkpoint::{CheckpointStorage, Manifest, manifest::Purpose, storage::StateFile};
//! use millstream_checkpoint_files::Storage;
//!
//! # let directory = std::env::temp_dir().join(format!("millstream-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! let storage = Storage::open(&directory, "flights")?;
//! storage.begin(1)?;
//! let mut file = storage.create(1, "count-0")?;
//! file.append(b"what was counted")?;
//! let files = vec![file.finish()?];
//! // All tasks have finished their files: the manifest says where the state of each is.
//! storage.complete(&Manifest {
//!     checkpoint: 1,
//!     timestamp_ms: 0,
//!     purpose: Purpose::Checkpoint,
//!     job: "flights".into(),
//!     graph_hash: 0,
//!     files,
//!     operators: vec![],
//! })?;
//! let latest = storage.latest()?.restored.expect("it is whole");
//! assert_eq!(latest.permit.checkpoint(), 1);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A savepoint is a directory of its own, wherever its user wants it ([`Storage::savepoint`]): the same
//! files, and nothing else is needed to read it.
//!
//! # In which order
//!
//! A file of state is synchronised when it is finished. The manifest is written under another name and
//! synchronised, then the directories, so that all names are durable; then it gets its name, and the
//! directory is synchronised again. A checkpoint that is discarded gets another name first, so it is gone
//! at once, and tasks that still write to it cannot bring it back.
//!
//! # What is up to others
//!
//! One job writes to its directory at a time. Processes of the job see the same files. A process that
//! has a limit on the size of files ignores `SIGXFSZ`, or it ends where an error would do.
#![forbid(unsafe_code)]

mod directory;
mod error;
mod file;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use millstream_checkpoint::{
    CheckpointStorage, Checksum, Manifest,
    manifest::{self, Handle, is_file_name, is_shared},
    storage::{Care, Cause, METADATA, Operation, Refusal, Refused, Restored, StorageError},
};

use directory::{Job, Savepoint};
use error::{cause, error};

pub use file::StateFile;

/// The manifest before it gets its name.
const UNFINISHED: &str = ".metadata.unfinished";

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// The checkpoints of one job in a directory. See the [crate].
///
/// Clones are the same storage, and several threads may use it. Calls block.
#[derive(Clone, Debug)]
pub struct Storage {
    place: Place,
}

/// Where checkpoints are.
#[derive(Clone, Debug)]
enum Place {
    /// Each in a directory below that of the job.
    Job(Job),
    /// One, whatever its number is, in a directory of its own.
    Savepoint(Savepoint),
}

impl Storage {
    /// The storage of a job below `directory`, which exists. The name of the job is that of a
    /// directory there, see [`is_file_name`].
    ///
    /// # Errors
    /// [`StorageError`] if checkpoints cannot be written there.
    pub fn open(directory: &Path, job: &str) -> Result<Self, StorageError> {
        Ok(Self { place: Place::Job(Job::open(directory, job)?) })
    }

    /// The storage of one savepoint, or of one checkpoint of any job, in this directory, which need not
    /// exist. Nothing is written to find out whether it can be.
    pub fn savepoint(directory: &Path) -> Self {
        Self { place: Place::Savepoint(Savepoint::new(directory)) }
    }

    /// Reads the [savepoint](Self::savepoint), and verifies its files with as much `care`.
    ///
    /// # Errors
    /// [`Refused`] if there is none, or it is not whole.
    pub fn restore_only(&self, care: Care) -> Result<Restored, Refused> {
        let directory = self.directory(0);
        let read = self.read_manifest(&directory);
        let restored = read.and_then(|bytes| Restored::read_any(&bytes));
        let restored = restored.map_err(|reason| self.refuse(0, reason))?;
        self.verify_all(&restored.manifest, care)?;
        Ok(restored)
    }

    /// The directory of a checkpoint.
    pub fn directory(&self, checkpoint: u64) -> PathBuf {
        match &self.place {
            Place::Job(job) => job.checkpoint(checkpoint),
            Place::Savepoint(savepoint) => savepoint.path().into(),
        }
    }

    /// Where a file of a checkpoint is.
    fn file(&self, checkpoint: u64, name: &str) -> PathBuf {
        match (&self.place, is_shared(name)) {
            (Place::Job(job), true) => job.shared().join(name),
            (Place::Savepoint(savepoint), true) => savepoint.beside().shared().join(name),
            _ => self.directory(checkpoint).join(name),
        }
    }

    /// A directory for files that checkpoints will be [linked](Self::link) to, on the same file system;
    /// `None` for a savepoint. It is not made, and removed by [`clean`](CheckpointStorage::clean).
    pub fn work(&self, name: &str) -> Option<PathBuf> {
        match &self.place {
            Place::Job(job) => Some(job.work(name)),
            Place::Savepoint(_) => None,
        }
    }

    /// Gives a checkpoint that was [begun](CheckpointStorage::begin) a file by another name for one
    /// that never changes; it is made durable if it `is_new`. It is copied where files cannot be linked. That
    /// it is there already, by that name, is no error.
    ///
    /// # Errors
    /// [`StorageError`] if that file is not there, or there is no room for it.
    pub fn link(
        &self,
        checkpoint: u64,
        name: &str,
        from: &Path,
        is_new: bool,
    ) -> Result<(), StorageError> {
        let path = self.directory(checkpoint).join(name);
        let fail = |path: &Path, io: &io::Error| error(Operation::Create, path, io);
        if !is_file_name(name) {
            let what = "no file of a checkpoint can have such a name";
            let path = path.display().to_string();
            let cause = Cause::Invalid { what };
            return Err(StorageError { operation: Operation::Create, path, cause });
        }
        if is_new {
            let synchronised = File::open(from).and_then(|file| file.sync_all());
            synchronised.map_err(|io| fail(from, &io))?;
        }
        match fs::hard_link(from, &path) {
            Ok(()) => Ok(()),
            Err(io) if io.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(io) if io.kind() == io::ErrorKind::NotFound => {
                let directory = self.directory(checkpoint);
                Err(fail(if directory.is_dir() { from } else { &directory }, &io))
            }
            Err(_) => fs::copy(from, &path)
                .and_then(|_| File::open(&path)?.sync_all())
                .map_err(|io| fail(&path, &io)),
        }
    }

    fn read_manifest(&self, directory: &Path) -> Result<Vec<u8>, Refusal> {
        let path = directory.join(METADATA);
        let read = fs::read(&path).map_err(|io| error(Operation::Read, &path, &io));
        read.map_err(Refusal::Storage)
    }

    /// Whether all that the manifest lists is there, by its length.
    fn check_files(&self, manifest: &Manifest) -> Result<(), StorageError> {
        let directory = self.directory(manifest.checkpoint);
        for file in &manifest.files {
            if !is_file_name(&file.name) {
                let what = "no file of a checkpoint can have such a name";
                let path = directory.join(&file.name).display().to_string();
                let operation = Operation::Complete;
                return Err(StorageError { operation, path, cause: Cause::Invalid { what } });
            }
            let path = self.file(manifest.checkpoint, &file.name);
            let found = fs::metadata(&path).map_err(|io| error(Operation::Complete, &path, &io))?;
            if found.len() != file.length {
                let cause = Cause::Length { expected: file.length, found: found.len() };
                let path = path.display().to_string();
                return Err(StorageError { operation: Operation::Complete, path, cause });
            }
        }
        Ok(())
    }

    /// Makes the manifest durable, then visible.
    fn publish(&self, directory: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = directory.join(UNFINISHED);
        let metadata = directory.join(METADATA);
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            directory::sync(directory)?;
            if let Some(parent) = directory.parent() {
                directory::sync(parent)?;
            }
            fs::rename(&unfinished, &metadata)
        })();
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        directory::sync(directory).inspect_err(|_| {
            // Whoever is told that it failed must not find it.
            let _ = fs::remove_file(&metadata);
        })
    }
}

impl CheckpointStorage for Storage {
    type File = StateFile;

    fn begin(&self, checkpoint: u64) -> Result<(), StorageError> {
        let directory = self.directory(checkpoint);
        fs::create_dir(&directory).map_err(|io| error(Operation::Begin, &directory, &io))
    }

    fn create(&self, checkpoint: u64, name: &str) -> Result<StateFile, StorageError> {
        StateFile::create(&self.directory(checkpoint), name)
    }

    fn share(&self, name: &str) -> Result<StateFile, StorageError> {
        match &self.place {
            Place::Job(job) => StateFile::share(&job.make_shared()?, name),
            Place::Savepoint(savepoint) => {
                let what = "a savepoint has all that it needs in itself";
                let path = savepoint.path().display().to_string();
                let cause = Cause::Invalid { what };
                Err(StorageError { operation: Operation::Create, path, cause })
            }
        }
    }

    fn shared(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        match &self.place {
            Place::Job(job) => job.list_shared(true),
            Place::Savepoint(savepoint) => savepoint.beside().list_shared(true),
        }
    }

    fn unshare(&self, names: &[String]) -> Result<(), StorageError> {
        match &self.place {
            Place::Job(job) => job.unshare(names.iter().filter(|name| is_shared(name))),
            // They are not the savepoint's.
            Place::Savepoint(_) => Ok(()),
        }
    }

    fn complete(&self, manifest: &Manifest) -> Result<(), StorageError> {
        let directory = self.directory(manifest.checkpoint);
        let fail = |cause| {
            let path = directory.display().to_string();
            StorageError { operation: Operation::Complete, path, cause }
        };
        if !directory.is_dir() {
            return Err(fail(Cause::NotFound));
        }
        if directory.join(METADATA).exists() {
            return Err(fail(Cause::Exists));
        }
        self.check_files(manifest)?;
        let bytes = manifest.encode();
        // What cannot be read must not be written.
        Manifest::decode(&bytes).map_err(|error| fail(Cause::Invalid { what: error.what }))?;
        self.publish(&directory, &bytes).map_err(|io| fail(cause(&io, &directory)))
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        match &self.place {
            Place::Job(job) => job.list(true),
            Place::Savepoint(savepoint) => Ok(savepoint.number().into_iter().collect()),
        }
    }

    fn unfinished(&self) -> Result<Vec<u64>, StorageError> {
        match &self.place {
            Place::Job(job) => job.list(false),
            // Its number is not known before there is a manifest.
            Place::Savepoint(_) => Ok(Vec::new()),
        }
    }

    fn metadata(&self, checkpoint: u64) -> Result<Restored, Refused> {
        let directory = self.directory(checkpoint);
        let read = self.read_manifest(&directory);
        let restored = read.and_then(|bytes| Restored::read(checkpoint, &bytes));
        restored.map_err(|reason| self.refuse(checkpoint, reason))
    }

    fn verify(&self, checkpoint: u64, file: &manifest::File) -> Result<(), Refused> {
        let path = self.file(checkpoint, &file.name);
        let verified = checksum(&path, file.length).map_err(|io| match io.kind() {
            io::ErrorKind::NotFound => Refusal::Missing { file: file.name.clone() },
            _ => Refusal::Storage(error(Operation::Read, &path, &io)),
        });
        let verified = verified.and_then(|(length, checksum)| file.verify(length, checksum));
        verified.map_err(|reason| self.refuse(checkpoint, reason))
    }

    fn verify_each(&self, checkpoint: u64, files: &[&manifest::File]) -> Result<(), Refused> {
        // Where files are in the page cache it is the processor that they wait for.
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let (next, refused) = (AtomicUsize::new(0), Mutex::new(None));
        // Whoever finds one that is damaged stops; all in front of it are somebody's already.
        let verify = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(at) else { return };
                let Err(found) = self.verify(checkpoint, file) else { continue };
                let mut first = refused.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|(before, _)| at < *before) {
                    *first = Some((at, found));
                }
                return;
            }
        };
        thread::scope(|scope| {
            for _ in 1..processors.min(files.len()) {
                scope.spawn(verify);
            }
            verify();
        });
        let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        refused.map_or(Ok(()), |(_, refused)| Err(refused))
    }

    fn refuse(&self, checkpoint: u64, reason: Refusal) -> Refused {
        let path = self.directory(checkpoint).display().to_string();
        Refused { checkpoint, path, reason }
    }

    fn read(
        &self,
        checkpoint: u64,
        handle: &Handle,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), StorageError> {
        let path = self.file(checkpoint, &handle.file);
        let fail = |cause| StorageError {
            operation: Operation::Read,
            path: path.display().to_string(),
            cause,
        };
        if !is_file_name(&handle.file) {
            let what = "no file of a checkpoint can have such a name";
            return Err(fail(Cause::Invalid { what }));
        }
        let at = handle.locate(offset, into.len()).map_err(fail)?;
        let mut file = File::open(&path).map_err(|io| error(Operation::Read, &path, &io))?;
        let found = file.metadata().map_err(|io| error(Operation::Read, &path, &io))?.len();
        let expected = at.saturating_add(into.len() as u64);
        if expected > found {
            return Err(fail(Cause::Length { expected, found }));
        }
        file::read_at(&mut file, at, into).map_err(|io| error(Operation::Read, &path, &io))
    }

    fn discard(&self, checkpoint: u64) -> Result<(), StorageError> {
        match &self.place {
            Place::Job(job) => job.discard(checkpoint),
            Place::Savepoint(savepoint) => savepoint.discard(),
        }
    }

    fn clean(&self) -> Result<Vec<u64>, StorageError> {
        if let Place::Job(job) = &self.place {
            job.remove_discarded()?;
            job.remove_work()?;
            job.unshare(job.list_shared(false)?.keys())?;
        }
        let unfinished = self.unfinished()?;
        for checkpoint in &unfinished {
            self.discard(*checkpoint)?;
        }
        Ok(unfinished)
    }
}

/// Length and checksum of a file. One of another length than expected is not read.
fn checksum(path: &Path, expected: u64) -> io::Result<(u64, u64)> {
    let mut file = OpenOptions::new().read(true).open(path)?;
    let length = file.metadata()?.len();
    let mut checksum = Checksum::new();
    if length != expected {
        return Ok((length, checksum.value()));
    }
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok((checksum.length(), checksum.value())),
            Ok(read) => checksum.update(chunk.get(..read).unwrap_or(&[])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
