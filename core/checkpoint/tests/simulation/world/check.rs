//! What has to hold of a checkpoint, and in the end.

use millstream_checkpoint::{
    CheckpointStorage,
    coordinator::{Input, Snapshot, TaskSnapshot},
};
use millstream_exchange::event::{Alignment, Purpose};

use super::{Mail, World, manifests::task_of};
use crate::{
    channel::Row,
    task::{Part, TOTALS},
};

impl World {
    /// Every row in front of the barriers is in the state behind, or in flight, and none is twice.
    pub(super) fn check_cut(&self, snapshot: &Snapshot) {
        let part = |id: usize| match &snapshot.tasks[id] {
            TaskSnapshot::State(state) => self.part(state),
            TaskSnapshot::Finished => self.finals[id].clone(),
        };
        let parts: Vec<Part> = (0..5).map(part).collect();
        for source in 0..2 {
            let in_flight = |id: usize| {
                parts[id].in_flight.iter().filter(|(_, row)| row.0 == source).count() as u32
            };
            let sent = parts[source].rows[source];
            let between = parts[2].rows[source] + parts[3].rows[source];
            let arrived = between + in_flight(2) + in_flight(3);
            let written = parts[4].rows[source] + in_flight(4);
            if self.config.alignment == Alignment::None {
                assert!(arrived >= sent && written >= between, "rows are lost");
            } else {
                assert_eq!((arrived, written), (sent, between), "no cut: {parts:?}");
            }
        }
    }

    /// What was committed is what the sources have, once.
    pub(crate) fn check_result(&self) {
        let mut rows: Vec<Row> = self.committed.values().flatten().copied().collect();
        rows.sort_unstable();
        let ends = self.ends();
        if self.config.alignment == Alignment::None {
            // Once at least, and some that a source had not come to when the job was stopped.
            rows.dedup();
            rows.retain(|(source, row)| *row < ends[*source]);
        }
        let all: Vec<Row> =
            (0..2).flat_map(|source| (0..ends[source]).map(move |row| (source, row))).collect();
        assert_eq!(rows, all);
        for id in &self.triggered {
            let is_kept = self.coordinator.retained().any(|retained| retained == *id);
            let is_open = self.coordinator.pending().any(|pending| pending == *id);
            let is_late = self.mail.values().any(|mail| mail.is_about(*id));
            let is_over = self.discarded.contains(id);
            let is_savepoint = self.savepoints.contains(id);
            assert!(is_kept || is_over || is_open || is_late || is_savepoint, "{id} is forgotten");
            assert!(!(is_kept && is_over), "{id} is kept and discarded");
        }
    }

    /// How far each source came: to its end, or to the savepoint that the job stopped with.
    fn ends(&self) -> [u32; 2] {
        let Some(checkpoint) = self.ended_with else { return TOTALS };
        let manifest = self.storage.restore(checkpoint).expect("it is there").manifest;
        if manifest.purpose != Purpose::StopWithSavepoint {
            return TOTALS;
        }
        [0, 1].map(|source| match task_of(&manifest, source) {
            TaskSnapshot::State(state) => self.part(&state).rows[source],
            TaskSnapshot::Finished => TOTALS[source],
        })
    }
}

impl Mail {
    fn is_about(&self, id: u64) -> bool {
        match self {
            Self::Store(snapshot) => snapshot.barrier.checkpoint == id,
            Self::ToCoordinator(
                Input::Stored { checkpoint } | Input::StoreFailed { checkpoint, .. },
            ) => *checkpoint == id,
            _ => false,
        }
    }
}
