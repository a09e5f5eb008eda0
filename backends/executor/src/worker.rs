//! A thread that owns tasks and polls them.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use millstream_dataflow::{TaskError, task::TaskPoll};

use crate::{
    Clock, Outcome, Poll, ReadySet, doorbell::Polling, inbox::Inbox, outcome::Member, park::Parker,
};

/// How long a worker looks for work before it sleeps, in microseconds. Waking a sleeping thread
/// takes several of them, so this is what a page costs that arrives while the worker is idle.
pub const SPIN_MICROS_DEFAULT: u64 = 20;

/// A task that is to be polled.
pub(crate) struct Placed {
    pub(crate) task: Box<dyn Poll>,
    /// The part of the run that it belongs to, if it has parts.
    pub(crate) member: Option<Member>,
    pub(crate) waker: Waker,
}

/// A task in its slot.
struct Slot {
    task: Box<dyn Poll>,
    // Dropped behind the task: a part has ended when its tasks are gone.
    member: Option<Member>,
    waker: Waker,
    /// What it waited for after its last poll, and since when.
    state: TaskPoll,
    since: Duration,
}

/// The tasks of one thread.
pub(crate) struct Worker {
    slots: Vec<Option<Slot>>,
    /// Slots with a task.
    left: usize,
    rest: Rest,
    order: Order,
    outcome: Arc<Outcome>,
    /// Where tasks come from while it runs.
    inbox: Arc<Inbox>,
    /// Parts that were over when it last let their tasks go.
    fallen: u32,
}

/// In which order tasks are polled that are ready at the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// By slot.
    Slots,
    /// At random; the state of the generator.
    Seeded(u64),
}

/// What a worker does when there is nothing to do.
pub(crate) struct Rest {
    pub(crate) ready: Arc<ReadySet>,
    pub(crate) parker: Parker,
    pub(crate) spin: Spin,
    pub(crate) clock: Clock,
}

/// Whether it pays to look for work before sleeping: only if work comes so soon at least every second time,
/// since looking in vain costs more than waking. Where it comes later, as from a source that takes longer for a
/// page, looking takes the processor from that source.
#[derive(Debug)]
pub(crate) struct Spin {
    longest: Duration,
    /// From 0, it never comes, to [`SPIN_SCORE_MAX`].
    score: Cell<u32>,
    /// Rests without looking since the last with.
    skipped: Cell<u32>,
}

/// How much oftener work may have been found than not: then it may be missed so often in a row.
const SPIN_SCORE_MAX: u32 = 8;
/// Rests after which one with a score of 0 looks for work all the same.
const SPIN_TRIES: u32 = 16;

impl Spin {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, score: Cell::new(SPIN_SCORE_MAX), skipped: Cell::new(0) }
    }

    /// How long to look for work this time.
    fn time(&self) -> Duration {
        if self.score.get() > 0 || self.skipped.replace(self.skipped.get() + 1) >= SPIN_TRIES {
            return self.longest;
        }
        Duration::ZERO
    }

    /// Whether looking for so long has found work.
    fn learn(&self, looked: Duration, found: bool) {
        if looked.is_zero() {
            return;
        }
        let score = self.score.get();
        self.skipped.set(0);
        self.score.set(if found { SPIN_SCORE_MAX.min(score + 1) } else { score.saturating_sub(1) });
    }
}

/// Rounds of polls after which a busy worker looks at its files.
const ROUNDS_PER_LOOK: u32 = 8;

impl Worker {
    pub(crate) fn new(
        tasks: Vec<Placed>,
        rest: Rest,
        order: Order,
        outcome: Arc<Outcome>,
        inbox: Arc<Inbox>,
    ) -> Self {
        let since = rest.clock.now();
        let slots: Vec<_> = tasks.into_iter().map(|task| Some(Slot::new(task, since))).collect();
        Self { left: slots.len(), slots, rest, order, outcome, inbox, fallen: 0 }
    }

    /// Polls until every task has finished, or one anywhere has failed.
    pub(crate) fn run(self) {
        let _ = self.run_until(None);
    }

    /// Polls for about so long, or until everything of a part has ended; gives the worker back if there
    /// is more to do.
    pub(crate) fn run_for(self, timeout: Duration) -> Option<Self> {
        let until = self.rest.clock.now().saturating_add(timeout);
        self.run_until(Some(until))
    }

    fn run_until(mut self, until: Option<Duration>) -> Option<Self> {
        let outcome = Arc::clone(&self.outcome);
        match catch_unwind(AssertUnwindSafe(|| self.poll_until(until))) {
            Ok(false) => return Some(self),
            Ok(true) => {}
            Err(panic) => {
                let what = panic_message(&*panic);
                outcome.failed(TaskError::new(format!("a worker thread panicked: {what}")));
            }
        }
        // Tasks are dropped before the thread is counted as ended: their channels close first.
        drop(self);
        outcome.end_thread();
        None
    }

    /// `true` if there is nothing left to do.
    fn poll_until(&mut self, until: Option<Duration>) -> bool {
        let mut rounds = 0;
        while (self.left > 0 || self.outcome.is_held()) && !self.outcome.is_over() {
            let is_asked_for = |until| until <= self.rest.clock.now() || self.outcome.has_news();
            if until.is_some_and(is_asked_for) {
                return false;
            }
            self.let_go();
            self.take_in();
            let mut any = self.poll_ready();
            let deadline = self.earliest_deadline();
            if deadline.is_some_and(|at| at <= self.rest.clock.now()) {
                self.left -= self.poll_due();
                any = true;
            }
            rounds += 1;
            if rounds % ROUNDS_PER_LOOK == 0 {
                self.rest.look();
            }
            if !any && (self.left > 0 || self.outcome.is_held()) {
                let wake = [self.earliest_deadline(), until].into_iter().flatten().min();
                self.rest.rest(wake, &self.outcome, until.is_some());
            }
        }
        true
    }

    /// Lets go of the tasks of parts that are over.
    fn let_go(&mut self) {
        let fallen = self.outcome.fallen();
        if std::mem::replace(&mut self.fallen, fallen) == fallen {
            return;
        }
        for slot in &mut self.slots {
            let member = slot.as_ref().and_then(|slot| slot.member.as_ref());
            if member.is_some_and(|member| member.outcome().is_over()) {
                *slot = None;
                self.left -= 1;
            }
        }
    }

    /// Takes tasks in that were put into slots meanwhile. Each is polled at first.
    fn take_in(&mut self) {
        for (number, placed) in self.inbox.take() {
            let waker = placed.waker.clone();
            let slot = Slot::new(placed, self.rest.clock.now());
            if let Some(place) = self.slots.get_mut(number) {
                self.left += usize::from(place.replace(slot).is_none());
                waker.wake();
                // Its part may have ended before it was here: look once more.
                self.fallen = self.fallen.wrapping_sub(1);
            }
        }
    }

    /// Polls the tasks that are ready; `true` if there was one.
    fn poll_ready(&mut self) -> bool {
        let ready = Arc::clone(&self.rest.ready);
        let Order::Seeded(mut state) = self.order else {
            return ready.drain(|task| self.left -= usize::from(self.poll(task)));
        };
        let mut tasks = Vec::new();
        let any = ready.drain(|task| tasks.push(task));
        for last in (1..tasks.len()).rev() {
            tasks.swap(last, (next_random(&mut state) % (last as u64 + 1)) as usize);
        }
        self.order = Order::Seeded(state);
        for task in tasks {
            self.left -= usize::from(self.poll(task));
        }
        any
    }

    /// `true` if the task is done with.
    fn poll(&mut self, task: usize) -> bool {
        let Some(slot) = self.slots.get_mut(task).and_then(Option::as_mut) else { return false };
        let begin = self.rest.clock.now();
        // A panic of an operator ends its job, not the process: other jobs live on.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _polling = Polling::begin();
            slot.task.poll(begin.as_micros() as u64, &slot.waker)
        }));
        let end = self.rest.clock.now();
        slot.account(begin, end);
        let result = polled.unwrap_or_else(|panic| {
            let what = panic_message(&*panic);
            Err(TaskError::new(format!("{}: panicked: {what}", slot.task.name())))
        });
        match result {
            Ok(TaskPoll::Finished) => {
                self.slots[task] = None;
                true
            }
            Ok(state) => {
                slot.state = state;
                slot.since = end;
                if state == TaskPoll::Again {
                    slot.waker.wake_by_ref();
                }
                false
            }
            Err(error) => {
                match &slot.member {
                    Some(member) => member.outcome().failed(error),
                    None => self.outcome.failed(error),
                }
                self.slots[task] = None;
                true
            }
        }
    }

    /// Polls the tasks whose deadline has come; gives how many are done with.
    fn poll_due(&mut self) -> usize {
        let now = self.rest.clock.now().as_micros() as u64;
        let due = |slot: &Option<Slot>| {
            slot.as_ref().and_then(|slot| slot.task.deadline()).is_some_and(|at| at <= now)
        };
        let due: Vec<usize> =
            (0..self.slots.len()).filter(|index| due(&self.slots[*index])).collect();
        due.into_iter().map(|task| usize::from(self.poll(task))).sum()
    }

    fn earliest_deadline(&self) -> Option<Duration> {
        let deadlines = self.slots.iter().flatten().filter_map(|slot| slot.task.deadline());
        deadlines.min().map(Duration::from_micros)
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Rest {
    /// Nothing is ready: looks on for a while, then sleeps until woken or until the deadline, and not
    /// longer than until there is news if somebody `waits` for it on this thread.
    fn rest(&self, deadline: Option<Duration>, outcome: &Outcome, waits: bool) {
        let begin = self.clock.now();
        let longest = self.spin.time();
        loop {
            self.look();
            if self.ready.glance() || outcome.is_over() || waits && outcome.has_news() {
                return self.spin.learn(longest, true);
            }
            let now = self.clock.now();
            if deadline.is_some_and(|at| at <= now) {
                return;
            }
            if now - begin >= longest {
                break;
            }
            std::hint::spin_loop();
        }
        self.spin.learn(longest, false);
        if self.ready.fall_asleep() {
            let timeout = deadline.map(|at| at.saturating_sub(self.clock.now()));
            self.parker.park(timeout, |slot| self.happened(slot));
            self.ready.awake();
        }
    }

    /// Looks at the files.
    fn look(&self) {
        if self.parker.has_files() {
            self.parker.look(|slot| self.happened(slot));
        }
    }

    /// This thread is awake, so nobody has to be unparked.
    fn happened(&self, slot: usize) {
        let _ = self.ready.wake(slot);
    }
}

impl Slot {
    fn new(Placed { task, member, waker }: Placed, since: Duration) -> Self {
        Self { task, member, waker, state: TaskPoll::Idle, since }
    }

    /// Counts the time of a poll, and that before it by what the task waited for.
    fn account(&self, begin: Duration, end: Duration) {
        let Some(metrics) = self.task.metrics() else { return };
        let waited = begin.saturating_sub(self.since).as_nanos() as u64;
        let busy = (end - begin).as_nanos() as u64;
        match self.state {
            TaskPoll::Idle => metrics.spent(busy, waited, 0),
            TaskPoll::Backpressured => metrics.spent(busy, 0, waited),
            // Waiting for its turn on a busy worker.
            TaskPoll::Again | TaskPoll::Finished => metrics.spent(busy + waited, 0, 0),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(20);

    #[test]
    fn a_worker_stops_looking_for_work_that_does_not_come() {
        let spin = Spin::new(LONGEST);
        for _ in 0..SPIN_SCORE_MAX {
            assert_eq!(spin.time(), LONGEST);
            spin.learn(LONGEST, false);
        }
        for _ in 0..3 {
            for _ in 0..SPIN_TRIES {
                assert_eq!(spin.time(), Duration::ZERO);
                spin.learn(Duration::ZERO, false);
            }
            assert_eq!(spin.time(), LONGEST, "once in a while it tries");
            spin.learn(LONGEST, false);
        }
    }

    #[test]
    fn a_worker_looks_again_once_work_comes_soon() {
        let spin = Spin::new(LONGEST);
        (0..20).for_each(|_| spin.learn(LONGEST, false));
        spin.learn(LONGEST, true);
        assert_eq!(spin.time(), LONGEST);
        // Every second time it does not: that is no reason to stop.
        for round in 0..100 {
            spin.learn(LONGEST, round % 2 == 0);
            assert_eq!(spin.time(), LONGEST);
        }
        // Two times of three is one.
        (0..30).for_each(|round| spin.learn(LONGEST, round % 3 == 0));
        assert_eq!(spin.time(), Duration::ZERO);
    }
}
