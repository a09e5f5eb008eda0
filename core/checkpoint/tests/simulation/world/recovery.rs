//! Failures, and how the job begins again.

use millstream_checkpoint::{
    CheckpointStorage,
    coordinator::{Input, TaskSnapshot},
    restart::Decision,
};

use super::{Mail, World, coordinator, manifests::task_of};
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
        self.ended_with = None;
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
        self.ended_with = None;
        // Of what was being written as much remains as the disk likes.
        let random = &mut self.random;
        self.storage.lose_power(|length| match random.below(3) {
            0 => None,
            1 => Some(length / 2),
            _ => Some(length),
        });
        self.storage.clean().expect("nothing fails");
        let latest = self.storage.latest().expect("nothing fails");
        assert!(latest.refused.is_empty(), "{:?}", latest.refused);
        let from = latest.restored.map(|restored| restored.manifest.checkpoint);
        let history = self.storage.history(from).expect("nothing fails");
        // Ids of checkpoints that left nothing behind are used again.
        let kept = self.storage.list().expect("nothing fails");
        self.triggered.retain(|id| kept.contains(id));
        self.discarded.retain(|id| *id < history.next);
        self.complete.retain(|id| *id < history.next);
        self.complete.extend(from);
        self.acknowledged.retain(|(id, _)| *id < history.next);
        self.coordinator = coordinator(self.config, history);
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
        let restored = from.map(|id| self.storage.restore(id).expect("it is retained"));
        for (id, inputs) in INPUTS.iter().enumerate() {
            self.transactions += 64;
            let task = restored.as_ref().map(|restored| task_of(&restored.manifest, id));
            let part = match &task {
                Some(TaskSnapshot::State(state)) => Some(self.part(state)),
                Some(TaskSnapshot::Finished) => Some(self.finals[id].clone()),
                None => None,
            };
            let was_finished = task == Some(TaskSnapshot::Finished);
            let mut effects = Vec::new();
            let from = part.clone().zip(restored.as_ref().map(|restored| restored.permit));
            let mut task = Task::new(id, from, self.transactions, &mut effects);
            let name = task.name();
            let in_flight = part.map(|part| part.in_flight).unwrap_or_default();
            for (channel, row) in in_flight {
                let from = inputs[channel] as usize;
                self.channels.get_mut(&(from, id)).expect("a channel").send(Sent::Row(row));
            }
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
