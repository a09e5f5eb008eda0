//! Arrays as rows of pages.

use std::ops::{DerefMut, Range};

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, StringViewArray, cast::AsArray, types::*,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as Arrow, TimeUnit};
use millstream_data::{
    hash,
    page::{INLINE_BYTES, RowBuilder, Shape, heap_bytes},
    row::{RowLayout, put_cells},
    types::{DataType, Field, Schema},
};

use crate::leaves::physical_columns;

/// Arrays of the same length that are written as rows, each into the physical columns of its position.
#[derive(Debug)]
pub struct ArrayRun<'a> {
    rows: usize,
    columns: Vec<Cells<'a>>,
    /// For rows with lists, maps or nested rows.
    places: Option<&'a Places>,
}

/// Where the fields of a schema are that has lists, maps or nested rows, whose arrays are bytes.
#[derive(Clone, Debug)]
pub struct Places {
    fields: Vec<Place>,
    shape: Shape,
}

#[derive(Clone, Debug)]
struct Place {
    /// The first physical column, and the one behind the last.
    columns: Range<usize>,
    /// How the bytes lie.
    nested: Option<Nested>,
}

#[derive(Clone, Debug)]
struct Nested {
    layout: RowLayout,
    /// Where the columns of a value begin.
    first: usize,
}

impl Places {
    /// Those of a schema; `None` if nothing in it is nested.
    pub fn of(schema: &Schema) -> Option<Self> {
        let is_nested = |field: &Field| {
            matches!(field.data_type, DataType::Array(_) | DataType::Map(..) | DataType::Row(_))
        };
        if !schema.fields.iter().any(is_nested) {
            return None;
        }
        let mut next = 0;
        let fields = schema.fields.iter().map(|field| {
            let columns = next..next + physical_columns(field);
            next = columns.end;
            let is_group = field.nullable && matches!(field.data_type, DataType::Row(_));
            let nested = is_nested(field).then(|| {
                let value = Field { nullable: false, ..field.clone() };
                let first = columns.start + usize::from(is_group);
                Nested { layout: RowLayout::of_field(&value, 0, 0), first }
            });
            Place { columns, nested }
        });
        Some(Self { fields: fields.collect(), shape: Shape::new(schema) })
    }
}

#[derive(Debug)]
struct Cells<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

#[derive(Debug)]
enum Values<'a> {
    Bits(&'a BooleanArray),
    /// Bytes of the cells, and of each of them.
    Fixed(&'a [u8], usize),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
}

impl Values<'_> {
    #[inline]
    fn view(&self, row: usize) -> &[u8] {
        match self {
            Self::Text(array) => array.value(row).as_bytes(),
            Self::Bytes(array) => array.value(row),
            Self::Bits(_) | Self::Fixed(..) => &[],
        }
    }

    fn is_view(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Bytes(_))
    }
}

impl<'a> ArrayRun<'a> {
    /// The rows of these arrays; `None` if one is of a type that no column of a page has.
    pub fn new(rows: usize, arrays: &'a [ArrayRef]) -> Option<Self> {
        let columns = arrays.iter().map(cells).collect::<Option<_>>()?;
        Some(Self { rows, columns, places: None })
    }

    /// Rows of a schema whose nested values are bytes. They are [written](Self::write) one at a time.
    pub fn nested(rows: usize, arrays: &'a [ArrayRef], places: &'a Places) -> Option<Self> {
        Some(Self { places: Some(places), ..Self::new(rows, arrays)? })
    }

    /// Whether rows are written one at a time.
    pub fn is_nested(&self) -> bool {
        self.places.is_some()
    }

    /// Adds the elements of a row's lists and maps to their numbers, by domain.
    pub fn count_elements(&self, row: usize, elements: &mut [u32]) {
        let Some(places) = self.places else { return };
        for (place, column) in places.fields.iter().zip(&self.columns) {
            let Some(Nested { layout, first }) = &place.nested else { continue };
            if let Some(value) = column.value(row)
                && let Ok(value) = layout.trusted(value)
            {
                value.count_elements(*first, &places.shape, elements);
            }
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that a row takes of a page's heap.
    #[inline]
    pub fn heap_bytes(&self, row: usize) -> usize {
        if self.places.is_some() {
            // At most: short texts need none.
            let values = self.columns.iter().filter_map(|column| column.value(row));
            return values.map(<[u8]>::len).sum();
        }
        let views = self.columns.iter().filter(|column| column.values.is_view());
        let valid = views.filter(|column| column.nulls.is_none_or(|nulls| nulls.is_valid(row)));
        valid.map(|column| heap_bytes(column.values.view(row))).sum()
    }

    /// At least as many bytes as these rows take of a page's heap, found out without looking for NULLs.
    pub fn heap_bytes_at_most(&self, rows: Range<usize>) -> usize {
        if self.places.is_some() {
            return usize::MAX;
        }
        let of = |views: &[u128]| {
            let views = views.get(rows.clone()).unwrap_or(&[]);
            let lengths = views.iter().map(|view| *view as u32 as usize);
            lengths.map(|length| if length <= INLINE_BYTES { 0 } else { length }).sum()
        };
        let bytes = |column: &Cells<'_>| match column.values {
            Values::Text(array) => of(array.views()),
            Values::Bytes(array) => of(array.views()),
            Values::Bits(_) | Values::Fixed(..) => 0,
        };
        self.columns.iter().map(bytes).sum()
    }

    /// The [hash](millstream_data::hash) of these columns of a row, as the engine has it. Rows with nested values
    /// are not divided.
    pub fn hash(&self, row: usize, columns: &[usize]) -> u64 {
        columns.iter().fold(hash::SEED, |state, column| {
            let Some(Cells { values, nulls }) = self.columns.get(*column) else { return state };
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return hash::null(state);
            }
            match values {
                Values::Bits(array) => hash::cell(state, &[u8::from(array.value(row))]),
                Values::Fixed(bytes, width) => {
                    hash::cell(state, bytes.get(row * width..(row + 1) * width).unwrap_or(&[]))
                }
                Values::Text(_) | Values::Bytes(_) => hash::bytes(state, values.view(row)),
            }
        })
    }

    /// Writes `rows` rows from `from` on into a page that has room for them and whose columns are of the
    /// arrays' types; the caller commits. Of [nested](Self::is_nested) rows it is one.
    pub fn write<B>(&self, from: usize, rows: usize, page: &mut RowBuilder<B>)
    where
        B: DerefMut<Target = [u8]>,
    {
        for (index, cells) in self.columns.iter().enumerate() {
            let place = self.places.and_then(|places| places.fields.get(index));
            if let Some(Place { columns, nested: Some(nested) }) = place {
                nested.put(cells.value(from), columns.clone(), page);
                continue;
            }
            let (index, Cells { values, nulls }) =
                (place.map_or(index, |place| place.columns.start), cells);
            let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(from + row));
            match values {
                Values::Bits(array) => {
                    page.put_bits_run(index, rows, |row| array.value(from + row));
                }
                Values::Fixed(bytes, width) => {
                    page.put_fixed_run(index, &bytes[from * width..(from + rows) * width]);
                }
                Values::Text(_) | Values::Bytes(_) => page.put_views_run(index, rows, |row| {
                    if is_valid(row) { values.view(from + row) } else { &[] }
                }),
            }
            if page.shape().columns()[index].nullable {
                page.put_validity_run(index, rows, is_valid);
            }
        }
    }
}

impl Cells<'_> {
    /// The text or bytes of a row; `None` if it is NULL.
    fn value(&self, row: usize) -> Option<&[u8]> {
        let is_valid = self.nulls.is_none_or(|nulls| nulls.is_valid(row));
        is_valid.then(|| self.values.view(row))
    }
}

impl Nested {
    /// Writes a value into these columns of the next row.
    fn put<B>(&self, value: Option<&[u8]>, columns: Range<usize>, page: &mut RowBuilder<B>)
    where
        B: DerefMut<Target = [u8]>,
    {
        let Some(value) = value else { return page.put_blank(columns) };
        if self.first > columns.start {
            page.put_group(columns.start);
        }
        let row = self.layout.trusted(value).expect("the bytes of a nested value");
        let put = put_cells(&row, self.first, page);
        assert!(put.is_ok(), "the page has no room for the rows of the run");
    }
}

fn cells(array: &ArrayRef) -> Option<Cells<'_>> {
    macro_rules! fixed {
        ($arrow:ty) => {{
            let values = array.as_primitive::<$arrow>().values();
            let width = size_of::<<$arrow as ArrowPrimitiveType>::Native>();
            Values::Fixed(values.inner().as_slice(), width)
        }};
    }
    let values = match array.data_type() {
        Arrow::Boolean => Values::Bits(array.as_boolean()),
        Arrow::Int8 => fixed!(Int8Type),
        Arrow::Int16 => fixed!(Int16Type),
        Arrow::Int32 => fixed!(Int32Type),
        Arrow::Int64 => fixed!(Int64Type),
        Arrow::Float32 => fixed!(Float32Type),
        Arrow::Float64 => fixed!(Float64Type),
        Arrow::Decimal128(..) => fixed!(Decimal128Type),
        Arrow::Date32 => fixed!(Date32Type),
        Arrow::Time32(TimeUnit::Millisecond) => fixed!(Time32MillisecondType),
        Arrow::Timestamp(TimeUnit::Microsecond, _) => fixed!(TimestampMicrosecondType),
        Arrow::Utf8View => Values::Text(array.as_string_view()),
        Arrow::BinaryView => Values::Bytes(array.as_binary_view()),
        _ => return None,
    };
    Some(Cells { values, nulls: array.nulls() })
}
