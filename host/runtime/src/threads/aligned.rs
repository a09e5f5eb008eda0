//! Sources that wait until others have come up, by their watermarks.
//!
//! What a source has read so far is known where its watermark is made: in the task that reads from it, whose
//! [counters](TaskMetrics) have what it has said of event time. A group is looked at by whoever reads next, at
//! most once in its interval. A source that waits is asked for barriers as before, and what it sent before it
//! waited is read by its task: so it may be ahead by more than the drift, by what a channel holds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use millstream_dataflow::{
    graph::{alignment::SourceAlignment, execution::Subtask},
    task::TaskMetrics,
};
use millstream_state::time::{Drift, WATERMARK_MAX, WATERMARK_MIN};

/// What the task that reads from a source counts, when it is there.
type Times = Arc<OnceLock<Arc<TaskMetrics>>>;

/// The groups of sources of a job in this process.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
    /// By subtask of a source that was added last: who reads from it is told of later.
    times: Mutex<BTreeMap<Subtask, Times>>,
    /// Other processes have members that have not been heard of yet.
    has_others: bool,
}

impl Groups {
    /// In one of several processes.
    pub(crate) fn among_others() -> Self {
        Self { has_others: true, ..Self::default() }
    }

    /// Adds a subtask of a source to its group.
    pub(crate) fn add(&self, source: Subtask, alignment: &SourceAlignment) -> Member {
        let times = Times::default();
        lock(&self.times).insert(source, Arc::clone(&times));
        let mut groups = lock(&self.groups);
        let first = || {
            let group = Group::default();
            if self.has_others {
                group.elsewhere.store(WATERMARK_MIN, Relaxed);
            }
            Arc::new(group)
        };
        let group = groups.entry(alignment.group.clone()).or_insert_with(first);
        let interval = alignment.update_interval.max(1);
        // The shortest that one of the group asks for counts.
        group.interval.fetch_min(interval, Relaxed);
        let number = lock(&group.members).add(Arc::clone(&times));
        let (group, max_drift) = (Arc::clone(group), alignment.max_drift);
        Member { group, number, max_drift, times }
    }

    /// A task reads from a subtask of a source, and so makes its watermark.
    pub(crate) fn reads(&self, source: Subtask, metrics: &Arc<TaskMetrics>) {
        if let Some(times) = lock(&self.times).get(&source) {
            // Several may read it: they make the same of it.
            let _ = times.set(Arc::clone(metrics));
        }
    }

    /// How far the last member of each group here has come; `None` if it has none that counts.
    pub(crate) fn report(&self) -> Vec<(String, Option<i64>)> {
        let groups = lock(&self.groups);
        let least =
            |(name, group): (&String, &Arc<Group>)| (name.clone(), lock(&group.members).least());
        groups.iter().map(least).collect()
    }

    /// How far the last member of a group has come in all other processes.
    pub(crate) fn elsewhere(&self, group: &str, least: Option<i64>) {
        if let Some(group) = lock(&self.groups).get(group) {
            group.elsewhere.store(least.unwrap_or(WATERMARK_MAX), Relaxed);
        }
    }
}

/// Sources that wait for one another.
#[derive(Debug)]
struct Group {
    /// In milliseconds.
    interval: AtomicU64,
    begun: Instant,
    /// When it is looked at next: milliseconds since it began.
    next: AtomicU64,
    /// How far the last has come, when that was looked at last.
    least: AtomicI64,
    /// The same of other processes.
    elsewhere: AtomicI64,
    members: Mutex<Members>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            interval: AtomicU64::new(u64::MAX),
            begun: Instant::now(),
            next: AtomicU64::new(0),
            least: AtomicI64::new(WATERMARK_MIN),
            elsewhere: AtomicI64::new(WATERMARK_MAX),
            members: Mutex::default(),
        }
    }
}

impl Group {
    /// How far the last has come; looks at all of them if it is time to.
    fn least(&self, now: u64) -> i64 {
        let next = self.next.load(Relaxed);
        let after = now.saturating_add(self.interval.load(Relaxed));
        // One of those who come at a time looks.
        if now >= next && self.next.compare_exchange(next, after, Relaxed, Relaxed).is_ok() {
            let here = lock(&self.members).least().unwrap_or(WATERMARK_MAX);
            self.least.store(here.min(self.elsewhere.load(Relaxed)), Relaxed);
        }
        self.least.load(Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The members of a group.
#[derive(Debug)]
struct Members {
    drift: Drift,
    times: BTreeMap<u64, Times>,
    last: u64,
}

impl Default for Members {
    fn default() -> Self {
        Self { drift: Drift::new(0), times: BTreeMap::new(), last: 0 }
    }
}

impl Members {
    fn add(&mut self, times: Times) -> u64 {
        self.last += 1;
        self.drift.report(self.last, Some(WATERMARK_MIN));
        self.times.insert(self.last, times);
        self.last
    }

    fn least(&mut self) -> Option<i64> {
        for (member, times) in &self.times {
            self.drift.report(*member, time(times));
        }
        self.drift.least()
    }
}

/// How far event time has come behind a source; `None` if it is idle.
fn time(times: &Times) -> Option<i64> {
    times.get().map_or(Some(WATERMARK_MIN), |metrics| metrics.event_time())
}

/// A subtask of a source in its group, which it leaves when it has ended.
#[derive(Debug)]
pub(crate) struct Member {
    group: Arc<Group>,
    number: u64,
    max_drift: i64,
    times: Times,
}

impl Member {
    /// How long it waits before it looks again, if it is too far ahead.
    pub(crate) fn waits(&self) -> Option<Duration> {
        self.waits_at(self.group.now())
    }

    fn waits_at(&self, now: u64) -> Option<Duration> {
        let least = self.group.least(now);
        let is_ahead = time(&self.times)? > least.saturating_add(self.max_drift);
        is_ahead.then(|| {
            let left = self.group.next.load(Relaxed).saturating_sub(now);
            Duration::from_millis(left.max(1))
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = lock(&self.group.members);
        members.times.remove(&self.number);
        members.drift.leave(self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
