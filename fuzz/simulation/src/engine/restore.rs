//! What an attempt begins from, as the host reads it.

use std::collections::BTreeMap;

use millstream_checkpoint::{
    Manifest, MemoryStorage, Permit,
    manifest::{Kind, Place, State},
    storage::{CheckpointStorage, Restored},
};
use millstream_dataflow::{
    OpenInfo, TaskError,
    graph::execution::Subtask,
    task::{self, Again, Recovered, Recovery},
};

use super::{EngineBug, bytes, job::Job};

/// Behind the id of a source: what its splits are called.
pub(super) const SPLITS: &str = ": splits";

/// A checkpoint that an attempt begins from.
pub(super) struct Restore {
    storage: MemoryStorage,
    pub(super) manifest: Manifest,
    pub(super) permit: Permit,
}

impl Restore {
    pub(super) fn new(storage: MemoryStorage, restored: Restored) -> Self {
        let Restored { manifest, permit } = restored;
        Self { storage, manifest, permit }
    }

    /// Hands the state of each subtask that a node had to `take`, with its number.
    pub(super) fn each(
        &self,
        operator: &str,
        take: impl FnMut(u32, &[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        self.each_of(operator, |kind| *kind != Kind::InFlight, take)
    }

    fn each_of(
        &self,
        operator: &str,
        is_wanted: impl Fn(&Kind) -> bool,
        mut take: impl FnMut(u32, &[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Some(operator) = self.manifest.operator(operator) else { return Ok(()) };
        for (subtask, number) in operator.subtasks.iter().zip(0..) {
            for state in subtask.states.iter().filter(|state| is_wanted(&state.kind)) {
                take(number, &self.bytes(state)?)?;
            }
        }
        Ok(())
    }

    fn bytes(&self, state: &State) -> Result<Vec<u8>, TaskError> {
        match &state.place {
            Place::Inline(bytes) => Ok(bytes.to_vec()),
            Place::File(handle) => {
                let mut bytes = vec![0; handle.length as usize];
                let read = self.storage.read(self.manifest.checkpoint, handle, 0, &mut bytes);
                read.map(|()| bytes).map_err(|error| TaskError::new(error.to_string()))
            }
        }
    }

    /// The splits that are left: those that were begun, as far as they were not read, and those
    /// that nobody had taken; those that are done, too, if `again`, which is a mistake.
    pub(super) fn splits(&self, source: &str, again: bool) -> Result<Vec<Vec<u8>>, TaskError> {
        let mut all = BTreeMap::new();
        self.each(&format!("{source}{SPLITS}"), |_, bytes| {
            let rest = &mut &*bytes;
            while !rest.is_empty() {
                all.insert(all.len() as u64, bytes::take_all(rest)?.to_vec());
            }
            Ok(())
        })?;
        let mut begun = BTreeMap::new();
        self.each(source, |_, position| {
            let rest = &mut &*position;
            for _ in 0..bytes::take(rest)? {
                let number = bytes::take(rest)?;
                if !again {
                    all.remove(&number);
                }
            }
            if !rest.is_empty() {
                let number = bytes::take(rest)?;
                all.remove(&number);
                begun.insert(number, bytes::take_all(rest)?.to_vec());
            }
            Ok(())
        })?;
        // They stay in their order, as one may have been on its way to its reader.
        all.extend(begun);
        Ok(all.into_values().collect())
    }

    /// How a chain's subtask begins, if the checkpoint has data in flight.
    pub(super) fn recovered(
        &self,
        job: &Job,
        subtask: Subtask,
        info: &OpenInfo,
        bug: Option<EngineBug>,
    ) -> Result<Option<Recovery>, TaskError> {
        if !self.manifest.has_in_flight() {
            return Ok(None);
        }
        let mut recovery = task::recovered(
            &job.graph,
            subtask,
            info,
            |operator, take| self.each_of(operator, |kind| *kind == Kind::InFlight, take),
            |node, output| job.program.writer(node, output, info),
        )?;
        if bug == Some(EngineBug::RecoverWithoutSplit) {
            for recovered in &mut recovery.recovered {
                let (Recovered::Sent(.., elements) | Recovered::Received(_, elements)) = recovered;
                elements.retain(|element| !matches!(element, Again::SplitBegins));
            }
        }
        Ok(Some(recovery))
    }
}
