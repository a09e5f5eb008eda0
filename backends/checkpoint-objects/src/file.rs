//! A file of state that is being written.

use millstream_checkpoint::{
    Checksum, manifest,
    storage::{self, Cause, Operation, StorageError},
};
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, path::Path};

use crate::Objects;

/// Bytes of a part of a large object: S3 wants at least 5 MiB, and at most 10,000 parts, which is 78 GiB.
const PART: usize = 8 << 20;

/// A file of state that is being written. What fits a part is one request, more is an upload in parts.
pub struct StateFile {
    objects: Objects,
    path: Path,
    /// What has to be there, so that the checkpoint was not discarded, if it is a file of one.
    marker: Option<Path>,
    name: String,
    checksum: Checksum,
    /// What was not sent yet.
    part: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl std::fmt::Debug for StateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl StateFile {
    pub(crate) fn new(objects: Objects, path: Path, marker: Option<Path>, name: String) -> Self {
        let (checksum, part) = (Checksum::new(), Vec::new());
        Self { objects, path, marker, name, checksum, part, upload: None }
    }

    fn error(&self, error: &object_store::Error) -> StorageError {
        self.objects.error(Operation::Write, &self.path, error)
    }

    /// Sends what was gathered as a part.
    fn send(&mut self) -> Result<(), StorageError> {
        if self.upload.is_none() {
            let begun = self.objects.wait(self.objects.store().put_multipart(&self.path));
            self.upload = Some(begun.map_err(|error| self.error(&error))?);
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let part = PutPayload::from(std::mem::take(&mut self.part));
        let sent = self.objects.wait(upload.put_part(part));
        sent.map_err(|error| self.error(&error))
    }
}

impl storage::StateFile for StateFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.checksum.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PART - self.part.len()));
            self.part.extend_from_slice(now);
            rest = later;
            if self.part.len() == PART {
                self.send()?;
            }
        }
        Ok(())
    }

    fn length(&self) -> u64 {
        self.checksum.length()
    }

    fn finish(mut self) -> Result<manifest::File, StorageError> {
        let marker = self.marker.as_ref().map(|marker| self.objects.length(marker));
        let begun = marker.transpose().map_err(|error| self.error(&error))?;
        if begun == Some(None) {
            let path = self.objects.show(&self.path);
            return Err(StorageError { operation: Operation::Write, path, cause: Cause::NotFound });
        }
        if self.upload.is_some() {
            if !self.part.is_empty() {
                self.send()?;
            }
            if let Some(mut upload) = self.upload.take() {
                let completed = self.objects.wait(upload.complete());
                completed.map_err(|error| self.error(&error))?;
            }
        } else {
            let bytes = std::mem::take(&mut self.part);
            self.objects.put(&self.path, bytes).map_err(|error| self.error(&error))?;
        }
        let (length, checksum) = (self.checksum.length(), self.checksum.value());
        Ok(manifest::File { name: std::mem::take(&mut self.name), length, checksum })
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // Stores remove what was not completed after a while, too, if they are told to.
            let _ = self.objects.wait(upload.abort());
        }
    }
}
