//! The chunks of a state, one at a time, however large the state is.

use millstream_checkpoint::manifest::Place;
use millstream_dataflow::{TaskError, WATERMARKS};
use millstream_state::{
    description::Description,
    files::{FILES, StateFiles},
    format::{HEADER, ReadChunk, chunk_length},
};

use super::describes;
use crate::checkpoint::Restore;

/// What is found in a state.
pub(super) enum Found<'a> {
    /// So many bytes that only the operator understands.
    Opaque(u64),
    /// So many bytes in files of the checkpoint, as the backend of the operator's state has written them.
    Files(u64),
    /// A chunk of so many bytes of what is described; none, if a state is described that has no entries.
    Chunk { description: &'a Description, chunk: Option<&'a ReadChunk<'a>>, bytes: u64 },
}

/// Bytes of a state, chunk after chunk.
pub(super) struct Chunks<'a> {
    restore: &'a Restore,
    place: &'a Place,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(restore: &'a Restore, place: &'a Place) -> Self {
        Self { restore, place }
    }

    /// Hands over what there is, in order.
    pub(super) fn each(
        &self,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let (mut offset, end) = (0, self.place.length());
        let mut descriptions: Vec<Description> = Vec::new();
        let mut window = Window { begin: 0, bytes: Vec::new() };
        while offset < end {
            let header = self.read(offset, (end - offset).min(HEADER as u64), &mut window)?;
            let length = chunk_length(header).filter(|length| *length <= end - offset);
            let Some(length) = length else {
                // What does not begin with a chunk has none; what goes on with none is damaged.
                return match offset {
                    0 => each(Found::Opaque(end)),
                    _ => Err(TaskError::new(format!("there is no chunk at byte {offset}"))),
                };
            };
            let bytes = self.read(offset, length, &mut window)?;
            let wrong = |error: &dyn std::fmt::Display| {
                TaskError::new(format!("the chunk at byte {offset}: {error}"))
            };
            let (chunk, _) = ReadChunk::read(bytes, 0).map_err(|error| wrong(&error))?;
            if describes(chunk.state) {
                for entry in chunk.entries() {
                    let (_, description) =
                        Description::read(&entry).map_err(|error| wrong(&error))?;
                    each(Found::Chunk { description: &description, chunk: None, bytes: 0 })?;
                    descriptions.push(description);
                }
            } else if chunk.state == FILES {
                let named = StateFiles::read(&chunk).map_err(|error| wrong(&error))?;
                each(Found::Files(named.files.iter().map(|file| file.length).sum()))?;
            } else if chunk.state != WATERMARKS {
                let description = descriptions.get(usize::from(chunk.state));
                let description =
                    description.ok_or_else(|| wrong(&"it is of a state that is not described"))?;
                each(Found::Chunk { description, chunk: Some(&chunk), bytes: length })?;
            }
            offset += length;
        }
        Ok(())
    }

    /// Bytes from an offset on, as many as there are in any case. Those of a file are read in larger pieces:
    /// in an object store each is a request.
    fn read<'w>(
        &'w self,
        offset: u64,
        length: u64,
        window: &'w mut Window,
    ) -> Result<&'w [u8], TaskError> {
        let part = |bytes: &'w [u8], begin: u64| {
            let begin = usize::try_from(offset - begin).unwrap_or(usize::MAX);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            bytes.get(begin..begin.saturating_add(length)).unwrap_or(&[])
        };
        let handle = match self.place {
            Place::Inline(bytes) => return Ok(part(bytes, 0)),
            Place::File(handle) => handle,
        };
        let end = window.begin + window.bytes.len() as u64;
        if offset < window.begin || offset + length > end {
            let piece = length.max(PIECE).min(handle.length - offset);
            let bytes = usize::try_from(piece).unwrap_or(usize::MAX);
            *window = Window { begin: offset, bytes: Vec::new() };
            let room = window.bytes.try_reserve_exact(bytes);
            room.map_err(|_| {
                TaskError::new(format!("there is no memory for {bytes} bytes of it"))
            })?;
            window.bytes.resize(bytes, 0);
            self.restore.read(handle, offset, &mut window.bytes)?;
        }
        Ok(part(&window.bytes, window.begin))
    }
}

/// What was read of a file.
struct Window {
    begin: u64,
    bytes: Vec<u8>,
}

/// Bytes of a file that are read at a time, at least.
const PIECE: u64 = 1 << 20;
