//! Process functions with two inputs.

use millstream_state::format::ReadChunk;

use super::*;
use crate::stream::{BroadcastProcessPages, CoProcessPages};

/// A key and a name.
type Named = (u64, String);

fn key_of_rows(row: Row<'_, Rows>) -> u64 {
    row.0
}

fn key_of_named<'a>(row: Row<'a, Named>) -> u64 {
    row.0
}

/// Emits each number with the name of its key as soon as there is one; numbers that waited for ten
/// milliseconds in vain, without.
#[derive(Clone)]
struct Name;

struct Waiting {
    name: ValueState<String>,
    numbers: ListState<i64>,
}

impl KeyedCoProcessFunction for Name {
    type Key = u64;
    type First = Rows;
    type Second = Named;
    type Out = (u64, i64, Option<String>);
    type States = Waiting;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Waiting, TaskError> {
        Ok(Waiting { name: states.value("name")?, numbers: states.list("numbers")? })
    }

    fn first(
        &mut self,
        waiting: &mut Waiting,
        (key, number): Rows,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        if let Some(name) = waiting.name.get(context)? {
            context.emit((key, number, Some(&name)));
            return Ok(());
        }
        waiting.numbers.add(context, number)?;
        context.register_timer(number + 10)
    }

    fn second(
        &mut self,
        waiting: &mut Waiting,
        (key, name): (u64, &str),
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        waiting.name.set(context, name)?;
        for number in waiting.numbers.get(context)? {
            context.emit((key, number, Some(name)));
            context.delete_timer(number + 10)?;
        }
        waiting.numbers.clear(context)
    }

    fn on_timer(
        &mut self,
        waiting: &mut Waiting,
        time: i64,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let (due, left): (Vec<i64>, Vec<i64>) =
            waiting.numbers.get(context)?.into_iter().partition(|number| number + 10 <= time);
        let key = context.key();
        due.into_iter().for_each(|number| context.emit((key, number, None)));
        waiting.numbers.set(context, &left)
    }
}

type KeyOf<T> = fn(Row<'_, T>) -> u64;
type NameBench = Bench<Rows, (u64, i64, Option<String>)>;

fn names(subtask: u32, parallelism: u32) -> NameBench {
    let keys: (KeyOf<Rows>, KeyOf<Named>) = (key_of_rows, key_of_named);
    Bench::open(&CoProcessPages::new(Name, keys), subtask, parallelism, 64)
}

fn named(key: u64, name: &str) -> Named {
    (key, name.into())
}

#[test]
fn rows_of_both_streams_share_state_and_timers() {
    let mut bench = names(0, 1);
    bench.push(&[(1, 0), (2, 3), (1, 1)]);
    bench.push_to(1, &[named(1, "one")]);
    let one = Some(String::from("one"));
    assert_eq!(bench.rows(), [(1, 0, one.clone()), (1, 1, one.clone())]);
    bench.push(&[(1, 7), (3, 4)]);
    assert_eq!(bench.rows(), [(1, 7, one)]);
    bench.watermark(13);
    assert_eq!(bench.rows(), [(2, 3, None)]);
    bench.push_to(1, &[named(3, "three")]);
    bench.watermark(i64::MAX);
    assert_eq!(bench.rows(), [(3, 4, Some("three".into()))]);
}

#[test]
fn they_move_with_their_keys() {
    let rows: Vec<Rows> = (0..60).map(|number| (number % 20, number as i64)).collect();
    let key = |row: &Rows| row.0;
    let mut chunks = Vec::new();
    for subtask in 0..3 {
        let mut bench = names(subtask, 3);
        bench.push(&routed(&rows, subtask, 3, key));
        chunks.push(bench.snapshot(|_| {}));
    }
    let known: Vec<Named> = (0..20).step_by(2).map(|key| named(key, "even")).collect();
    let mut found = Vec::new();
    for subtask in 0..2 {
        let mut bench = names(subtask, 2);
        chunks.iter().for_each(|chunks| bench.restore(chunks));
        bench.push_to(1, &routed(&known, subtask, 2, |row: &Named| row.0));
        bench.watermark(i64::MAX);
        found.extend(bench.rows());
    }
    found.sort();
    let name = |key: u64| key.is_multiple_of(2).then(|| String::from("even"));
    let mut expected: Vec<_> = rows.iter().map(|row| (row.0, row.1, name(row.0))).collect();
    expected.sort();
    assert_eq!(found, expected);
}

/// Emits a row for each limit that the sum of its key has passed with it. A limit of 0 is taken
/// back. Timers emit how many limits there are.
#[derive(Clone)]
struct Limits;

struct Kept {
    sum: ValueState<i64>,
    limits: BroadcastState<String, i64>,
}

impl KeyedBroadcastProcessFunction for Limits {
    type Key = u64;
    type In = Rows;
    type Broadcast = (String, i64);
    type Out = (u64, String, i64);
    type States = Kept;

    fn open(
        &mut self,
        states: &mut StateRegistry<'_>,
        broadcast: &mut BroadcastRegistry<'_>,
    ) -> Result<Kept, TaskError> {
        Ok(Kept { sum: states.value("sum")?, limits: broadcast.map("limits")? })
    }

    fn process(
        &mut self,
        kept: &mut Kept,
        (key, number): Rows,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let before = kept.sum.get(context)?.unwrap_or(0);
        let sum = before + number;
        kept.sum.set(context, sum)?;
        for limit in kept.limits.iter(broadcast) {
            let (name, limit) = limit?;
            if before < limit && sum >= limit {
                context.emit((key, name, sum));
            }
        }
        context.register_timer(sum)
    }

    fn process_broadcast(
        &mut self,
        kept: &mut Kept,
        (name, limit): (&str, i64),
        broadcast: &mut BroadcastStates,
        context: &mut BroadcastContext<'_, Self::Out>,
    ) -> Result<(), TaskError> {
        let before = kept.limits.get(broadcast, name)?.unwrap_or(0);
        context.emit((u64::MAX, name, before));
        match limit {
            0 => kept.limits.remove(broadcast, name),
            limit => kept.limits.put(broadcast, name, limit)?,
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        kept: &mut Kept,
        _: i64,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let (key, limits) = (context.key(), kept.limits.iter(broadcast).count());
        context.emit((key, "limits", limits as i64));
        Ok(())
    }
}

type LimitBench = Bench<Rows, (u64, String, i64)>;

fn limits(subtask: u32, parallelism: u32, segments: usize) -> LimitBench {
    let head = BroadcastProcessPages::new(Limits, key_of_rows as KeyOf<Rows>);
    Bench::open(&head, subtask, parallelism, segments)
}

fn limit(name: &str, limit: i64) -> (String, i64) {
    (name.into(), limit)
}

fn out(key: u64, name: &str, sum: i64) -> (u64, String, i64) {
    (key, name.into(), sum)
}

#[test]
fn broadcast_rows_change_what_is_done_with_others() {
    let mut bench = limits(0, 1, 64);
    bench.push(&[(1, 5)]);
    bench.push_to(1, &[limit("low", 10), limit("high", 20), limit("low", 7)]);
    let told = [out(u64::MAX, "low", 0), out(u64::MAX, "high", 0), out(u64::MAX, "low", 10)];
    assert_eq!(bench.rows(), told);
    bench.push(&[(1, 3), (2, 30), (1, 1)]);
    assert_eq!(bench.rows(), [out(1, "low", 8), out(2, "high", 30), out(2, "low", 30)]);
    bench.push_to(1, &[limit("low", 0)]);
    bench.push(&[(3, 9)]);
    assert_eq!(bench.rows(), [out(u64::MAX, "low", 7)]);
    bench.watermark(5);
    assert_eq!(bench.rows(), [out(1, "limits", 1)]);
}

/// Whether a snapshot has broadcast state.
fn has_broadcast(chunks: &[u8]) -> bool {
    let (mut offset, mut found) = (0, false);
    while offset < chunks.len() {
        let (chunk, next) = ReadChunk::read(chunks, offset).expect("a chunk");
        found |= chunk.state == LIMITS;
        offset = next;
    }
    found
}

/// The number of the broadcast state: behind timers of two kinds, and the sum.
const LIMITS: u16 = 3;

#[test]
fn the_first_subtask_writes_broadcast_state_and_all_read_it() {
    let rows: Vec<Rows> = (0..40).map(|key| (key, 5)).collect();
    let names = ["a", "b", "c"].map(|name| limit(name, 8));
    for (before, after) in [(1, 3), (3, 1), (2, 4)] {
        let mut chunks = Vec::new();
        for subtask in 0..before {
            let mut bench = limits(subtask, before, 64);
            bench.push_to(1, &names);
            bench.push(&routed(&rows, subtask, before, |row| row.0));
            // What comes while the snapshot is read is not in it.
            chunks.push(bench.snapshot(|bench| bench.push_to(1, &[limit("d", 8)])));
        }
        let writers: Vec<bool> = chunks.iter().map(|chunks| has_broadcast(chunks)).collect();
        assert!(writers[0] && writers[1..].iter().all(|writes| !writes), "{writers:?}");
        let mut found = Vec::new();
        for subtask in 0..after {
            let mut bench = limits(subtask, after, 64);
            chunks.iter().for_each(|chunks| bench.restore(chunks));
            bench.push(&routed(&rows, subtask, after, |row| row.0));
            found.extend(bench.rows());
        }
        found.sort();
        let each = |key| ["a", "b", "c"].map(|name| out(key, name, 10));
        assert_eq!(found, (0..40).flat_map(each).collect::<Vec<_>>(), "{before} to {after}");
    }
}

/// So many bytes of entries go into a few segments only if those that are replaced and removed give
/// theirs back.
#[test]
fn broadcast_state_gives_back_what_it_does_not_need() {
    let mut bench = limits(0, 1, 12);
    for number in 0..1000 {
        bench.push_to(1, &[limit("the same", number + 1)]);
        let other = alloc::format!("limit {number}");
        bench.push_to(1, &[limit(&other, 1), limit(&other, 0)]);
    }
    bench.rows();
    bench.push(&[(1, 2000)]);
    assert_eq!(bench.rows(), [out(1, "the same", 2000)]);
}

#[test]
#[should_panic(expected = "the broadcast state `limits` needs")]
fn broadcast_state_is_part_of_the_budget() {
    let mut bench = limits(0, 1, 12);
    (0..2000).for_each(|number| bench.push_to(1, &[limit(&alloc::format!("{number}"), 1)]));
}
