//! Rows with lists and nested rows, cell by cell: what is forgotten is named.

use millstream_sdk::prelude::*;
use millstream_sdk_test::{CallError, SourceTest};

#[derive(Clone, Debug, PartialEq, Record)]
struct Place {
    x: i32,
    name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    id: i64,
    place: Option<Place>,
    pairs: Vec<(i32, i64)>,
}

/// Three rows, the second with a fault.
struct Nested(String);

impl Source for Nested {
    const NAME: &'static str = "nested";
    const SUMMARY: &'static str = "Rows with a nested row and a list";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("fault", "What it does wrong").default("none")];
    type Reader = Self;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self(options.string("fault")?.into()))
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(vec![Vec::new()])
    }

    fn reader(&self, _subtask: Subtask) -> Result<Self, Error> {
        Ok(Self(self.0.clone()))
    }
}

impl SplitReader for Nested {
    fn begin(&mut self, _split: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        for id in 0..3 {
            let fault = if id == 1 { self.0.as_str() } else { "none" };
            put(rows, id, fault).map_err(|_| Error::new("three rows fit a page"))?;
        }
        Ok(Filled::SplitDone)
    }
}

fn put(rows: &mut Rows<'_>, id: i64, fault: &str) -> Result<(), Full> {
    rows.put_fixed(0, id.to_le_bytes());
    match id {
        0 => {
            rows.put_null(1);
            rows.put_blank(2..4);
        }
        _ => {
            rows.put_group(1);
            rows.put_fixed(2, 7i32.to_le_bytes());
            if fault != "field" {
                rows.put_null(3);
            }
        }
    }
    if fault != "list" {
        rows.begin_list(4);
    }
    for number in 0..id {
        rows.begin_element(4)?;
        rows.put_fixed(5, 1i32.to_le_bytes());
        if fault != "element" {
            rows.put_fixed(6, number.to_le_bytes());
        }
    }
    if fault == "rolled back" {
        rows.roll_back();
        rows.put_fixed(0, id.to_le_bytes());
    }
    rows.commit();
    Ok(())
}

millstream_sdk::plugin! { name: "nested", summary: "Nested rows", sources: [Nested] }

fn rows(fault: &str) -> Result<Vec<Row>, CallError> {
    SourceTest::new::<Row>(plugin, "nested").option("fault", fault).rows()
}

#[test]
fn rows_with_every_cell_pass() {
    let place = Some(Place { x: 7, name: None });
    let expected = [
        Row { id: 0, place: None, pairs: vec![] },
        Row { id: 1, place: place.clone(), pairs: vec![(1, 0)] },
        Row { id: 2, place, pairs: vec![(1, 0), (1, 1)] },
    ];
    assert_eq!(rows("none").expect("rows"), expected);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "optimised builds do not look")]
fn cells_that_are_forgotten_are_named() {
    for (fault, expected) in [
        ("field", "column 3 (`place.name`) was not written for row 1: "),
        ("list", "column 4 (`pairs`) was not written for row 1: "),
        ("element", "column 6 (`pairs[].f1`) was not written for an element of row 1: "),
        ("rolled back", "column 1 (`place`) was not written for row 1: "),
    ] {
        let said = rows(fault).expect_err("a cell is missing").to_string();
        assert!(said.contains(expected), "{said}");
    }
}

/// More columns than a word has bits.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "optimised builds do not look")]
fn wide_rows_are_checked_too() {
    let fields = (0..70).map(|n| Field::new(format!("c{n}"), DataType::Int64));
    let schema = Schema::new(fields.collect());
    for (fault, expected) in [("none", None), ("69", Some("column 69 (`c69`) was not written"))] {
        let wide = SourceTest::with_schema(wide, "wide", schema.clone()).option("fault", fault);
        let said = wide.lines(32 << 10, 1).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(said.expect("rows").len(), 1),
            Some(expected) => assert!(said.expect_err("it is missing").contains(expected)),
        }
    }
}

struct Wide(String);

impl Source for Wide {
    const NAME: &'static str = "wide";
    const SUMMARY: &'static str = "One row of many columns";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("fault", "What it does wrong").default("none")];
    type Reader = Self;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self(options.string("fault")?.into()))
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(vec![Vec::new()])
    }

    fn reader(&self, _subtask: Subtask) -> Result<Self, Error> {
        Ok(Self(self.0.clone()))
    }
}

impl SplitReader for Wide {
    fn begin(&mut self, _split: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        for column in 0..70 {
            if column.to_string() != self.0 {
                rows.put_fixed(column, [0; 8]);
            }
        }
        rows.commit();
        Ok(Filled::SplitDone)
    }
}

mod wide_plugin {
    millstream_sdk::plugin! { name: "wide", summary: "Wide rows", sources: [super::Wide] }
}
use wide_plugin::plugin as wide;
