//! Keys are ordered as values are.

extern crate std;

use alloc::{string::String, vec::Vec};
use core::{cmp::Ordering, fmt::Debug};
use proptest::{collection, option, prelude::*};

use super::*;
use crate::{
    Decimal, Value,
    page::{Layout, PageBuilder, Shape, ValidPage},
    row::{PageRows, RowLayout},
    types::{DataType, Field, Schema},
    value::{Bytes, Date, Record, Time, Timestamp, TimestampLtz},
};

/// Comparing, full keys and prefixes agree.
fn check<T: Ordered + Debug>(a: &T, b: &T) {
    let expected = T::compare(a.view(), b.view());
    let (key_a, key_b) = (full_key::<T>(a.view()), full_key::<T>(b.view()));
    assert_eq!(key_a.cmp(&key_b), expected, "{a:?} and {b:?} as {key_a:?} and {key_b:?}");
    let (short_a, short_b) = (prefix::<T>(a.view()), prefix::<T>(b.view()));
    let decided = if T::prefix_decides(8) { expected } else { expected.max_with(short_a, short_b) };
    assert_eq!(short_a.cmp(&short_b), decided, "prefixes of {a:?} and {b:?}");
    // Inverted, everything is the other way round.
    let invert = |value: &T| {
        let mut key = Vec::new();
        T::put_key(value.view(), &mut Inverted(&mut key));
        key
    };
    assert_eq!(invert(a).cmp(&invert(b)), expected.reverse());
}

trait MaxWith {
    fn max_with(self, a: u64, b: u64) -> Ordering;
}

impl MaxWith for Ordering {
    /// A prefix that does not decide may be equal, but never the other way round.
    fn max_with(self, a: u64, b: u64) -> Ordering {
        if a == b { Self::Equal } else { self }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab\\x00\\x01]{0,4}", "[a-c]{0,12}", "\\PC{0,6}"]
}

fn double() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN];
    prop_oneof![proptest::sample::select(special.to_vec()), any::<f64>(), -2.0..2.0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn integers(a: (i8, i16, i32, i64), b: (i8, i16, i32, i64)) {
        check(&a, &b);
        check(&a.0, &b.0);
        check(&a.1, &b.1);
        check(&a.2, &b.2);
        check(&a.3, &b.3);
        check(&Date(a.2), &Date(b.2));
    }

    #[test]
    fn unsigned_integers(a: (u8, u16, u32, u64), b: (u8, u16, u32, u64)) {
        check(&a, &b);
        check(&a.3, &b.3);
    }

    #[test]
    fn floats(a in double(), b in double()) {
        check(&a, &b);
        check(&(a as f32), &(b as f32));
    }

    #[test]
    fn decimals(a: i128, b: i128, near in -3i128..3) {
        check(&Decimal::<38, 4>(a), &Decimal::<38, 4>(b));
        check(&Decimal::<38, 4>(a), &Decimal::<38, 4>(a.saturating_add(near)));
    }

    #[test]
    fn texts(a in text(), b in text()) {
        check(&a, &b);
        check(&Bytes(a.clone().into()), &Bytes(b.clone().into()));
    }

    #[test]
    fn composite_keys(
        a in (option::of(text()), option::of(0i32..3), text(), any::<bool>()),
        b in (option::of(text()), option::of(0i32..3), text(), any::<bool>()),
    ) {
        check(&a, &b);
        check(&(a.1, a.3, 1u8), &(b.1, b.3, 1u8));
    }

    #[test]
    fn sorting_by_keys_sorts_values(
        rows in collection::vec((option::of(text()), double(), any::<i16>()), 0..50),
    ) {
        type Row = (Option<String>, f64, i16);
        let mut by_value = rows.clone();
        by_value.sort_by(|a, b| Row::compare(a.view(), b.view()));
        let mut by_key = rows;
        by_key.sort_by_key(|row| full_key::<Row>(row.view()));
        // Debug, because NaN is not equal to itself.
        prop_assert_eq!(std::format!("{by_value:?}"), std::format!("{by_key:?}"));
    }
}

#[test]
fn known_orders() {
    let ascending = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY];
    assert!(ascending.is_sorted_by(|a, b| full_key::<f64>(*a) < full_key::<f64>(*b)));
    assert!(full_key::<f64>(-f64::NAN) > full_key::<f64>(f64::INFINITY));
    assert_eq!(full_key::<f64>(-f64::NAN), full_key::<f64>(f64::NAN));
    let texts = ["", "\0", "\0\0", "\0a", "a", "a\0", "a\0b", "a\u{1}", "b"];
    assert!(texts.is_sorted_by(|a, b| full_key::<String>(a) < full_key::<String>(b)));
    assert!(prefix::<Option<i32>>(None) < prefix::<Option<i32>>(Some(i32::MIN)));
}

#[test]
fn keys_never_change() {
    // State and its snapshots are ordered by them.
    assert_eq!(full_key::<i32>(-2), [0x7F, 0xFF, 0xFF, 0xFE]);
    assert_eq!(full_key::<u16>(258), [1, 2]);
    assert_eq!(full_key::<f64>(1.0), [0xBF, 0xF0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(full_key::<f32>(-1.0), [0x40, 0x7F, 0xFF, 0xFF]);
    assert_eq!(full_key::<String>("a\0b"), [b'a', 0, 255, b'b', 0, 0]);
    assert_eq!(full_key::<Option<bool>>(Some(true)), [1, 1]);
    assert_eq!(full_key::<Option<bool>>(None), [0]);
}

#[test]
fn prefixes_say_whether_they_are_complete() {
    let of = |text: &str| {
        let mut prefix = Prefix::<8>::new();
        String::put_key(text, &mut prefix);
        prefix.is_complete()
    };
    assert_eq!([of("123456"), of("1234567"), of("a long text")], [true, false, false]);
    assert!(<(u32, i32)>::prefix_decides(8) && !<(u32, i32)>::prefix_decides(7));
    assert!(Option::<i32>::prefix_decides(5) && !Option::<i64>::prefix_decides(8));
    assert!(!String::prefix_decides(1 << 20));
    assert_eq!(<(Option<i32>, bool)>::KEY_BYTES_MAX, Some(6));
}

type Sorted = (
    (Option<i8>, u16, Option<String>, f32, Option<Bytes>, bool),
    (i16, Option<f64>, Decimal<20, 3>, u8, u32, u64),
    (Date, Time, Timestamp, TimestampLtz, i32, Option<i64>),
);

fn sorted_row() -> impl Strategy<Value = Sorted> {
    let small = || prop_oneof![-2i8..3, any::<i8>()];
    let first = (
        option::of(small()),
        0u16..3,
        option::of(text()),
        double(),
        option::of(text()),
        any::<bool>(),
    );
    let second =
        (any::<i16>(), option::of(double()), -3i128..3, 0u8..3, any::<u32>(), any::<u64>());
    let third = (-2i32..2, 0i32..3, -2i64..2, any::<i64>(), any::<i32>(), any::<Option<i64>>());
    (first, second, third).prop_map(
        |((a, b, c, d, e, f), (g, h, i, j, k, l), (m, n, o, p, q, r))| {
            let e = e.map(|text| Bytes(text.into()));
            (
                (a, b, c, d as f32, e, f),
                (g, h, Decimal(i), j, k, l),
                (Date(m), Time(n), Timestamp(o), TimestampLtz(p), q, r),
            )
        },
    )
}

/// The fields of the three rows as fields of one, as the schema of a page has them.
fn sorted_schema() -> Schema {
    let fields = Sorted::schema().fields.into_iter().flat_map(|field| match field.data_type {
        DataType::Row(fields) => fields,
        _ => std::vec![field],
    });
    let named = fields.enumerate().map(|(i, field)| Field { name: std::format!("c{i}"), ..field });
    Schema::new(named.collect())
}

fn sort_fields() -> impl Strategy<Value = Vec<SortField>> {
    let field = (0usize..18, any::<bool>(), any::<bool>()).prop_map(|(field, descending, last)| {
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        SortField { field, direction, nulls: if last { Nulls::Last } else { Nulls::First } }
    });
    collection::vec(field, 1..5)
}

proptest! {
    #[test]
    fn rows_of_pages_and_rows_alone_have_the_order_of_their_keys(
        rows in collection::vec(sorted_row(), 1..20),
        fields in sort_fields(),
    ) {
        let schema = sorted_schema();
        let layout = RowLayout::new(&schema);
        let order = RowOrder::new(&schema, &layout, &fields).unwrap();
        // The same columns as the nested rows have, so one can be built as the other.
        let shape = Shape::new(&Sorted::schema());
        let columns = std::sync::Arc::new(Layout::fitted(&shape, 32768, 100).unwrap());
        let mut words = std::vec![0u128; 32768 / 16];
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut page = PageBuilder::<Sorted, _>::new(buffer, &shape, &columns);
        for row in &rows {
            page.append(row.view()).unwrap();
        }
        let sealed = page.seal(&Shape::new(&schema), true);
        let page = ValidPage::trusted(&sealed.buffer[..sealed.length]).unwrap();
        let in_page = PageRows::new(&layout, &page).unwrap();
        let mut bytes = Vec::new();
        let alone: Vec<_> = (0..rows.len())
            .map(|i| {
                let begin = bytes.len();
                in_page.gather(i, &mut bytes);
                begin..bytes.len()
            })
            .collect();
        for a in 0..rows.len() {
            for b in 0..rows.len() {
                let row_a = layout.validate(&bytes[alone[a].clone()]).unwrap();
                let row_b = in_page.at(b);
                let mut keys = [Vec::new(), Vec::new()];
                order.put_key(&row_a, &mut keys[0]);
                order.put_key(&row_b, &mut keys[1]);
                let ordering = order.compare(&row_a, &row_b);
                prop_assert_eq!(keys[0].cmp(&keys[1]), ordering, "{:?}", keys);
                prop_assert_eq!(order.compare(&row_b, &row_a), ordering.reverse());
                let prefixes = order.prefix(&row_a).cmp(&order.prefix(&row_b));
                prop_assert!(prefixes == ordering || prefixes.is_eq() && !order.prefix_decides(8));
            }
        }
    }
}

#[test]
fn schemas_and_types_agree() {
    type Row = (Option<i32>, String, f64);
    let layout = RowLayout::new(&Row::schema());
    let fields = [0, 1, 2].map(SortField::ascending);
    let order = RowOrder::new(&Row::schema(), &layout, &fields).unwrap();
    for row in [(Some(-5), "text\0", -0.5), (None, "", f64::NAN)] {
        let mut bytes = Vec::new();
        layout.encode::<Row>(row, &mut bytes);
        let mut key = Vec::new();
        order.put_key(&layout.trusted(&bytes).unwrap(), &mut key);
        assert_eq!(key, full_key::<Row>(row));
    }
    assert!(!order.prefix_decides(100));
    let short = RowOrder::new(&Row::schema(), &layout, &fields[..1]).unwrap();
    assert!(short.prefix_decides(5) && !short.prefix_decides(4));
}

#[test]
fn nulls_go_where_they_are_told() {
    type Row = (Option<u8>,);
    let layout = RowLayout::new(&Row::schema());
    let sorted = |field: SortField| {
        let order = RowOrder::new(&Row::schema(), &layout, &[field]).unwrap();
        let mut rows = [Some(2), None, Some(1)].map(|value| {
            let mut bytes = Vec::new();
            layout.encode::<Row>((value,), &mut bytes);
            let mut key = Vec::new();
            order.put_key(&layout.trusted(&bytes).unwrap(), &mut key);
            (key, value)
        });
        rows.sort();
        rows.map(|(_, value)| value)
    };
    assert_eq!(sorted(SortField::ascending(0)), [None, Some(1), Some(2)]);
    assert_eq!(sorted(SortField::descending(0)), [Some(2), Some(1), None]);
    assert_eq!(sorted(SortField::ascending(0).nulls(Nulls::Last)), [Some(1), Some(2), None]);
    assert_eq!(sorted(SortField::descending(0).nulls(Nulls::First)), [None, Some(2), Some(1)]);
}

#[test]
fn what_cannot_be_ordered_is_named() {
    type Row = (i32, (i32, i32));
    let layout = RowLayout::new(&Row::schema());
    let error = |field| {
        let fields = [SortField::ascending(field)];
        std::format!("{}", RowOrder::new(&Row::schema(), &layout, &fields).unwrap_err())
    };
    assert!(error(1).contains("`f1`") && error(1).contains("has no order"), "{}", error(1));
    assert!(error(2).contains("field 2: the row has 2"), "{}", error(2));
}
