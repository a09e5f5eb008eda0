//! Files of state on their way to an object store, where checkpoints share them, and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    hash::{BuildHasher, Hasher},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use millstream_checkpoint::{
    Checksum, TaskId,
    manifest::{self, Handle, SHARED, is_shared},
    storage::{CheckpointStorage, StateFile as _},
};
use millstream_dataflow::TaskError;
use millstream_file_storage::file_name;
use millstream_state::files::StateFile;
use millstream_storage::FileId;

use super::{
    Restore,
    local::Local,
    store::Storage,
    work::{Named, NamedFile, number},
};

/// Files that are on their way at a time, of one process. Each takes a chunk, and a part of an upload of 8 MiB.
const AT_A_TIME: usize = 3;
/// Bytes of a file that are read at a time.
const CHUNK: usize = 1 << 20;

/// A checkpoint that files are to be part of.
pub(super) struct To<'a> {
    pub(super) store: &'a Storage,
    pub(super) local: &'a Local,
    pub(super) checkpoint: u64,
    /// The run is over, so that there will be no such checkpoint.
    pub(super) is_over: &'a AtomicBool,
}

/// The files of state that this process has written to an object store.
#[derive(Debug)]
pub(super) struct Uploads {
    /// What the names of its files begin with, and those of no other process and attempt: one that is not
    /// yet dead overwrites nothing.
    token: String,
    /// Counts uploads: one that fails may be there all the same, so that the next has another name.
    count: AtomicU64,
    /// Files that were there before, by number.
    known: BTreeMap<u64, String>,
    tasks: Mutex<BTreeMap<TaskId, Uploaded>>,
}

/// What is there of a task.
#[derive(Debug, Default)]
struct Uploaded {
    /// By number.
    files: BTreeMap<u64, String>,
    /// Names under which there may be something although that has failed.
    failed: Vec<String>,
}

impl Uploads {
    /// For a job that begins from `restore`, if it does so from a checkpoint of its own: then the files of that
    /// are referred to. Of one that belongs to somebody else files are written anew.
    pub(super) fn new(restore: Option<&Restore>) -> Self {
        let own = restore.filter(|restore| !restore.is_named());
        let files = own.map_or(&[][..], |restore| &restore.manifest().files);
        let shared = files.iter().filter(|file| is_shared(&file.name));
        let known = shared.filter_map(|file| Some((number(&file.name)?.0, file.name.clone())));
        // The standard library's hash is seeded at random.
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self {
            token: format!("{SHARED}{random:016x}"),
            count: AtomicU64::new(0),
            known: known.collect(),
            tasks: Mutex::default(),
        }
    }

    /// Gives a checkpoint names for the files that a task's state consists of, which lie in `directory`;
    /// those that no checkpoint had before are written to where it is.
    pub(super) fn name(
        &self,
        to: &To<'_>,
        task: TaskId,
        files: Vec<StateFile>,
        directory: &Path,
    ) -> Result<Named, String> {
        let mut uploaded = self.tasks().remove(&task).unwrap_or_default();
        let found = self.name_all(to, &mut uploaded, &files, directory);
        let named = found.map(|named| {
            let now: BTreeSet<u64> = files.iter().map(|file| file.number).collect();
            let gone = uploaded.files.extract_if(.., |number, _| !now.contains(number));
            let gone = gone.map(|(_, name)| name).chain(uploaded.failed.drain(..)).collect();
            Named { files: named, gone }
        });
        self.tasks().insert(task, uploaded);
        named
    }

    fn name_all(
        &self,
        to: &To<'_>,
        uploaded: &mut Uploaded,
        files: &[StateFile],
        directory: &Path,
    ) -> Result<Vec<NamedFile>, String> {
        let local = to.local;
        let mut named = Vec::new();
        let mut new = Vec::new();
        for StateFile { number, length, checksum } in files {
            let there = self.known.get(number).or_else(|| uploaded.files.get(number)).cloned();
            let is_new = there.is_none();
            let name = there.unwrap_or_else(|| self.next_name(*number));
            local.name(to.checkpoint, [name.clone()]);
            let file = NamedFile { name, length: *length, checksum: *checksum, is_new };
            // The task may merge it with others at any time, and remove it then.
            if is_new || local.keeps() {
                let from = directory.join(file_name(FileId(*number)));
                let copy = local.copy(&file.name, &from);
                let copy = copy.map_err(|error| format!("{}: {error}", from.display()))?;
                if is_new {
                    new.push((*number, file.clone(), copy));
                }
            }
            named.push(file);
        }
        let done = at_a_time(&new, |(_, file, copy)| {
            let done = to.upload(file, copy);
            if !local.keeps() {
                // One that stays is removed with the directory.
                let _ = fs::remove_file(copy);
            }
            done
        });
        let mut failed = None;
        for ((number, file, _), done) in new.into_iter().zip(done) {
            match done {
                Some(Ok(())) => drop(uploaded.files.insert(number, file.name)),
                Some(Err(reason)) => {
                    uploaded.failed.push(file.name);
                    failed.get_or_insert(reason);
                }
                // Another has failed before this one was begun.
                None => {}
            }
        }
        failed.map_or(Ok(named), Err)
    }

    fn next_name(&self, number: u64) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}{count:x}-{}", self.token, file_name(FileId(number)))
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Uploaded>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl To<'_> {
    /// Writes a file, and compares it with what the task has written.
    fn upload(&self, file: &NamedFile, from: &Path) -> Result<(), String> {
        let read = |error: io::Error| format!("{}: {error}", from.display());
        let mut shared = self.store.share(&file.name).map_err(|error| error.to_string())?;
        let mut source = File::open(from).map_err(read)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return Err("the run is over".into());
            }
            match source.read(&mut chunk).map_err(read)? {
                0 => break,
                length => {
                    let bytes = chunk.get(..length).unwrap_or_default();
                    shared.append(bytes).map_err(|error| error.to_string())?;
                }
            }
        }
        let written = shared.finish().map_err(|error| error.to_string())?;
        if (written.length, written.checksum) == (file.length, file.checksum) {
            return Ok(());
        }
        Err(format!(
            "the file {} was damaged before it was copied: look at the disk",
            from.display()
        ))
    }
}

/// Files of the checkpoint that a job begins from, where tasks find them by number.
#[derive(Debug)]
pub(super) struct Downloads {
    directory: PathBuf,
    /// Whether a checkpoint will refer to what is there, so that it has to be durable.
    is_durable: bool,
    done: Mutex<Done>,
}

/// What was fetched.
#[derive(Debug, Default)]
struct Done {
    numbers: BTreeSet<u64>,
    copied: Amount,
    downloaded: Amount,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    files: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl Downloads {
    /// Into this directory.
    pub(super) fn new(directory: PathBuf, is_durable: bool) -> Self {
        Self { directory, is_durable, done: Mutex::default() }
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Fetches files of a checkpoint that are not there yet: from a local copy that is whole, or else from
    /// where the checkpoint is.
    pub(super) fn fetch(
        &self,
        restore: &Restore,
        local: Option<&Local>,
        files: Vec<manifest::File>,
    ) -> Result<(), TaskError> {
        let mut wanted = Vec::new();
        {
            let done = self.done();
            for file in files {
                let Some(FileId(number)) = number(&file.name) else { continue };
                if !done.numbers.contains(&number) {
                    wanted.push((number, file));
                }
            }
        }
        let failed = |error: io::Error| {
            let directory = self.directory.display();
            TaskError::new(format!("cannot fetch state to {directory}: {error}"))
        };
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let fetched = at_a_time(&wanted, |(number, file)| {
            let to = self.directory.join(file_name(FileId(*number)));
            let is_local = local.is_some_and(|local| take_copy(local, file, &to));
            if !is_local {
                self.download(restore, file, &to)?;
            }
            let mut done = self.done();
            done.numbers.insert(*number);
            let amount = if is_local { &mut done.copied } else { &mut done.downloaded };
            amount.add(file.length);
            Ok(())
        });
        fetched.into_iter().flatten().collect()
    }

    fn download(
        &self,
        restore: &Restore,
        file: &manifest::File,
        to: &Path,
    ) -> Result<(), TaskError> {
        let failed = |error: io::Error| {
            TaskError::new(format!("cannot write state to {}: {error}", to.display()))
        };
        let mut into = File::create(to).map_err(failed)?;
        let handle = Handle { file: file.name.clone(), offset: 0, length: file.length };
        let (mut offset, mut chunk, mut checksum) = (0, vec![0; CHUNK], Checksum::new());
        while offset < file.length {
            let length = (file.length - offset).min(CHUNK as u64) as usize;
            let chunk = chunk.get_mut(..length).unwrap_or_default();
            restore.read(&handle, offset, chunk)?;
            checksum.update(chunk);
            into.write_all(chunk).map_err(failed)?;
            offset += length as u64;
        }
        restore.verify(file, checksum.length(), checksum.value())?;
        if self.is_durable { into.sync_all().map_err(failed) } else { Ok(()) }
    }

    /// Tasks have what they need: says where it came from, and lets go of the names.
    pub(super) fn release(&self) {
        let Done { numbers, copied, downloaded } = std::mem::take(&mut *self.done());
        if !numbers.is_empty() {
            eprintln!(
                "state in files: {} files, {} bytes from local copies, {} files, {} bytes downloaded",
                copied.files, copied.bytes, downloaded.files, downloaded.bytes
            );
        }
        // What stays is removed with the directory.
        let _ = fs::remove_dir_all(&self.directory);
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a local copy of a file, if there is one that is whole.
fn take_copy(local: &Local, file: &manifest::File, to: &Path) -> bool {
    if !local.keeps() {
        return false;
    }
    local.copies(&file.name).into_iter().any(|copy| {
        let verified = checksum(&copy).map_err(|error| error.to_string()).and_then(|found| {
            let (length, checksum) = (found.length(), found.value());
            let refused = file.verify(length, checksum).err();
            refused.map_or(Ok(()), |_| Err("it is damaged".to_owned()))
        });
        let taken = verified.and_then(|()| {
            let _ = fs::remove_file(to);
            let linked = fs::hard_link(&copy, to).or_else(|_| fs::copy(&copy, to).map(|_| ()));
            linked.map_err(|error| error.to_string())
        });
        let copy = copy.display();
        taken
            .inspect_err(|why| eprintln!("warning: the local copy {copy} is passed over: {why}"))
            .is_ok()
    })
}

fn checksum(path: &Path) -> io::Result<Checksum> {
    let (mut file, mut checksum, mut chunk) = (File::open(path)?, Checksum::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(checksum),
            length => checksum.update(chunk.get(..length).unwrap_or_default()),
        }
    }
}

/// Does something with all items, a few at a time; begins no other once one has failed. What came of each,
/// `None` if it was not begun.
fn at_a_time<T: Sync, E: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<(), E> + Sync,
) -> Vec<Option<Result<(), E>>> {
    let next = Mutex::new(items.iter().enumerate());
    let done: Mutex<Vec<Option<Result<(), E>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let work = || {
        loop {
            let item = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, item)) = item else { return };
            let result = each(item);
            if result.is_err() {
                // Others find nothing left to do.
                next.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
            }
            if let Some(done) = done.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
                *done = Some(result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_A_TIME.min(items.len()) {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
