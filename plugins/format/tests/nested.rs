//! Lists, maps, nested rows and byte strings as text, both ways.

use std::{collections::BTreeMap, sync::Arc};

use millstream_data::{
    Record,
    page::{Layout, PageBuilder, RowBuilder, Shape, ValidPage},
    value::Bytes,
};
use millstream_format::{
    Columns, RecordError, Step,
    csv::{self, Dialect},
    json,
};
use proptest::{collection, option, prelude::*};

#[derive(Clone, Debug, PartialEq, Record)]
struct Item {
    name: String,
    prices: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Order {
    id: u64,
    raw: Bytes,
    seal: Option<Bytes>,
    items: Vec<Item>,
    best: Option<Item>,
    matrix: Option<Vec<Vec<i32>>>,
    labels: BTreeMap<String, Option<String>>,
    counts: BTreeMap<i64, Vec<bool>>,
}

/// What CSV can hold.
#[derive(Clone, Debug, PartialEq, Record)]
struct Flat {
    id: u64,
    raw: Bytes,
    numbers: Vec<Option<i32>>,
    words: Option<Vec<String>>,
    blobs: Vec<Bytes>,
}

const PAGE_BYTES: usize = 256 << 10;

/// Builds a page and reads it.
fn with_page<T: Record, R>(
    build: impl FnOnce(&mut RowBuilder<&mut [u8]>) -> R,
    read: impl FnOnce(&ValidPage<'_>),
) -> R {
    let shape = Arc::new(Shape::new(&T::schema()));
    let layout = Arc::new(Layout::fitted(&shape, PAGE_BYTES, 200).unwrap());
    let mut words = vec![0u128; PAGE_BYTES / 16];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let mut rows = RowBuilder::new(bytes, &shape, &layout);
    let result = build(&mut rows);
    let sealed = rows.seal(true);
    read(&ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap());
    result
}

/// The text of a row.
fn text<T: Record>(row: &T, push: impl FnOnce(&mut Vec<u8>, &Columns, &ValidPage<'_>)) -> String {
    let shape = Shape::new(&T::schema());
    let layout = Arc::new(Layout::fitted(&shape, PAGE_BYTES, 200).unwrap());
    let mut words = vec![0u128; PAGE_BYTES / 16];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let mut page = PageBuilder::<T, _>::new(bytes, &shape, &layout);
    page.append(row.view()).unwrap();
    let sealed = page.seal(&shape, true);
    let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    let mut out = Vec::new();
    push(&mut out, &Columns::new(&T::schema()).unwrap(), &page);
    String::from_utf8(out).unwrap()
}

fn json_text<T: Record>(row: &T) -> String {
    text(row, |out, columns, page| json::push_row(out, columns, page, 0, &mut Vec::new()))
}

fn csv_text<T: Record>(row: &T) -> String {
    text(row, |out, columns, page| {
        csv::push_row(out, columns, page, 0, (Dialect::DEFAULT, ""), &mut Vec::new());
    })
}

fn from_json<T: Record>(line: &str) -> Result<Vec<T>, RecordError> {
    let mut decoder = json::Decoder::new(&Columns::new(&T::schema()).unwrap());
    read(|rows| decoder.record(line.as_bytes(), 0, true, rows))
}

fn from_csv<T: Record>(line: &str) -> Result<Vec<T>, RecordError> {
    let names: Vec<_> = T::schema().fields.iter().map(|field| field.name.clone()).collect();
    let columns = Columns::new(&T::schema()).unwrap();
    let mut decoder = csv::Decoder::new(Dialect::DEFAULT, &names, &columns).unwrap();
    decoder.seek(line.as_bytes(), 0);
    read(|rows| decoder.record(line.as_bytes(), 0, true, rows))
}

fn read<T: Record>(
    decode: impl FnOnce(&mut RowBuilder<&mut [u8]>) -> Result<Step, RecordError>,
) -> Result<Vec<T>, RecordError> {
    let mut found = Vec::new();
    with_page::<T, _>(decode, |page| {
        let columns = T::bind(page);
        found.extend((0..page.rows()).map(|row| T::own(T::at(&columns, row))));
    })?;
    Ok(found)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    collection::vec(any::<u8>(), 0..20).prop_map(Bytes)
}

fn item() -> impl Strategy<Value = Item> {
    ("\\PC{0,20}", collection::vec(option::of(-1e6..1e6f64), 0..4))
        .prop_map(|(name, prices)| Item { name, prices })
}

fn order() -> impl Strategy<Value = Order> {
    (
        (any::<u64>(), bytes(), option::of(bytes()), collection::vec(item(), 0..4)),
        (
            option::of(item()),
            option::of(collection::vec(collection::vec(any::<i32>(), 0..4), 0..4)),
            collection::btree_map("\\PC{0,9}", option::of("[\\PC\n\"]{0,20}"), 0..4),
            collection::btree_map(any::<i64>(), collection::vec(any::<bool>(), 0..3), 0..4),
        ),
    )
        .prop_map(|((id, raw, seal, items), (best, matrix, labels, counts))| Order {
            id,
            raw,
            seal,
            items,
            best,
            matrix,
            labels,
            counts,
        })
}

fn flat() -> impl Strategy<Value = Flat> {
    (
        any::<u64>(),
        bytes(),
        collection::vec(any::<Option<i32>>(), 0..5),
        option::of(collection::vec("[a-z,\n\" ]{1,15}", 0..5)),
        collection::vec(collection::vec(any::<u8>(), 1..5).prop_map(Bytes), 0..4),
    )
        .prop_map(|(id, raw, numbers, words, blobs)| Flat { id, raw, numbers, words, blobs })
        // One NULL between no delimiters is no element.
        .prop_filter("ambiguous in CSV", |row| row.numbers != [None])
}

proptest! {
    #[test]
    fn json_round_trips(row in order()) {
        let line = json_text(&row);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{}", line);
        prop_assert_eq!(from_json::<Order>(&line).unwrap(), vec![row]);
    }

    #[test]
    fn csv_round_trips(row in flat()) {
        let line = csv_text(&row);
        prop_assert_eq!(from_csv::<Flat>(&line).unwrap(), vec![row], "{}", line);
    }

    #[test]
    fn no_line_panics(line in "[\\[\\]{}:,\"a-z0-9 nul]{0,80}") {
        let line = format!("{{\"id\":1,\"raw\":\"\",\"items\":{line}");
        let _ = from_json::<Order>(&line);
    }
}

fn sample() -> Order {
    Order {
        id: 1,
        raw: Bytes(vec![0, 255, 16]),
        seal: None,
        items: vec![Item { name: "a".into(), prices: vec![Some(1.5), None] }],
        best: None,
        matrix: Some(vec![vec![], vec![1, 2]]),
        labels: BTreeMap::from([("x".into(), None), ("y".into(), Some("z".into()))]),
        counts: BTreeMap::from([(-3, vec![true])]),
    }
}

#[test]
fn json_is_written_as_people_expect() {
    let expected = concat!(
        r#"{"id":1,"raw":"AP8Q","seal":null,"items":[{"name":"a","prices":[1.5,null]}],"#,
        r#""best":null,"matrix":[[],[1,2]],"labels":{"x":null,"y":"z"},"counts":{"-3":[true]}}"#,
        "\n"
    );
    assert_eq!(json_text(&sample()), expected);
}

#[test]
fn csv_is_written_as_people_expect() {
    let row = Flat {
        id: 1,
        raw: Bytes(b"fo".to_vec()),
        numbers: vec![Some(1), None, Some(3)],
        words: Some(vec!["a".into(), "b,c".into()]),
        blobs: vec![],
    };
    assert_eq!(csv_text(&row), "1,Zm8=,1;;3,\"a;b,c\",\"\"\n");
    assert_eq!(from_csv::<Flat>("1,,1,,").unwrap()[0].words, None);
}

#[test]
fn what_is_wrong_names_the_place() {
    let line = json_text(&sample());
    for (from, to, expected) in [
        ("1.5", "\"x\"", "column `prices[]`: `x` is not a number"),
        ("[1.5,null]", "null", "column `prices`: null"),
        ("[[],[1,2]]", "[[],[1,null]]", "column `matrix[][]`: null"),
        ("[[],[1,2]]", "{}", "an array for column `matrix`"),
        ("AP8Q", "AP8", "column `raw`: `AP8` is not base64"),
        ("\"-3\"", "\"three\"", "column `counts, key`: `three` is not a BIGINT"),
        ("[true]", "[7]", "column `counts, value[]`: `7` is not true or false"),
        ("{\"x\"", "[{\"x\"", "an object for column `labels`"),
    ] {
        let damaged = line.replacen(from, to, 1);
        let error = from_json::<Order>(&damaged).unwrap_err().message;
        assert!(error.contains(expected), "{damaged}: {error}");
    }
    let error = from_csv::<Flat>("1,,1;x,,").unwrap_err().message;
    assert_eq!(error, "column `numbers`: `x` is not an INT");
    let refused = csv::check(&Columns::new(&Order::schema()).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("`items`") && refused.contains("use JSON"), "{refused}");
    let keys = Columns::new(&BTreeMap::<(i32, i32), i32>::schema()).unwrap_err().to_string();
    assert!(keys.contains("keys of the column `value`"), "{keys}");
}
