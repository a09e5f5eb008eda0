//! Rows that are rewritten.

use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec, vec::Vec};
use proptest::{collection, option, prelude::*};

use super::schema;
use crate::{
    Decimal, Record, Value,
    evolution::*,
    page::{ColumnKind, Demand, Full, Layout, PageBuilder, RowBuilder, Shape, ValidPage},
    types::{DataType, Field, Schema},
    value::{Bytes, Date},
};

proptest! {
    #[test]
    fn every_plan_makes_valid_pages(old in schema(), new in schema(), seed: u64) {
        // Some fields of the old schema in another order, among fields that it has not.
        let kept = old.fields.iter().rev().enumerate();
        let kept = kept.filter(|(i, _)| seed >> i & 1 == 0).map(|(i, field)| Field {
            nullable: field.nullable || seed >> (8 + i) & 1 == 0,
            ..field.clone()
        });
        let added = new.fields.into_iter().enumerate();
        let added = added.map(|(i, field)| Field { name: format!("g{i}"), ..field });
        let mut fields: Vec<Field> = added.collect();
        fields.splice(1..1, kept);
        let (old, new) = (Snapshot::value(old), Snapshot::value(Schema::new(fields)));
        let defaults = (0..6).fold(Defaults::none(), |d, i| d.with(format!("g{i}"), Literal::Zero));
        let answer = compatibility_with(&old, &new, &defaults);
        let Compatibility::AfterMigration(plan) = answer else { panic!("{answer:?}") };
        let shape = Shape::new(&old.schema);
        let page = filled(&old.schema, seed);
        migrate(&plan, &ValidPage::validate(&page, &shape).unwrap(), &new.schema, |page| {
            assert_eq!(page.rows(), ROWS);
        });
    }
}

const ROWS: usize = 5;

/// A page with rows of a schema, made of a seed.
fn filled(schema: &Schema, seed: u64) -> Aligned {
    let shape = Arc::new(Shape::new(schema));
    let layout = Arc::new(layout(&shape));
    let mut rows = RowBuilder::new(Aligned::new(PAGE_BYTES), &shape, &layout);
    let mut state = seed;
    for _ in 0..ROWS {
        let mut next = 0;
        for field in &schema.fields {
            put(field, &mut next, &mut rows, &mut state);
        }
        rows.commit();
    }
    let sealed = rows.seal(true);
    sealed.buffer.cut(sealed.length)
}

fn layout(shape: &Shape) -> Layout {
    Layout::fitted(shape, PAGE_BYTES, 2000).unwrap()
}

const PAGE_BYTES: usize = 256 << 10;

fn random(state: &mut u64, below: u64) -> u64 {
    *state = crate::hash::word(*state, 0x1234_5678);
    *state % below
}

/// Writes any value of a field, and counts its columns.
fn put(field: &Field, next: &mut usize, rows: &mut RowBuilder<Aligned>, state: &mut u64) {
    let begin = *next;
    let null = field.nullable && random(state, 3) == 0;
    if let DataType::Row(fields) = &field.data_type {
        *next += usize::from(field.nullable);
        match (field.nullable, null) {
            (true, true) => {
                *next += fields.iter().map(columns).sum::<usize>();
                return rows.put_blank(begin..*next);
            }
            (true, false) => rows.put_group(begin),
            (false, _) => {}
        }
        return fields.iter().for_each(|field| put(field, next, rows, state));
    }
    *next += columns(field);
    if null {
        return rows.put_null(begin);
    }
    let number = random(state, u64::MAX);
    match &field.data_type {
        DataType::Boolean => rows.put_bool(begin, number % 2 == 1),
        DataType::String => rows.put_str(begin, &"ä".repeat(number as usize % 20)).unwrap(),
        DataType::Bytes => rows.put_bytes(begin, &vec![255; number as usize % 20]).unwrap(),
        DataType::Array(_) | DataType::Map(..) => {
            let fields: Vec<&Field> = match &field.data_type {
                DataType::Array(element) => vec![element],
                DataType::Map(key, value) => vec![key, value],
                _ => vec![],
            };
            rows.begin_list(begin);
            for _ in 0..number % 3 {
                rows.begin_element(begin).unwrap();
                let mut next = begin + 1;
                fields.iter().for_each(|field| put(field, &mut next, rows, state));
            }
        }
        other => {
            match Shape::new(&Schema::new(vec![Field::new("x", other.clone())])).columns()[0].kind {
                ColumnKind::Fixed(1) => rows.put_fixed(begin, [number as u8]),
                ColumnKind::Fixed(2) => rows.put_fixed(begin, (number as u16).to_le_bytes()),
                ColumnKind::Fixed(4) => rows.put_fixed(begin, (number as u32).to_le_bytes()),
                ColumnKind::Fixed(8) => rows.put_fixed(begin, number.to_le_bytes()),
                _ => rows.put_fixed(begin, u128::from(number % 1000).to_le_bytes()),
            }
        }
    }
}

fn columns(field: &Field) -> usize {
    Shape::new(&Schema::new(vec![field.clone()])).columns().len()
}

/// A buffer aligned like a segment.
struct Aligned(Vec<u128>, usize);

impl Aligned {
    fn new(bytes: usize) -> Self {
        Self(vec![u128::MAX; bytes.div_ceil(16)], bytes)
    }

    fn cut(self, bytes: usize) -> Self {
        Self(self.0, bytes)
    }
}

impl core::ops::Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }
}

impl core::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

/// Rewrites all rows of a page, and reads the page that they make.
fn migrate(plan: &Plan, page: &ValidPage<'_>, new: &Schema, read: impl FnOnce(&ValidPage<'_>)) {
    let shape = Arc::new(Shape::new(new));
    let layout = Arc::new(layout(&shape));
    let mut rows = RowBuilder::new(Aligned::new(PAGE_BYTES), &shape, &layout);
    let migration = plan.open(page).unwrap();
    for row in 0..page.rows() {
        migration.write(row, &mut rows).unwrap();
    }
    let sealed = rows.seal(true);
    read(&ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap());
}

fn snapshot<T: Record>() -> Snapshot {
    Snapshot::value(T::schema())
}

/// What becomes of typed rows.
fn migrated<Old: Record, New: Record>(rows: &[Old], defaults: &Defaults) -> Vec<New> {
    let answer = compatibility_with(&snapshot::<Old>(), &snapshot::<New>(), defaults);
    let Compatibility::AfterMigration(plan) = answer else { panic!("{answer:?}") };
    let shape = Shape::new(&Old::schema());
    let layout = Arc::new(layout(&shape));
    let mut page = PageBuilder::<Old, _>::new(Aligned::new(PAGE_BYTES), &shape, &layout);
    rows.iter().for_each(|row| page.append(row.view()).unwrap());
    let sealed = page.seal(&shape, true);
    let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    let mut found = Vec::new();
    migrate(&plan, &page, &New::schema(), |page| {
        let columns = New::bind(page);
        found.extend((0..page.rows()).map(|row| New::own(New::at(&columns, row))));
    });
    found
}

#[derive(Clone, Debug, PartialEq, Record)]
struct OldPlace {
    street: String,
    number: i16,
    city: String,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct NewPlace {
    city: Option<String>,
    country: Option<String>,
    number: i64,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Old {
    id: u32,
    gone: Vec<String>,
    small: i8,
    exact: Decimal<10, 2>,
    ratio: f32,
    text: Option<String>,
    home: OldPlace,
    work: Option<OldPlace>,
    places: Vec<OldPlace>,
    scores: BTreeMap<String, Option<i32>>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct New {
    scores: BTreeMap<String, Option<f64>>,
    places: Option<Vec<Option<NewPlace>>>,
    text: Option<Bytes>,
    work: Option<NewPlace>,
    home: Option<NewPlace>,
    ratio: f64,
    exact: Decimal<20, 4>,
    small: Decimal<5, 1>,
    added: Option<Vec<NewPlace>>,
    since: Date,
    tag: String,
    flags: Vec<bool>,
    extra: (i32, Option<i32>),
    id: i64,
}

fn new_place(old: &OldPlace) -> NewPlace {
    NewPlace { city: Some(old.city.clone()), country: None, number: old.number.into() }
}

proptest! {
    #[test]
    fn rows_are_rewritten_as_by_hand(
        id: u32,
        small: i8,
        cents in -99_999_999i64..100_000_000,
        ratio: f32,
        text in option::of("\\PC{0,20}"),
        streets in collection::vec(("\\PC{0,15}", any::<i16>()), 0..4),
        work: bool,
        scores in collection::btree_map("[a-z]{0,15}", any::<Option<i32>>(), 0..4),
    ) {
        let place = |(street, number): &(String, i16)| OldPlace {
            street: street.clone(),
            number: *number,
            city: format!("{street} is in a city"),
        };
        let home = place(&("home".into(), 3));
        let places: Vec<_> = streets.iter().map(place).collect();
        let old = Old {
            id,
            gone: vec!["x".into(); 3],
            small,
            exact: Decimal(cents.into()),
            ratio: if ratio.is_nan() { 0.0 } else { ratio },
            text: text.clone(),
            home: home.clone(),
            work: work.then(|| home.clone()),
            places: places.clone(),
            scores: scores.clone(),
        };
        let expected = New {
            scores: scores.into_iter().map(|(key, score)| (key, score.map(f64::from))).collect(),
            places: Some(places.iter().map(|place| Some(new_place(place))).collect()),
            text: text.map(|text| Bytes(text.into_bytes())),
            work: work.then(|| new_place(&home)),
            home: Some(new_place(&home)),
            ratio: old.ratio.into(),
            exact: Decimal(i128::from(cents) * 100),
            small: Decimal(i128::from(small) * 10),
            added: None,
            since: Date(-7),
            tag: "a tag of some length".into(),
            flags: vec![],
            extra: (0, None),
            id: id.into(),
        };
        let defaults = Defaults::none()
            .with("since", Literal::Integer(-7))
            .with("tag", Literal::Text("a tag of some length".into()))
            .with("flags", Literal::Zero)
            .with("extra", Literal::Zero);
        prop_assert_eq!(migrated::<Old, New>(&[old.clone(), old], &defaults), [
            expected.clone(),
            expected
        ]);
    }
}

#[test]
fn a_full_page_is_left_as_it_was_and_other_schemas_are_refused() {
    type Before = (String,);
    let after = Schema::new(vec![
        Field::new("f0", DataType::String).nullable(),
        Field::new("f1", DataType::Int64).nullable(),
    ]);
    let answer = compatibility(&snapshot::<Before>(), &Snapshot::value(after.clone()));
    let Compatibility::AfterMigration(plan) = answer else { panic!("{answer:?}") };
    let row: Before = ("x".repeat(3000),);
    let shape = Shape::new(&Before::schema());
    let jumbo = Layout::jumbo(&shape, &Demand::of::<Before>(row.view())).unwrap();
    let mut page =
        PageBuilder::<Before, _>::new(Aligned::new(jumbo.size()), &shape, &Arc::new(jumbo));
    page.append(row.view()).unwrap();
    let sealed = page.seal(&shape, true);
    let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    let shape = Arc::new(Shape::new(&after));
    let layout = Arc::new(Layout::fitted(&shape, 4096, 1000).unwrap());
    let mut rows = RowBuilder::new(Aligned::new(4096), &shape, &layout);
    let migration = plan.open(&page).unwrap();
    assert_eq!(migration.write(0, &mut rows), Ok(()));
    assert_eq!(migration.write(0, &mut rows), Err(Full));
    let sealed = rows.seal(true);
    let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    assert_eq!(page.rows(), 1);
    assert!(plan.open(&page).is_err());
}
