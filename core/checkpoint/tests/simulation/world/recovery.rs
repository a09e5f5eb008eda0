//! Failures, and how the job begins again.

use millstream_checkpoint::{
    Manifest, Permit,
    coordinator::{History, Input, Snapshot, TaskSnapshot},
    restart::Decision,
};
use millstream_exchange::event::Purpose;

use super::{Mail, World, coordinator};
use crate::{
    channel::{Channel, Sent},
    task::{INPUTS, Part, Task},
};

impl World {
    /// A task failed, and all are restarted.
    pub(super) fn crash(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        self.crashes += 1;
        self.fail_over();
        self.coordinate(Input::Abort);
    }

    pub(super) fn fail_over(&mut self) {
        self.tasks.clear();
        self.attempt += 1;
        let jitter = self.random.below(2001) as f64 / 1000.0 - 1.0;
        let Decision::RestartAt(at) = self.restart.failed(self.now, jitter) else {
            panic!("it is restarted for ever");
        };
        self.post(at - self.now, Mail::Restart(self.attempt));
    }

    /// The process with the coordinator is gone, and with it all that was on its way.
    pub(super) fn crash_coordinator(&mut self) {
        self.crashes += 1;
        self.attempt += 1;
        self.tasks.clear();
        self.mail.clear();
        self.open_requests.clear();
        let is_savepoint = |snapshot: &&Snapshot| snapshot.barrier.purpose == Purpose::Savepoint;
        let ids = |keep: bool| {
            let snapshots = self.storage.values().filter(|s| is_savepoint(s) != keep);
            snapshots.map(|snapshot| snapshot.barrier.checkpoint).collect::<Vec<_>>()
        };
        let (retained, savepoints) = (ids(true), ids(false));
        let next = 1 + retained.iter().chain(&savepoints).max().copied().unwrap_or(0);
        // Ids of checkpoints that left nothing behind are used again.
        self.triggered.retain(|id| *id < next);
        self.discarded.retain(|id| *id < next);
        self.complete.retain(|id| *id < next);
        self.complete.extend(&retained);
        self.acknowledged.retain(|(id, _)| *id < next);
        let from = retained.last().copied();
        self.coordinator = coordinator(self.config, History { next, retained, newest: from });
        self.begin(from);
    }

    pub(super) fn begin(&mut self, from: Option<u64>) {
        self.channels.clear();
        self.finished.clear();
        self.said = [self.now; 5];
        for (id, inputs) in INPUTS.iter().enumerate() {
            for from in *inputs {
                self.channels.insert((*from as usize, id), Channel::default());
            }
        }
        let snapshot = from.map(|id| self.storage.get(&id).expect("it is retained").clone());
        let permit = from.map(permit);
        for (id, inputs) in INPUTS.iter().enumerate() {
            self.transactions += 1;
            let restored = match snapshot.as_ref().map(|snapshot| &snapshot.tasks[id]) {
                Some(TaskSnapshot::State(state)) => Some(self.part(state)),
                Some(TaskSnapshot::Finished) => Some(self.finals[id].clone()),
                None => None,
            };
            let mut effects = Vec::new();
            let from = restored.clone().zip(permit);
            let mut task = Task::new(id, from, self.transactions, &mut effects);
            let name = task.name();
            let in_flight = restored.map(|part| part.in_flight).unwrap_or_default();
            for (channel, row) in in_flight {
                let from = inputs[channel] as usize;
                self.channels.get_mut(&(from, id)).expect("a channel").send(Sent::Row(row));
            }
            let was_finished = matches!(&snapshot, Some(snapshot)
                if snapshot.tasks[id] == TaskSnapshot::Finished);
            task.finished = was_finished;
            self.tasks.push(task);
            self.carry_out(id, effects);
            let phase = if was_finished {
                Input::Finished { task: name }
            } else {
                Input::Running { task: name }
            };
            self.say(id, phase);
        }
        for ((from, _), channel) in &mut self.channels {
            if self.tasks[*from].finished {
                channel.send(Sent::End);
            }
        }
    }

    pub(super) fn part(&self, state: &[u8]) -> Part {
        let number = u32::from_le_bytes(*state.first_chunk().expect("a number"));
        self.parts[number as usize].clone()
    }
}

/// As read from the metadata of a checkpoint.
fn permit(checkpoint: u64) -> Permit {
    let manifest = Manifest {
        checkpoint,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "simulation".into(),
        graph_hash: 0,
        files: Vec::new(),
        operators: Vec::new(),
    };
    Permit::restored(&manifest.encode()).expect("its own manifest").1
}
