//! Session windows, through the runtime.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use millstream::{
    Record, Runtime,
    dataflow::{
        Environment,
        operator::{Emit, window::WindowAggregate},
    },
    result::Collected,
    state::{time::Bounded, window::Window},
};

/// A key, a time and a number.
type Measured = (u64, i64, u64);

/// Key, begin and end of the session, rows and sum.
type Summed = (u64, i64, i64, u64, u64);

const ROWS: u64 = 20_000;
const KEYS: u64 = 20;
/// No row is behind another by more.
const DISORDER: i64 = 100;
/// Odd, where times are even: no session begins just where another one ends. Whether those two become
/// one would depend on whether the watermark between them comes first.
const GAP: i64 = 15;

/// Rows whose times go up, each out of order by up to [`DISORDER`]. Keys come and go.
fn measured(number: u64) -> Measured {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let back = (mixed >> 40) as i64 % (DISORDER + 1);
    let key = (mixed >> 20 & 0xFFFF) % KEYS + number / 1000;
    (key, (number as i64 - back) / 2 * 2, number)
}

fn rows(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize).map(measured)
}

#[derive(Clone)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Measured;
    type Key = u64;
    type Accumulator = (u64, u64);
    type Out = Summed;

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (rows, sum): &mut (u64, u64), (_, _, number): Measured) {
        *rows += 1;
        *sum += number;
    }

    fn merge(&self, (rows, sum): &mut (u64, u64), other: (u64, u64)) {
        *rows += other.0;
        *sum += other.1;
    }

    fn finish(
        &self,
        key: u64,
        window: Window,
        (rows, sum): (u64, u64),
        out: &mut dyn Emit<Summed>,
    ) {
        out.emit((key, window.start, window.end, rows, sum));
    }
}

/// The result of a program that is run by so many subtasks, sorted.
fn sorted<T: Record + Ord>(parallelism: u32, build: impl FnOnce(&Environment)) -> Vec<T> {
    let env = Environment::new("sessions");
    build(&env);
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(parallelism).workers(2).segment_size(4096).build();
    runtime.expect("a runtime").run(env.build(), rows.sink()).expect("the job runs");
    let mut rows = rows.take();
    rows.sort();
    rows
}

/// What sessions come to if no row is late: the times of each key in order, divided where there is a gap.
fn expected() -> Vec<Summed> {
    let mut by_key: BTreeMap<u64, Vec<(i64, u64)>> = BTreeMap::new();
    for (key, time, number) in (0..ROWS).map(measured) {
        by_key.entry(key).or_default().push((time, number));
    }
    let mut expected = Vec::new();
    for (key, mut rows) in by_key {
        rows.sort_unstable();
        for session in rows.chunk_by(|one, next| next.0 - one.0 <= GAP) {
            let (start, last) = (session[0].0, session[session.len() - 1].0);
            let sum = session.iter().map(|row| row.1).sum();
            expected.push((key, start, last + GAP, session.len() as u64, sum));
        }
    }
    expected
}

#[test]
fn sessions_are_divided_by_gaps() {
    let expected = expected();
    assert!(expected.len() > 2000, "{} sessions", expected.len());
    for parallelism in [1, 2, 4] {
        let found: Vec<Summed> = sorted(parallelism, |env| {
            env.generate(rows)
                .assign_watermarks(Bounded::new(DISORDER + 2), |row| row.1)
                .key_by::<u64, _>(|row| row.0)
                .session_window(GAP, |row| row.1)
                .aggregate(Sum)
                .result();
        });
        assert_eq!(found, expected, "parallelism {parallelism}");
    }
}

/// Sessions as one row after another makes them, with the watermark before it: those that are emitted,
/// with those that are emitted anew, and the sum of the rows that are late.
fn row_by_row(bound: i64, lateness: i64) -> (Vec<Summed>, u64) {
    let (mut watermark, mut late, mut out) = (Bounded::new(bound), 0, Vec::new());
    let mut sessions: BTreeMap<u64, Vec<Summed>> = BTreeMap::new();
    let last = [(u64::MAX, i64::MAX, 0)];
    let mut said = i64::MIN;
    for (key, time, number) in (0..ROWS).map(measured).chain(last) {
        let now = if key == u64::MAX { i64::MAX } else { watermark.watermark() };
        for sessions in sessions.values_mut() {
            let ended = |session: &&Summed| session.2 - 1 > said && session.2 - 1 <= now;
            out.extend(sessions.iter().filter(ended));
            sessions.retain(|session| (session.2 - 1).saturating_add(lateness) > now);
        }
        said = now;
        if key == u64::MAX {
            break;
        }
        watermark.observe(time);
        let of_key = sessions.entry(key).or_default();
        let mut one = (key, time, time + GAP, 1, number);
        let touch = |other: &Summed| other.1 <= time + GAP && other.2 >= time;
        for other in of_key.iter().filter(|other| touch(other)) {
            one = (key, one.1.min(other.1), one.2.max(other.2), one.3 + other.3, one.4 + other.4);
        }
        if one.2 - 1 + lateness <= now {
            late += number;
            continue;
        }
        of_key.retain(|other| !touch(other));
        of_key.push(one);
        if one.2 - 1 <= now {
            out.push(one);
        }
    }
    out.sort_unstable();
    (out, late)
}

/// Runs with a bound that does not hold, in one subtask, so that rows come in one order.
fn with_late_rows(bound: i64, lateness: i64) -> (Vec<Summed>, u64) {
    let late_sum = Arc::new(AtomicU64::new(0));
    let added = Arc::clone(&late_sum);
    let found = sorted(1, |env| {
        let (sums, late) = env
            .generate(rows)
            .assign_watermarks(Bounded::new(bound), |row| row.1)
            .key_by::<u64, _>(|row| row.0)
            .session_window(GAP, |row| row.1)
            .allowed_lateness(lateness)
            .aggregate_with_late(Sum);
        late.for_each(move |row: Measured| {
            added.fetch_add(row.2, Ordering::Relaxed);
        });
        sums.result();
    });
    (found, late_sum.load(Ordering::Relaxed))
}

/// A row is late if the session that it makes, with all that it joins, has ended.
#[test]
fn late_rows_are_late_by_their_session() {
    let (expected, late) = row_by_row(2, 0);
    assert!(late > 0);
    assert_eq!(with_late_rows(2, 0), (expected, late));
}

#[test]
fn with_allowed_lateness_a_session_is_emitted_anew() {
    let (expected, late) = row_by_row(2, 20);
    assert!(late > 0 && late < row_by_row(2, 0).1);
    assert_eq!(with_late_rows(2, 20), (expected, late));
    let (expected, late) = row_by_row(2, DISORDER);
    assert_eq!((with_late_rows(2, DISORDER), late), ((expected, 0), 0));
}
