//! Arrays as rows of pages.

use std::ops::DerefMut;

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, StringViewArray, cast::AsArray, types::*,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as Arrow, TimeUnit};
use millstream_data::{
    hash,
    page::{RowBuilder, heap_bytes},
};

/// Arrays of the same length that are written as rows, each into the physical column of its position.
#[derive(Debug)]
pub struct ArrayRun<'a> {
    rows: usize,
    columns: Vec<Cells<'a>>,
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
        Some(Self { rows, columns })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that a row takes of a page's heap.
    #[inline]
    pub fn heap_bytes(&self, row: usize) -> usize {
        let views = self.columns.iter().filter(|column| column.values.is_view());
        let valid = views.filter(|column| column.nulls.is_none_or(|nulls| nulls.is_valid(row)));
        valid.map(|column| heap_bytes(column.values.view(row))).sum()
    }

    /// The [hash](millstream_data::hash) of these columns of a row, as the engine has it.
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
    /// arrays' types; the caller commits.
    pub fn write<B>(&self, from: usize, rows: usize, page: &mut RowBuilder<B>)
    where
        B: DerefMut<Target = [u8]>,
    {
        for (index, Cells { values, nulls }) in self.columns.iter().enumerate() {
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
