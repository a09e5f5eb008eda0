//! Writing.

use std::fs;

use millstream_sdk::prelude::{Decimal, Record, Timestamp};
use millstream_sdk_test::{SinkTest, SourceTest};

use crate::scratch::Scratch;

#[derive(Clone, Debug, PartialEq, Record)]
struct Reading {
    id: i64,
    place: Option<String>,
    degrees: f64,
    price: Decimal<10, 2>,
    at: Option<Timestamp>,
}

fn readings(count: i64) -> Vec<Reading> {
    let place = |id: i64| match id % 4 {
        0 => None,
        1 => Some(String::new()),
        2 => Some("says \"a, b\"".into()),
        _ => Some("plain".into()),
    };
    let reading = |id| Reading {
        id,
        place: place(id),
        degrees: id as f64 / 3.0,
        price: Decimal(i128::from(id) - 50),
        at: (id % 3 != 0).then_some(Timestamp(id * 1_000_000 + 250_000)),
    };
    (0..count).map(reading).collect()
}

fn sink(scratch: &Scratch) -> SinkTest {
    let sink = SinkTest::new::<Reading>(millstream_filesystem::plugin, "filesystem");
    sink.option("path", scratch.path("out"))
}

fn read(scratch: &Scratch, format: &str) -> Vec<Reading> {
    let source = SourceTest::new::<Reading>(millstream_filesystem::plugin, "filesystem")
        .option("path", scratch.path("out"))
        .option("format", format);
    let mut rows = source.rows::<Reading>().expect("what was written can be read");
    rows.sort_by_key(|row| row.id);
    rows
}

#[test]
fn what_is_written_is_read_again() {
    for format in ["csv", "json"] {
        for (compression, suffix) in [("none", ""), ("gzip", ".gz"), ("zstd", ".zst")] {
            let scratch = Scratch::new();
            let rows = readings(1000);
            let sink = sink(&scratch).option("format", format).option("compression", compression);
            sink.write(&[&rows[..300], &rows[300..], &[]]).expect("it is written");
            let names = scratch.names("out");
            assert_eq!(names.len(), 2, "{names:?}");
            let suffix = format!(".{format}{suffix}");
            assert!(names.iter().all(|name| name.starts_with("part-")), "{names:?}");
            assert!(names.iter().all(|name| name.ends_with(&suffix)), "{names:?}");
            assert_eq!(read(&scratch, format), rows, "{format}, {compression}");
        }
    }
}

#[test]
fn files_roll_at_their_size() {
    let scratch = Scratch::new();
    let rows = readings(2000);
    let sink = sink(&scratch).option("sink.rolling-policy.file-size", "10 kb");
    sink.write(&[&rows]).expect("it is written");
    let names = scratch.names("out");
    assert!(names.len() > 5, "{names:?}");
    for name in &names {
        // A page is written at once.
        let bytes = fs::metadata(scratch.path("out") + "/" + name).expect("the file").len();
        assert!(bytes < 24 << 10, "{name} has {bytes} bytes");
    }
    assert_eq!(read(&scratch, "csv"), rows);
}

#[test]
fn a_job_that_fails_leaves_nothing() {
    let scratch = Scratch::new();
    let rows = readings(500);
    let sink = sink(&scratch).option("sink.rolling-policy.file-size", "1 kb");
    sink.abandon(&[&rows, &rows]).expect("it is written");
    assert_eq!(scratch.names("out"), [""; 0]);
    // What was there before stays, and what comes after does not overwrite it.
    sink.write(&[&rows]).expect("it is written");
    let before = scratch.names("out");
    sink.abandon(&[&rows]).expect("it is written");
    assert_eq!(scratch.names("out"), before);
    sink.write(&[&rows]).expect("it is written");
    assert_eq!(scratch.names("out").len(), before.len() * 2);
}

#[test]
fn nothing_is_shown_before_the_job_is_done() {
    let scratch = Scratch::new();
    let sink = sink(&scratch).open().expect("it opens");
    let mut first = sink.writer(0, 2, 4096).expect("a writer");
    let mut second = sink.writer(1, 2, 4096).expect("a writer");
    let page = page(&readings(3));
    first.write(&page).expect("a page");
    second.write(&page).expect("a page");
    first.finish().expect("it is finished");
    second.finish().expect("it is finished");
    drop((first, second));
    let names = scratch.names("out");
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with('.')), "{names:?}");
    sink.commit().expect("it is shown");
    let names = scratch.names("out");
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("part-")), "{names:?}");
}

fn page(rows: &[Reading]) -> Vec<u8> {
    use millstream_data::{
        Record, Value,
        page::{Layout, PageBuilder, Shape},
    };
    let shape = Shape::new(&Reading::schema());
    let layout = Layout::fitted(&shape, 4096, 64).expect("a row fits").into();
    let mut page = PageBuilder::<Reading, _>::new(vec![0; 4096], &shape, &layout);
    rows.iter().for_each(|row| page.append(row.view()).expect("room"));
    page.seal(&shape, false).buffer
}

#[test]
fn the_contract() {
    let scratch = Scratch::new();
    sink(&scratch).check_contract::<Reading>();
    let said = SinkTest::new::<Reading>(millstream_filesystem::plugin, "filesystem")
        .option("path", "/proc/nowhere")
        .open()
        .expect_err("nobody may write there")
        .to_string();
    assert!(said.contains("/proc/nowhere"), "{said}");
}
