//! The contract is checked: connectors that break it are told which part.

use std::sync::atomic::{AtomicU64, Ordering};

use millstream_sdk::{data::page::RowBuilder, prelude::*};
use millstream_sdk_test::{SinkTest, SourceTest};

/// A hundred numbers in four splits, with a fault.
struct Faulty {
    fault: String,
    opened: u64,
}

static OPENED: AtomicU64 = AtomicU64::new(0);

impl Source for Faulty {
    const NAME: &'static str = "faulty";
    const SUMMARY: &'static str = "Numbers, not always the right ones";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("fault", "What it does wrong").default("none")];
    type Reader = FaultyReader;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        let opened = OPENED.fetch_add(1, Ordering::Relaxed);
        Ok(Self { fault: options.string("fault")?.into(), opened })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut splits: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n * 25]).collect();
        if self.fault == "splits differ" {
            splits.push(self.opened.to_le_bytes().to_vec());
        }
        Ok(splits)
    }

    fn reader(&self, subtask: Subtask) -> Result<FaultyReader, Error> {
        Ok(FaultyReader { fault: self.fault.clone(), subtask, next: 0, end: 0 })
    }
}

struct FaultyReader {
    fault: String,
    subtask: Subtask,
    next: u64,
    end: u64,
}

impl SplitReader for FaultyReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        self.next = split.first().copied().unwrap_or_default().into();
        self.end = self.next + 25;
        if self.fault == "readers overlap" && self.subtask.parallelism > 1 {
            self.end += 1;
        }
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let small = self.subtask.segment_size == 4096;
        while rows.has_room() && self.next < self.end {
            let bytes = self.next.to_le_bytes();
            match self.fault.as_str() {
                "other width" => rows.put_fixed(0, [0; 4]),
                "other kind" => rows.put_bool(0, true),
                "no such column" => rows.put_fixed(7, bytes),
                "null" => rows.put_null(0),
                // Through the builder nobody sees which cells are written.
                "unseen garbage" if self.next == 7 => {
                    let builder: &mut RowBuilder<&mut [u8]> = rows;
                    builder.put_str(1, "the number is missing").expect("room for a word");
                    builder.commit();
                    self.next += 1;
                    continue;
                }
                _ => rows.put_fixed(0, bytes),
            }
            let forgets = self.fault == "garbage" && self.next == 7;
            let text = format!("a text beyond what a view holds: {:0100}", self.next);
            if !forgets && rows.put_str(1, &text).is_err() {
                rows.roll_back();
                // The row that did not fit has to be kept.
                self.next += u64::from(small && self.fault == "loses a row");
                return Ok(Filled::Page);
            }
            rows.commit();
            self.next += 1;
        }
        let done = self.next == self.end && self.fault != "never ends";
        Ok(if done { Filled::SplitDone } else { Filled::Page })
    }
}

/// A source and a sink whose options do not explain themselves.
struct Silent;

impl Sink for Silent {
    const NAME: &'static str = "silent";
    const SUMMARY: &'static str = "Says nothing of its options";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::string("path", "")];
    type Writer = SilentWriter;

    fn open(_options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self)
    }

    fn writer(&self, _subtask: Subtask) -> Result<SilentWriter, Error> {
        Ok(SilentWriter)
    }
}

struct SilentWriter;

impl PageWriter for SilentWriter {
    fn write(&mut self, _page: &ValidPage<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        panic!("it never could")
    }
}

millstream_sdk::plugin! {
    name: "faulty",
    summary: "Breaks the contract",
    sources: [Faulty],
    sinks: [Silent],
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    id: u64,
    text: String,
}

fn check(fault: &str) {
    SourceTest::new::<Row>(plugin, "faulty").option("fault", fault).check_contract();
}

#[test]
fn a_good_source_passes() {
    check("none");
}

#[test]
#[should_panic(expected = "splits of two that were opened alike")]
fn splits_that_differ() {
    check("splits differ");
}

#[test]
#[should_panic(expected = "the number of rows with 3 readers")]
fn readers_that_overlap() {
    check("readers overlap");
}

#[test]
#[should_panic(expected = "the number of rows with 1 readers and segments of 4096 bytes")]
fn rows_that_get_lost_in_small_segments() {
    check("loses a row");
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "optimised builds do not look")]
#[should_panic(
    expected = "column 1 (`text`) was not written for row 7: write every cell, or NULL, before commit"
)]
fn cells_that_are_not_written() {
    check("garbage");
}

#[test]
#[should_panic(expected = "the rows depend on what was in the segment before")]
fn cells_that_are_not_written_and_that_nobody_sees() {
    check("unseen garbage");
}

#[test]
#[should_panic(
    expected = "1000 calls of `fill` gave no row and did not end the split `\\x00`: return"
)]
fn a_reader_that_never_ends_its_split() {
    check("never ends");
}

#[test]
fn cells_of_another_column_are_named() {
    let said = |fault| {
        let source = SourceTest::new::<Row>(plugin, "faulty").option("fault", fault);
        source.rows::<Row>().expect_err("the row is refused").to_string()
    };
    for (fault, expected) in [
        ("other width", "column 0 (`id` UNSIGNED BIGINT) takes 8 bytes, `put_fixed` was given 4"),
        (
            "other kind",
            "column 0 (`id` UNSIGNED BIGINT) is written with `put_fixed`, and not with `put_bool`",
        ),
        ("no such column", "there is no column 7: the rows have 2"),
        ("null", "column 0 (`id` UNSIGNED BIGINT) is NOT NULL"),
    ] {
        let said = said(fault);
        assert!(said.ends_with(&format!("panicked: {expected}")), "{said}");
    }
}

#[test]
#[should_panic(expected = "the option `path` of sink `silent` is not documented")]
fn options_without_documentation() {
    SinkTest::new::<Row>(plugin, "silent").check_contract::<Row>();
}

#[test]
fn who_does_not_know_of_kinds_is_given_no_changelog() {
    let mut registry = millstream_loader::Registry::new();
    registry.bundle(plugin).expect("the plugin");
    let schema = Row::schema();
    registry.sink("silent", &[], &schema).expect("rows without kinds");
    registry.source("faulty", &[], &schema).expect("rows without kinds");
    let schema = schema.with_row_kinds();
    let refused = registry.sink("silent", &[], &schema).expect_err("it is refused").to_string();
    let expected = "the sink `silent` takes rows that are added and never changed, and these are a \
                    changelog: use one that takes changes, such as filesystem or print";
    assert!(refused.contains(expected), "{refused}");
    let refused = registry.source("faulty", &[], &schema).expect_err("it is refused").to_string();
    let expected = "the source `faulty` makes rows without kinds, and a changelog was asked for";
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn a_panic_is_an_error() {
    let sink = SinkTest::new::<Row>(plugin, "silent");
    let said = sink.write::<Row>(&[&[]]).expect_err("it panics").to_string();
    assert_eq!(said, "sink `silent` of plugin faulty: panicked: it never could");
}
