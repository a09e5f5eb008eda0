//! States with a time to live.

use millstream_state::ttl::{Ttl, TtlUpdate};

use super::*;

const LIFE: i64 = 100;

/// Keeps the time of each row, 0 keeps none, and emits what it finds: the value, the elements of
/// the list and the keys of the map.
#[derive(Clone)]
struct Recent(TtlUpdate);

struct Recently {
    last: ValueState<i64>,
    times: ListState<i64>,
    each: MapState<i64, bool>,
}

impl KeyedProcessFunction for Recent {
    type Key = u64;
    type In = Rows;
    type Out = (u64, Option<i64>, Vec<i64>, Vec<i64>);
    type States = Recently;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Recently, TaskError> {
        let mut states = states.living(Ttl { update: self.0, ..Ttl::new(LIFE) });
        Ok(Recently {
            last: states.value("last")?,
            times: states.list("times")?,
            each: states.map("each")?,
        })
    }

    fn process(
        &mut self,
        recently: &mut Recently,
        (_, time): Rows,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let (last, times) = (recently.last.get(context)?, recently.times.get(context)?);
        let mut each = Vec::new();
        recently.each.scan(context, None, |time, _| {
            each.push(time);
            true
        })?;
        let key = context.key();
        context.emit((key, last, times.view(), each.view()));
        if time == 0 {
            return Ok(());
        }
        recently.last.set(context, time)?;
        recently.times.add(context, time)?;
        recently.each.put(context, time, true)
    }
}

type RecentBench = Bench<Rows, (u64, Option<i64>, Vec<i64>, Vec<i64>)>;

fn recent(update: TtlUpdate, segments: usize) -> RecentBench {
    Bench::open(&head(Recent(update), |row| row.0), 0, 1, segments)
}

/// What a row of key 1 finds at a time, and whether it is kept.
fn at(bench: &mut RecentBench, time: i64, keep: bool) -> (Option<i64>, Vec<i64>, Vec<i64>) {
    bench.pass(time);
    bench.push(&[(1, if keep { time } else { 0 })]);
    let (_, last, times, each) = bench.rows().pop().expect("a row");
    (last, times, each)
}

#[test]
fn what_was_not_written_for_a_while_is_not_seen() {
    let mut bench = recent(TtlUpdate::OnCreateAndWrite, 64);
    assert_eq!(at(&mut bench, 10, true), (None, vec![], vec![]));
    assert_eq!(at(&mut bench, 60, true), (Some(10), vec![10], vec![10]));
    assert_eq!(at(&mut bench, 109, false), (Some(60), vec![10, 60], vec![10, 60]));
    assert_eq!(at(&mut bench, 110, false), (Some(60), vec![60], vec![60]));
    assert_eq!(at(&mut bench, 159, false), (Some(60), vec![60], vec![60]));
    assert_eq!(at(&mut bench, 160, false), (None, vec![], vec![]));
}

#[test]
fn reading_is_a_use_where_the_program_says_so() {
    let mut bench = recent(TtlUpdate::OnReadAndWrite, 64);
    at(&mut bench, 10, true);
    for time in [100, 190, 280] {
        let (last, times, _) = at(&mut bench, time, false);
        assert_eq!((last, times), (Some(10), vec![10]));
    }
    assert_eq!(at(&mut bench, 380, false), (None, vec![], vec![]));
}

/// Keys come once and never again. All of them would need many times the memory that there is.
#[test]
fn what_nobody_asks_for_is_removed_all_the_same() {
    let mut bench = recent(TtlUpdate::OnCreateAndWrite, 100);
    for time in 1..2000 {
        bench.pass(time);
        let keys = (0..10).map(|key| (time as u64 * 10 + key, time));
        bench.push(&keys.collect::<Vec<_>>());
    }
    assert_eq!(bench.rows().len(), 19_990);
}

#[test]
fn a_snapshot_has_only_what_lives() {
    let mut bench = recent(TtlUpdate::OnCreateAndWrite, 64);
    bench.push(&(2..50).map(|key| (key, 1)).collect::<Vec<_>>());
    bench.pass(90);
    bench.push(&[(1, 90)]);
    bench.pass(LIFE);
    // In a task, the barrier tells the chain what time it is.
    bench.watermark(0);
    let chunks = bench.snapshot(|_| {});
    let mut keys = Vec::new();
    let mut offset = 0;
    while offset < chunks.len() {
        let (chunk, next) = millstream_state::format::ReadChunk::read(&chunks, offset).unwrap();
        keys.extend(chunk.entries().map(|entry| entry.key.to_vec()));
        offset = next;
    }
    assert_eq!(keys.len(), 3, "the value, the list and the map of key 1: {keys:?}");
    let mut other = recent(TtlUpdate::OnCreateAndWrite, 64);
    other.restore(&chunks);
    assert_eq!(at(&mut other, 189, false), (Some(90), vec![90], vec![90]));
    assert_eq!(at(&mut other, 190, false), (None, vec![], vec![]));
}

/// Enough for the state of the test below, and for few copies.
const SEGMENTS: usize = 56;

/// The same where pages have to be written into the open snapshot before anything changes.
#[test]
fn removing_waits_for_an_open_snapshot() {
    let mut bench = recent(TtlUpdate::OnCreateAndWrite, SEGMENTS);
    bench.push(&(0..200).map(|key| (key, 1)).collect::<Vec<_>>());
    bench.pass(LIFE);
    let mut times = 0;
    bench.snapshot(|bench| {
        times += 1;
        bench.push(&(200..220).map(|key| (key, times)).collect::<Vec<_>>());
    });
    assert!(times > 1, "there is more than one chunk");
    bench.push(&[(0, 0), (1, 0)]);
    assert!(bench.rows().iter().rev().take(2).all(|row| row.1.is_none() && row.2.is_empty()));
}
