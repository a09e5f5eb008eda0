//! What runs of a job in this process, by region.

use std::{os::fd::OwnedFd, sync::Arc, thread::JoinHandle};

use millstream_checkpoint::TaskId as TaskNumber;
use millstream_executor::{
    Outcome, Poll, Running, TaskId,
    blocking::{spawn_sink, spawn_source},
};

use super::{
    Commits, Deployer, Deployment,
    ends::{SinkThread, SourceThread},
};
use crate::{
    Progress, RunError,
    checkpoint::{KeeperMessage, Participation, Work},
};

/// What is to run of a region in this process.
#[derive(Default)]
pub(crate) struct Crew {
    pub(super) tasks: Vec<(TaskId, Box<dyn Poll>)>,
    pub(super) sources: Vec<SourceThread>,
    pub(super) sinks: Vec<SinkThread>,
    /// Files that wake tasks.
    pub(super) watches: Vec<(TaskId, OwnedFd)>,
}

/// What runs of a job in this process, by region, and how it is made anew.
pub(crate) struct Crews<'a> {
    deployer: Deployer<'a>,
    /// By region; those that have nothing in this process have ended.
    running: Vec<RunningCrew>,
}

struct RunningCrew {
    outcome: Arc<Outcome>,
    handles: Vec<JoinHandle<()>>,
    /// Where its tasks keep state in files.
    work: Option<Arc<Work>>,
}

impl<'a> Deployment<'a> {
    /// Starts everything: consumers first.
    pub(crate) fn start(self) -> (Box<dyn Running>, Crews<'a>) {
        let Self { mut executor, crews, alone, deployer } = self;
        let whole = Arc::clone(executor.outcome());
        let (mut running, mut later) = (Vec::new(), Vec::new());
        if alone.contains(&true) {
            whole.hold();
        }
        for (Crew { tasks, sources, sinks, .. }, alone) in crews.into_iter().zip(alone) {
            let part = alone.then(|| whole.part());
            let outcome = part.as_ref().unwrap_or(&whole);
            let handles = start_sinks(sinks, outcome);
            for (id, task) in tasks {
                match &part {
                    Some(part) => executor.place_in(id, task, part),
                    None => executor.place(id, task),
                }
            }
            let work = deployer.work_of_tasks();
            running.push(RunningCrew { outcome: Arc::clone(outcome), handles, work });
            later.push(sources);
        }
        let executing = executor.start();
        for (crew, sources) in running.iter_mut().zip(later) {
            crew.handles.extend(start_sources(sources, &crew.outcome));
        }
        (executing, Crews { deployer, running })
    }
}

impl Crews<'_> {
    /// How the job goes.
    pub(crate) fn progress(&self) -> &Progress {
        self.deployer.progress()
    }

    /// How many regions the job has, in all processes.
    pub(crate) fn count(&self) -> u32 {
        self.running.len() as u32
    }

    /// How a region goes that fails by itself; `None` if it does not, or there is no such region.
    pub(crate) fn outcome(&self, region: u32) -> Option<&Arc<Outcome>> {
        let outcome = self.running.get(region as usize).map(|crew| &crew.outcome);
        outcome.filter(|outcome| outcome.is_part())
    }

    /// All tasks and threads of a region have ended, and are not heard of any more. Says so to the
    /// coordinator of checkpoints, behind all that they have said.
    pub(crate) fn fell(&mut self, region: u32) {
        let tasks = self.deployer.tasks(region);
        if let Some(crew) = self.running.get_mut(region as usize) {
            join(&mut crew.handles);
            for work in crew.work.iter() {
                tasks.iter().for_each(|task| work.forget(TaskNumber(*task)));
            }
        }
        self.tell(KeeperMessage::Fell { region, tasks });
    }

    /// Makes a region anew, which goes on from what `checkpoints` say, and starts it.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(crate) fn begin_anew(
        &mut self,
        region: u32,
        checkpoints: Participation,
        running: &mut dyn Running,
    ) -> Result<(), RunError> {
        let Crew { tasks, sources, sinks, .. } = self.deployer.crew_again(region, checkpoints)?;
        // In front of what they have to say themselves.
        self.tell(KeeperMessage::Runs { tasks: self.deployer.tasks(region) });
        let outcome = running.outcome().part();
        let mut handles = start_sinks(sinks, &outcome);
        tasks.into_iter().for_each(|(id, task)| running.place_in(id, task, &outcome));
        handles.extend(start_sources(sources, &outcome));
        if let Some(crew) = self.running.get_mut(region as usize) {
            *crew = RunningCrew { outcome, handles, work: self.deployer.work_of_tasks() };
        }
        Ok(())
    }

    /// Waits for the threads; how they fared is in the outcome. Gives what is left to do.
    pub(crate) fn join(mut self) -> (Progress, Commits) {
        self.running.iter_mut().for_each(|crew| join(&mut crew.handles));
        let progress = self.deployer.progress().clone();
        (progress, self.deployer.commits)
    }

    fn tell(&self, message: KeeperMessage) {
        let checkpoints = &self.deployer.part().checkpoints;
        // A keeper that has gone does not matter: the run is over then.
        let _ = checkpoints.as_ref().map(|checkpoints| checkpoints.keeper.send(message));
    }
}

fn start_sinks(sinks: Vec<SinkThread>, outcome: &Arc<Outcome>) -> Vec<JoinHandle<()>> {
    let start = |SinkThread { name, sink, inputs, doorbell, metrics, checkpoints }| {
        let outcome = Arc::clone(outcome);
        spawn_sink(name, sink, inputs, &doorbell, metrics, outcome, checkpoints)
    };
    sinks.into_iter().map(start).collect()
}

fn start_sources(sources: Vec<SourceThread>, outcome: &Arc<Outcome>) -> Vec<JoinHandle<()>> {
    let start = |SourceThread { name, source, pool, channel, metrics, checkpoints }| {
        let outcome = Arc::clone(outcome);
        spawn_source(name, source, pool, channel, metrics, outcome, checkpoints)
    };
    sources.into_iter().map(start).collect()
}

fn join(handles: &mut Vec<JoinHandle<()>>) {
    for handle in handles.drain(..) {
        // A panic inside was caught and reported where it happened.
        let _ = handle.join();
    }
}
