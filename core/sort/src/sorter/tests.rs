//! Everything comes out, in order, whatever the memory, the disk and the data.

extern crate std;

mod faults;

use alloc::{string::ToString, vec, vec::Vec};
use core::cell::Cell;
use std::boxed::Box;

use millstream_memory::{ManagedMemory, Segment};
use millstream_segments::HeapArena;
use millstream_storage::{
    BlockingStorage, Cause, Faults, FileId, MemoryStorage, Refused, Request, Storage, StorageError,
    Submit,
};
use proptest::{collection, prelude::*};

use super::*;
use crate::{ByFields, Bytewise, Fixed, Lease, ManagedLease, Order, Rows, SEGMENTS_MIN};

const PAGE: usize = 4096;

fn memory(segments: usize) -> ManagedMemory {
    ManagedMemory::new(Box::new(HeapArena::new(PAGE, segments).unwrap()))
}

fn lease(memory: &ManagedMemory) -> ManagedLease {
    ManagedLease::new(memory.clone(), memory.open("sort").unwrap())
}

/// Runs until `done`, with as few steps at a time as possible.
fn run_until<F: Format>(
    sorter: &mut Sorter<F, ManagedLease>,
    storage: &mut MemoryStorage,
    done: Progress,
) -> Result<(), SortError> {
    loop {
        match sorter.run(storage, 1)? {
            Progress::Waits => {
                let completion = storage.wait().expect("a sorter waits for something");
                sorter.complete(completion);
            }
            Progress::More => {}
            progress => {
                assert_eq!(progress, done);
                return Ok(());
            }
        }
    }
}

/// Pushes everything, and takes everything out.
fn sort_with<F: Format>(
    sorter: &mut Sorter<F, ManagedLease>,
    storage: &mut MemoryStorage,
    records: &[impl AsRef<F::Record>],
    mut each: impl FnMut(&F::Record),
) -> Result<(), SortError> {
    for record in records {
        while sorter.push(record.as_ref())? == Push::Full {
            run_until(sorter, storage, Progress::Accepts)?;
        }
    }
    sorter.finish();
    run_until(sorter, storage, Progress::Sorted)?;
    loop {
        match sorter.next(storage)? {
            Next::Record(record) => each(record),
            Next::Waits => {
                let completion = storage.wait().expect("a sorter waits for something");
                sorter.complete(completion);
            }
            Next::End => return Ok(()),
        }
    }
}

/// Goes on until nothing is in flight.
fn settle<F: Format>(sorter: &mut Sorter<F, ManagedLease>, storage: &mut MemoryStorage) {
    while sorter.in_flight() > 0 {
        let _ = sorter.run(storage, 1);
        if let Some(completion) = storage.wait() {
            sorter.complete(completion);
        }
    }
}

/// A record of two words as a type of its own, because arrays do not implement `AsRef` of themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair([u64; 2]);

impl AsRef<[u64; 2]> for Pair {
    fn as_ref(&self) -> &[u64; 2] {
        &self.0
    }
}

fn sort_pairs<const K: usize>(
    pairs: &[Pair],
    segments: usize,
    config: SortConfig,
    storage: &mut MemoryStorage,
) -> (Vec<Pair>, SortMetrics)
where
    Fixed<2, K>: Format<Record = [u64; 2]>,
{
    let memory = memory(segments);
    let mut sorter = Sorter::new(Fixed::<2, K>, lease(&memory), config).unwrap();
    let mut sorted = Vec::new();
    sort_with(&mut sorter, storage, pairs, |record| sorted.push(Pair(*record))).unwrap();
    let metrics = sorter.metrics();
    settle(&mut sorter, storage);
    drop(sorter);
    assert_eq!(storage.files(), 0, "files that were read are gone");
    memory.verify_empty().expect("all memory has come back");
    (sorted, metrics)
}

/// Numbers that differ in some bits, and payloads in the order of arrival.
fn pairs(count: usize, mask: u64) -> Vec<Pair> {
    let mut state = 88_172_645_463_325_252u64;
    let mut number = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count as u64).map(|i| Pair([number() & mask, i])).collect()
}

#[test]
fn fixed_records_of_every_distribution() {
    let masks = [u64::MAX, 0xFF, 0, 1 << 63, 0xFFFF << 48, 7 << 30 | 3, 0x0001_0001_0001_0001];
    for mask in masks {
        for (count, segments) in [(0, 8), (1, 8), (255, 8), (5000, 8), (20_000, 40), (60_000, 300)]
        {
            let input = pairs(count, mask);
            let mut expected = input.clone();
            expected.sort_by_key(|pair| pair.0[0]);
            let config = SortConfig::new(segments).stable();
            let (sorted, _) = sort_pairs::<1>(&input, segments, config, &mut MemoryStorage::new());
            assert!(sorted == expected, "{count} records, mask {mask:#x}, {segments} segments");
            // Not stable: the same keys, and every record once.
            let config = SortConfig::new(segments);
            let (mut sorted, _) =
                sort_pairs::<1>(&input, segments, config, &mut MemoryStorage::new());
            assert!(sorted.is_sorted_by_key(|pair| pair.0[0]));
            sorted.sort_by_key(|pair| pair.0);
            assert!(sorted == expected);
        }
    }
}

#[test]
fn memory_decides_how_often_a_record_is_written() {
    let input = pairs(50_000, u64::MAX);
    let metrics = |segments| {
        let config = SortConfig::new(segments);
        sort_pairs::<1>(&input, segments, config, &mut MemoryStorage::new()).1
    };
    let enough = metrics(400);
    assert_eq!((enough.runs, enough.spilled_bytes), (0, 0));
    let half = metrics(120);
    assert_eq!((half.runs, half.merged_runs), (2, 0));
    let least = metrics(SEGMENTS_MIN);
    assert!(least.runs > 40 && least.merged_runs > 20, "{least:?}");
}

#[test]
fn presorted_and_reversed_input() {
    for reverse in [false, true] {
        let mut input: Vec<_> = (0..30_000).map(|i| Pair([i, i])).collect();
        let expected = input.clone();
        if reverse {
            input.reverse();
        }
        let config = SortConfig::new(20).fan_in_max(3);
        let (sorted, _) = sort_pairs::<1>(&input, 20, config, &mut MemoryStorage::new());
        assert!(sorted == expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn fixed_records_and_disks_of_all_kinds(
        records in collection::vec((0u64..50, any::<u64>()), 0..8000),
        segments in SEGMENTS_MIN..60,
        seed: u64,
        in_flight in 1usize..20,
        fan_in in 2usize..6,
    ) {
        let input: Vec<_> = records.iter().map(|(a, b)| Pair([*a << 60 | a, *b])).collect();
        let mut storage = MemoryStorage::new().shuffled(seed).in_flight_max(in_flight);
        let config = SortConfig::new(segments).fan_in_max(fan_in);
        let mut expected = input.clone();
        expected.sort_by_key(|pair| pair.0);
        let (both, _) = sort_pairs::<2>(&input, segments, config, &mut storage);
        prop_assert!(both == expected);
        let mut expected = input.clone();
        expected.sort_by_key(|pair| pair.0[0]);
        let (first, _) = sort_pairs::<1>(&input, segments, config.stable(), &mut storage);
        prop_assert!(first == expected);
    }

    #[test]
    fn rows_of_any_length(
        rows in collection::vec(
            prop_oneof![
                "[ab]{0,3}",
                "same-prefix[a-c]{0,6}",
                "[a-z]{0,40}",
                Just("x".repeat(3000)),
                Just("y".repeat(4084)),
            ],
            0..600,
        ),
        segments in SEGMENTS_MIN..40,
        seed: u64,
        fan_in in 2usize..6,
    ) {
        let mut expected = rows.clone();
        expected.sort();
        let config = SortConfig::new(segments).fan_in_max(fan_in);
        let mut storage = MemoryStorage::new().shuffled(seed);
        let memory = memory(segments);
        let mut sorter = Sorter::new(Rows(Bytewise), lease(&memory), config).unwrap();
        let mut sorted = Vec::new();
        let each = |row: &[u8]| sorted.push(core::str::from_utf8(row).unwrap().to_string());
        sort_with(&mut sorter, &mut storage, &rows, each).unwrap();
        prop_assert_eq!(sorted, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rows_of_a_schema(
        rows in collection::vec((proptest::option::of("[a-c]{0,12}"), any::<i16>(), 0u8..3), 0..2000),
        segments in SEGMENTS_MIN..40,
    ) {
        use millstream_data::{Value, order::SortField, row::RowLayout, value::Record};
        type Row = (Option<std::string::String>, i16, u8);
        let layout = RowLayout::new(&Row::schema());
        let fields = [SortField::descending(2), SortField::ascending(0), SortField::descending(1)];
        let order = ByFields::new(&Row::schema(), layout.clone(), &fields).unwrap();
        let encoded: Vec<_> = rows
            .iter()
            .map(|row| {
                let mut bytes = Vec::new();
                layout.encode::<Row>(row.view(), &mut bytes);
                bytes
            })
            .collect();
        let memory = memory(segments);
        let config = SortConfig::new(segments);
        let mut sorter = Sorter::new(Rows(order), lease(&memory), config).unwrap();
        let mut sorted = Vec::new();
        let each = |bytes: &[u8]| {
            let row = layout.validate(bytes).expect("what was pushed");
            sorted.push(Row::own(layout.decode::<Row>(row)));
        };
        sort_with(&mut sorter, &mut MemoryStorage::new(), &encoded, each).unwrap();
        let mut expected = rows.clone();
        expected.sort_by(|a, b| {
            b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)).then_with(|| b.1.cmp(&a.1))
        });
        prop_assert_eq!(sorted, expected);
    }
}

/// Orders rows by their first byte alone; says that the prefix decides, or not.
#[derive(Clone, Copy)]
struct FirstByte(bool);

impl Order for FirstByte {
    fn prefix(&self, row: &[u8]) -> u64 {
        row.first().map_or(0, |byte| u64::from(*byte))
    }

    fn prefix_decides(&self) -> bool {
        self.0
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> core::cmp::Ordering {
        a.first().cmp(&b.first())
    }
}

#[test]
fn equal_rows_keep_their_order() {
    let rows: Vec<_> = (0..20_000u32)
        .map(|i| std::format!("{}{i:07}", char::from(b'a' + (i * 7 % 5) as u8)))
        .collect();
    let mut expected = rows.clone();
    expected.sort_by_key(|row| row.as_bytes()[0]);
    let kinds = [SEGMENTS_MIN, 50, 500].map(|segments| [(segments, true), (segments, false)]);
    for (segments, decides) in kinds.into_iter().flatten() {
        let memory = memory(segments);
        let config = SortConfig::new(segments).fan_in_max(4);
        let mut sorter = Sorter::new(Rows(FirstByte(decides)), lease(&memory), config).unwrap();
        let mut sorted = Vec::new();
        let each = |row: &[u8]| sorted.push(core::str::from_utf8(row).unwrap().to_string());
        sort_with(&mut sorter, &mut MemoryStorage::new().shuffled(3), &rows, each).unwrap();
        assert!(sorted == expected, "{segments} segments, the prefix decides: {decides}");
    }
}

#[test]
fn a_row_that_no_segment_holds_is_refused_and_others_are_not() {
    let memory = memory(8);
    let config = SortConfig::new(8);
    let mut sorter = Sorter::new(Rows(Bytewise), lease(&memory), config).unwrap();
    let error = sorter.push(&[0; 4085]).unwrap_err();
    assert_eq!(error, SortError::RecordTooLarge { bytes: 4085, max: 4084 });
    let rows = [vec![2; 4084], vec![1; 4084]];
    let mut sorted = Vec::new();
    let each = |row: &[u8]| sorted.push((row.len(), row[0]));
    sort_with(&mut sorter, &mut MemoryStorage::new(), &rows, each).unwrap();
    assert_eq!(sorted, [(4084, 1), (4084, 2)]);
}

#[test]
fn too_little_memory_is_an_error_at_once() {
    let memory = memory(7);
    let error = Sorter::new(Fixed::<1, 1>, lease(&memory), SortConfig::new(100)).unwrap_err();
    assert_eq!(error, SortError::Memory { found: 7 });
    let error = Sorter::new(Fixed::<1, 1>, lease(&memory), SortConfig::new(5)).unwrap_err();
    assert_eq!(error, SortError::Memory { found: 5 });
    memory.verify_empty().unwrap();
}

#[test]
fn small_inputs_take_little_memory() {
    let memory = memory(1000);
    let mut sorter = Sorter::new(Fixed::<2, 1>, lease(&memory), SortConfig::new(1000)).unwrap();
    assert_eq!(sorter.push(&[1, 1]), Ok(Push::Taken));
    assert!(memory.holdings()[0].pages <= SEGMENTS_MIN as u32);
}
