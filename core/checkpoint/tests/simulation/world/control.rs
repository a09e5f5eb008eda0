//! What the coordinator is told, what it wants, and whether it may.

use millstream_checkpoint::{
    CheckpointStorage,
    coordinator::{Action, Input, Snapshot, TaskId},
    storage::Faults,
};
use millstream_exchange::event::Purpose;

use super::{Mail, Told, World, manifests::manifest_of};

impl World {
    pub(super) fn store(&mut self, snapshot: &Snapshot) {
        let checkpoint = snapshot.barrier.checkpoint;
        if self.random.per_mille(self.faults.store) {
            let changes = Some(self.storage.changes() + self.random.below(4));
            let torn = self.random.per_mille(500);
            self.storage.set_faults(Faults { changes, torn, capacity: None });
        }
        let answer = match self.storage.complete(&manifest_of(snapshot)) {
            Ok(()) => Input::Stored { checkpoint },
            Err(error) => Input::StoreFailed { checkpoint, reason: error.to_string() },
        };
        self.storage.set_faults(Faults::default());
        let delay = self.random.below(40);
        self.post(delay, Mail::ToCoordinator(answer));
    }

    fn is_stored(&self, checkpoint: u64) -> bool {
        self.storage.list().expect("it can be read").contains(&checkpoint)
    }

    pub(super) fn coordinate(&mut self, input: Input) {
        match &input {
            Input::Acknowledge { checkpoint, task, .. } => {
                self.acknowledged.insert((*checkpoint, *task));
            }
            Input::Finished { task } => {
                self.finished.insert(*task);
            }
            _ => {}
        }
        let mut actions = Vec::new();
        self.coordinator.step(self.now, input, &mut actions);
        for action in actions {
            self.obey(action);
        }
        let pending = self.coordinator.pending().count();
        assert!(pending <= self.config.concurrent(), "too many at a time");
        let deadline = self.coordinator.next_deadline();
        assert!(pending == 0 || deadline.is_some(), "a checkpoint without a deadline");
        assert!(deadline.is_none_or(|at| at > self.now), "a deadline that passed");
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Trigger { task, barrier, .. } => {
                let id = barrier.checkpoint;
                let newest = self.triggered.last().copied().unwrap_or(0);
                if self.triggered.insert(id) {
                    assert!(id > newest, "checkpoint {id} behind {newest}");
                    self.storage.begin(id).expect("its id is new");
                }
                if barrier.purpose != Purpose::Checkpoint {
                    self.savepoints.insert(id);
                }
                if !self.random.per_mille(self.faults.lost) {
                    let delay = self.random.below(20);
                    let told = Told::Trigger(barrier);
                    self.post(delay, Mail::ToTask(self.attempt, task.0 as usize, told));
                }
            }
            Action::Abort { checkpoint, .. } => {
                self.given_up += 1;
                self.tell_tasks(Told::Abort(checkpoint), true);
            }
            Action::Store(snapshot) => {
                self.check_cut(&snapshot);
                let is_slow = self.random.per_mille(self.faults.store);
                let delay = self.random.below(if is_slow { 5000 } else { 60 });
                self.post(delay, Mail::Store(snapshot));
            }
            Action::Complete(permit) => {
                let checkpoint = permit.checkpoint();
                assert!(self.is_stored(checkpoint), "complete and not stored");
                for task in (0..5).map(TaskId) {
                    let is_there = self.acknowledged.contains(&(checkpoint, task));
                    assert!(is_there || self.finished.contains(&task), "complete without {task}");
                }
                self.completed += 1;
                self.complete.insert(checkpoint);
                self.tell_tasks(Told::Complete(permit), false);
            }
            Action::Discard { checkpoint } => {
                assert!(self.discarded.insert(checkpoint), "discarded twice");
                assert!(self.coordinator.retained().all(|retained| retained != checkpoint));
                self.storage.discard(checkpoint).expect("nothing fails");
            }
            Action::Answer { request, result } => {
                assert!(self.open_requests.remove(&request), "answered twice");
                assert!(result.is_err() || self.is_stored(result.unwrap()));
            }
            Action::End { checkpoint } => {
                assert!(self.is_stored(checkpoint));
                self.ended_with = Some(checkpoint);
            }
            Action::FailJob { .. } => self.fail_over(),
        }
    }

    fn tell_tasks(&mut self, told: Told, may_be_lost: bool) {
        for id in 0..5 {
            if may_be_lost && self.random.per_mille(self.faults.lost) {
                continue;
            }
            let delay = self.random.below(30);
            self.post(delay, Mail::ToTask(self.attempt, id, told));
        }
    }
}
