//! The connector through a host in miniature.

use std::{collections::BTreeSet, time::Instant};

use millstream_sdk::prelude::*;
use millstream_sdk_test::SourceTest;

#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    id: i64,
    small: i8,
    share: f64,
    price: Decimal<10, 2>,
    good: bool,
    name: Option<String>,
    at: Timestamp,
}

fn source() -> SourceTest {
    SourceTest::new::<Row>(millstream_datagen::plugin, "datagen")
        .option("fields.id.kind", "sequence")
        .option("fields.small.min", "-3")
        .option("fields.small.max", "3")
        .option("fields.share.max", "2.5")
        .option("fields.name.length", "20")
        .option("fields.name.null-rate", "0.25")
}

#[test]
fn values_are_within_what_was_asked() {
    let rows = source().option("number-of-rows", "2000").rows::<Row>().expect("rows");
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, (0..2000).collect());
    let small: BTreeSet<i8> = rows.iter().map(|row| row.small).collect();
    assert_eq!(small, (-3..=3).collect());
    assert!(rows.iter().all(|row| (0.0..2.5).contains(&row.share)));
    assert!(rows.iter().any(|row| row.share > 2.0));
    let nulls = rows.iter().filter(|row| row.name.is_none()).count();
    assert!((400..600).contains(&nulls), "{nulls} of 2000");
    let digits = |name: &String| name.len() == 20 && name.chars().all(|c| c.is_ascii_hexdigit());
    assert!(rows.iter().filter_map(|row| row.name.as_ref()).all(digits));
    assert!((900..1100).contains(&rows.iter().filter(|row| row.good).count()));
    let years = rows.iter().map(|row| row.at.0);
    assert!(years.clone().min() != years.max());
}

#[test]
fn the_contract() {
    source().option("number-of-rows", "70000").check_contract();
}

#[test]
fn the_seed_decides() {
    let rows = |seed: &str| {
        let source = source().option("number-of-rows", "10").option("seed", seed);
        source.rows::<Row>().expect("rows")
    };
    assert_eq!(rows("1"), rows("1"));
    assert_ne!(rows("1"), rows("2"));
}

#[test]
fn a_sequence_ends_the_rows() {
    let source = source().option("fields.id.start", "5").option("fields.id.end", "14");
    let rows = source.rows::<Row>().expect("rows");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), (5..15).collect::<Vec<_>>());
}

#[test]
fn rows_come_at_their_rate_and_without_end() {
    let begin = Instant::now();
    let source = source().option("rows-per-second", "1000");
    assert!(source.first(201).expect("rows").len() >= 201);
    let elapsed = begin.elapsed().as_millis();
    assert!(elapsed >= 199, "{elapsed} ms for 201 rows at 1000 a second");
}

#[test]
fn wrong_options_are_refused() {
    let refused = |name: &str, value: &str| {
        source().option(name, value).open().expect_err("it is refused").to_string()
    };
    assert!(refused("fields.nmae.length", "3").contains("`nmae`"));
    assert!(refused("fields.name.lenght", "3").contains("fields.name.lenght"));
    assert!(refused("fields.id.kind", "shuffled").contains("random or sequence"));
    assert!(refused("fields.small.max", "300").contains("300"));
    assert!(refused("fields.id.null-rate", "0.5").contains("NOT NULL"));
    assert!(refused("rows-per-second", "0").contains("at least 1"));
}
