//! State that a checkpoint has in files: the chunk that names them.
//!
//! A backend whose state is in files that never change need not write them into a checkpoint: it says
//! which ones they are, and whoever keeps the checkpoint keeps those. That is one chunk, under the number
//! [`FILES`] beside those of states. Its first entry is the backend's own
//! [manifest](StateFiles::manifest), without a key; then each file has one, whose key is its number, 64 bits, and
//! whose value is length and checksum, 64 bits each.

use alloc::vec::Vec;

use crate::format::{self, Chunk, FormatError, ReadChunk};

/// The number under which a snapshot has files, beside those of states.
pub const FILES: u16 = u16::MAX - 2;

/// A file that is state: durable, and never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Its number, among all files of a job.
    pub number: u64,
    /// Bytes.
    pub length: u64,
    /// The [stable hash](millstream_data::hash) of all of them.
    pub checksum: u64,
}

/// The state of a subtask, in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFiles {
    /// What the backend needs to open them.
    pub manifest: Vec<u8>,
    /// All of them.
    pub files: Vec<StateFile>,
}

impl StateFiles {
    /// Appends a chunk that names them. `group` is any key group of the subtask.
    pub fn write(&self, group: u32, out: &mut Vec<u8>) {
        let mut chunk = Chunk::begin(FILES, group, out);
        chunk.whole(&[], &[], &self.manifest);
        for file in &self.files {
            let value = [file.length, file.checksum].map(u64::to_le_bytes);
            chunk.whole(&file.number.to_le_bytes(), &[], value.as_flattened());
        }
        chunk.end();
    }

    /// Reads a chunk that names files.
    ///
    /// # Errors
    /// [`FormatError`] if it is none.
    pub fn read(chunk: &ReadChunk<'_>) -> Result<Self, FormatError> {
        let wrong = |what| FormatError { offset: 0, what };
        let mut entries = chunk.entries();
        let manifest = entries.next().filter(|entry| chunk.state == FILES && entry.key.is_empty());
        let manifest = manifest.ok_or_else(|| wrong("no files of state begin like this"))?;
        let mut files = Vec::new();
        for entry in entries {
            let number = entry.key.try_into().map(u64::from_le_bytes);
            let numbers = entry.value.as_chunks::<8>();
            let (Ok(number), ([length, checksum], [])) = (number, numbers) else {
                return Err(wrong("a file of state has no length and checksum"));
            };
            let [length, checksum] = [length, checksum].map(|bytes| u64::from_le_bytes(*bytes));
            files.push(StateFile { number, length, checksum });
        }
        Ok(Self { manifest: manifest.value.to_vec(), files })
    }

    /// What the first chunk of a snapshot that names files says, if there is one. Of other chunks nothing
    /// but the headers is looked at.
    ///
    /// # Errors
    /// [`FormatError`] if it is damaged.
    pub fn find(snapshot: &[u8]) -> Result<Option<Self>, FormatError> {
        let Some(offset) = find(snapshot) else { return Ok(None) };
        let (chunk, _) = ReadChunk::read(snapshot, offset)?;
        Self::read(&chunk).map(Some)
    }
}

/// What all chunks that name files say, of snapshots one behind the other.
///
/// # Errors
/// [`FormatError`] if one is damaged.
pub fn named_files(snapshots: &[u8]) -> Result<Vec<StateFiles>, FormatError> {
    let mut named = Vec::new();
    let mut offset = 0;
    while let Some(at) = find_from(snapshots, offset) {
        let (chunk, next) = ReadChunk::read(snapshots, at)?;
        named.push(StateFiles::read(&chunk)?);
        offset = next;
    }
    Ok(named)
}

/// Whether any chunk of a snapshot names files.
pub fn has_files(snapshot: &[u8]) -> bool {
    find(snapshot).is_some()
}

/// Where the first chunk begins that names files.
fn find(snapshot: &[u8]) -> Option<usize> {
    find_from(snapshot, 0)
}

/// Where the first such chunk begins behind those in front of `offset`.
fn find_from(snapshot: &[u8], offset: usize) -> Option<usize> {
    let mut offset = offset;
    loop {
        let rest = snapshot.get(offset..)?;
        if format::chunk_state(rest)? == FILES {
            return Some(offset);
        }
        offset = offset.checked_add(usize::try_from(format::chunk_length(rest)?).ok()?)?;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn what_is_named_is_read_and_found_behind_other_chunks() {
        let file = |number| StateFile { number, length: 1 << 40, checksum: 3 };
        let files =
            StateFiles { manifest: b"manifest".to_vec(), files: vec![file(1 << 60), file(2)] };
        let mut out = Vec::new();
        files.write(7, &mut out);
        assert_eq!(StateFiles::find(&out), Ok(Some(files.clone())));
        let mut other = Vec::new();
        let mut chunk = Chunk::begin(0, 7, &mut other);
        chunk.whole(b"key", b"", b"value");
        chunk.end();
        assert_eq!(StateFiles::find(&other), Ok(None));
        assert_eq!(StateFiles::find(&[&other[..], &out].concat()), Ok(Some(files.clone())));
        let both = [&out[..], &other, &out].concat();
        assert_eq!(named_files(&both), Ok(vec![files.clone(), files]));
        assert_eq!(named_files(&other), Ok(vec![]));
        assert!(!has_files(&[&other[..other.len() - 1], &out].concat()), "the first is cut");
        for at in 0..out.len() {
            let mut bad = out.clone();
            bad[at] ^= 1;
            assert!(!matches!(StateFiles::find(&bad), Ok(Some(_))), "byte {at}");
        }
    }
}
