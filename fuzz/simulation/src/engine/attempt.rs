//! One attempt to run the job: until it is done, or something breaks.

use std::collections::VecDeque;

use millstream_checkpoint::{
    MemoryStorage,
    coordinator::Input,
    storage::{CheckpointStorage, Damage, Faults, METADATA},
};
use millstream_dataflow::TaskError;

use super::{
    EngineBug,
    actor::{Actor, Body},
    coordinate::Coordinating,
    cx::{Cx, Event, Splits},
    deploy::{Deployed, deploy},
    external::BROKEN,
    job::Job,
    plan::{Fault, Plan, When},
    restore::Restore,
    source::split_bytes,
};

/// Steps after which an attempt does not come to its end any more.
const STEPS_MAX: u64 = 400_000;

/// How an attempt ended.
pub(super) enum Ended {
    /// All is done.
    Done,
    /// It was stopped with a savepoint, and drained or not.
    Stopped { drained: bool },
    /// It is to be begun anew.
    Failed,
}

/// An attempt that runs.
struct Attempt {
    actors: Vec<Actor>,
    coordinating: Coordinating,
    /// The coordinating process is there.
    coordinates: bool,
    faults: VecDeque<(When, Fault)>,
    stop: Option<(When, bool)>,
    /// Something broke, so tasks may fail.
    broke: bool,
    /// The failure will be noticed.
    is_over_soon: bool,
    steps: u64,
    first_point: u64,
}

/// Runs an attempt.
///
/// # Errors
/// What must not happen, whatever breaks.
pub(super) fn run(
    plan: &Plan,
    job: &Job,
    total_steps: &mut u64,
    cx: &mut Cx,
) -> Result<Ended, String> {
    cx.say(|| format!("an attempt begins: {plan:?}"));
    let restore = open(cx)?;
    let begun = begin(plan, job, restore.as_ref(), cx);
    let (Deployed { actors, .. }, coordinating) = match begun {
        Ok(begun) => begun,
        Err(error) if plan.breaks_state() => {
            cx.count("state cannot be restored");
            cx.say(|| error.to_string());
            cx.forget_events();
            return Ok(Ended::Failed);
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut attempt = Attempt {
        actors,
        coordinating,
        coordinates: true,
        faults: plan.faults.iter().copied().collect(),
        stop: plan.stop,
        broke: plan.breaks_state(),
        is_over_soon: false,
        steps: 0,
        first_point: cx.points,
    };
    let ended = attempt.run(cx);
    *total_steps += attempt.steps;
    let ended = ended?;
    attempt.end(cx);
    Ok(ended)
}

/// What the job begins from.
pub(super) fn open(cx: &mut Cx) -> Result<Option<Restore>, String> {
    cx.storage.clean().map_err(|error| error.to_string())?;
    if cx.has_bug(EngineBug::RestoreDamaged) {
        let newest = cx.storage.list().map_err(|error| error.to_string())?.pop();
        let restored = newest.map(|newest| cx.storage.metadata(newest)).transpose();
        let restored = restored.map_err(|refused| refused.to_string())?;
        return Ok(restored.map(|restored| Restore::new(cx.storage.clone(), restored)));
    }
    let latest = cx.storage.latest().map_err(|error| error.to_string())?;
    for refused in latest.refused {
        cx.count("a checkpoint is refused");
        cx.say(|| refused.to_string());
    }
    Ok(latest.restored.map(|restored| Restore::new(cx.storage.clone(), restored)))
}

fn begin(
    plan: &Plan,
    job: &Job,
    restore: Option<&Restore>,
    cx: &mut Cx,
) -> Result<(Deployed, Coordinating), TaskError> {
    if let Some(restore) = restore {
        cx.count("a checkpoint is restored");
        cx.say(|| format!("it goes on from checkpoint {}", restore.manifest.checkpoint));
    }
    cx.splits.clear();
    for (node, table) in job.tables() {
        let splits = match restore {
            None => (0..table.splits.len() as u64).map(|split| split_bytes(split, 0)).collect(),
            Some(restore) => {
                let again = cx.has_bug(EngineBug::SplitTwice);
                restore.splits(&job.graph.operator_id(node), again)?
            }
        };
        cx.splits.insert(node, Splits::new(splits));
    }
    let deployed = deploy(plan, job, restore, cx)?;
    let restored = restore.map(|restore| restore.manifest.checkpoint);
    let mailboxes = deployed.mailboxes.clone();
    let (graph, parallelism) = (job.graph.clone(), plan.parallelism);
    let coordinating = Coordinating::new(plan.config, graph, parallelism, mailboxes, restored, cx)?;
    Ok((deployed, coordinating))
}

impl Attempt {
    fn run(&mut self, cx: &mut Cx) -> Result<Ended, String> {
        loop {
            self.break_things(cx);
            self.stop(cx)?;
            while let Some(event) = cx.due() {
                if self.happens(event, cx)? {
                    return Ok(Ended::Failed);
                }
            }
            if !self.is_over_soon && !self.actors.iter().any(Actor::is_part_of_job) {
                return Ok(match self.coordinating.stopped() {
                    Some(drained) => Ended::Stopped { drained },
                    None => Ended::Done,
                });
            }
            let now = cx.now;
            let ready: Vec<usize> = (0..self.actors.len())
                .filter(|index| self.actors[*index].next(now).is_some_and(|at| at <= now))
                .collect();
            if ready.is_empty() {
                let actors = self.actors.iter().filter_map(|actor| actor.next(now));
                let next = actors.chain(cx.next_event()).min();
                let Some(next) = next else {
                    let left = self.actors.iter().filter(|actor| actor.is_part_of_job());
                    let left: Vec<&str> = left.map(|actor| actor.name.as_str()).collect();
                    return Err(format!(
                        "nobody has anything to do, but [{}] are not done",
                        left.join(", ")
                    ));
                };
                cx.now = next.max(now);
                continue;
            }
            let index = ready[cx.random.index(ready.len())];
            self.steps += 1;
            cx.mix(index as u64);
            if self.steps > STEPS_MAX {
                return Err(format!("it is not done after {STEPS_MAX} steps"));
            }
            let actor = &mut self.actors[index];
            if let Err(error) = actor.poll(cx) {
                self.failed(index, &error, cx)?;
            }
        }
    }

    /// Somebody failed, and with it the job, sooner or later.
    fn failed(&mut self, index: usize, error: &TaskError, cx: &mut Cx) -> Result<(), String> {
        let actor = &mut self.actors[index];
        actor.body = None;
        let what = format!("{}: {error}", actor.name);
        cx.say(|| what.clone());
        if !self.broke || what.contains(BROKEN) {
            return Err(what);
        }
        self.over_soon(what, cx);
        Ok(())
    }

    fn over_soon(&mut self, what: String, cx: &mut Cx) {
        self.broke = true;
        if !self.is_over_soon {
            self.is_over_soon = true;
            let noticed = cx.random.below(5000);
            cx.after(noticed, Event::Over(what));
        }
    }

    /// Does what is due; `true` if the attempt is over.
    fn happens(&mut self, event: Event, cx: &mut Cx) -> Result<bool, String> {
        let wrong = |error: TaskError| error.to_string();
        match event {
            Event::Over(what) => {
                cx.say(|| format!("the attempt is over: {what}"));
                return Ok(true);
            }
            Event::Repaired => cx.storage.set_faults(Faults::default()),
            Event::Order(task, order) => self.coordinating.deliver(task, order, cx),
            Event::Told(_) | Event::Store(_) | Event::Deadline if !self.coordinates => {}
            Event::Told(input) => self.coordinating.told(input, cx).map_err(wrong)?,
            Event::Deadline => self.coordinating.time(cx).map_err(wrong)?,
            Event::Store(snapshot) => {
                let stored = self.coordinating.store(&snapshot, cx);
                let heard = cx.random.below(500);
                cx.after(heard, Event::Told(stored));
            }
        }
        Ok(false)
    }

    /// Lets what is planned break.
    fn break_things(&mut self, cx: &mut Cx) {
        let (steps, points) = (self.steps, cx.points - self.first_point);
        while let Some(at) = self.faults.iter().position(|(when, _)| when.is_due(steps, points)) {
            if let Some((_, fault)) = self.faults.remove(at) {
                self.breaks(fault, cx);
            }
        }
    }

    /// Stops the job with a savepoint, if it is time.
    fn stop(&mut self, cx: &mut Cx) -> Result<(), String> {
        let (steps, points) = (self.steps, cx.points - self.first_point);
        let due = self.stop.take_if(|(when, _)| when.is_due(steps, points));
        let Some((_, drain)) = due.filter(|_| self.coordinates) else { return Ok(()) };
        cx.say(|| format!("a savepoint is asked for, to stop with; drain: {drain}"));
        let asked = Input::StopWithSavepoint { request: u64::from(drain), drain };
        self.coordinating.told(asked, cx).map_err(|error| error.to_string())
    }

    fn breaks(&mut self, fault: Fault, cx: &mut Cx) {
        cx.say(|| format!("{fault:?}"));
        self.broke = true;
        match fault {
            Fault::Crash(process) => {
                cx.count("a process crashes");
                self.coordinates &= process != 0;
                for actor in &mut self.actors {
                    if actor.processes.contains(&process) {
                        actor.body = None;
                    }
                }
                self.over_soon(format!("process {process} crashed"), cx);
            }
            Fault::LoseConnection => {
                let links =
                    self.actors.iter().filter(|actor| matches!(actor.body, Some(Body::Link(_))));
                let Some(processes) = links.map(|link| link.processes).next() else { return };
                cx.count("a connection is lost");
                for actor in &mut self.actors {
                    let is_between = actor.processes == processes
                        || actor.processes == [processes[1], processes[0]];
                    if is_between && matches!(actor.body, Some(Body::Link(_))) {
                        actor.body = None;
                    }
                }
                self.over_soon(String::from("a connection was lost"), cx);
            }
            Fault::DiskFull(bytes) => {
                cx.count("a disk is full");
                cx.storage.set_faults(Faults { capacity: Some(bytes), ..Faults::default() });
                self.repair(cx);
            }
            Fault::DiskFails(more) => {
                cx.count("a disk fails");
                let changes = Some(cx.storage.changes() + more);
                let torn = cx.random.percent(50);
                cx.storage.set_faults(Faults { changes, torn, capacity: None });
                self.repair(cx);
            }
        }
    }

    fn repair(&self, cx: &mut Cx) {
        let repaired = cx.random.below(30_000);
        cx.after(repaired, Event::Repaired);
    }

    /// Everything of the attempt ends; what is on its way to the storage arrives, or does not.
    fn end(self, cx: &mut Cx) {
        for snapshot in cx.forget_events() {
            if self.coordinates || cx.random.percent(50) {
                if !self.coordinates && cx.random.percent(50) {
                    let changes = Some(cx.storage.changes() + cx.random.below(4));
                    cx.storage.set_faults(Faults { changes, torn: true, capacity: None });
                }
                self.coordinating.store(&snapshot, cx);
            }
        }
        drop(self);
        cx.storage.set_faults(Faults::default());
        if cx.random.percent(50) {
            cx.count("power is lost");
            let (storage, random) = (cx.storage.clone(), &mut cx.random);
            storage.lose_power(|bytes| match random.percent(50) {
                true => Some(random.index(bytes + 1)),
                false => None,
            });
        }
        damage(cx);
    }
}

/// Damages the newest checkpoint, if nobody was shown anything because of it and there is another.
fn damage(cx: &mut Cx) {
    let Ok(mut checkpoints) = cx.storage.list() else { return };
    let shown = cx.external.newest_permit();
    let newest = checkpoints.pop();
    // One that was damaged earlier is still there.
    let before = checkpoints.into_iter().rfind(|before| cx.storage.restore(*before).is_ok());
    let may_go = |newest| newest > shown && before.map_or(shown == 0, |before| before >= shown);
    let Some(newest) = newest.filter(|newest| may_go(*newest)) else { return };
    if !cx.random.percent(50) {
        return;
    }
    let storage: MemoryStorage = cx.storage.clone();
    let Ok(restored) = storage.metadata(newest) else { return };
    let mut files: Vec<&str> =
        restored.manifest.files.iter().map(|file| file.name.as_str()).collect();
    files.push(METADATA);
    let file = files[cx.random.index(files.len())];
    let at = cx.random.index(40);
    let damage = [Damage::Remove, Damage::Truncate(at), Damage::Flip(at)][cx.random.index(3)];
    if storage.damage(newest, file, damage) {
        cx.count("a checkpoint is damaged");
        cx.say(|| format!("{file} of checkpoint {newest} is damaged: {damage:?}"));
    }
}
