//! Runs with parts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use millstream_dataflow::{TaskError, task::TaskPoll};

use super::{Dropped, HANGS, Work, add, finish};
use crate::{Executor, ExecutorBackend, Failure, Outcome, Running, TaskId};

fn add_in<F>(
    executor: &mut dyn Executor,
    worker: usize,
    part: &Arc<Outcome>,
    name: &'static str,
    work: F,
) -> TaskId
where
    F: FnMut(&Waker) -> Result<TaskPoll, TaskError> + Send + 'static,
{
    let id = executor.reserve(worker);
    executor.place_in(id, Box::new(Work(name, work)), part);
    id
}

/// Waits until everything of a part has ended, while the run goes on.
fn await_end(running: &mut dyn Running, part: &Outcome) {
    let begin = Instant::now();
    while !part.has_ended() {
        assert!(!running.wait(HANGS), "the run goes on");
        assert!(begin.elapsed() < HANGS, "the part hangs");
    }
}

pub(super) fn a_part_that_fails_ends_alone_and_begins_anew(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let outcome = Arc::clone(executor.outcome());
    outcome.hold();
    let (failing, other) = (outcome.part(), outcome.part());
    let (dropped, stops) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let mut slots = Vec::new();
    for worker in 0..3 {
        let held = Dropped(Arc::clone(&dropped));
        slots.push(add_in(&mut *executor, worker, &failing, "waits", move |_| {
            let _ = &held;
            Ok(TaskPoll::Idle)
        }));
    }
    slots.push(add_in(&mut *executor, 0, &failing, "fails", |_| {
        Err(TaskError::new("it was to fail"))
    }));
    let stop = Arc::clone(&stops);
    let others = Dropped(Arc::new(AtomicU32::new(0)));
    let gone = Arc::clone(&others.0);
    add_in(&mut *executor, 0, &other, "goes on", move |_| {
        let _ = &others;
        let is_done = stop.load(Ordering::SeqCst);
        Ok(if is_done { TaskPoll::Finished } else { TaskPoll::Again })
    });
    let mut running = executor.start();
    await_end(&mut *running, &failing);
    assert_eq!(dropped.load(Ordering::SeqCst), 3, "all tasks of the part are dropped");
    assert_eq!(failing.result(), Err(Failure::Task(TaskError::new("it was to fail"))));
    assert!(!other.has_ended() && !outcome.is_over() && outcome.result().is_ok());
    assert_eq!(gone.load(Ordering::SeqCst), 0, "the other part goes on");

    let (again, polls) = (outcome.part(), Arc::new(AtomicU32::new(0)));
    for slot in slots {
        let (polls, mut left) = (Arc::clone(&polls), 2);
        let work = move |_: &Waker| {
            polls.fetch_add(1, Ordering::SeqCst);
            left -= 1;
            Ok(if left == 0 { TaskPoll::Finished } else { TaskPoll::Again })
        };
        running.place_in(slot, Box::new(Work("again", work)), &again);
    }
    await_end(&mut *running, &again);
    assert_eq!(polls.load(Ordering::SeqCst), 8);
    assert!(again.result().is_ok() && !other.has_ended());
    stops.store(true, Ordering::SeqCst);
    await_end(&mut *running, &other);
    outcome.release();
    assert_eq!(finish(running), Ok(()));
}

pub(super) fn a_run_that_ends_ends_its_parts(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let outcome = Arc::clone(executor.outcome());
    outcome.hold();
    let part = outcome.part();
    add_in(&mut *executor, 0, &part, "waits", |_| Ok(TaskPoll::Idle));
    add(&mut *executor, 1, "fails", |_| Err(TaskError::new("it was to fail")));
    let failure = Err(Failure::Task(TaskError::new("it was to fail")));
    assert_eq!(finish(executor.start()), failure);
    assert!(part.is_over() && part.has_ended());
    assert_eq!(part.result(), failure);
    assert!(outcome.part().is_over(), "there are no new ones");
}

pub(super) fn held_workers_wait_for_tasks(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let outcome = Arc::clone(executor.outcome());
    outcome.hold();
    let first = outcome.part();
    let slot = add_in(&mut *executor, 0, &first, "is done", |_| Ok(TaskPoll::Finished));
    let mut running = executor.start();
    await_end(&mut *running, &first);
    assert!(!running.wait(Duration::from_millis(1)), "there may be more to do");
    // Nobody polls what belongs to a part that is over.
    let over = outcome.part();
    over.cancel();
    let held = Dropped(Arc::new(AtomicU32::new(0)));
    let dropped = Arc::clone(&held.0);
    let late = move |_: &Waker| {
        let _ = &held;
        Ok(TaskPoll::Idle)
    };
    running.place_in(slot, Box::new(Work("comes late", late)), &over);
    await_end(&mut *running, &over);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    outcome.release();
    assert_eq!(finish(running), Ok(()));
}
