//! Page to row to page, row to value to row; and damage.

extern crate std;

use alloc::{string::String, sync::Arc, vec, vec::Vec};
use proptest::{collection, option, prelude::*};

use super::*;
use crate::{
    Decimal, Value,
    page::{Layout, PageBuilder, RowBuilder, Shape, ValidPage},
    value::{Bytes, Date, Record, Time, Timestamp, TimestampLtz},
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
type Everything = (Numbers, Others, Texts, Nested);

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
    (any::<Numbers>(), others, (text(), option::of(text()), bytes(), option::of(bytes())), nested)
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
        let layout = RowLayout::new(&Everything::schema()).unwrap();
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
        let layout = RowLayout::new(&Everything::schema()).unwrap();
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
        check_any(&RowLayout::new(&Everything::schema()).unwrap(), &bytes);
        let layout = RowLayout::new(&Texts::schema()).unwrap();
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
    let (shape, layout) = (Shape::new(&schema), RowLayout::new(&schema).unwrap());
    assert_eq!(shape.columns().len(), layout.columns());
    for (page, row) in shape.columns().iter().zip(&layout.columns) {
        assert_eq!((page.kind, page.nullable), (row.kind, row.null_bit.is_some()));
    }
}

#[test]
fn rows_are_compact_and_never_change() {
    let layout = RowLayout::new(&<(u64, u64)>::schema()).unwrap();
    assert_eq!((layout.fixed_bytes(), layout.is_fixed()), (16, true));
    // Stored in savepoints: these bytes never change.
    type Row = (bool, Option<i32>, String, Option<u16>, i64);
    let layout = RowLayout::new(&Row::schema()).unwrap();
    let mut bytes = Vec::new();
    layout.encode::<Row>((true, None, "héllo", Some(7), -2), &mut bytes);
    let mut expected = vec![24, 0, 0, 0, 6, 0, 0, 0];
    expected.extend((-2i64).to_le_bytes());
    expected.extend([0, 0, 0, 0, 7, 0, 1, 0b01]);
    expected.extend("héllo".as_bytes());
    assert_eq!(bytes, expected);
    assert_eq!((layout.column_of(2), layout.column_of(5)), (Some(2), None));
}

#[test]
fn rows_are_updated_in_place() {
    type Row = (Option<i32>, String, u64);
    let layout = RowLayout::new(&Row::schema()).unwrap();
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
    let layout = RowLayout::new(&Row::schema()).unwrap();
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
    let deep = RowLayout::new(&Deep::schema()).unwrap();
    let error = deep.validate(&[0, 0b01]).unwrap_err();
    let what = "is a value within a nested row that is NULL";
    assert_eq!(error, RowError::Column { column: 1, what });
    assert!(deep.validate(&[0, 0b11]).is_ok());
    let lists = Schema::new(vec![Field::new(
        "tags",
        DataType::Array(Field::new("tag", DataType::String).into()),
    )]);
    let error = RowLayout::new(&lists).unwrap_err();
    assert!(std::format!("{error}").contains("`tags` is ARRAY<STRING>"));
}

#[test]
fn a_full_page_refuses_and_is_as_before() {
    type Row = (String,);
    let layout = RowLayout::new(&Row::schema()).unwrap();
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
