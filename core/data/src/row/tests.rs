//! Page to row to page, row to value to row; and damage.

extern crate std;

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec, vec::Vec};
use proptest::{collection, option, prelude::*};

use super::*;
use crate::{
    Decimal, Record, Value,
    page::{Demand, Layout, PageBuilder, RowBuilder, Shape, ValidPage},
    value::{Bytes, Date, Time, Timestamp, TimestampLtz},
};

type Numbers = (u8, i16, Option<u32>, i64, (i8, u16, i32, Option<u64>));
type Others = (
    Option<bool>,
    Decimal<20, 2>,
    (Date, Option<Time>, Timestamp, TimestampLtz),
    (bool, Option<f32>, f64, Option<Decimal<38, 0>>),
);
type Texts = (String, Option<String>, Bytes, Option<Bytes>);
type Nested = Option<(String, Option<i32>, Option<(Option<String>, u16)>, bool)>;
type Lists = (
    Vec<i32>,
    Option<Vec<Option<String>>>,
    BTreeMap<String, Vec<(u8, bool)>>,
    Option<(Vec<Vec<u64>>, Option<BTreeMap<i16, Option<(String, Vec<bool>)>>>)>,
);
type Everything = (Numbers, Others, Texts, Nested, Lists);

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,3}", "\\PC{0,30}"]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    collection::vec(any::<u8>(), 0..30).prop_map(Bytes)
}

fn everything() -> impl Strategy<Value = Everything> {
    let others = (any::<(Option<bool>, i128)>(), any::<(i32, Option<i32>, i64, i64)>())
        .prop_flat_map(|((open, price), (date, time, at, ltz))| {
            any::<(bool, Option<f32>, f64, Option<i128>)>().prop_map(move |(a, b, c, d)| {
                // NaN is not equal to itself.
                let (b, c) = (b.filter(|b| !b.is_nan()), if c.is_nan() { 0.5 } else { c });
                let times = (Date(date), time.map(Time), Timestamp(at), TimestampLtz(ltz));
                (open, Decimal(price), times, (a, b, c, d.map(Decimal)))
            })
        });
    let inner = option::of((option::of(text()), any::<u16>()));
    let nested = option::of((text(), any::<Option<i32>>(), inner, any::<bool>()));
    let texts = (text(), option::of(text()), bytes(), option::of(bytes()));
    (any::<Numbers>(), others, texts, nested, lists())
}

fn lists() -> impl Strategy<Value = Lists> {
    let named = option::of((text(), collection::vec(any::<bool>(), 0..3)));
    let deep = (
        collection::vec(collection::vec(any::<u64>(), 0..3), 0..3),
        option::of(collection::btree_map(any::<i16>(), named, 0..3)),
    );
    (
        collection::vec(any::<i32>(), 0..4),
        option::of(collection::vec(option::of(text()), 0..4)),
        collection::btree_map(text(), collection::vec(any::<(u8, bool)>(), 0..3), 0..3),
        option::of(deep),
    )
}

/// A buffer aligned like a segment.
fn segment() -> Vec<u128> {
    vec![0xA5; 32768 / 16]
}

fn page<'a>(rows: &[Everything], words: &'a mut [u128]) -> ValidPage<'a> {
    let shape = Shape::new(&Everything::schema());
    let layout = Arc::new(Layout::fitted(&shape, 32768, 100).unwrap());
    let buffer: &'a mut [u8] = bytemuck::cast_slice_mut(words);
    let mut page = PageBuilder::<Everything, _>::new(buffer, &shape, &layout);
    for row in rows {
        page.append(row.view()).unwrap();
    }
    let sealed = page.seal(&shape, true);
    ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap()
}

proptest! {
    #[test]
    fn pages_and_rows_round_trip(rows in collection::vec(everything(), 1..20)) {
        let layout = RowLayout::new(&Everything::schema());
        let mut words = segment();
        let page = page(&rows, &mut words);
        let gathered = PageRows::new(&layout, &page).unwrap();
        prop_assert_eq!(gathered.rows(), rows.len());

        let shape = Arc::new(Shape::new(&Everything::schema()));
        let columns = Arc::new(Layout::fitted(&shape, 32768, 100).unwrap());
        let mut target = segment();
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut target);
        let mut builder = RowBuilder::new(buffer, &shape, &columns);
        for (i, expected) in rows.iter().enumerate() {
            let mut bytes = vec![9; 3];
            let length = gathered.gather(i, &mut bytes);
            let bytes = &bytes[3..];
            prop_assert_eq!(bytes.len(), length);
            let row = layout.validate(bytes).unwrap();
            let (at_most, needed) = (row.demand(&shape), Demand::of::<Everything>(expected.view()));
            prop_assert_eq!(at_most.elements, needed.elements);
            prop_assert!(at_most.heap_bytes >= needed.heap_bytes);
            // Without a page, the same bytes; and the same value.
            let mut encoded = Vec::new();
            layout.encode::<Everything>(expected.view(), &mut encoded);
            prop_assert_eq!(&encoded, bytes);
            let decoded = Everything::own(layout.decode::<Everything>(row));
            prop_assert_eq!(&decoded, expected);
            scatter(&row, &mut builder).unwrap();
        }
        let sealed = builder.seal(true);
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        let bound = Everything::bind(&page);
        for (i, expected) in rows.iter().enumerate() {
            prop_assert_eq!(&Everything::own(Everything::at(&bound, i)), expected);
        }
    }

    #[test]
    fn damaged_rows_are_refused_or_are_the_only_bytes_of_their_values(
        row in everything(),
        damage in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let layout = RowLayout::new(&Everything::schema());
        let mut bytes = Vec::new();
        layout.encode::<Everything>(row.view(), &mut bytes);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        check_any(&layout, &bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..300)) {
        check_any(&RowLayout::new(&Everything::schema()), &bytes);
        let layout = RowLayout::new(&Texts::schema());
        let _ = layout.validate(&bytes).map(|row| layout.decode::<Texts>(row));
    }
}

fn check_any(layout: &RowLayout, bytes: &[u8]) {
    if let Ok(row) = layout.validate(bytes) {
        let value = layout.decode::<Everything>(row);
        let mut again = Vec::new();
        layout.encode::<Everything>(value, &mut again);
        assert_eq!(again, bytes, "a valid row is the only one of its values");
    }
}

#[test]
fn columns_are_those_of_pages() {
    let schema = Everything::schema();
    let (shape, layout) = (Shape::new(&schema), RowLayout::new(&schema));
    let mut found = vec![false; shape.columns().len()];
    check_columns(&layout, &shape, &mut found);
    assert!(found.iter().all(|found| *found), "each column of a page is one of rows");
}

fn check_columns(layout: &RowLayout, shape: &Shape, found: &mut [bool]) {
    for row in &layout.columns {
        let page = shape.columns()[row.page];
        assert_eq!((page.kind, page.nullable), (row.kind, row.null_bit.is_some()));
        assert!(!core::mem::replace(&mut found[row.page], true));
    }
    for list in &layout.lists {
        check_columns(list, shape, found);
    }
}

#[test]
fn lists_are_compact_and_never_change() {
    // Stored in savepoints: these bytes never change.
    type Row = (Vec<u16>, u16, Vec<String>, Option<Vec<u8>>);
    let layout = RowLayout::new(&Row::schema());
    let row: Row = (vec![7, 8], 1, vec!["a".into(), "bc".into()], Some(vec![]));
    let mut bytes = Vec::new();
    layout.encode::<Row>(row.view(), &mut bytes);
    let mut expected: Vec<u8> = Vec::new();
    for word in [27, 8, 35, 31, 66, 0u32] {
        expected.extend(word.to_le_bytes());
    }
    expected.extend([1, 0, 0]);
    expected.extend([2, 0, 0, 0, 7, 0, 8, 0]);
    for word in [2, 9, 19, 8, 1, 8, 2u32] {
        expected.extend(word.to_le_bytes());
        match word {
            1 => expected.push(b'a'),
            2 if expected.len() > 60 => expected.extend(b"bc"),
            _ => {}
        }
    }
    assert_eq!(bytes, expected);
    assert_eq!(Row::own(layout.decode::<Row>(layout.validate(&bytes).unwrap())), row);
}

#[test]
fn what_is_wrong_with_a_list_is_named() {
    type Row = (Vec<bool>, Vec<String>);
    let layout = RowLayout::new(&Row::schema());
    let row: Row = (vec![true, false], vec!["a".into(), "bc".into()]);
    let mut good = Vec::new();
    layout.encode::<Row>(row.view(), &mut good);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        std::format!("{}", layout.validate(&bytes).unwrap_err())
    };
    assert_eq!(
        with(21, 2),
        "element 1 in column 0 of the row: column 0 of the row is a boolean that is neither 0 nor 1"
    );
    assert_eq!(with(16, 3), "column 0 of the row has fewer bytes than its elements");
    assert_eq!(with(16, 1), "column 0 of the row has bytes behind its last element");
    assert_eq!(with(19, 255), "column 0 of the row has fewer bytes than its elements");
    let begin = 22;
    let bad = "element 0 in column 1 of the row: column 0 of the row is text that is not UTF-8";
    assert_eq!(with(begin + 12 + 8, 0xFF), bad);
    let bad = "column 1 of the row has an element that ends where none can";
    assert_eq!(with(begin + 8, 3), bad);
    // A list without elements has one form.
    let mut bytes = vec![16, 0, 0, 0, 4, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([0; 4]);
    let error = std::format!("{}", layout.validate(&bytes).unwrap_err());
    assert_eq!(error, "column 0 of the row is a list without elements that is not empty");
}

#[test]
fn rows_are_compact_and_never_change() {
    let layout = RowLayout::new(&<(u64, u64)>::schema());
    assert_eq!((layout.fixed_bytes(), layout.is_fixed()), (16, true));
    // Stored in savepoints: these bytes never change.
    type Row = (bool, Option<i32>, String, Option<u16>, i64);
    let layout = RowLayout::new(&Row::schema());
    let mut bytes = Vec::new();
    layout.encode::<Row>((true, None, "héllo", Some(7), -2), &mut bytes);
    let mut expected = vec![24, 0, 0, 0, 6, 0, 0, 0];
    expected.extend((-2i64).to_le_bytes());
    expected.extend([0, 0, 0, 0, 7, 0, 1, 0b01]);
    expected.extend("héllo".as_bytes());
    assert_eq!(bytes, expected);
    assert_eq!((layout.column_of(2), layout.column_of(5)), (Some(2), None));
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Inner {
    names: Vec<String>,
    score: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Outer {
    id: u64,
    inner: Option<Inner>,
    all: Vec<Inner>,
}

#[test]
fn structs_are_rows() {
    let inner = Inner { names: vec!["a".into(), String::new()], score: Some(0.5) };
    let layout = RowLayout::new(&Outer::schema());
    for row in [
        Outer { id: 1, inner: None, all: vec![inner.clone(), inner.clone()] },
        Outer { id: 2, inner: Some(inner), all: vec![] },
    ] {
        let mut bytes = Vec::new();
        layout.encode::<Outer>(row.view(), &mut bytes);
        let checked = layout.validate(&bytes).unwrap();
        assert_eq!(Outer::own(layout.decode::<Outer>(checked)), row);
    }
}

#[test]
fn rows_are_updated_in_place() {
    type Row = (Option<i32>, String, u64);
    let layout = RowLayout::new(&Row::schema());
    let mut bytes = Vec::new();
    layout.encode::<Row>((None, "a", 1), &mut bytes);
    let mut row = layout.update(&mut bytes).unwrap();
    row.set_fixed(0, 5i32.to_le_bytes());
    row.set_fixed(2, 9u64.to_le_bytes());
    assert_eq!(layout.decode::<Row>(layout.validate(&bytes).unwrap()), (Some(5), "a", 9));
    layout.update(&mut bytes).unwrap().set_null::<4>(0);
    assert_eq!(layout.decode::<Row>(layout.validate(&bytes).unwrap()), (None, "a", 9));
}

#[test]
fn what_is_wrong_is_named() {
    type Row = (Option<bool>, String, Option<(u8,)>, String);
    let layout = RowLayout::new(&Row::schema());
    let mut good = Vec::new();
    layout.encode::<Row>((Some(true), "ab", None, "c"), &mut good);
    assert_eq!(good.len(), 8 + 8 + 1 + 1 + 1 + 3);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        match layout.validate(&bytes).unwrap_err() {
            RowError::Column { column, what } => (column, what),
            other => panic!("{other}"),
        }
    };
    assert_eq!(with(16, 2), (0, "is a boolean that is neither 0 nor 1"));
    assert_eq!(with(18, 0b11), (0, "is NULL, but its slot is not zero"));
    assert_eq!(with(0, 20), (1, "does not begin where the one before it ends"));
    assert_eq!(with(8, 20), (4, "does not begin where the one before it ends"));
    assert_eq!(with(17, 3), (3, "is a value within a nested row that is NULL"));
    assert_eq!(with(18, 0b110), (5, "does not exist, but has a NULL bit"));
    assert_eq!(with(19, 0xFF), (1, "is text that is not UTF-8"));
    let short = layout.validate(&good[..18]).unwrap_err();
    assert_eq!(short, RowError::Short { needed: 19, found: 18 });
    let short = layout.validate(&good[..21]).unwrap_err();
    assert_eq!(short, RowError::Short { needed: 22, found: 21 });
    let mut long = good.clone();
    long.push(0);
    let long = layout.validate(&long).unwrap_err();
    assert_eq!(long, RowError::Long { needed: 22, found: 23 });
    type Deep = (Option<(Option<u8>,)>,);
    let deep = RowLayout::new(&Deep::schema());
    let error = deep.validate(&[0, 0b01]).unwrap_err();
    let what = "is a value within a nested row that is NULL";
    assert_eq!(error, RowError::Column { column: 1, what });
    assert!(deep.validate(&[0, 0b11]).is_ok());
}

#[test]
fn a_full_page_refuses_and_is_as_before() {
    type Row = (String,);
    let layout = RowLayout::new(&Row::schema());
    let shape = Arc::new(Shape::new(&Row::schema()));
    let columns = Arc::new(Layout::fitted(&shape, 4096, 1000).unwrap());
    let mut target = vec![0u128; 4096 / 16];
    let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut target);
    let mut builder = RowBuilder::new(buffer, &shape, &columns);
    let mut bytes = Vec::new();
    let long = "x".repeat(1500);
    layout.encode::<Row>((&long,), &mut bytes);
    let row = layout.trusted(&bytes).unwrap();
    assert_eq!(scatter(&row, &mut builder), Ok(()));
    assert_eq!(scatter(&row, &mut builder), Ok(()));
    assert_eq!(scatter(&row, &mut builder), Err(crate::page::Full));
    assert_eq!(builder.rows(), 2);
}
