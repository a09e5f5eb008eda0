//! Aggregates on a bench: against tables of the test, held back, frozen and put back.

use alloc::{collections::BTreeMap, format, string::String, vec, vec::Vec};

use millstream_data::{hash, row::RowLayout, value::Record};
use millstream_state::{
    KeyGroups, Kind,
    description::{DESCRIPTIONS, Description, Part},
    format::Chunk,
};

use super::{long_keys::KEY_MAX, *};
use crate::{
    operator::{
        Row,
        bench::{Bench, MAX_PARALLELISM, Out, routed},
    },
    stream::{AggregateAtEndPages, AggregatePages},
};

type Rows = (u64, i32);

fn rows(seed: u64, keys: u64) -> Vec<Rows> {
    let mut state = seed | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    (0..700).map(|_| (random(keys), random(100) as i32)).collect()
}

/// Adds numbers up, in an accumulator of type `T`: of one size, too large to be changed in place, or of any size.
#[derive(Clone, Debug)]
struct Sum<T>(PhantomData<fn() -> T>);

trait Total: RowValue {
    fn zero() -> Self;
    fn add(&mut self, number: i32);
    fn total(&self) -> i64;
}

macro_rules! totals {
    ($($type:ty: $zero:expr, $add:expr, $total:expr;)*) => {$(
        impl Total for $type {
            fn zero() -> Self {
                $zero
            }

            fn add(&mut self, number: i32) {
                $add(self, number);
            }

            fn total(&self) -> i64 {
                $total(self)
            }
        }
    )*};
}

type Six = (i64, i64, i64, i64, i64, i64);
type Thirty = (Six, Six, Six, Six, Six);
/// Of 960 bytes, which are not changed in place.
type Huge = (Thirty, Thirty, Thirty, Thirty);

totals! {
    i64: 0, |sum: &mut i64, number| *sum += i64::from(number), |sum: &i64| *sum;
    Huge: Huge::default(),
        |sum: &mut Huge, number| sum.3.4.5 += i64::from(number),
        |sum: &Huge| sum.3.4.5;
    i32: 0, |sum: &mut i32, number| *sum += number, |sum: &i32| i64::from(*sum);
    i16: 0, |sum: &mut i16, number| *sum += number as i16, |sum: &i16| i64::from(*sum);
    String: String::new(),
        |sum: &mut String, number: i32| {
            let total = sum.total() + i64::from(number);
            // Longer and longer, so that it does not stay where it was.
            *sum = format!("{}{total}", "0".repeat(sum.len().min(60)));
        },
        |sum: &String| sum.parse().unwrap_or(0);
}

impl<T: Total> AggregateFunction for Sum<T> {
    type In = Rows;
    type Key = u64;
    type Accumulator = T;
    type Out = (u64, i64);

    fn create(&self) -> T {
        T::zero()
    }

    fn add(&self, sum: &mut T, (_, number): Rows) {
        sum.add(number);
    }

    fn finish(&self, key: u64, sum: &T) -> (u64, i64) {
        (key, sum.total())
    }
}

fn rolling<T: Total>(subtask: u32, parallelism: u32) -> Bench<Rows, (u64, i64)> {
    let key = |row: Row<'_, Rows>| row.0;
    let head = AggregatePages::new(Sum::<T>(PhantomData), key);
    Bench::open(&head, subtask, parallelism, 600)
}

fn at_end<T: Total>(subtask: u32, parallelism: u32) -> Bench<Rows, (u64, i64)> {
    let key = |row: Row<'_, Rows>| row.0;
    let head = AggregateAtEndPages::new(Sum::<T>(PhantomData), key);
    Bench::open(&head, subtask, parallelism, 600)
}

/// The sum of the key of each row, the row included.
fn sums(totals: &mut BTreeMap<u64, i64>, rows: &[Rows]) -> Vec<(u64, i64)> {
    let add = |(key, number): &Rows| {
        let total = totals.entry(*key).or_default();
        *total += i64::from(*number);
        (*key, *total)
    };
    rows.iter().map(add).collect()
}

fn each_row<T: Total>() {
    for keys in [3, 400] {
        let (mut bench, mut totals) = (rolling::<T>(0, 1), BTreeMap::new());
        for seed in 0..4 {
            let rows = rows(seed + 1, keys);
            bench.push(&rows);
            assert_eq!(bench.rows(), sums(&mut totals, &rows));
        }
        assert!(bench.stops > 2, "it was held back");
    }
}

#[test]
fn each_row_is_followed_by_the_value_of_its_key() {
    each_row::<i64>();
    each_row::<String>();
    each_row::<Huge>();
}

#[test]
fn a_row_that_is_not_taken_yet_is_not_counted() {
    let rows = rows(5, 7);
    let (mut bench, mut totals) = (rolling::<i64>(0, 1), BTreeMap::new());
    bench.push_until_held_back(&rows);
    let taken = bench.rows();
    assert!(taken.len() < rows.len());
    assert_eq!(taken, sums(&mut totals, &rows[..taken.len()]));
    let mut later = rolling::<i64>(0, 1);
    later.restore(&bench.frozen(|_| ()));
    let left = &rows[taken.len()..];
    later.push(left);
    assert_eq!(later.rows(), sums(&mut totals, left));
}

fn goes_on<T: Total>() {
    let (before, after) = (rows(7, 300), rows(8, 400));
    let (mut bench, mut totals) = (rolling::<T>(0, 1), BTreeMap::new());
    bench.push(&before);
    sums(&mut totals, &before);
    let mut changed = after.iter();
    let frozen =
        bench.frozen(|bench| bench.push(&changed.by_ref().take(9).copied().collect::<Vec<_>>()));
    for subtask in 0..3 {
        let mut bench = rolling::<T>(subtask, 3);
        bench.restore(&frozen);
        let own = routed(&after, subtask, 3, |row| row.0);
        bench.push(&own);
        assert_eq!(bench.rows(), sums(&mut totals, &own));
    }
}

#[test]
fn values_go_on_from_a_snapshot_in_other_subtasks() {
    goes_on::<i64>();
    goes_on::<String>();
    goes_on::<Huge>();
}

fn once<T: Total>() {
    let rows = rows(9, 500);
    let mut bench = at_end::<T>(0, 1);
    bench.push(&rows);
    bench.watermark(5);
    assert_eq!(bench.take(), [], "neither rows nor time come before the end");
    let before = bench.frozen(|_| ());
    let mut totals = BTreeMap::new();
    sums(&mut totals, &rows);
    let totals: Vec<_> = totals.into_iter().collect();
    let mut restored = at_end::<T>(0, 1);
    restored.restore(&before);
    for mut bench in [bench, restored] {
        bench.finish();
        let mut all = bench.rows();
        all.sort_unstable();
        assert_eq!(all, totals);
        assert!(bench.stops > 1, "it was held back");
        let mut ended = at_end::<T>(0, 1);
        ended.restore(&bench.frozen(|_| ()));
        ended.finish();
        assert_eq!(ended.take(), [], "what was emitted is not emitted again");
    }
}

#[test]
fn each_key_is_emitted_once_when_the_input_has_ended() {
    once::<i64>();
    once::<String>();
    once::<Huge>();
}

#[test]
fn the_first_row_of_a_key_is_its_first_value() {
    let merge = |last: &mut Rows, row: Rows| last.1 = last.1 * 2 + row.1;
    let key = |row: Row<'_, Rows>| row.0;
    let head = AggregatePages::new(Reduce::<_, u64, Rows>::new(merge), key);
    let mut bench = Bench::<Rows, Rows>::open(&head, 0, 1, 64);
    bench.push(&[(1, 3), (2, 5), (1, 1), (1, 0), (2, 1)]);
    assert_eq!(bench.rows(), [(1, 3), (2, 5), (1, 7), (1, 14), (2, 11)]);
}

type Named = (String, i32);

/// Counts rows by a text.
#[derive(Clone)]
struct ByName;

impl AggregateFunction for ByName {
    type In = Named;
    type Key = String;
    type Accumulator = (i64, Option<i32>);
    type Out = (String, i64);

    fn create(&self) -> (i64, Option<i32>) {
        (0, None)
    }

    fn add(&self, (count, last): &mut (i64, Option<i32>), (_, number): (&str, i32)) {
        *count += 1;
        *last = Some(number);
    }

    fn finish(&self, name: &str, (count, last): &(i64, Option<i32>)) -> (String, i64) {
        (name.into(), *count * 1000 + last.map_or(0, i64::from))
    }
}

// (Rust does not see that what a closure returns lives as long as its row.)
fn name<'a>(row: Row<'a, Named>) -> &'a str {
    row.0
}

/// Rows of texts, some of which are longer than a backend's keys.
fn named(seed: u64) -> Vec<Named> {
    let named = |(key, number): Rows| {
        let length = key as usize % 40 * if key % 40 == 35 { 16 } else { 1 };
        ("n".repeat(length) + &format!("{key}"), number)
    };
    rows(seed, 300).into_iter().map(named).collect()
}

#[test]
fn texts_are_keys() {
    let open =
        || Bench::<Named, (String, i64)>::open(&AggregatePages::new(ByName, name), 0, 1, 600);
    let mut bench = open();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for seed in 1..6 {
        let rows = named(seed);
        assert!(rows.iter().any(|row| row.0.len() > KEY_MAX));
        rows.chunks(20).for_each(|rows| bench.push(rows));
        let count = |(name, number): Named| {
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            (name, *count * 1000 + i64::from(number))
        };
        assert_eq!(bench.rows(), rows.into_iter().map(count).collect::<Vec<_>>());
        let mut next = open();
        next.restore(&bench.frozen(|_| ()));
        bench = next;
    }
}

#[test]
fn long_texts_are_emitted_once_when_the_input_has_ended() {
    let open = |subtask, parallelism| {
        let pages = AggregateAtEndPages::new(ByName, name);
        Bench::<Named, (String, i64)>::open(&pages, subtask, parallelism, 600)
    };
    let (mut before, first, second) = (open(0, 1), named(1), named(2));
    first.chunks(20).for_each(|rows| before.push(rows));
    let frozen = before.frozen(|_| ());
    let mut expected: BTreeMap<String, (i64, i32)> = BTreeMap::new();
    for (name, number) in first.iter().chain(&second).cloned() {
        let (count, last) = expected.entry(name).or_default();
        (*count, *last) = (*count + 1, number);
    }
    let mut found = Vec::new();
    for subtask in 0..2 {
        let mut bench = open(subtask, 2);
        bench.restore(&frozen);
        let own = second.iter().filter(|row| {
            let hash = String::hash(&row.0, hash::SEED);
            KeyGroups::new(2, MAX_PARALLELISM)
                .range(subtask)
                .contains(&KeyGroups::new(2, MAX_PARALLELISM).group(hash))
        });
        let own: Vec<Named> = own.cloned().collect();
        own.chunks(20).for_each(|rows| bench.push(rows));
        bench.finish();
        found.extend(bench.rows());
        let after = bench.frozen(|_| ());
        let mut again = open(subtask, 2);
        again.restore(&after);
        again.finish();
        assert_eq!(again.rows(), [], "they were emitted");
    }
    found.sort();
    let value =
        |(name, (count, last)): (String, (i64, i32))| (name, count * 1000 + i64::from(last));
    assert_eq!(found, expected.into_iter().map(value).collect::<Vec<_>>());
}

#[test]
fn time_passes_a_value_of_each_row() {
    let mut bench = rolling::<i64>(0, 1);
    bench.push(&[(1, 3)]);
    bench.watermark(5);
    assert_eq!(bench.take(), [Out::Row((1, 3)), Out::Watermark(5)]);
}

#[test]
fn values_of_an_older_schema_are_rewritten() {
    let mut old = rolling::<i32>(0, 1);
    old.push(&[(1, 3), (2, 5)]);
    let frozen = old.frozen(|_| ());
    let mut new = rolling::<i64>(0, 1);
    new.restore(&frozen);
    new.push(&[(2, 1), (1, 1)]);
    assert_eq!(new.rows(), [(2, 6), (1, 4)]);
    let refused = format!("{}", rolling::<i16>(0, 1).try_restore(&frozen).unwrap_err());
    assert!(refused.contains("its state `values` cannot be restored"), "{refused}");
}

/// Chunks as they were written when values were in a table beside the state: without a watermark.
#[test]
fn values_of_older_versions_are_put_back() {
    let mut chunks = Vec::new();
    let mut chunk = Chunk::begin(DESCRIPTIONS, 0, &mut chunks);
    let description = Description {
        name: "values".into(),
        kind: Kind::Value,
        key: vec![Part::Hash, Part::Key(u64::schema())],
        namespace: Vec::new(),
        map_key: Vec::new(),
        value: vec![Part::Row(i64::schema())],
    };
    description.write(0, &mut chunk);
    chunk.end();
    let groups = KeyGroups::new(1, MAX_PARALLELISM);
    let (key, value) = (RowLayout::new(&u64::schema()), RowLayout::new(&i64::schema()));
    for number in 0..40u64 {
        let hash = u64::hash(number, hash::SEED);
        let mut bytes = (hash.to_le_bytes().to_vec(), Vec::new());
        key.encode::<u64>(number, &mut bytes.0);
        value.encode::<i64>(number as i64 * 2, &mut bytes.1);
        let mut chunk = Chunk::begin(0, groups.group(hash), &mut chunks);
        chunk.whole(&bytes.0, &[], &bytes.1);
        chunk.end();
    }
    let mut bench = rolling::<i64>(0, 1);
    bench.restore(&chunks);
    bench.push(&[(7, 1), (39, 1), (40, 1)]);
    assert_eq!(bench.rows(), [(7, 15), (39, 79), (40, 1)]);
}
