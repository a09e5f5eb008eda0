//! Values with others in them: arrays, maps, multisets and rows, in arrays and between operators.
//!
//! A nested value is bytes, those of a row of one column in the [row format](millstream_data::row): equal values are
//! equal bytes, so that what groups, joins and keeps rows need not know of them. Only pages of tables and results have
//! columns of lists. What is within may always be NULL, so that types which differ in this only have the same bytes.

mod gather;

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewBuilder, BooleanArray,
        PrimitiveArray, StringViewBuilder,
    },
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, Time32MillisecondType, TimestampMicrosecondType,
    },
};
use datafusion_common::DataFusionError;
use millstream_data::{
    row::{Row, RowLayout, RowList, RowWriter},
    types::Field,
};

use crate::types::Kind;

/// How the values of a nested type are read and made.
#[derive(Clone, Debug)]
pub(crate) struct Nested {
    /// The types of what is within: of elements; of keys and values; of fields.
    parts: Vec<Kind>,
    is_row: bool,
    layout: RowLayout,
}

/// Where a value is in a row: its first column. `None` if there is no row.
pub(crate) type Place<'a> = Option<(Row<'a>, usize)>;

impl Nested {
    /// `None` for a type that is not nested, or has parts that are not stored.
    pub(crate) fn of(kind: &Kind) -> Option<Self> {
        let parts = match kind {
            Kind::Array(element) => vec![element.kind.clone()],
            Kind::Multiset(element) => vec![element.kind.clone(), Kind::Int],
            Kind::Map(key, value) => vec![key.kind.clone(), value.kind.clone()],
            Kind::Row(fields) => fields.iter().map(|(_, of)| of.kind.clone()).collect(),
            _ => return None,
        };
        let is_row = matches!(kind, Kind::Row(_));
        Some(Self { parts, is_row, layout: layout(kind)? })
    }

    /// The values of an array, each a row of one column.
    pub(crate) fn rows<'a>(&'a self, array: &'a ArrayRef) -> Vec<Option<Row<'a>>> {
        let bytes = array.as_binary_view();
        // They were made here, or by a page that was checked.
        bytes.iter().map(|bytes| self.layout.trusted(bytes?).ok()).collect()
    }

    /// The elements of each value; of a map a row each of key and value.
    pub(crate) fn lists<'a>(&'a self, array: &'a ArrayRef) -> Vec<Option<RowList<'a>>> {
        self.rows(array).into_iter().map(|row| Some(row?.list(0))).collect()
    }

    /// Where a part is: in an element of a list, or in a row.
    pub(crate) fn column(&self, part: usize) -> usize {
        self.parts.iter().take(part).map(width).sum()
    }

    /// A field of each row.
    pub(crate) fn field(&self, array: &ArrayRef, part: usize) -> Result<ArrayRef, DataFusionError> {
        let column = self.column(part);
        let rows = self.rows(array);
        let places: Vec<_> = rows.into_iter().map(|row| Some((row?, column))).collect();
        values(self.part(part)?, &places)
    }

    /// Parts at these places.
    pub(crate) fn values(
        &self,
        part: usize,
        places: &[Place<'_>],
    ) -> Result<ArrayRef, DataFusionError> {
        values(self.part(part)?, places)
    }

    fn part(&self, part: usize) -> Result<&Kind, DataFusionError> {
        self.parts
            .get(part)
            .ok_or_else(|| wrong("a nested value has fewer parts than were asked for"))
    }

    /// The elements of all values one after another, an array for each part, and where each value ends; NULL has none.
    pub(crate) fn spread(
        &self,
        array: &ArrayRef,
    ) -> Result<(Vec<ArrayRef>, Vec<usize>), DataFusionError> {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for list in self.lists(array) {
            let elements = list.map_or(0, |list| list.len());
            all.extend((0..elements).filter_map(|at| Some(list?.at(at))));
            ends.push(all.len());
        }
        let part = |part: usize| {
            let column = self.column(part);
            let places: Vec<_> = all.iter().map(|row| Some((*row, column))).collect();
            self.values(part, &places)
        };
        let parts = (0..self.parts.len()).map(part).collect::<Result<_, _>>()?;
        Ok((parts, ends))
    }

    /// Lists or maps of elements: those of each are at `lists` in the arrays of parts; `None` is NULL.
    pub(crate) fn of_lists<L>(
        &self,
        parts: &[ArrayRef],
        lists: impl IntoIterator<Item = Option<L>>,
    ) -> Result<ArrayRef, DataFusionError>
    where
        L: ExactSizeIterator<Item = usize>,
    {
        let cells = self.cells(parts)?;
        let (mut made, mut bytes) = (BinaryViewBuilder::new(), Vec::new());
        for list in lists {
            let Some(list) = list else {
                made.append_null();
                continue;
            };
            bytes.clear();
            self.layout.write(&mut bytes, |row| {
                row.put_list(list, |at, row| cells.iter().for_each(|cell| cell.put(at, row)));
            });
            made.append_value(&bytes);
        }
        Ok(Arc::new(made.finish()))
    }

    /// Rows of fields; those that are not `valid` are NULL.
    pub(crate) fn of_fields(
        &self,
        fields: &[ArrayRef],
        rows: usize,
        valid: impl Fn(usize) -> bool,
    ) -> Result<ArrayRef, DataFusionError> {
        let cells = self.cells(fields)?;
        let (mut made, mut bytes) = (BinaryViewBuilder::new(), Vec::new());
        for at in 0..rows {
            if !valid(at) {
                made.append_null();
                continue;
            }
            bytes.clear();
            self.layout.write(&mut bytes, |row| cells.iter().for_each(|cell| cell.put(at, row)));
            made.append_value(&bytes);
        }
        Ok(Arc::new(made.finish()))
    }

    fn cells<'a>(&'a self, arrays: &'a [ArrayRef]) -> Result<Vec<Cells<'a>>, DataFusionError> {
        if arrays.len() != self.parts.len() {
            return Err(wrong("a nested value is made of other parts than it has"));
        }
        arrays.iter().zip(&self.parts).map(|(array, kind)| Cells::of(array, kind)).collect()
    }

    /// Whether values are rows.
    pub(crate) fn is_row(&self) -> bool {
        self.is_row
    }

    /// The types of what is within.
    pub(crate) fn parts(&self) -> &[Kind] {
        &self.parts
    }
}

fn wrong(what: &str) -> DataFusionError {
    DataFusionError::Execution(what.to_owned())
}

/// How a value of any type lies in bytes of its own.
fn layout(kind: &Kind) -> Option<RowLayout> {
    Some(RowLayout::of_field(&Field::new("value", kind.data_type()?), 0, 0))
}

/// How many columns a value takes of the row that it is in.
fn width(kind: &Kind) -> usize {
    match kind {
        Kind::Row(fields) => 1 + fields.iter().map(|(_, of)| width(&of.kind)).sum::<usize>(),
        _ => 1,
    }
}

/// A place, if it is there and has no NULL.
fn there<'a>(place: &Place<'a>) -> Place<'a> {
    place.filter(|(row, column)| !row.is_null(*column))
}

/// The values of a type at these places, as an array.
fn values(kind: &Kind, places: &[Place<'_>]) -> Result<ArrayRef, DataFusionError> {
    macro_rules! numbers {
        ($arrow:ty) => {{
            let cell = |place| {
                let (row, column) = there(place)?;
                Some(<$arrow as ArrowPrimitiveType>::Native::from_le_bytes(row.fixed(column)))
            };
            let cells = places.iter().map(cell);
            let made = cells.collect::<PrimitiveArray<$arrow>>();
            Arc::new(made.with_data_type(kind.arrow())) as ArrayRef
        }};
    }
    Ok(match kind {
        Kind::Boolean => {
            let cell = |place| there(place).map(|(row, column)| row.fixed::<1>(column) != [0]);
            Arc::new(places.iter().map(cell).collect::<BooleanArray>())
        }
        Kind::TinyInt => numbers!(Int8Type),
        Kind::SmallInt => numbers!(Int16Type),
        Kind::Int => numbers!(Int32Type),
        Kind::BigInt => numbers!(Int64Type),
        Kind::Float => numbers!(Float32Type),
        Kind::Double => numbers!(Float64Type),
        Kind::Decimal(..) => numbers!(Decimal128Type),
        Kind::Date => numbers!(Date32Type),
        Kind::Time(_) => numbers!(Time32MillisecondType),
        Kind::Timestamp(_) | Kind::TimestampLtz(_) => numbers!(TimestampMicrosecondType),
        Kind::Char(_) | Kind::Varchar(_) => {
            let mut made = StringViewBuilder::with_capacity(places.len());
            for place in places {
                let text = there(place).map(|(row, column)| row.variable(column));
                made.append_option(text.map(String::from_utf8_lossy));
            }
            Arc::new(made.finish())
        }
        Kind::Binary(_) | Kind::Varbinary(_) => {
            let mut made = BinaryViewBuilder::with_capacity(places.len());
            for place in places {
                made.append_option(there(place).map(|(row, column)| row.variable(column)));
            }
            Arc::new(made.finish())
        }
        nested => {
            let layout = layout(nested).ok_or_else(|| wrong("a value of a type without bytes"))?;
            // The first column of a row within another is its validity, which is not among its own.
            let first = usize::from(matches!(nested, Kind::Row(_)));
            let (mut made, mut bytes) = (BinaryViewBuilder::new(), Vec::new());
            for place in places {
                let Some((row, column)) = there(place) else {
                    made.append_null();
                    continue;
                };
                bytes.clear();
                layout.write(&mut bytes, |own| {
                    let columns = column + first..column + width(nested);
                    columns.for_each(|column| own.copy(&row, column));
                });
                made.append_value(&bytes);
            }
            Arc::new(made.finish())
        }
    })
}

/// An array whose values are put into rows.
struct Cells<'a> {
    array: &'a ArrayRef,
    kind: &'a Kind,
    /// How nested values lie.
    layout: Option<RowLayout>,
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef, kind: &'a Kind) -> Result<Self, DataFusionError> {
        if *array.data_type() != kind.arrow() {
            return Err(wrong("a part of a nested value is of another type"));
        }
        Ok(Self { array, kind, layout: if kind.is_nested() { layout(kind) } else { None } })
    }

    /// Writes a value as the next columns of a row.
    fn put(&self, at: usize, row: &mut RowWriter<'_>) {
        let Self { array, kind, layout } = self;
        if array.is_null(at) {
            return (0..width(kind)).for_each(|_| row.leave_empty());
        }
        macro_rules! number {
            ($arrow:ty) => {
                row.put_fixed(array.as_primitive::<$arrow>().value(at).to_le_bytes())
            };
        }
        match kind {
            Kind::Boolean => row.put_fixed([u8::from(array.as_boolean().value(at))]),
            Kind::TinyInt => number!(Int8Type),
            Kind::SmallInt => number!(Int16Type),
            Kind::Int => number!(Int32Type),
            Kind::BigInt => number!(Int64Type),
            Kind::Float => number!(Float32Type),
            Kind::Double => number!(Float64Type),
            Kind::Decimal(..) => number!(Decimal128Type),
            Kind::Date => number!(Date32Type),
            Kind::Time(_) => number!(Time32MillisecondType),
            Kind::Timestamp(_) | Kind::TimestampLtz(_) => number!(TimestampMicrosecondType),
            Kind::Char(_) | Kind::Varchar(_) => {
                row.put_variable(array.as_string_view().value(at).as_bytes());
            }
            _ => {
                let bytes = array.as_binary_view().value(at);
                let Some(layout) = layout else { return row.put_variable(bytes) };
                if matches!(kind, Kind::Row(_)) {
                    row.pass();
                }
                match layout.trusted(bytes) {
                    Ok(value) => (0..layout.columns()).for_each(|column| row.copy(&value, column)),
                    Err(_) => (0..layout.columns()).for_each(|_| row.leave_empty()),
                }
            }
        }
    }
}

/// The value of each row of an array as bytes: equal values are equal bytes, and NULL is one, too.
pub(crate) fn keys(array: &ArrayRef, kind: &Kind) -> Result<Vec<Vec<u8>>, DataFusionError> {
    let field = Field::new("value", kind.data_type().ok_or_else(|| wrong("values without bytes"))?);
    let layout = RowLayout::of_field(&field.nullable(), 0, 0);
    let cells = Cells::of(array, kind)?;
    let key = |at| {
        let mut bytes = Vec::new();
        layout.write(&mut bytes, |row| cells.put(at, row));
        bytes
    };
    Ok((0..array.len()).map(key).collect())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, StringViewArray},
        compute::concat,
    };

    use super::*;
    use crate::types::{STRING, Type};

    fn boxed(kind: Kind) -> Box<Type> {
        Box::new(Type::nullable(kind))
    }

    fn numbers() -> ArrayRef {
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)]))
    }

    #[test]
    fn lists_are_what_they_are_made_of() {
        let list = Nested::of(&Kind::Array(boxed(Kind::Int))).unwrap();
        let lists = [Some(0..2), None, Some(2..2), Some(2..4)];
        let made = list.of_lists(&[numbers()], lists).unwrap();
        assert!(made.is_null(1) && made.null_count() == 1);
        let (parts, ends) = list.spread(&made).unwrap();
        assert_eq!((&*parts[0], ends), (&*numbers(), vec![2, 2, 2, 4]));
    }

    #[test]
    fn what_is_within_another_is_as_if_it_were_alone() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("a text that is long"),
            None,
            Some("b"),
            None,
        ]));
        let pair = Kind::Row(vec![
            ("n".into(), Type::nullable(Kind::Int)),
            ("s".into(), Type::nullable(STRING)),
        ]);
        let pairs = Nested::of(&pair).unwrap();
        let pairs = pairs.of_fields(&[numbers(), texts], 4, |row| row != 3).unwrap();
        let map = Kind::Map(boxed(STRING), boxed(pair.clone()));
        let keys: ArrayRef = Arc::new(StringViewArray::from(vec!["v", "w", "x", "y"]));
        let maps = Nested::of(&map).unwrap();
        let made = maps.of_lists(&[keys, Arc::clone(&pairs)], [Some(0..3), Some(3..4)]).unwrap();
        let outer = Kind::Row(vec![
            ("m".into(), Type::nullable(map)),
            ("l".into(), Type::nullable(Kind::Array(boxed(pair.clone())))),
        ]);
        let list = Nested::of(&Kind::Array(boxed(pair))).unwrap();
        let lists = list.of_lists(&[Arc::clone(&pairs)], [Some(2..4), None]).unwrap();
        let outer = Nested::of(&outer).unwrap();
        let whole = outer.of_fields(&[Arc::clone(&made), Arc::clone(&lists)], 2, |_| true).unwrap();
        assert_eq!(*outer.field(&whole, 0).unwrap(), *made);
        assert_eq!(*outer.field(&whole, 1).unwrap(), *lists);
        let (parts, _) = maps.spread(&made).unwrap();
        assert_eq!(*parts[1], *pairs);
        let (parts, _) = list.spread(&lists).unwrap();
        assert_eq!(*parts[0], *pairs.slice(2, 2));
    }

    #[test]
    fn equal_values_have_equal_keys() {
        let all = concat(&[&numbers(), &numbers()]).unwrap();
        let keys = keys(&all, &Kind::Int).unwrap();
        assert_eq!(keys[..4], keys[4..]);
        let mut apart = keys[..4].to_vec();
        apart.sort();
        apart.dedup();
        assert_eq!(apart.len(), 4);
    }
}
