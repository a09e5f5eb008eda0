//! The memory model: golden vectors, precedence, contradictions, the table.

use alloc::string::ToString;

use proptest::prelude::*;

use super::{Fraction, GIB, MIB, MemoryError, MemoryOptions, MemoryTable, SIZE_MAX, Share, Source};

fn flink() -> MemoryOptions {
    MemoryOptions::flink()
}

fn bytes(table: &MemoryTable) -> [u64; 8] {
    let MemoryTable {
        process, overhead, metaspace, engine, framework, task, network, managed, ..
    } = table;
    [process, overhead, metaspace, engine, framework, task, network, managed].map(|part| part.bytes)
}

#[test]
fn golden_vectors_of_flink() {
    let table = MemoryOptions { process: Some(1728 * MIB), ..flink() }.derive().unwrap();
    assert_eq!(bytes(&table), [1728, 192, 256, 1280, 256, 384, 128, 512].map(|mib| mib * MIB));
    assert_eq!((table.network_segments(), table.managed_pages()), (4096, 16384));

    let table = MemoryOptions { process: Some(4096 * MIB), ..flink() }.derive().unwrap();
    // 409.6, 3430.4, 1459.2, 343.04 and 1372.16 MiB; every fraction is rounded down, the task
    // takes what that leaves.
    let expected = [
        4096 * MIB,
        429_496_729,
        256 * MIB,
        3_597_035_111,
        256 * MIB,
        1_530_082_100,
        359_703_511,
        1_438_814_044,
    ];
    assert_eq!(bytes(&table), expected);
}

#[test]
fn the_engine_size_adds_overhead_around_it() {
    let table = MemoryOptions { engine: Some(1280 * MIB), ..flink() }.derive().unwrap();
    // (1280 + 256) / 9 = 170.7, below the minimum.
    assert_eq!(bytes(&table), [1728, 192, 256, 1280, 256, 384, 128, 512].map(|mib| mib * MIB));
    assert_eq!(table.overhead.source, Source::Min(Fraction::percent(10)));
    let table = MemoryOptions { engine: Some(5504 * MIB), ..flink() }.derive().unwrap();
    assert_eq!(table.overhead.bytes, 640 * MIB, "(5504 + 256) / 9");
    let table = MemoryOptions { engine: Some(64 * GIB), ..flink() }.derive().unwrap();
    assert_eq!((table.overhead.bytes, table.network.bytes), (GIB, 64 * GIB / 10));
    assert_eq!(table.overhead.source, Source::Max(Fraction::percent(10)));
}

#[test]
fn task_and_managed_come_before_totals() {
    let parts = MemoryOptions { task: Some(520 * MIB), managed: Some(124 * MIB), ..flink() };
    let table = parts.derive().unwrap();
    // (256 + 520 + 124) / 9 = 100 of network; (1000 + 256) / 9 = 139.6 is below 192 of overhead.
    assert_eq!(bytes(&table), [1448, 192, 256, 1000, 256, 520, 100, 124].map(|mib| mib * MIB));
    assert_eq!((table.engine.source, table.process.source), (Source::Sum, Source::Sum));

    let with_engine = MemoryOptions { engine: Some(1100 * MIB), ..parts.clone() };
    let table = with_engine.derive().unwrap();
    assert_eq!((table.network.bytes, table.network.source), (200 * MIB, Source::Rest));

    let with_process = MemoryOptions { process: Some(1500 * MIB), ..parts };
    let table = with_process.derive().unwrap();
    assert_eq!((table.overhead.bytes, table.overhead.source), (244 * MIB, Source::Rest));
}

#[test]
fn a_given_task_leaves_the_rest_to_the_network() {
    let options = MemoryOptions { engine: Some(1000 * MIB), task: Some(244 * MIB), ..flink() };
    let table = options.derive().unwrap();
    assert_eq!((table.managed.bytes, table.network.bytes), (400 * MIB, 100 * MIB));
    // With a given managed size the task takes the rest.
    let options = MemoryOptions { engine: Some(1000 * MIB), managed: Some(0), ..flink() };
    let table = options.derive().unwrap();
    assert_eq!((table.network.bytes, table.task.bytes), (100 * MIB, 644 * MIB));
}

#[test]
fn both_totals_leave_the_overhead() {
    let options = MemoryOptions { process: Some(1800 * MIB), engine: Some(1280 * MIB), ..flink() };
    let table = options.derive().unwrap();
    assert_eq!((table.overhead.bytes, table.process.source), (264 * MIB, Source::Given));
}

#[test]
fn limits_include_their_ends() {
    let engine = 1280 * MIB;
    for overhead in [192 * MIB, GIB] {
        let process = Some(engine + 256 * MIB + overhead);
        let options = MemoryOptions { process, engine: Some(engine), ..flink() };
        assert_eq!(options.derive().unwrap().overhead.bytes, overhead);
    }
    let table = MemoryOptions { engine: Some(640 * MIB), ..flink() }.derive().unwrap();
    assert_eq!(table.network.bytes, 64 * MIB);
    assert_eq!(table.network.source, Source::Fraction(Fraction::percent(10)));
}

#[test]
fn contradictions_name_the_options() {
    let share = |min, max| Share { fraction: Fraction::percent(10), min, max };
    let cases = [
        (flink(), "no memory size is given; set `memory.process.size`"),
        (
            MemoryOptions { process: Some(u64::MAX), ..flink() },
            "`memory.process.size` is 18446744073709551615 bytes, which no machine has",
        ),
        (
            MemoryOptions { process: Some(GIB), network: share(2 * MIB, MIB), ..flink() },
            "`memory.network.min` (2.0 MiB) exceeds `memory.network.max` (1.0 MiB)",
        ),
        (
            MemoryOptions { engine: Some(500 * MIB), managed: Some(300 * MIB), ..flink() },
            "the engine has 500.0 MiB, but `memory.framework.size` 256.0 MiB + \
             `memory.managed.size` 300.0 MiB + `memory.network` 64.0 MiB = 620.0 MiB need more; \
             raise `memory.engine.size` or `memory.process.size` by 120.0 MiB, or lower a part",
        ),
        (
            MemoryOptions { process: Some(300 * MIB), ..flink() },
            "the process has 300.0 MiB, but `memory.metaspace.size` 256.0 MiB + `memory.overhead` \
             192.0 MiB = 448.0 MiB need more; raise `memory.process.size`, or lower a part",
        ),
        (
            MemoryOptions { process: Some(GIB), engine: Some(GIB), ..flink() },
            "the process has 1024.0 MiB, but `memory.engine.size` 1024.0 MiB + \
             `memory.metaspace.size` 256.0 MiB = 1280.0 MiB need more",
        ),
        (
            MemoryOptions { process: Some(1600 * MIB), engine: Some(1280 * MIB), ..flink() },
            "process, engine and metaspace size leave 64.0 MiB to `memory.overhead`, which must \
             have from 192.0 MiB to 1024.0 MiB; change these sizes, or `memory.overhead.min`",
        ),
        (
            MemoryOptions { engine: Some(GIB), task: Some(350 * MIB), ..flink() },
            "engine, framework, task and managed size leave 8.4 MiB to `memory.network`, which \
             must have at least 64.0 MiB",
        ),
        (
            MemoryOptions { process: Some(2 * GIB), segment_size: 5000, ..flink() },
            "a segment cannot have 5000 bytes",
        ),
        (
            MemoryOptions { process: Some(2 * GIB), network: share(4096, 4096), ..flink() },
            "network memory of 4 KiB has no room for one segment of 32 KiB; raise \
             `memory.network.min`",
        ),
    ];
    for (options, expected) in cases {
        let error = options.derive().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\nshould begin with\n{expected}");
    }
}

#[test]
fn our_own_defaults_fit_a_small_process() {
    let options = MemoryOptions { process: Some(64 * MIB), ..MemoryOptions::default() };
    let table = options.derive().unwrap();
    assert_eq!((table.metaspace.bytes, table.network_segments()), (0, 256));
    assert!(table.task.bytes > MIB);
    let classic = MemoryOptions { process: Some(GIB), ..MemoryOptions::default() };
    assert_eq!(classic.with_classic_network().derive().unwrap().network_segments(), 2048);
}

#[test]
fn the_table_is_readable() {
    let table = MemoryOptions { process: Some(1728 * MIB), ..flink() }.derive().unwrap();
    let expected = "\
memory                    size    share  derivation
process             1728.0 MiB  100.0 %  given
  engine            1280.0 MiB   74.0 %  the rest
    framework        256.0 MiB   14.8 %  given
    task             384.0 MiB   22.2 %  the rest
    network          128.0 MiB    7.4 %  fraction 0.1: 4096 segments of 32 KiB
    managed          512.0 MiB   29.6 %  fraction 0.4: 16384 segments of 32 KiB
  metaspace          256.0 MiB   14.8 %  given
  overhead           192.0 MiB   11.1 %  minimum (above fraction 0.1)";
    assert_eq!(table.to_string(), expected);
}

fn size() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (0..8 * GIB).prop_map(Some), (0..=SIZE_MAX).prop_map(Some)]
}

proptest! {
    /// Whatever is configured: a table whose parts fit (the derivation asserts it), with what was
    /// given as given and limits kept; or an error of one sentence.
    #[test]
    fn every_configuration_has_a_table_or_an_error(
        totals in (size(), size()),
        parts in (size(), size()),
        fixed in (0..GIB, 0..GIB),
        limits in ((0..GIB, 0..4 * GIB), (0..GIB, 0..4 * GIB)),
        percents in (0u32..100, 0u32..100, 0u32..100),
    ) {
        let share = |percent, (min, more): (u64, u64)| Share {
            // One in a hundred is as close to 1 as a fraction can be.
            fraction: if percent == 99 {
                Fraction::new(0.999_999_999).expect("below 1")
            } else {
                Fraction::percent(percent)
            },
            min,
            max: min + more,
        };
        let options = MemoryOptions {
            process: totals.0,
            engine: totals.1,
            framework: fixed.0,
            task: parts.0,
            managed: parts.1,
            managed_fraction: Fraction::percent(percents.0),
            network: share(percents.1, limits.0),
            metaspace: fixed.1,
            overhead: share(percents.2, limits.1),
            segment_size: 32 << 10,
        };
        match options.derive() {
            Ok(table) => {
                for (given, part) in [
                    (options.process, table.process),
                    (options.engine, table.engine),
                    (options.task, table.task),
                    (options.managed, table.managed),
                ] {
                    prop_assert!(given.is_none_or(|given| given == part.bytes));
                }
                for (share, part) in
                    [(options.network, table.network), (options.overhead, table.overhead)]
                {
                    prop_assert!((share.min..=share.max).contains(&part.bytes));
                }
            }
            Err(MemoryError::NoSize) => {
                let parts = options.task.is_some() && options.managed.is_some();
                prop_assert!(options.process.is_none() && options.engine.is_none() && !parts);
            }
            Err(error) => prop_assert!(error.to_string().contains("; "), "{error}"),
        }
    }
}
