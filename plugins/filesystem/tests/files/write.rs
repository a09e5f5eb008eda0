//! Writing.

use std::fs;

use millstream_data::page::RowKind;
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
fn changes_are_written_by_formats_that_keep_their_kinds() {
    let scratch = Scratch::new();
    let changes = [
        (RowKind::Insert, (1i64, "a".to_owned())),
        (RowKind::UpdateBefore, (1, "a".into())),
        (RowKind::UpdateAfter, (1, "b".into())),
        (RowKind::Delete, (1, "b".into())),
    ];
    let sink = |format: &str| {
        SinkTest::new::<(i64, String)>(millstream_filesystem::plugin, "filesystem")
            .option("path", scratch.path(format))
            .option("format", format)
            .with_row_kinds()
    };
    for (format, expected) in [
        (
            "changelog-json",
            concat!(
                r#"{"data":{"f0":1,"f1":"a"},"op":"+I"}"#,
                "\n",
                r#"{"data":{"f0":1,"f1":"a"},"op":"-U"}"#,
                "\n",
                r#"{"data":{"f0":1,"f1":"b"},"op":"+U"}"#,
                "\n",
                r#"{"data":{"f0":1,"f1":"b"},"op":"-D"}"#,
                "\n",
            ),
        ),
        (
            "debezium-json",
            concat!(
                r#"{"before":null,"after":{"f0":1,"f1":"a"},"op":"c"}"#,
                "\n",
                r#"{"before":{"f0":1,"f1":"a"},"after":null,"op":"d"}"#,
                "\n",
                r#"{"before":null,"after":{"f0":1,"f1":"b"},"op":"c"}"#,
                "\n",
                r#"{"before":{"f0":1,"f1":"b"},"after":null,"op":"d"}"#,
                "\n",
            ),
        ),
    ] {
        sink(format).write_changes(&changes).expect("it is written");
        let names = scratch.names(format);
        let [name] = names.as_slice() else { panic!("{names:?}") };
        assert!(name.ends_with(&format!(".{format}")), "{name}");
        let written = fs::read_to_string(scratch.path(format) + "/" + name).expect("the file");
        assert_eq!(written, expected);
    }
    for format in ["csv", "json"] {
        let refused = sink(format).open().expect_err("it has no kinds").to_string();
        let expected = format!(
            "the format `{format}` has no kinds of rows, and these are a changelog: use \
             changelog-json or debezium-json"
        );
        assert!(refused.contains(&expected), "{refused}");
    }
}

#[test]
fn changes_keep_their_kinds_in_partitions() {
    let scratch = Scratch::new();
    let sink = SinkTest::new::<(i64, String)>(millstream_filesystem::plugin, "filesystem")
        .option("path", scratch.path("out"))
        .option("format", "changelog-json")
        .option("partition-by", "f1")
        .with_row_kinds();
    let of = |kind, number: i64, place: &str| (kind, (number, place.to_owned()));
    let changes = [
        of(RowKind::Insert, 1, "a"),
        of(RowKind::Insert, 2, "b"),
        of(RowKind::UpdateBefore, 2, "b"),
        of(RowKind::UpdateAfter, 3, "b"),
        of(RowKind::Delete, 1, "a"),
    ];
    sink.write_changes(&changes).expect("it is written");
    let written = |directory: &str| {
        let names = scratch.names(&format!("out/{directory}"));
        let path = scratch.path("out") + "/" + directory + "/" + &names[0];
        fs::read_to_string(path).expect("the file")
    };
    let expected = "{\"data\":{\"f0\":1},\"op\":\"+I\"}\n{\"data\":{\"f0\":1},\"op\":\"-D\"}\n";
    assert_eq!(written("f1=a"), expected);
    let expected = concat!(
        "{\"data\":{\"f0\":2},\"op\":\"+I\"}\n",
        "{\"data\":{\"f0\":2},\"op\":\"-U\"}\n",
        "{\"data\":{\"f0\":3},\"op\":\"+U\"}\n",
    );
    assert_eq!(written("f1=b"), expected);
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
