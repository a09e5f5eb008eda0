//! A file of state that is being written.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use millstream_checkpoint::{
    Checksum,
    manifest::{self, is_file_name},
    storage::{self, Cause, Operation, StorageError},
};

use crate::error::error;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 64 << 10;

/// A file of state that is being written.
#[derive(Debug)]
pub struct StateFile {
    file: BufWriter<File>,
    path: PathBuf,
    name: String,
    checksum: Checksum,
}

impl StateFile {
    pub(crate) fn create(directory: &Path, name: &str) -> Result<Self, StorageError> {
        let path = directory.join(name);
        if !is_file_name(name) {
            let what = "no file of a checkpoint can have such a name";
            let path = path.display().to_string();
            let cause = Cause::Invalid { what };
            return Err(StorageError { operation: Operation::Create, path, cause });
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|io| error(Operation::Create, &path, &io))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { file, path, name: name.into(), checksum: Checksum::new() })
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
