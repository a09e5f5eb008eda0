//! A job with its coordinator, its storage and everything that may go wrong, in simulated time.

use std::collections::{BTreeMap, BTreeSet};

use millstream_checkpoint::{
    Coordinator, MemoryStorage, Permit, Restart, align,
    coordinator::{Config, Decline, History, Input, Snapshot, TaskId},
    restart::Strategy,
    two_phase,
};
use millstream_exchange::event::Barrier;

use crate::{
    CALM,
    channel::Row,
    random::Random,
    task::{Channels, Effect, INPUTS, Part, Task},
};

mod check;
mod control;
mod manifests;
mod recovery;

/// How often what goes wrong, in a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) declined: u64,
    pub(crate) store: u64,
    pub(crate) crash: u64,
    /// Whether somebody stops the job with a savepoint.
    pub(crate) stop: u64,
}

/// Sooner than the storage may answer.
const SOON: Strategy = Strategy::ExponentialDelay {
    initial_ms: 10,
    max_ms: 200,
    multiplier: 1.5,
    jitter: 0.5,
    reset_ms: 1000,
    attempts: None,
};

#[derive(Debug)]
enum Mail {
    ToCoordinator(Input),
    /// About the task itself, of this attempt.
    Phase(u32, Input),
    ToTask(u32, usize, Told),
    Store(Snapshot),
    Restart(u32),
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Trigger(Barrier),
    Abort(u64),
    Complete(Permit),
    Commit(u64, u32, Permit),
}

pub(crate) struct World {
    pub(crate) random: Random,
    faults: Faults,
    config: Config,
    now: u64,
    coordinator: Coordinator,
    restart: Restart,
    attempt: u32,
    tasks: Vec<Task>,
    channels: Channels,
    mail: BTreeMap<(u64, u64), Mail>,
    mails: u64,
    /// Since when a task may say something behind what it said before.
    said: [u64; 5],
    transactions: u32,
    /// What acknowledged state means.
    parts: Vec<Part>,
    /// Of tasks that have finished.
    finals: [Part; 5],
    storage: MemoryStorage,
    prepared: BTreeMap<u32, Vec<Row>>,
    pub(crate) committed: BTreeMap<u32, Vec<Row>>,
    // What has to hold.
    acknowledged: BTreeSet<(u64, TaskId)>,
    finished: BTreeSet<TaskId>,
    triggered: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    complete: BTreeSet<u64>,
    savepoints: BTreeSet<u64>,
    open_requests: BTreeSet<u64>,
    requests: u64,
    stopped: bool,
    ended_with: Option<u64>,
    pub(crate) crashes: u32,
    pub(crate) completed: u32,
    pub(crate) given_up: u32,
}

impl World {
    pub(crate) fn new(seed: u64, config: Config, faults: Faults) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            faults,
            config,
            now: 1,
            coordinator: coordinator(config, History::default()),
            restart: Restart::new(SOON),
            attempt: 0,
            tasks: Vec::new(),
            channels: BTreeMap::new(),
            mail: BTreeMap::new(),
            mails: 0,
            said: [0; 5],
            transactions: 0,
            parts: Vec::new(),
            finals: Default::default(),
            storage: MemoryStorage::new(),
            prepared: BTreeMap::new(),
            committed: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            finished: BTreeSet::new(),
            triggered: BTreeSet::new(),
            discarded: BTreeSet::new(),
            complete: BTreeSet::new(),
            savepoints: BTreeSet::new(),
            open_requests: BTreeSet::new(),
            requests: 0,
            stopped: false,
            ended_with: None,
            crashes: 0,
            completed: 0,
            given_up: 0,
        };
        world.begin(None);
        world
    }

    /// Runs until all tasks have finished.
    pub(crate) fn run(&mut self) {
        for round in 0..400_000 {
            if round == 100_000 {
                // Enough has gone wrong. From here on the job has to come to its end.
                self.faults = CALM;
            }
            if self.tasks.iter().all(|task| task.finished) && !self.tasks.is_empty() {
                return;
            }
            self.round();
        }
        panic!("the job hangs: {:?}", self.coordinator);
    }

    fn round(&mut self) {
        self.now += self.random.below(3);
        if let Some((at, _)) = self.mail.keys().next().copied()
            && self.tasks.is_empty()
        {
            self.now = self.now.max(at);
        }
        while let Some(mail) = self.mail.first_entry().filter(|mail| mail.key().0 <= self.now) {
            let mail = mail.remove();
            self.deliver(mail);
        }
        if self.coordinator.next_deadline().is_some_and(|at| at <= self.now) {
            self.coordinate(Input::Time);
        }
        for id in 0..self.tasks.len() {
            if self.random.per_mille([400, 400, 300, 300, 150][id]) {
                let choice = self.random.below(2) as usize;
                self.act(id, |task, now, transaction, channels, effects| {
                    task.act(now, choice, transaction, channels, effects);
                    if task.aligner.next_deadline().is_some_and(|at| at <= now) {
                        task.align(now, align::Input::Time, transaction, channels, effects);
                    }
                });
            }
        }
        if self.random.per_mille(2) {
            self.requests += 1;
            self.open_requests.insert(self.requests);
            self.coordinate(Input::Savepoint { request: self.requests });
        }
        if !self.stopped && self.random.per_mille(self.faults.stop) {
            self.stopped = true;
            self.requests += 1;
            self.open_requests.insert(self.requests);
            let request = self.requests;
            self.coordinate(Input::StopWithSavepoint { request, drain: false });
        }
        if self.crashes < 20 && !self.tasks.is_empty() && self.random.per_mille(self.faults.crash) {
            if self.random.per_mille(300) { self.crash_coordinator() } else { self.crash() }
        }
    }

    fn act(
        &mut self,
        id: usize,
        act: impl FnOnce(&mut Task, i64, u32, &mut Channels, &mut Vec<Effect>),
    ) {
        // One step may take a snapshot for each checkpoint that is open.
        self.transactions += 64;
        let mut effects = Vec::new();
        let Some(task) = self.tasks.get_mut(id) else { return };
        act(task, self.now as i64, self.transactions, &mut self.channels, &mut effects);
        self.carry_out(id, effects);
    }

    fn carry_out(&mut self, id: usize, effects: Vec<Effect>) {
        let task = TaskId(id as u32);
        for effect in effects {
            match effect {
                Effect::Acknowledge(checkpoint, part) => {
                    if self.random.per_mille(self.faults.declined) {
                        let reason = Decline::Failed("injected".into());
                        self.tell(Input::Decline { checkpoint, task, reason });
                        continue;
                    }
                    let state = (self.parts.len() as u32).to_le_bytes().into();
                    self.parts.push(part);
                    self.tell(Input::Acknowledge { checkpoint, task, state });
                }
                Effect::Decline(checkpoint, reason) => {
                    self.tell(Input::Decline { checkpoint, task, reason });
                }
                Effect::EndOfData => self.say(id, Input::EndOfData { task }),
                Effect::Finished => {
                    self.finals[id] = self.tasks[id].part.clone();
                    self.say(id, Input::Finished { task });
                }
                Effect::PreCommit(transaction, rows) => {
                    self.prepared.insert(transaction, rows);
                }
                Effect::Commit(number, transaction, permit) => {
                    let told = Told::Commit(number, transaction, permit);
                    let is_slow = self.random.per_mille(4 * self.faults.store);
                    let delay = self.random.below(if is_slow { 1000 } else { 30 });
                    self.post(delay, Mail::ToTask(self.attempt, id, told));
                }
                Effect::Abort(transaction) => {
                    assert!(!self.committed.contains_key(&transaction), "undone when committed");
                    self.prepared.remove(&transaction);
                }
                Effect::Fail => {
                    self.crash();
                    return;
                }
            }
        }
    }

    fn post(&mut self, delay: u64, mail: Mail) {
        self.mails += 1;
        self.mail.insert((self.now + delay, self.mails), mail);
    }

    /// Over a network that loses and repeats.
    fn tell(&mut self, input: Input) {
        let copies = if self.random.per_mille(self.faults.lost) {
            0
        } else {
            1 + u32::from(self.random.per_mille(self.faults.twice))
        };
        for _ in 0..copies {
            let delay = self.random.below(40);
            self.post(delay, Mail::ToCoordinator(input.clone()));
        }
    }

    /// What a task says of itself arrives, and in order.
    fn say(&mut self, id: usize, input: Input) {
        let at = (self.now + self.random.below(20)).max(self.said[id]);
        self.said[id] = at;
        self.post(at - self.now, Mail::Phase(self.attempt, input));
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::ToCoordinator(input) => self.coordinate(input),
            Mail::Phase(attempt, input) if attempt == self.attempt => self.coordinate(input),
            Mail::ToTask(attempt, id, told) if attempt == self.attempt => self.told(id, told),
            Mail::Store(snapshot) => self.store(&snapshot),
            Mail::Restart(attempt) if attempt == self.attempt => {
                if self.coordinator.is_settled() {
                    self.begin(self.coordinator.newest());
                } else {
                    self.post(5, Mail::Restart(attempt));
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, id: usize, told: Told) {
        match told {
            Told::Trigger(barrier) => self.act(id, |task, now, transaction, channels, effects| {
                task.align(now, align::Input::Trigger { barrier }, transaction, channels, effects);
            }),
            Told::Abort(checkpoint) => self.act(id, |task, now, transaction, channels, effects| {
                task.align(now, align::Input::Abort { checkpoint }, transaction, channels, effects);
            }),
            Told::Complete(permit) => self.act(id, |task, _, _, channels, effects| {
                task.complete(permit, channels, effects);
            }),
            Told::Commit(number, transaction, permit) => {
                assert!(self.complete.contains(&permit.checkpoint()), "committed too early");
                let input = if self.random.per_mille(self.faults.store) {
                    two_phase::Input::CommitFailed { number, reason: "injected".into() }
                } else {
                    if let Some(rows) = self.prepared.remove(&transaction) {
                        self.committed.insert(transaction, rows);
                    }
                    assert!(self.committed.contains_key(&transaction), "a transaction is lost");
                    two_phase::Input::Committed { number }
                };
                self.act(id, |task, _, _, channels, effects| {
                    task.committed(input, channels, effects);
                });
            }
        }
    }
}

fn coordinator(config: Config, history: History) -> Coordinator {
    let inputs = INPUTS.iter().map(|inputs| inputs.iter().copied().map(TaskId).collect());
    Coordinator::new(config, inputs, history)
}
