//! When a checkpoint begins, whether it is complete, and what becomes of it.
//!
//! A checkpoint has four steps. The coordinator *triggers* it at the sources, whose barriers bring it
//! to all other tasks. Every task *acknowledges* once its part is durable. When all have, the manifest
//! is *stored*. When that is durable the checkpoint is *complete*: sinks commit, older ones are
//! discarded. A checkpoint that does not come so far is aborted, and its files are discarded.
//!
//! Each checkpoint that was triggered is therefore either complete and retained, or discarded once.
//! A savepoint is kept for the user, and no sink commits because of it, unless the job stops there.
//!
//! # Tasks that end
//!
//! A finished task is part of a checkpoint without state. Where all inputs of a task finished in front
//! of a checkpoint no barrier reaches it, so the coordinator triggers it itself. When all sources are
//! at their end a last checkpoint is taken at once. Its barriers overtake nothing, so every task takes its
//! part behind its last row. Tasks end only after it, so that what sinks wrote behind the previous one is
//! committed, too ([`Action::End`]). A task that ends before the others has to wait for a checkpoint, too,
//! whose part it took behind its last row.
//!
//! # What a restart begins from
//!
//! A checkpoint whose manifest is on its way when a task fails may be complete in the end: it stays
//! pending. One that was given up because its manifest took too long may be durable all the same. If the
//! job went back behind it, and another coordinator then found it, its sinks would commit what was
//! undone. So a restart waits until everything is [settled](Coordinator::is_settled), and until what was
//! to be discarded is gone.
//!
//! # Late messages
//!
//! Ids rise and are never used twice. So whatever is said about a checkpoint that is not pending is
//! late, or a repetition, and has no effect.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use millstream_exchange::event::Purpose;

use crate::Permit;

mod config;
mod message;
mod pending;
mod schedule;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use message::{Action, Decline, Failure, Input, Snapshot, TaskId, TaskSnapshot};

use pending::Pending;

/// Milliseconds until the last checkpoint is tried again, unless the interval is shorter.
const RETRY_MS: u64 = 1000;

/// What a job's checkpoints were before its coordinator began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The first id to use, above all that were ever used, for unfinished checkpoints as well.
    pub next: u64,
    /// Complete checkpoints that are kept, ascending; savepoints are not among them.
    pub retained: Vec<u64>,
    /// The one that the job was restored from.
    pub newest: Option<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self { next: 1, retained: Vec::new(), newest: None }
    }
}

/// The coordinator of a job's checkpoints.
///
/// Times are milliseconds of one clock that does not go back; barriers are stamped with it. Call
/// [`step`](Self::step) with whatever happens, and with [`Input::Time`] at the
/// [deadline](Self::next_deadline); more often does no harm.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    /// By task: those whose output it reads.
    inputs: Box<[Box<[TaskId]>]>,
    tasks: Box<[Phase]>,
    /// Ascending.
    pending: Vec<Pending>,
    /// Given up while their manifests were on their way.
    abandoned: Vec<u64>,
    /// Ascending.
    retained: VecDeque<u64>,
    /// Savepoints that wait for their turn.
    requests: VecDeque<Request>,
    /// Whether what began last is a savepoint.
    after_savepoint: bool,
    next_id: u64,
    /// When the next periodic checkpoint is due, while all tasks run.
    periodic_at: Option<u64>,
    /// When the last checkpoint may be tried.
    last_at: u64,
    completed_at: Option<u64>,
    /// The newest that sinks have committed, or may have.
    newest: Option<u64>,
    /// The newest that is complete, savepoints included.
    newest_complete: u64,
    failures: u32,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Created,
    Running,
    EndOfData,
    Finished,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    number: u64,
    purpose: Purpose,
    drain: bool,
}

impl Coordinator {
    /// The coordinator of a job whose tasks do not run yet. `inputs` has for each task those whose
    /// output it reads; a source has none.
    ///
    /// # Panics
    /// If there are no tasks.
    pub fn new(
        config: Config,
        inputs: impl IntoIterator<Item = Vec<TaskId>>,
        history: History,
    ) -> Self {
        let inputs: Box<[Box<[TaskId]>]> = inputs.into_iter().map(Vec::into_boxed_slice).collect();
        assert!(!inputs.is_empty(), "a job without tasks");
        Self {
            config,
            tasks: inputs.iter().map(|_| Phase::Created).collect(),
            inputs,
            pending: Vec::new(),
            abandoned: Vec::new(),
            newest: history.newest,
            newest_complete: history.newest.unwrap_or(0),
            retained: history.retained.into(),
            requests: VecDeque::new(),
            after_savepoint: false,
            next_id: history.next,
            periodic_at: None,
            last_at: 0,
            completed_at: None,
            failures: 0,
            ended: false,
        }
    }

    /// Takes in what happened until `now_ms`, and appends what is to be done.
    pub fn step(&mut self, now_ms: u64, input: Input, actions: &mut Vec<Action>) {
        self.take_in(now_ms, input, actions);
        self.expire(now_ms, actions);
        self.schedule(now_ms);
        while let Some(due) = self.due(now_ms) {
            self.begin(now_ms, due, actions);
        }
    }

    /// When to call [`step`](Self::step) at the latest, if nothing happens before.
    pub fn next_deadline(&self) -> Option<u64> {
        let expiry = self.pending.iter().map(|pending| pending.deadline_ms).min();
        let begin = if self.may_begin() { self.next_checkpoint() } else { None };
        expiry.into_iter().chain(begin).min()
    }

    /// Checkpoints that are neither complete nor given up, ascending.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(Pending::id)
    }

    /// Complete checkpoints that are kept, ascending.
    pub fn retained(&self) -> impl Iterator<Item = u64> {
        self.retained.iter().copied()
    }

    /// The checkpoint that a restart begins from, once everything is [settled](Self::is_settled).
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether no manifest is on its way.
    pub fn is_settled(&self) -> bool {
        self.abandoned.is_empty() && self.pending.iter().all(|pending| !pending.storing)
    }

    /// Whether all that the job did is part of a complete checkpoint.
    pub fn is_ended(&self) -> bool {
        self.ended || self.tasks.iter().all(|phase| *phase == Phase::Finished)
    }

    /// Whether tasks that failed may be restarted while others go on. Not when the job ends or stops with a
    /// savepoint: tasks may have ended then, and sources that have stopped do not go on by themselves.
    pub fn lets_others_go_on(&self) -> bool {
        let stops = |pending: &Pending| pending.barrier.purpose == Purpose::StopWithSavepoint;
        !self.is_ended() && !self.pending.iter().any(stops)
    }

    fn take_in(&mut self, now: u64, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Time => {}
            Input::Running { task } => self.advance(task, Phase::Running),
            Input::EndOfData { task } => self.advance(task, Phase::EndOfData),
            Input::Finished { task } => self.finish(now, task, actions),
            Input::Failed { task } => {
                if let Some(phase) = self.tasks.get_mut(task.0 as usize) {
                    *phase = Phase::Created;
                    self.ended = false;
                    self.interrupt(now, &Failure::TaskFailed { task }, actions);
                }
            }
            Input::Acknowledge { checkpoint, task, state } => {
                if let Some(at) = self.find(checkpoint) {
                    self.pending[at].acknowledge(task, state);
                    self.store(at, actions);
                }
            }
            Input::Decline { checkpoint, task, reason } => {
                if let Some(at) = self.find(checkpoint)
                    && self.pending[at].waits_for(task)
                {
                    self.fail(now, at, Failure::Declined { task, reason }, actions);
                }
            }
            Input::Stored { checkpoint } => self.stored(now, checkpoint, actions),
            Input::StoreFailed { checkpoint, reason } => {
                if let Some(at) = self.find(checkpoint).filter(|at| self.pending[*at].storing) {
                    self.pending[at].storing = false;
                    self.fail(now, at, Failure::Store { reason }, actions);
                } else {
                    self.discard_abandoned(checkpoint, actions);
                }
            }
            Input::Savepoint { request } => {
                let purpose = Purpose::Savepoint;
                self.request(Request { number: request, purpose, drain: false }, actions);
            }
            Input::StopWithSavepoint { request, drain } => {
                let purpose = Purpose::StopWithSavepoint;
                self.request(Request { number: request, purpose, drain }, actions);
            }
            Input::Abort => {
                self.tasks.fill(Phase::Created);
                self.ended = false;
                self.interrupt(now, &Failure::Aborted, actions);
            }
        }
    }

    /// A task is further than before: it never goes back, unless it fails.
    fn advance(&mut self, task: TaskId, to: Phase) {
        let Some(phase) = self.tasks.get_mut(task.0 as usize) else { return };
        match (*phase, to) {
            (Phase::Created, Phase::Running) | (Phase::Running, Phase::EndOfData) => *phase = to,
            _ => {}
        }
    }

    fn finish(&mut self, now: u64, task: TaskId, actions: &mut Vec<Action>) {
        let Some(phase) = self.tasks.get_mut(task.0 as usize) else { return };
        *phase = Phase::Finished;
        // It may have been behind the barrier of one that is older than what it ended with, and is not
        // heard of any more.
        let newest = self.newest.unwrap_or(0);
        let is_doubtful = |pending: &Pending| pending.id() < newest && pending.waits_for(task);
        while let Some(at) = self.pending.iter().position(is_doubtful) {
            let reason = Failure::Declined { task, reason: Decline::Closing };
            self.fail(now, at, reason, actions);
        }
        for at in 0..self.pending.len() {
            self.pending[at].finish(task);
            self.pending[at].trigger(&self.inputs, actions);
            self.store(at, actions);
        }
        if self.is_ended() {
            self.refuse_requests(&Failure::Ending, actions);
        }
    }

    fn request(&mut self, request: Request, actions: &mut Vec<Action>) {
        let refusal = if self.is_ending() {
            Failure::Ending
        } else if let Some(task) = self.not_running() {
            Failure::NotRunning { task }
        } else {
            self.requests.push_back(request);
            return;
        };
        actions.push(Action::Answer { request: request.number, result: Err(refusal) });
    }

    /// Has the manifest stored, if nobody is missing any more.
    fn store(&mut self, at: usize, actions: &mut Vec<Action>) {
        if let Some(snapshot) = self.pending[at].take_snapshot() {
            actions.push(Action::Store(snapshot));
        }
    }

    fn stored(&mut self, now: u64, checkpoint: u64, actions: &mut Vec<Action>) {
        let Some(at) = self.find(checkpoint).filter(|at| self.pending[*at].storing) else {
            self.discard_abandoned(checkpoint, actions);
            return;
        };
        let done = self.pending.remove(at);
        self.completed_at = Some(now);
        if checkpoint > self.newest_complete {
            self.newest_complete = checkpoint;
            self.failures = 0;
        }
        let purpose = done.barrier.purpose;
        if purpose != Purpose::Savepoint {
            self.newest = Some(checkpoint);
            actions.push(Action::Complete(Permit::mint(checkpoint)));
        }
        if let Some(request) = done.request {
            actions.push(Action::Answer { request, result: Ok(checkpoint) });
        }
        if purpose != Purpose::Savepoint {
            self.subsume(now, checkpoint, actions);
        }
        if purpose == Purpose::Checkpoint {
            self.retain(checkpoint, actions);
        }
        let ends = done.is_last && purpose == Purpose::Checkpoint;
        // If a task failed meanwhile its sinks have to be restored to commit.
        if (ends || purpose == Purpose::StopWithSavepoint) && self.not_running().is_none() {
            self.ended = true;
            self.interrupt(now, &Failure::Ending, actions);
            actions.push(Action::End { checkpoint });
        }
    }

    /// Gives up what is older than a complete checkpoint: the job does not go back behind it.
    fn subsume(&mut self, now: u64, checkpoint: u64, actions: &mut Vec<Action>) {
        let is_subsumed = |pending: &Pending| {
            pending.id() < checkpoint && pending.barrier.purpose == Purpose::Checkpoint
        };
        while let Some(at) = self.pending.iter().position(is_subsumed) {
            self.fail(now, at, Failure::Subsumed { by: checkpoint }, actions);
        }
    }

    /// Keeps a complete checkpoint, and lets older ones go.
    fn retain(&mut self, checkpoint: u64, actions: &mut Vec<Action>) {
        self.retained.push_back(checkpoint);
        while self.retained.len() > self.config.retained.max(1) {
            if let Some(checkpoint) = self.retained.pop_front() {
                actions.push(Action::Discard { checkpoint });
            }
        }
    }

    /// Ends everything that waits for tasks, since they do not run any more.
    fn interrupt(&mut self, now: u64, reason: &Failure, actions: &mut Vec<Action>) {
        self.periodic_at = None;
        while let Some(at) = self.pending.iter().position(|pending| !pending.storing) {
            self.fail(now, at, reason.clone(), actions);
        }
        self.refuse_requests(reason, actions);
    }

    fn refuse_requests(&mut self, reason: &Failure, actions: &mut Vec<Action>) {
        for request in self.requests.drain(..) {
            let result = Err(reason.clone());
            actions.push(Action::Answer { request: request.number, result });
        }
    }

    fn expire(&mut self, now: u64, actions: &mut Vec<Action>) {
        while let Some(at) = self.pending.iter().position(|pending| pending.deadline_ms <= now) {
            let (timeout_ms, missing) = (self.config.timeout_ms, self.pending[at].missing());
            self.fail(now, at, Failure::Expired { timeout_ms, missing }, actions);
        }
    }

    /// Gives a checkpoint up, and the job with it if that was one too many.
    fn fail(&mut self, now: u64, at: usize, reason: Failure, actions: &mut Vec<Action>) {
        let failed = self.pending.remove(at);
        let checkpoint = failed.id();
        actions.push(Action::Abort { checkpoint, reason: reason.clone() });
        if failed.storing {
            // It may be durable all the same. The storage will say.
            self.abandoned.push(checkpoint);
        } else {
            actions.push(Action::Discard { checkpoint });
        }
        if let Some(request) = failed.request {
            actions.push(Action::Answer { request, result: Err(reason.clone()) });
        }
        if failed.is_last {
            self.last_at =
                now.saturating_add(self.config.interval_ms.unwrap_or(RETRY_MS).min(RETRY_MS));
        }
        let purpose = failed.barrier.purpose;
        let counts = reason.counts(purpose) && checkpoint > self.newest_complete;
        self.failures += u32::from(counts);
        // Sources that stopped for a savepoint do not go on by themselves.
        let is_stuck = purpose == Purpose::StopWithSavepoint && !reason.is_interruption();
        // A job that is being restarted does not have to fail once more.
        let is_down = self.tasks.iter().all(|phase| *phase == Phase::Created);
        let is_too_much = is_stuck || counts && self.failures > self.config.tolerable_failures;
        if is_too_much && !is_down {
            let failures = core::mem::take(&mut self.failures);
            self.tasks.fill(Phase::Created);
            actions.push(Action::FailJob { reason, failures });
            self.interrupt(now, &Failure::Aborted, actions);
        }
    }

    fn discard_abandoned(&mut self, checkpoint: u64, actions: &mut Vec<Action>) {
        if let Some(at) = self.abandoned.iter().position(|id| *id == checkpoint) {
            self.abandoned.swap_remove(at);
            actions.push(Action::Discard { checkpoint });
        }
    }

    fn not_running(&self) -> Option<TaskId> {
        let created = self.tasks.iter().position(|phase| *phase == Phase::Created);
        created.map(|number| TaskId(number as u32))
    }

    fn find(&self, checkpoint: u64) -> Option<usize> {
        self.pending.iter().position(|pending| pending.id() == checkpoint)
    }
}

impl Failure {
    /// Whether the job is being stopped or restarted anyway.
    fn is_interruption(&self) -> bool {
        matches!(self, Self::TaskFailed { .. } | Self::Aborted | Self::Ending)
    }
}
