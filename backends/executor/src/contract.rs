//! What every executor must do.

mod parts;

use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use millstream_dataflow::{
    TaskError,
    task::{TaskMetrics, TaskPoll},
};

use crate::{Executor, ExecutorBackend, Failure, Poll, Running};

/// How long a run of this suite may take before it counts as hanging.
const HANGS: Duration = Duration::from_secs(20);

/// Checks an executor.
///
/// # Panics
/// If it does something else than [`Executor`] says.
pub fn all(backend: &dyn ExecutorBackend) {
    nothing_to_do_is_done(backend);
    slots_wrap_around(backend);
    every_task_is_polled_at_first_and_again_if_it_asks(backend);
    tasks_wake_each_other(backend);
    a_thread_wakes_a_task(backend);
    deadlines_are_kept(backend);
    tasks_are_polled_with_the_time_of_the_clock(backend);
    files_wake_tasks(backend);
    a_finished_task_is_dropped_at_once(backend);
    a_failure_ends_the_run_and_drops_the_others(backend);
    a_panic_is_a_failure_with_the_name_of_its_task(backend);
    a_run_is_cancelled(backend);
    waiting_ends_in_time(backend);
    parts::a_part_that_fails_ends_alone_and_begins_anew(backend);
    parts::a_run_that_ends_ends_its_parts(backend);
    parts::held_workers_wait_for_tasks(backend);
}

/// A task made of a closure.
struct Work<F>(&'static str, F);

impl<F: FnMut(&Waker) -> Result<TaskPoll, TaskError> + Send> Poll for Work<F> {
    fn name(&self) -> &str {
        self.0
    }

    fn poll(&mut self, _now: u64, waker: &Waker) -> Result<TaskPoll, TaskError> {
        (self.1)(waker)
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        None
    }
}

fn add<F>(executor: &mut dyn Executor, worker: usize, name: &'static str, work: F)
where
    F: FnMut(&Waker) -> Result<TaskPoll, TaskError> + Send + 'static,
{
    let id = executor.reserve(worker);
    executor.place(id, Box::new(Work(name, work)));
}

/// Counts how often it was dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn finish(mut running: Box<dyn Running>) -> Result<(), Failure> {
    let begin = Instant::now();
    // The end of a part ends a wait, too.
    while !running.wait(HANGS) {
        assert!(begin.elapsed() < HANGS, "the run hangs");
    }
    running.join()
}

fn nothing_to_do_is_done(backend: &dyn ExecutorBackend) {
    assert_eq!(finish(backend.executor().start()), Ok(()));
}

fn slots_wrap_around(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let workers = executor.workers();
    assert!(workers > 0);
    let ids: Vec<_> = (0..2 * workers).map(|worker| executor.reserve(worker)).collect();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(id.worker, number % workers);
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1);
    }
}

fn every_task_is_polled_at_first_and_again_if_it_asks(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let polls = Arc::new(AtomicU32::new(0));
    // More than one word of a set of bits.
    for worker in 0..150 {
        let (polls, mut left) = (Arc::clone(&polls), 3);
        add(&mut *executor, worker, "counts", move |_| {
            polls.fetch_add(1, Ordering::SeqCst);
            left -= 1;
            Ok(if left == 0 { TaskPoll::Finished } else { TaskPoll::Again })
        });
    }
    assert_eq!(finish(executor.start()), Ok(()));
    assert_eq!(polls.load(Ordering::SeqCst), 450);
}

/// Writes down what time it was polled with.
struct Time(Arc<AtomicU64>);

impl Poll for Time {
    fn name(&self) -> &str {
        "looks at the time"
    }

    fn poll(&mut self, now: u64, _: &Waker) -> Result<TaskPoll, TaskError> {
        self.0.store(now, Ordering::SeqCst);
        Ok(TaskPoll::Finished)
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        None
    }
}

fn tasks_are_polled_with_the_time_of_the_clock(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let (clock, time) = (executor.clock(), Arc::new(AtomicU64::new(u64::MAX)));
    let id = executor.reserve(0);
    executor.place(id, Box::new(Time(Arc::clone(&time))));
    // A clock that began later than this one would be behind by then.
    const LATER: Duration = Duration::from_millis(5);
    while clock.now() < LATER {
        std::hint::spin_loop();
    }
    assert_eq!(finish(executor.start()), Ok(()));
    let polled = Duration::from_micros(time.load(Ordering::SeqCst));
    assert!((LATER..=clock.now()).contains(&polled), "polled at {polled:?}");
}

/// Two tasks that take turns, each waiting for the other: a wake-up that is lost hangs them.
fn tasks_wake_each_other(backend: &dyn ExecutorBackend) {
    const TURNS: u32 = 20_000;
    let mut executor = backend.executor();
    let turn = Arc::new(AtomicU32::new(0));
    let ids = [executor.reserve(0), executor.reserve(1)];
    for own in 0..2u32 {
        let turn = Arc::clone(&turn);
        let other = executor.waker(ids[1 - own as usize]);
        let work = move |_: &Waker| {
            let now = turn.load(Ordering::SeqCst);
            if now < TURNS && now % 2 == own {
                turn.store(now + 1, Ordering::SeqCst);
                other.wake_by_ref();
            }
            let over = turn.load(Ordering::SeqCst) >= TURNS;
            Ok(if over { TaskPoll::Finished } else { TaskPoll::Idle })
        };
        executor.place(ids[own as usize], Box::new(Work("takes turns", work)));
    }
    assert_eq!(finish(executor.start()), Ok(()));
}

fn a_thread_wakes_a_task(backend: &dyn ExecutorBackend) {
    const TIMES: u32 = 500;
    let mut executor = backend.executor();
    let (said, heard) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let id = executor.reserve(0);
    let waker = executor.waker(id);
    let work = {
        let (said, heard) = (Arc::clone(&said), Arc::clone(&heard));
        move |_: &Waker| {
            heard.store(said.load(Ordering::SeqCst), Ordering::SeqCst);
            let done = heard.load(Ordering::SeqCst) == TIMES;
            Ok(if done { TaskPoll::Finished } else { TaskPoll::Idle })
        }
    };
    executor.place(id, Box::new(Work("listens", work)));
    let speaker = thread::spawn(move || {
        for number in 1..=TIMES {
            said.store(number, Ordering::SeqCst);
            waker.wake_by_ref();
            while heard.load(Ordering::SeqCst) < number {
                thread::yield_now();
            }
        }
    });
    assert_eq!(finish(executor.start()), Ok(()));
    speaker.join().expect("the other thread");
}

/// Wants to be polled at a time, three times.
struct Alarm {
    at: u64,
    left: u32,
}

impl Poll for Alarm {
    fn name(&self) -> &str {
        "alarm"
    }

    fn poll(&mut self, now: u64, _waker: &Waker) -> Result<TaskPoll, TaskError> {
        if now >= self.at {
            (self.at, self.left) = (now + 2_000, self.left - 1);
        }
        Ok(if self.left == 0 { TaskPoll::Finished } else { TaskPoll::Idle })
    }

    fn deadline(&self) -> Option<u64> {
        Some(self.at)
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        None
    }
}

fn deadlines_are_kept(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    for at in [1_000, 3_000] {
        let id = executor.reserve(0);
        executor.place(id, Box::new(Alarm { at, left: 3 }));
    }
    assert_eq!(finish(executor.start()), Ok(()));
}

fn files_wake_tasks(backend: &dyn ExecutorBackend) {
    const BYTES: usize = 200;
    let mut executor = backend.executor();
    let (mut here, mut there) = UnixStream::pair().expect("two sockets");
    here.set_nonblocking(true).expect("a socket that does not block");
    let id = executor.reserve(0);
    executor.watch(id, here.as_fd()).expect("a file that can be watched");
    let mut all = 0;
    let work = move |_: &Waker| {
        let mut buffer = [0; 16];
        // To the end: only a change wakes the task again.
        while let Ok(read) = here.read(&mut buffer) {
            if read == 0 {
                break;
            }
            all += read;
            here.write_all(&buffer[..read]).expect("the other end reads");
        }
        Ok(if all == BYTES { TaskPoll::Finished } else { TaskPoll::Idle })
    };
    executor.place(id, Box::new(Work("echoes", work)));
    let other = thread::spawn(move || {
        for byte in 0..BYTES {
            let mut echo = [0];
            there.write_all(&[byte as u8]).expect("the task reads");
            there.read_exact(&mut echo).expect("the task writes");
            assert_eq!(echo, [byte as u8]);
        }
    });
    assert_eq!(finish(executor.start()), Ok(()));
    other.join().expect("the other end");
}

fn a_finished_task_is_dropped_at_once(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let dropped = Arc::new(AtomicU32::new(0));
    let guard = Dropped(Arc::clone(&dropped));
    add(&mut *executor, 0, "finishes", move |_| {
        let _ = &guard;
        Ok(TaskPoll::Finished)
    });
    // Goes on until the other is gone.
    add(&mut *executor, 1, "waits", move |_| {
        Ok(if dropped.load(Ordering::SeqCst) == 1 { TaskPoll::Finished } else { TaskPoll::Again })
    });
    assert_eq!(finish(executor.start()), Ok(()));
}

fn a_failure_ends_the_run_and_drops_the_others(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let dropped = Arc::new(AtomicU32::new(0));
    for worker in 0..3 {
        let guard = Dropped(Arc::clone(&dropped));
        add(&mut *executor, worker, "waits for ever", move |_| {
            let _ = &guard;
            Ok(TaskPoll::Idle)
        });
    }
    let mut polls = 0;
    add(&mut *executor, 1, "fails", move |_| {
        polls += 1;
        if polls < 3 { Ok(TaskPoll::Again) } else { Err(TaskError::new("no more")) }
    });
    let failure = Failure::Task(TaskError::new("no more"));
    assert_eq!(finish(executor.start()), Err(failure));
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

fn a_panic_is_a_failure_with_the_name_of_its_task(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    add(&mut *executor, 0, "divides", |_| panic!("by zero"));
    let failed = finish(executor.start()).expect_err("the task panics");
    let Failure::Task(error) = failed else { panic!("{failed:?}") };
    assert_eq!(error.to_string(), "divides: panicked: by zero");
}

fn a_run_is_cancelled(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    let polled = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&polled);
    add(&mut *executor, 0, "waits for ever", move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(TaskPoll::Idle)
    });
    let running = executor.start();
    let outcome = Arc::clone(running.outcome());
    let canceller = thread::spawn(move || {
        while polled.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        outcome.cancel();
    });
    assert_eq!(finish(running), Err(Failure::Cancelled));
    canceller.join().expect("the other thread");
}

fn waiting_ends_in_time(backend: &dyn ExecutorBackend) {
    let mut executor = backend.executor();
    add(&mut *executor, 0, "waits for ever", |_| Ok(TaskPoll::Idle));
    let mut running = executor.start();
    assert!(!running.wait(Duration::from_millis(2)), "there is a task that waits");
    running.outcome().cancel();
    assert_eq!(finish(running), Err(Failure::Cancelled));
}

#[cfg(test)]
mod tests {
    use crate::{Inline, ThreadPerCore};

    #[test]
    fn threads_do_what_an_executor_must() {
        for workers in [1, 2, 3] {
            super::all(&ThreadPerCore::new(workers));
        }
        super::all(&ThreadPerCore::new(2).spin(std::time::Duration::ZERO));
    }

    #[test]
    fn the_waiting_thread_does_what_an_executor_must() {
        super::all(&Inline::new());
        for seed in 0..20 {
            super::all(&Inline::new().seed(seed));
        }
    }
}
