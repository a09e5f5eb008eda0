//! When a checkpoint or a savepoint begins.

use alloc::vec::Vec;

use millstream_exchange::event::{Barrier, Purpose};

use super::message::Action;
use super::pending::Pending;
use super::{Coordinator, Phase, Request};

impl Coordinator {
    /// The interval begins when all tasks run.
    pub(super) fn schedule(&mut self, now: u64) {
        if self.periodic_at.is_none() && self.not_running().is_none() {
            self.periodic_at = self.config.interval_ms.map(|interval| now.saturating_add(interval));
        }
    }

    /// What has to begin now. Savepoints need no pause and go first, but not two of them in front of a
    /// checkpoint that is due: many requests must not keep the job from its checkpoints.
    pub(super) fn due(&mut self, now: u64) -> Option<Request> {
        if !self.may_begin() {
            return None;
        }
        let is_due = self.next_checkpoint().is_some_and(|at| at <= now);
        if !(is_due && self.after_savepoint)
            && let Some(request) = self.requests.pop_front()
        {
            return Some(request);
        }
        is_due.then_some(Request { number: 0, purpose: Purpose::Checkpoint, drain: false })
    }

    /// Whether tasks and other checkpoints let one begin.
    pub(super) fn may_begin(&self) -> bool {
        !self.is_ending()
            && self.pending.len() < self.config.concurrent()
            && self.not_running().is_none()
    }

    /// When the next checkpoint begins, if it [may](Self::may_begin).
    pub(super) fn next_checkpoint(&self) -> Option<u64> {
        if self.is_at_end() {
            return Some(self.last_at);
        }
        let pause = self.completed_at.map(|at| at.saturating_add(self.config.min_pause_ms));
        self.periodic_at.map(|at| at.max(pause.unwrap_or(0)))
    }

    pub(super) fn begin(&mut self, now: u64, request: Request, actions: &mut Vec<Action>) {
        let Request { number, purpose, drain } = request;
        let barrier = Barrier {
            checkpoint: self.next_id,
            timestamp_ms: i64::try_from(now).unwrap_or(i64::MAX),
            alignment: self.config.alignment(purpose, self.is_at_end()),
            purpose,
        };
        self.next_id += 1;
        self.after_savepoint = purpose != Purpose::Checkpoint;
        let finished = self.tasks.iter().map(|phase| *phase == Phase::Finished);
        let mut pending = Pending::new(barrier, finished);
        pending.request = (purpose != Purpose::Checkpoint).then_some(number);
        pending.drain = drain;
        pending.is_last = self.is_at_end();
        pending.deadline_ms = now.saturating_add(self.config.timeout_ms.max(1));
        pending.trigger(&self.inputs, actions);
        self.pending.push(pending);
        if let (Some(at), Some(interval), Purpose::Checkpoint) =
            (&mut self.periodic_at, self.config.interval_ms, purpose)
        {
            // What was missed is not made up for.
            let interval = interval.max(1);
            *at = at.saturating_add(interval);
            if *at <= now {
                *at = now.saturating_add(interval);
            }
        }
    }

    /// Whether nothing may begin any more: the last checkpoint is complete, or on its way.
    pub(super) fn is_ending(&self) -> bool {
        let ends = |pending: &Pending| match pending.barrier.purpose {
            Purpose::Checkpoint => pending.is_last,
            Purpose::Savepoint => false,
            Purpose::StopWithSavepoint => true,
        };
        self.is_ended() || self.pending.iter().any(ends)
    }

    /// Whether all sources have come to their end.
    pub(super) fn is_at_end(&self) -> bool {
        let mut sources =
            self.inputs.iter().zip(&self.tasks).filter(|(inputs, _)| inputs.is_empty());
        sources.all(|(_, phase)| matches!(phase, Phase::EndOfData | Phase::Finished))
    }
}
