//! The chunks of a state, one at a time, however large the state is.

use millstream_checkpoint::manifest::Place;
use millstream_dataflow::{TaskError, WATERMARKS};
use millstream_state::{
    description::Description,
    format::{HEADER, ReadChunk, chunk_length},
};

use super::describes;
use crate::checkpoint::Restore;

/// What is found in a state.
pub(super) enum Found<'a> {
    /// So many bytes that only the operator understands.
    Opaque(u64),
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
        let mut buffer = Vec::new();
        while offset < end {
            let header = (end - offset).min(HEADER as u64);
            self.read(offset, header, &mut buffer)?;
            let length = chunk_length(&buffer).filter(|length| *length <= end - offset);
            let Some(length) = length else {
                // What does not begin with a chunk has none; what goes on with none is damaged.
                return match offset {
                    0 => each(Found::Opaque(end)),
                    _ => Err(TaskError::new(format!("there is no chunk at byte {offset}"))),
                };
            };
            self.read(offset, length, &mut buffer)?;
            let wrong = |error: &dyn std::fmt::Display| {
                TaskError::new(format!("the chunk at byte {offset}: {error}"))
            };
            let (chunk, _) = ReadChunk::read(&buffer, 0).map_err(|error| wrong(&error))?;
            if describes(chunk.state) {
                for entry in chunk.entries() {
                    let (_, description) =
                        Description::read(&entry).map_err(|error| wrong(&error))?;
                    each(Found::Chunk { description: &description, chunk: None, bytes: 0 })?;
                    descriptions.push(description);
                }
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

    /// Reads bytes from an offset on, as many as there are in any case.
    fn read(&self, offset: u64, length: u64, into: &mut Vec<u8>) -> Result<(), TaskError> {
        into.clear();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match self.place {
            Place::Inline(bytes) => {
                let begin = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = begin.saturating_add(length);
                into.extend_from_slice(bytes.get(begin..end).unwrap_or(&[]));
                Ok(())
            }
            Place::File(handle) => {
                let room = into.try_reserve_exact(length);
                room.map_err(|_| TaskError::new(format!("a chunk of {length} bytes")))?;
                into.resize(length, 0);
                self.restore.read(handle, offset, into)
            }
        }
    }
}
