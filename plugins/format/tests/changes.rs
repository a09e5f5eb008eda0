//! Changelogs as text.

use std::{collections::BTreeMap, sync::Arc};

use millstream_data::{
    Decimal, Record, Value as _,
    page::{Layout, RowBuilder, RowKind, Shape, ValidPage},
    row::{RowLayout, scatter},
    value::{Bytes, Date, Time, Timestamp, TimestampLtz},
};
use millstream_format::{Columns, change, plugin};
use millstream_sdk_test::FormatTest;
use proptest::{collection, option, prelude::*};
use serde_json::{Value, json};

use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

#[derive(Clone, Debug, PartialEq, Record)]
struct Item {
    name: String,
    prices: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Order {
    id: u64,
    seal: Option<Bytes>,
    best: Option<Item>,
    price: Decimal<10, 2>,
    labels: BTreeMap<String, Option<String>>,
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Word {
    n: i64,
    word: String,
}

fn lines(format: &str, changes: &[(RowKind, Order)]) -> Vec<String> {
    let test = FormatTest::new::<Order>(plugin, format).with_row_kinds();
    let file = String::from_utf8(test.file_of_changes(changes).unwrap()).unwrap();
    assert!(file.is_empty() || file.ends_with('\n'));
    file.lines().map(str::to_owned).collect()
}

/// Rows as the format `json` writes them.
fn as_json(rows: &[Order]) -> Vec<String> {
    let file = FormatTest::new::<Order>(plugin, "json").file(rows).unwrap();
    String::from_utf8(file).unwrap().lines().map(str::to_owned).collect()
}

fn sample() -> Order {
    Order {
        id: 1,
        seal: None,
        best: Some(Item { name: "a\"".into(), prices: vec![Some(1.5), None] }),
        price: Decimal(1250),
        labels: BTreeMap::from([("x".into(), None)]),
        at: Timestamp(1_500_000),
    }
}

#[test]
fn a_changelog_says_what_becomes_of_each_row() {
    let all = [Insert, UpdateBefore, UpdateAfter, Delete].map(|kind| (kind, sample()));
    let row = &as_json(&[sample()])[0];
    let expected = ["+I", "-U", "+U", "-D"].map(|op| format!("{{\"data\":{row},\"op\":\"{op}\"}}"));
    assert_eq!(lines("changelog-json", &all), expected);
    let created = format!("{{\"before\":null,\"after\":{row},\"op\":\"c\"}}");
    let deleted = format!("{{\"before\":{row},\"after\":null,\"op\":\"d\"}}");
    let expected = [created.clone(), deleted.clone(), created, deleted];
    assert_eq!(lines("debezium-json", &all), expected);
}

#[test]
fn rows_without_kinds_are_inserted() {
    let row = &as_json(&[sample()])[0];
    for (format, expected) in [
        ("changelog-json", format!("{{\"data\":{row},\"op\":\"+I\"}}\n")),
        ("debezium-json", format!("{{\"before\":null,\"after\":{row},\"op\":\"c\"}}\n")),
    ] {
        let file = FormatTest::new::<Order>(plugin, format).file(&[sample()]).unwrap();
        assert_eq!(String::from_utf8(file).unwrap(), expected);
    }
}

#[test]
fn other_formats_refuse_changelogs() {
    for format in ["csv", "json", "text"] {
        let test = FormatTest::new::<String>(plugin, format);
        test.open().expect("it takes rows without kinds");
        let refused = test.with_row_kinds().open().unwrap_err().to_string();
        let expected = format!(
            "the format `{format}` has no kinds of rows, and these are a changelog: use \
             changelog-json or debezium-json"
        );
        assert!(refused.contains(&expected), "{refused}");
    }
}

#[test]
fn what_is_not_there_is_refused() {
    for format in ["changelog-json", "debezium-json"] {
        let test = FormatTest::new::<Order>(plugin, format);
        let refused = test.rows::<Order>(b"{}").unwrap_err().to_string();
        assert!(refused.contains("there is no member `op`, which is \""), "{refused}");
        let times = |value: &str| {
            let test = FormatTest::new::<Order>(plugin, format);
            test.option("timestamp-format.standard", value).open().map(drop)
        };
        times("SQL").unwrap();
        let refused = times("ISO-8601").unwrap_err().to_string();
        let expected = format!("set `{format}.timestamp-format.standard` to SQL");
        assert!(refused.contains(&expected), "{refused}");
        let refused = times("ISO").unwrap_err().to_string();
        assert!(refused.contains("is SQL or ISO-8601, not ISO"), "{refused}");
    }
}

/// An update of Debezium's is two rows, however the bytes and pages are divided.
#[test]
fn changes_are_read_line_by_line() {
    let read = |format: &str, file: &str| {
        let test = FormatTest::new::<Word>(plugin, format).with_row_kinds();
        test.check_contract::<Word>(file.as_bytes());
        test.rows::<Word>(file.as_bytes())
            .unwrap()
            .into_iter()
            .map(|word| word.word)
            .collect::<Vec<_>>()
    };
    let word = |word: &str| format!("{{\"n\": 1, \"word\": \"{word}\"}}");
    let (long, short) = ("x".repeat(300), "a");
    let update = format!(
        "{{\"before\":{},\"after\":{},\"op\":\"u\",\"source\":{{\"op\":1}}}}\n",
        word(short),
        word(&long)
    );
    let insert = format!("\n{{ \"op\" : \"r\", \"after\" : {} }}\n", word("b"));
    let found = read("debezium-json", &format!("{update}{insert}{}", update.repeat(40)));
    assert_eq!(found[..4], [short, &long, "b", short]);
    assert_eq!(found.len(), 83);
    let line = |op: &str| format!("{{\"data\":{},\"op\":\"{op}\"}}\n", word(op));
    let file: String = ["+I", "-U", "+U", "-D"].map(line).concat();
    assert_eq!(read("changelog-json", &file), ["+I", "-U", "+U", "-D"]);
}

#[test]
fn lines_that_are_no_changes_are_named_or_passed_over() {
    let row = "{\"n\": 1, \"word\": \"a\"}";
    for (format, line, expected) in [
        ("debezium-json", "{\"op\":\"x\"}".to_owned(), "the member `op` is \"x\", and not \"c\""),
        (
            "debezium-json",
            format!("{{\"op\":\"u\",\"after\":{row}}}"),
            "the member `before` is missing, or null",
        ),
        (
            "debezium-json",
            "{\"op\":\"d\",\"before\":null}".to_owned(),
            "the member `before` is missing, or null",
        ),
        (
            "changelog-json",
            format!("{{\"op\":\"+I\",\"data\":{row}}} 1"),
            "something behind the object",
        ),
        (
            "changelog-json",
            "{\"op\":\"+I\",\"data\":{\"word\":\"a\",\"n\":\"b\"}}".to_owned(),
            "column `n`",
        ),
        (
            "changelog-json",
            format!("{{\"op\":\"+I\",\"data\":{row}"),
            "does not end before the line does",
        ),
    ] {
        let test = || FormatTest::new::<Word>(plugin, format).with_row_kinds();
        let refused = test().rows::<Word>(line.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{line}: {refused}");
        let lenient = test().option("ignore-parse-errors", "true");
        assert!(lenient.rows::<Word>(line.as_bytes()).unwrap().is_empty(), "{line}");
    }
}

fn order() -> impl Strategy<Value = Order> {
    let item = ("\\PC{0,20}", collection::vec(option::of(-1e6..1e6f64), 0..4))
        .prop_map(|(name, prices)| Item { name, prices });
    (
        any::<u64>(),
        option::of(collection::vec(any::<u8>(), 0..20).prop_map(Bytes)),
        option::of(item),
        -9_999_999_999i128..9_999_999_999,
        collection::btree_map("\\PC{0,9}", option::of("[\\PC\n\"]{0,20}"), 0..4),
        // Whole milliseconds, which a line has.
        (0..4_000_000_000_000i64).prop_map(|millis| millis * 1000),
    )
        .prop_map(|(id, seal, best, price, labels, at)| Order {
            id,
            seal,
            best,
            price: Decimal(price),
            labels,
            at: Timestamp(at),
        })
}

fn kind() -> impl Strategy<Value = RowKind> {
    prop_oneof![Just(Insert), Just(UpdateBefore), Just(UpdateAfter), Just(Delete)]
}

proptest! {
    #[test]
    fn a_line_is_the_row_in_json_and_its_kind(
        changes in collection::vec((kind(), order()), 0..30),
    ) {
        let (changelog, debezium) = (lines("changelog-json", &changes), lines("debezium-json", &changes));
        prop_assert_eq!(changelog.len(), changes.len());
        prop_assert_eq!(debezium.len(), changes.len());
        for format in ["changelog-json", "debezium-json"] {
            let test = FormatTest::new::<Order>(plugin, format).with_row_kinds();
            let file = test.file_of_changes(&changes).unwrap();
            let written: Vec<_> = changes.iter().map(|(_, row)| row.clone()).collect();
            prop_assert_eq!(test.rows::<Order>(&file).unwrap(), written);
        }
        let (kinds, rows): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        let rows = kinds.iter().zip(as_json(&rows));
        for (((kind, row), changelog), debezium) in rows.zip(changelog).zip(debezium) {
            let row: Value = serde_json::from_str(&row).unwrap();
            let (op, change) = match kind {
                Insert => ("+I", json!({"before": null, "after": row, "op": "c"})),
                UpdateBefore => ("-U", json!({"before": row, "after": null, "op": "d"})),
                UpdateAfter => ("+U", json!({"before": null, "after": row, "op": "c"})),
                Delete => ("-D", json!({"before": row, "after": null, "op": "d"})),
            };
            let found: Value = serde_json::from_str(&changelog).unwrap();
            prop_assert_eq!(found, json!({"data": row, "op": op}));
            let found: Value = serde_json::from_str(&debezium).unwrap();
            prop_assert_eq!(found, change);
        }
    }
}

/// Every kind of value.
#[derive(Clone, Debug, PartialEq, Record)]
struct Every {
    name: Option<String>,
    raw: Bytes,
    best: Option<Item>,
    numbers: Vec<Option<i32>>,
    price: Decimal<10, 2>,
    labels: BTreeMap<String, Option<i64>>,
    at: Timestamp,
    moment: TimestampLtz,
    day: Date,
    time: Time,
    flag: bool,
    weight: f32,
}

/// Changes as the connector `print` writes them.
fn printed(changes: &[(RowKind, Every)]) -> Vec<String> {
    let schema = Every::schema().with_row_kinds();
    let (shape, rows) = (Arc::new(Shape::new(&schema)), RowLayout::new(&schema));
    let layout = Arc::new(Layout::fitted(&shape, 4096, 100).unwrap());
    let mut page = RowBuilder::new(vec![0; 4096], &shape, &layout);
    for (kind, row) in changes {
        let mut bytes = Vec::new();
        rows.encode::<Every>(row.view(), &mut bytes);
        page.put_kind(*kind);
        scatter(&rows.trusted(&bytes).unwrap(), &mut page).unwrap();
    }
    let sealed = page.seal(false);
    let page = ValidPage::trusted(&sealed.buffer).unwrap();
    let columns = Columns::new(&schema).unwrap();
    let line = |row| {
        let mut out = Vec::new();
        change::push_row(&mut out, &columns, &page, row);
        String::from_utf8(out).unwrap()
    };
    (0..page.rows()).map(line).collect()
}

#[test]
fn changes_are_printed_as_in_flink() {
    let every = Every {
        name: None,
        raw: Bytes(vec![1, 255]),
        best: Some(Item { name: "a b".into(), prices: vec![Some(1e7), None] }),
        numbers: vec![],
        price: Decimal(-1250),
        labels: BTreeMap::from([("x".into(), None), ("y".into(), Some(7))]),
        at: Timestamp(60_000_000),
        moment: TimestampLtz(60_250_000),
        day: Date(1),
        time: Time(3_600_000),
        flag: true,
        weight: 0.5,
    };
    let fields = "[null, [1, -1], +I[a b, [1.0E7, null]], [], -12.50, {x=null, y=7}, \
                  1970-01-01T00:01, 1970-01-01T00:01:00.250Z, 1970-01-02, 01:00, true, 0.5]";
    let printed = printed(&[(Delete, every.clone()), (UpdateAfter, every)]);
    assert_eq!(printed, [format!("-D{fields}"), format!("+U{fields}")]);
}
