//! All workers and everything between them, and the scheduler that decides what happens next.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_exchange::ChannelId;
use millstream_exchange::event::Alignment;
use millstream_exchange::frame::{FrameHeader, FrameKind};

use crate::bug::Saboteur;
use crate::build;
use crate::check;
use crate::consumer::ConsumerState;
use crate::ledger::Ledger;
use crate::log::Log;
use crate::plan::Plan;
use crate::producer::ProducerState;
use crate::random::Random;
use crate::transport::Pipe;
use crate::worker::{EndpointPhase, Worker};

/// A run that takes longer has lost its way.
const STEPS_MAX: u64 = 400_000;

/// Everything that is not a worker.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Duration,
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) log: Log,
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) saboteur: Saboteur,
    /// The edge of each channel: by worker of its consumer, worker of its producer and number.
    pub(crate) routes: BTreeMap<(usize, usize, ChannelId), usize>,
    /// Edges whose consumer is gone; whoever deploys tasks tells the producer in its own time.
    pub(crate) abandoned: Vec<usize>,
    /// Checkpoints that every consumer has completed.
    pub(crate) barriers_complete: u32,
    /// Connections that broke while they were open.
    pub(crate) losses: u32,
}

impl Context {
    pub(crate) fn note(&mut self, what: &'static str, numbers: &[u64]) {
        self.log.note(self.now, what, numbers);
    }

    /// Notes a frame that a worker sends or gets.
    pub(crate) fn note_frame(&mut self, sends: bool, worker: usize, peer: usize, of: &FrameHeader) {
        let what = frame_text(of.kind());
        let numbers = [
            worker as u64,
            u64::from(sends),
            peer as u64,
            of.channel().0.into(),
            of.sequence().into(),
            of.backlog().into(),
            of.payload_bytes().into(),
            of.aux().into(),
        ];
        self.note(what, &numbers);
    }

    /// The edge that a frame from one worker to another is about.
    pub(crate) fn edge(&self, from: usize, to: usize, header: &FrameHeader) -> Option<usize> {
        let kind = header.kind();
        let about_connection =
            matches!(kind, FrameKind::Hello | FrameKind::Close) || header.has(FrameHeader::FATAL);
        let (consumer, producer) = if kind.is_to_producer() { (from, to) } else { (to, from) };
        let key = (consumer, producer, header.channel());
        if about_connection { None } else { self.routes.get(&key).copied() }
    }
}

fn frame_text(kind: FrameKind) -> &'static str {
    macro_rules! text {
        ($kind:literal) => {
            concat!($kind, " at # (sends: #) with #: channel #, sequence #, backlog #, # bytes, #")
        };
    }
    match kind {
        FrameKind::Hello => text!("hello"),
        FrameKind::Request => text!("request"),
        FrameKind::Data => text!("data"),
        FrameKind::Event => text!("event"),
        FrameKind::JumboFragment => text!("fragment"),
        FrameKind::Credit => text!("credit"),
        FrameKind::Resume => text!("resume"),
        FrameKind::Cancel => text!("cancel"),
        FrameKind::Close => text!("close"),
        FrameKind::Error => text!("error"),
        FrameKind::BacklogAnnouncement => text!("backlog"),
        FrameKind::NewBufferSize => text!("page size"),
        FrameKind::AckAllRecords => text!("acknowledgement"),
        FrameKind::TaskEvent => text!("task event"),
    }
}

/// The simulated world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cx: Context,
    pub(crate) workers: Vec<Worker>,
    pub(crate) pipes: BTreeMap<(usize, usize), Pipe>,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Register(usize, usize),
    Produce(usize, usize),
    Flush(usize, usize),
    Start(usize, usize),
    Consume(usize, usize),
    Recycle(usize, usize),
    Resume(usize, usize),
    Offer(usize, usize),
    Send(usize, usize),
    Receive(usize, usize),
    Complete(usize, usize),
    NoticeLoss(usize, usize),
    Time(usize, usize),
    Abandon,
}

impl World {
    pub(crate) fn new(plan: Plan, random: Random, log: Log, saboteur: Saboteur) -> Self {
        let ledgers = plan.edges.iter().map(|_| Ledger::default()).collect();
        let workers = build::workers(&plan);
        let pairs = (0..plan.workers).flat_map(|a| (0..plan.workers).map(move |b| (a, b)));
        let pipes = pairs.filter(|(a, b)| a != b).map(|pair| (pair, Pipe::default())).collect();
        let cx = Context {
            now: Duration::ZERO,
            plan,
            random,
            log,
            ledgers,
            saboteur,
            routes: BTreeMap::new(),
            abandoned: Vec::new(),
            barriers_complete: 0,
            losses: 0,
        };
        Self { cx, workers, pipes }
    }

    /// Runs until nothing can happen any more, and checks all the way.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        loop {
            self.cx.log.step();
            if self.cx.log.steps() > STEPS_MAX {
                return Err(format!("no end after {STEPS_MAX} steps: {}", check::stuck(self)));
            }
            self.cx.barriers_complete = self.barriers_complete();
            let actions = self.actions();
            match pick(&actions, &mut self.cx.random) {
                Some(action) => self.act(action)?,
                None => match self.next_time() {
                    Some(time) => self.cx.now = self.cx.now.max(time),
                    None => return check::finished(self),
                },
            }
            self.misfortune()?;
            self.close_idle();
            self.cx.now += Duration::from_nanos(self.cx.random.below(20_000));
            check::invariants(self)?;
        }
    }

    /// How many checkpoints every consumer has behind it that still has some before it.
    fn barriers_complete(&self) -> u32 {
        match self.cx.plan.alignment {
            Alignment::None | Alignment::Unaligned => u32::MAX,
            _ => (self.workers.iter().flat_map(|worker| &worker.shared.consumers))
                .filter(|consumer| !consumer.is_over())
                .map(|consumer| consumer.checkpoints)
                .min()
                .unwrap_or(u32::MAX),
        }
    }

    /// What can happen now, with weights.
    fn actions(&self) -> Vec<(u64, Action)> {
        let mut actions = Vec::new();
        for worker in &self.workers {
            self.task_actions(worker, &mut actions);
            self.transport_actions(worker, &mut actions);
        }
        if !self.cx.abandoned.is_empty() {
            actions.push((5, Action::Abandon));
        }
        actions
    }

    fn task_actions(&self, worker: &Worker, actions: &mut Vec<(u64, Action)>) {
        let (cx, w, shared) = (&self.cx, worker.index, &worker.shared);
        let weights = &cx.plan.weights;
        for (index, task) in shared.producers.iter().enumerate() {
            let absent = task.state == ProducerState::Absent;
            if absent && task.registers_at.is_some_and(|at| at <= cx.now) {
                actions.push((10, Action::Register(w, index)));
            }
            if task.can_move(cx, &shared.memory) {
                actions.push((task.weight, Action::Produce(w, index)));
            }
            if task.result.next_deadline().is_some_and(|at| at <= cx.now) {
                actions.push((10, Action::Flush(w, index)));
            }
        }
        for (index, task) in shared.consumers.iter().enumerate() {
            if task.state == ConsumerState::Waiting && task.starts_at <= cx.now {
                actions.push((10, Action::Start(w, index)));
            }
            if task.can_poll(cx.plan.hold_max) {
                actions.push((task.weight, Action::Consume(w, index)));
            }
            if !task.holding.is_empty() {
                actions.push((weights.recycle, Action::Recycle(w, index)));
            }
            if task.can_resume() {
                actions.push((weights.resume, Action::Resume(w, index)));
            }
            if worker.next_offer(index).is_some() {
                actions.push((weights.offer, Action::Offer(w, index)));
            }
        }
    }

    fn transport_actions(&self, worker: &Worker, actions: &mut Vec<(u64, Action)>) {
        let (cx, w) = (&self.cx, worker.index);
        let weights = &cx.plan.weights;
        for (peer, endpoint) in &worker.endpoints {
            let peer = *peer;
            let outgoing = &self.pipes[&(w, peer)];
            let done = endpoint.submitted.front().is_some_and(|front| front.end <= outgoing.read);
            if done {
                actions.push((weights.complete, Action::Complete(w, peer)));
            }
            let open = endpoint.phase == EndpointPhase::Open;
            if open && endpoint.ready && outgoing.bytes.len() < cx.plan.pipe_bytes {
                actions.push((weights.send, Action::Send(w, peer)));
            }
            let incoming = &self.pipes[&(peer, w)].bytes;
            let receives = open || endpoint.phase == EndpointPhase::Doomed;
            if receives && !incoming.is_empty() {
                actions.push((weights.deliver, Action::Receive(w, peer)));
            }
            let other = self.workers[peer].endpoints[&w].phase;
            let hung_up = open && other == EndpointPhase::Lost && incoming.is_empty();
            if endpoint.phase == EndpointPhase::Doomed || hung_up {
                actions.push((3, Action::NoticeLoss(w, peer)));
            }
            if open && endpoint.connection.next_deadline().is_some_and(|at| at <= cx.now) {
                actions.push((10, Action::Time(w, peer)));
            }
        }
    }

    /// When something can happen although nothing can happen now.
    fn next_time(&self) -> Option<Duration> {
        let mut times = Vec::new();
        for worker in &self.workers {
            for task in &worker.shared.producers {
                times.extend(task.registers_at.filter(|_| task.state == ProducerState::Absent));
                times.extend(task.result.next_deadline());
            }
            for task in &worker.shared.consumers {
                let waits = task.state == ConsumerState::Waiting;
                times.extend(waits.then_some(task.starts_at));
            }
            for endpoint in worker.endpoints.values() {
                let open = endpoint.phase == EndpointPhase::Open;
                times.extend(endpoint.connection.next_deadline().filter(|_| open));
            }
        }
        times.into_iter().min()
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        let cx = &mut self.cx;
        match action {
            Action::Register(w, task) => build::register(&mut self.workers[w], task, cx),
            Action::Produce(w, task) => self.workers[w].produce(task, cx),
            Action::Flush(w, task) => {
                self.workers[w].shared.producers[task].result.on_time(cx.now);
            }
            Action::Start(w, task) => build::start(&mut self.workers[w], task, cx),
            Action::Consume(w, task) => self.workers[w].consume(task, cx)?,
            Action::Recycle(w, task) => self.workers[w].recycle(task),
            Action::Resume(w, task) => self.workers[w].resume(task),
            Action::Offer(w, task) => self.workers[w].offer(task, cx),
            Action::Send(w, peer) => {
                let pipe = self.pipes.get_mut(&(w, peer)).expect("a pair");
                self.workers[w].send(peer, pipe, cx)?;
            }
            Action::Receive(w, peer) => {
                let pipe = self.pipes.get_mut(&(peer, w)).expect("a pair");
                self.workers[w].receive(peer, pipe, cx)?;
            }
            Action::Complete(w, peer) => self.workers[w].complete(peer, cx),
            Action::NoticeLoss(w, peer) => self.workers[w].notice_loss(peer, cx)?,
            Action::Time(w, peer) => {
                let endpoint = self.workers[w].endpoints.get_mut(&peer).expect("a peer");
                endpoint.ready = true;
                endpoint.connection.on_time(cx.now).map_err(|error| error.to_string())?;
            }
            Action::Abandon => self.abandon(),
        }
        Ok(())
    }

    /// A producer hears that a consumer, which may never have reached it, is gone.
    fn abandon(&mut self) {
        let at = self.cx.random.index(self.cx.abandoned.len());
        let edge = self.cx.plan.edges[self.cx.abandoned.swap_remove(at)];
        let worker = &mut self.workers[self.cx.plan.producers[edge.producer].worker];
        let shared = &mut worker.shared;
        let task = shared.producers.iter_mut().find(|task| task.task == edge.producer);
        let Some(task) = task else { return };
        let output = &task.outputs[edge.subpartition as usize];
        if output.reader.is_none() && !output.done {
            task.release(edge.subpartition, &mut shared.memory);
        }
    }

    /// Now and then a connection breaks, or somebody breaks it.
    fn misfortune(&mut self) -> Result<(), String> {
        let at = self.cx.random.below(100_000);
        let (loss, give_up) = (self.cx.plan.loss, self.cx.plan.give_up);
        if at >= loss + give_up {
            return Ok(());
        }
        let a = self.cx.random.index(self.workers.len());
        let b = (a + 1 + self.cx.random.index(self.workers.len() - 1)) % self.workers.len();
        if at < loss {
            self.cut(a, b);
            return Ok(());
        }
        let pipe = self.pipes.get_mut(&(a, b)).expect("a pair");
        self.workers[a].give_up(b, pipe, &mut self.cx)
    }

    fn cut(&mut self, a: usize, b: usize) {
        let cx = &mut self.cx;
        cx.note("connection of # and # breaks", &[a as u64, b as u64]);
        for (w, peer) in [(a, b), (b, a)] {
            let pipe = self.pipes.get_mut(&(w, peer)).expect("a pair");
            pipe.cut(cx.random.index(pipe.bytes.len() + 1));
            let endpoint = self.workers[w].endpoints.get_mut(&peer).expect("a peer");
            if endpoint.phase == EndpointPhase::Open {
                endpoint.phase = EndpointPhase::Doomed;
                cx.losses += 1;
            }
        }
    }

    /// Workers without tasks close their connections; others may do so early.
    fn close_idle(&mut self) {
        for worker in &mut self.workers {
            let shared = &worker.shared;
            let over = shared.producers.iter().all(|task| task.is_over())
                && shared.consumers.iter().all(|task| task.is_over());
            let started = shared.consumers.iter().all(|t| t.state != ConsumerState::Waiting);
            for endpoint in worker.endpoints.values_mut() {
                if endpoint.phase != EndpointPhase::Open {
                    continue;
                }
                let early = started && self.cx.random.below(100_000) < self.cx.plan.close;
                if (over || early) && !endpoint.told_to_close {
                    endpoint.told_to_close = true;
                    endpoint.connection.close();
                    endpoint.ready = true;
                }
                if endpoint.connection.is_closed() && endpoint.submitted.is_empty() {
                    endpoint.phase = EndpointPhase::Closed;
                }
            }
        }
    }
}

fn pick(actions: &[(u64, Action)], random: &mut Random) -> Option<Action> {
    let total: u64 = actions.iter().map(|(weight, _)| weight).sum();
    if total == 0 {
        return None;
    }
    let mut at = random.below(total);
    for (weight, action) in actions {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return Some(*action),
        }
    }
    unreachable!("the sum of the weights is {total}")
}
