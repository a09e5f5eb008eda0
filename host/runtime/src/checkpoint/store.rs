//! Where checkpoints are kept: in a local directory, or in an object store. Paths say which: `s3://...` is an
//! object store, everything else, and `file://...`, a directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use millstream_checkpoint::{
    CheckpointStorage, Manifest,
    manifest::{File, Handle},
    storage::{self, Care, Refusal, Refused, Restored, StorageError},
};
use millstream_checkpoint_files as files;
use millstream_checkpoint_objects as objects;
use millstream_dataflow::TaskError;

/// Where checkpoints are kept, or one savepoint.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// In a local directory.
    Files(files::Storage),
    /// In an object store.
    Objects(objects::Storage),
}

/// A file that is being written.
pub(crate) enum StateFile {
    File(Box<files::StateFile>),
    Object(Box<objects::StateFile>),
}

impl Storage {
    /// The checkpoints of a job; the directory is made if need be.
    pub(crate) fn open(directory: &Path, job: &str) -> Result<Self, StorageError> {
        match Place::of(directory) {
            Place::Local(directory) => {
                // If that fails, opening says what is wrong.
                let _ = fs::create_dir_all(directory);
                Ok(Self::Files(files::Storage::open(directory, job)?))
            }
            Place::Url(url) => {
                let (objects, prefix) = connect(url)?;
                Ok(Self::Objects(objects::Storage::open(&objects, prefix, job)?))
            }
        }
    }

    /// A savepoint that is to be written; what it lies in is made if need be.
    pub(crate) fn savepoint(path: &Path) -> Result<Self, StorageError> {
        match Place::of(path) {
            Place::Local(path) => {
                if let Some(savepoints) = path.parent() {
                    // If that fails, beginning says what is wrong.
                    let _ = fs::create_dir_all(savepoints);
                }
                Ok(Self::Files(files::Storage::savepoint(path)))
            }
            Place::Url(url) => {
                let (objects, prefix) = connect(url)?;
                Ok(Self::Objects(objects::Storage::savepoint(&objects, prefix)))
            }
        }
    }

    /// A savepoint or checkpoint that is there, whatever its number, with what it consists of, which is
    /// verified with as much `care`.
    pub(crate) fn existing(path: &Path, care: Care) -> Result<(Self, Restored), TaskError> {
        let failed = |error: &dyn std::fmt::Display| TaskError::new(error.to_string());
        if let Place::Local(path) = Place::of(path)
            && !path.is_dir()
        {
            let path = path.display();
            return Err(TaskError::new(format!(
                "there is no checkpoint or savepoint to begin from in {path}: name the directory of one, \
                 such as DIR/JOB/chk-7"
            )));
        }
        let store = Self::savepoint(path).map_err(|error| failed(&error))?;
        let restored = match &store {
            Self::Files(files) => files.restore_only(care),
            Self::Objects(objects) => objects.restore_only(care),
        };
        let restored = restored.map_err(|error| failed(&error))?;
        Ok((store, restored))
    }

    /// Whether a path is a local directory.
    pub(crate) fn is_local(path: &Path) -> bool {
        matches!(Place::of(path), Place::Local(_))
    }

    /// Whether two paths are the same place.
    pub(crate) fn same(one: &Path, other: &Path) -> bool {
        let place = |path: &Path| Self::savepoint(path).map(|store| store.directory(0));
        one == other || matches!((place(one), place(other)), (Ok(a), Ok(b)) if a == b)
    }

    /// A directory for files that checkpoints will be [linked](Self::link) to; `None` if none can be.
    pub(crate) fn work(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Files(files) => files.work(name),
            Self::Objects(_) => None,
        }
    }

    /// Gives a checkpoint another name for a file that never changes, and makes it durable if it `is_new`.
    pub(crate) fn link(
        &self,
        checkpoint: u64,
        name: &str,
        from: &Path,
        is_new: bool,
    ) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.link(checkpoint, name, from, is_new),
            Self::Objects(objects) => {
                let what = "files of state cannot be linked to an object store";
                let path = objects.directory(checkpoint);
                let cause = storage::Cause::Invalid { what };
                Err(StorageError { operation: storage::Operation::Create, path, cause })
            }
        }
    }

    /// Removes a checkpoint that was [there](Self::existing), and what only it has.
    pub(crate) fn discard_claimed(&self, manifest: &Manifest) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.discard(manifest.checkpoint),
            Self::Objects(objects) => objects.discard_claimed(manifest),
        }
    }

    /// The directory of a checkpoint, or its URL: what [`existing`](Self::existing) takes.
    pub(crate) fn directory(&self, checkpoint: u64) -> PathBuf {
        match self {
            Self::Files(files) => files.directory(checkpoint),
            Self::Objects(objects) => objects.directory(checkpoint).into(),
        }
    }
}

/// A path, by what it means.
enum Place<'a> {
    Local(&'a Path),
    Url(&'a str),
}

impl<'a> Place<'a> {
    fn of(path: &'a Path) -> Self {
        match path.to_str() {
            Some(text) => match text.strip_prefix("file://") {
                Some(local) => Self::Local(Path::new(local)),
                None if text.contains("://") => Self::Url(text),
                None => Self::Local(path),
            },
            None => Self::Local(path),
        }
    }
}

fn connect(url: &str) -> Result<(objects::Objects, &str), StorageError> {
    let objects = objects::Objects::connect(url)?;
    let (_, prefix) = objects::split_url(url).unwrap_or_default();
    Ok((objects, prefix))
}

/// Asks whichever it is.
macro_rules! either {
    ($self:ident, $storage:ident => $call:expr) => {
        match $self {
            Self::Files($storage) => $call,
            Self::Objects($storage) => $call,
        }
    };
}

impl CheckpointStorage for Storage {
    type File = StateFile;

    fn begin(&self, checkpoint: u64) -> Result<(), StorageError> {
        either!(self, storage => storage.begin(checkpoint))
    }

    fn create(&self, checkpoint: u64, name: &str) -> Result<StateFile, StorageError> {
        Ok(match self {
            Self::Files(files) => StateFile::File(Box::new(files.create(checkpoint, name)?)),
            Self::Objects(objects) => {
                StateFile::Object(Box::new(objects.create(checkpoint, name)?))
            }
        })
    }

    fn share(&self, name: &str) -> Result<StateFile, StorageError> {
        Ok(match self {
            Self::Files(files) => StateFile::File(Box::new(files.share(name)?)),
            Self::Objects(objects) => StateFile::Object(Box::new(objects.share(name)?)),
        })
    }

    fn shared(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        either!(self, storage => storage.shared())
    }

    fn unshare(&self, names: &[String]) -> Result<(), StorageError> {
        either!(self, storage => storage.unshare(names))
    }

    fn complete(&self, manifest: &Manifest) -> Result<(), StorageError> {
        either!(self, storage => storage.complete(manifest))
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        either!(self, storage => storage.list())
    }

    fn unfinished(&self) -> Result<Vec<u64>, StorageError> {
        either!(self, storage => storage.unfinished())
    }

    fn metadata(&self, checkpoint: u64) -> Result<Restored, Refused> {
        either!(self, storage => storage.metadata(checkpoint))
    }

    fn verify(&self, checkpoint: u64, file: &File) -> Result<(), Refused> {
        either!(self, storage => storage.verify(checkpoint, file))
    }

    fn refuse(&self, checkpoint: u64, reason: Refusal) -> Refused {
        either!(self, storage => storage.refuse(checkpoint, reason))
    }

    fn read(
        &self,
        checkpoint: u64,
        handle: &Handle,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), StorageError> {
        either!(self, storage => storage.read(checkpoint, handle, offset, into))
    }

    fn discard(&self, checkpoint: u64) -> Result<(), StorageError> {
        either!(self, storage => storage.discard(checkpoint))
    }

    fn clean(&self) -> Result<Vec<u64>, StorageError> {
        either!(self, storage => storage.clean())
    }
}

impl storage::StateFile for StateFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.append(bytes),
            Self::Object(object) => object.append(bytes),
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::File(file) => file.length(),
            Self::Object(object) => object.length(),
        }
    }

    fn finish(self) -> Result<File, StorageError> {
        match self {
            Self::File(file) => file.finish(),
            Self::Object(object) => object.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_where_checkpoints_are() {
        let local = |path: &str| match Place::of(Path::new(path)) {
            Place::Local(path) => Some(path.to_owned()),
            Place::Url(_) => None,
        };
        assert_eq!(local("/a/b"), Some("/a/b".into()));
        assert_eq!(local("file:///a/b"), Some("/a/b".into()));
        assert_eq!(local("relative"), Some("relative".into()));
        assert_eq!(local("s3://bucket/a"), None);
        let refused = Storage::open(Path::new("gs://bucket"), "job").unwrap_err().to_string();
        assert!(refused.contains("s3://BUCKET/PREFIX"), "{refused}");
    }
}
