//! A file of state that is being written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use millstream_checkpoint::{
    Checksum,
    manifest::{self, is_file_name, is_shared},
    storage::{self, Cause, Operation, StorageError},
};

use crate::{directory, error::error};

/// Stands in front of the name of a shared file that is being written.
pub(crate) const UNFINISHED: &str = ".unfinished-";
/// Bytes that are gathered before they are written.
const BUFFER: usize = 64 << 10;

/// A file of state that is being written.
#[derive(Debug)]
pub struct StateFile {
    file: BufWriter<File>,
    path: PathBuf,
    /// What it is called when it is finished, if not so already.
    to: Option<PathBuf>,
    name: String,
    checksum: Checksum,
}

impl StateFile {
    pub(crate) fn create(directory: &Path, name: &str) -> Result<Self, StorageError> {
        let path = directory.join(name);
        if !is_file_name(name) || is_shared(name) {
            let what = "no file of a checkpoint can have such a name";
            let path = path.display().to_string();
            let cause = Cause::Invalid { what };
            return Err(StorageError { operation: Operation::Create, path, cause });
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|io| error(Operation::Create, &path, &io))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { file, path, to: None, name: name.into(), checksum: Checksum::new() })
    }

    /// A file that checkpoints share, which has its name when it is finished.
    pub(crate) fn share(directory: &Path, name: &str) -> Result<Self, StorageError> {
        let to = directory.join(name);
        let fail = |cause| {
            let path = to.display().to_string();
            StorageError { operation: Operation::Create, path, cause }
        };
        if !is_shared(name) {
            let what = "no file that checkpoints share can have such a name";
            return Err(fail(Cause::Invalid { what }));
        }
        if to.exists() {
            return Err(fail(Cause::Exists));
        }
        let path = directory.join(format!("{UNFINISHED}{name}"));
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = opened.map_err(|io| error(Operation::Create, &path, &io))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { file, path, to: Some(to), name: name.into(), checksum: Checksum::new() })
    }
}

impl storage::StateFile for StateFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let written = self.file.write_all(bytes);
        written.map_err(|io| error(Operation::Write, &self.path, &io))?;
        self.checksum.update(bytes);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.checksum.length()
    }

    fn finish(mut self) -> Result<manifest::File, StorageError> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let written = written.and_then(|()| match &self.to {
            Some(to) => fs::rename(&self.path, to)
                .and_then(|()| to.parent().map_or(Ok(()), directory::sync)),
            None => Ok(()),
        });
        written.map_err(|io| error(Operation::Write, &self.path, &io))?;
        let (length, checksum) = (self.checksum.length(), self.checksum.value());
        Ok(manifest::File { name: self.name, length, checksum })
    }
}

/// Fills `into` with bytes from an offset on.
#[cfg(unix)]
pub(crate) fn read_at(file: &mut File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(into, offset)
}

/// Fills `into` with bytes from an offset on.
#[cfg(not(unix))]
pub(crate) fn read_at(file: &mut File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(into)
}
