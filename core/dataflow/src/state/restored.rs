//! Putting state back from the chunks of a snapshot.

use alloc::{format, vec::Vec};
use core::fmt;

use millstream_state::{
    StateId, files::FILES, format::ReadChunk, restore_driven, time::WATERMARK_MIN,
};

use super::{DESCRIPTIONS, KeyedState, Store, WATERMARK, hash_of, rewritten::Rewritten};
use crate::chain::TaskError;

impl KeyedState {
    /// See [`Chain::restore`](crate::Chain::restore).
    pub(crate) fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.restore_with(chunks, |_, _| Ok(()))
    }

    /// As [`restore`](Self::restore); chunks of states that are [kept elsewhere](Self::keep_elsewhere) go
    /// to `elsewhere`.
    pub(crate) fn restore_with(
        &mut self,
        chunks: &[u8],
        mut elsewhere: impl FnMut(StateId, &ReadChunk<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let mut offset = 0;
        let mut snapshot = Layout { states: self.states.clone(), rewritten: Vec::new() };
        let mut named = Vec::new();
        while offset < chunks.len() {
            let read = ReadChunk::read(chunks, offset);
            let (chunk, next) = read.map_err(|error| TaskError::new(format!("{error}")))?;
            let bytes = chunks.get(offset..next).unwrap_or(&[]);
            offset = next;
            match chunk.state {
                DESCRIPTIONS => {
                    let (states, rewritten) = self.matched(&chunk)?;
                    snapshot = Layout { states, rewritten };
                }
                FILES => self.restore_files(&chunk, &mut snapshot, &mut named, &mut elsewhere)?,
                WATERMARK => self.restore_watermark(&chunk),
                _ => self.restore_chunk(&chunk, bytes, &mut snapshot, &mut elsewhere)?,
            }
        }
        self.open_files(&named)
    }

    /// Puts a chunk with entries of one state back.
    pub(super) fn restore_chunk(
        &mut self,
        chunk: &ReadChunk<'_>,
        bytes: &[u8],
        snapshot: &mut Layout,
        elsewhere: &mut Elsewhere<'_>,
    ) -> Result<(), TaskError> {
        let wrong = |error: &dyn fmt::Display| TaskError::new(format!("{error}"));
        let (mut bytes, mut buffer) = (bytes, Vec::new());
        if let Some(Some(rewritten)) = snapshot.rewritten.get_mut(usize::from(chunk.state)) {
            rewritten.chunk(chunk, &mut buffer)?;
            bytes = &buffer;
        }
        let id = snapshot.states.get(usize::from(chunk.state)).copied();
        if let Some(id) = id.filter(|id| self.beside.contains(id)) {
            let read = ReadChunk::read(bytes, 0);
            let (chunk, _) = read.map_err(|error| wrong(&error))?;
            return elsewhere(id, &chunk);
        }
        self.is_filled = true;
        let (owned, states) = (self.owned, &snapshot.states);
        let mut failed = None;
        let drive = |store: &mut Store| failed = store.wait().err();
        let restored = restore_driven(&mut self.backend, owned, hash_of, states, bytes, drive);
        restored.map_err(|error| wrong(&error))?;
        // A backend that has failed says so in every call.
        debug_assert_eq!(failed, None);
        Ok(())
    }

    fn restore_watermark(&mut self, chunk: &ReadChunk<'_>) {
        if !self.groups().contains(&chunk.group) {
            return;
        }
        let times = chunk.entries().filter_map(|entry| entry.value.try_into().ok());
        let Some(time) = times.map(i64::from_le_bytes).max() else { return };
        // Unaligned barriers find subtasks at different times. Rows that are in flight towards the
        // one that was behind are not late.
        self.watermark = match self.restored.is_empty() {
            true => time,
            false => self.watermark.min(time),
        };
        self.fence = self.fence.max(time);
        self.restored.resize(self.groups().len(), WATERMARK_MIN);
        if let Some(restored) = self.restored.get_mut((chunk.group - self.owned.first) as usize) {
            *restored = time;
        }
    }
}

/// How the states of a snapshot, by their numbers there, are registered here, and how those are rewritten
/// whose values have another schema now.
pub(super) struct Layout {
    pub(super) states: Vec<StateId>,
    pub(super) rewritten: Vec<Option<Rewritten>>,
}

/// Where chunks of states go that are kept elsewhere.
pub(super) type Elsewhere<'a> = dyn FnMut(StateId, &ReadChunk<'_>) -> Result<(), TaskError> + 'a;
