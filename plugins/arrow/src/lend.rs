//! Arrays that borrow the bytes of a page, for the time of a call.

use std::{
    cell::{OnceCell, RefCell},
    process,
    ptr::NonNull,
    sync::Arc,
};

use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, PrimitiveArray, StringViewArray,
    builder::BinaryViewBuilder, types::*,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use millstream_data::{
    page::{Column, ValidPage},
    row::{PageRows, RowLayout},
    types::DataType,
};

use crate::Leaf;

/// Calls `call` with an array for each of the leaves, all rows of the page. Nothing is copied: the arrays,
/// and all that shares their buffers, must be gone when the call is over.
///
/// # Panics
/// If the page was not validated against the schema that the leaves are of.
///
/// # Aborts
/// If an array, or a slice of one, is kept longer than the call: the page's memory is somebody else's then.
pub fn with_arrays<'a, R>(
    page: &ValidPage<'a>,
    leaves: &'a [Leaf],
    call: impl FnOnce(Vec<ArrayRef>) -> R,
) -> R {
    let lent = Lent::new();
    let arrays = leaves.iter().map(|leaf| lent.array(page, leaf)).collect();
    let result = call(arrays);
    drop(lent);
    result
}

/// The values of nested columns, as bytes: rows of one column, which are copied.
fn gathered(page: &ValidPage<'_>, layout: &RowLayout, nulls: Option<&NullBuffer>) -> ArrayRef {
    let rows = PageRows::new(layout, page).expect("the page is of the schema of the leaves");
    let (mut made, mut value) = (BinaryViewBuilder::with_capacity(page.rows()), Vec::new());
    for row in 0..page.rows() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            made.append_null();
            continue;
        }
        value.clear();
        rows.gather(row, &mut value);
        made.append_value(&value);
    }
    Arc::new(made.finish())
}

/// A page that is lent, and what its arrays have in common.
struct Lent<'a> {
    /// Counts who holds bytes of the page: each buffer has a clone.
    holders: Arc<()>,
    /// All of its bytes, for texts.
    heap: OnceCell<Buffer>,
    /// Which rows have the nested rows that leaves are in.
    groups: RefCell<Vec<Group<'a>>>,
}

/// Rows that leaves are nested in.
struct Group<'a> {
    /// The physical columns with their validity.
    columns: &'a [usize],
    /// As it is in the page, if it is one column.
    bits: Option<&'a [u8]>,
    nulls: Option<NullBuffer>,
}

impl Drop for Lent<'_> {
    /// Also when the call panics: what it has put elsewhere by then would outlive the page.
    fn drop(&mut self) {
        self.heap.take();
        self.groups.get_mut().clear();
        if Arc::get_mut(&mut self.holders).is_none() {
            eprintln!("an array that borrows a page was kept beyond the call that it was lent for");
            process::abort();
        }
    }
}

impl<'a> Lent<'a> {
    fn new() -> Self {
        Self { holders: Arc::new(()), heap: OnceCell::new(), groups: RefCell::new(Vec::new()) }
    }

    fn array(&self, page: &ValidPage<'a>, leaf: &'a Leaf) -> ArrayRef {
        let column = page.column(leaf.column);
        let rows = page.rows();
        let nulls = self.nulls(page, leaf, rows);
        if let Some(layout) = &leaf.nested {
            return gathered(page, layout, nulls.as_ref());
        }
        macro_rules! primitive {
            ($arrow:ty) => {
                Arc::new(PrimitiveArray::<$arrow>::new(self.cells(&column, rows), nulls))
            };
        }
        match &leaf.data_type {
            DataType::Boolean => {
                let bits = BooleanBuffer::new(self.buffer(column.bit_bytes()), 0, rows);
                Arc::new(BooleanArray::new(bits, nulls))
            }
            DataType::Int8 => primitive!(Int8Type),
            DataType::Int16 => primitive!(Int16Type),
            DataType::Int32 => primitive!(Int32Type),
            DataType::Int64 => primitive!(Int64Type),
            DataType::Float32 => primitive!(Float32Type),
            DataType::Float64 => primitive!(Float64Type),
            DataType::Date => primitive!(Date32Type),
            DataType::Time => primitive!(Time32MillisecondType),
            DataType::Timestamp { .. } => primitive!(TimestampMicrosecondType),
            DataType::TimestampLtz { .. } => {
                let cells = self.cells(&column, rows);
                let array = PrimitiveArray::<TimestampMicrosecondType>::new(cells, nulls);
                Arc::new(array.with_timezone("UTC"))
            }
            DataType::Decimal { precision, scale } => {
                let cells = self.cells(&column, rows);
                let array = PrimitiveArray::<Decimal128Type>::new(cells, nulls);
                let array = array.with_precision_and_scale(*precision, *scale as i8);
                Arc::new(array.expect("a decimal's precision and scale are those of a schema"))
            }
            DataType::Bytes => {
                let (views, heap) = (self.cells(&column, rows), self.heap(page));
                // SAFETY: the views of a valid page lie within it, in its only buffer, with prefixes and
                // padding as Arrow has them.
                Arc::new(unsafe { BinaryViewArray::new_unchecked(views, vec![heap], nulls) })
            }
            // Leaves are of no other type.
            _ => {
                let (views, heap) = (self.cells(&column, rows), self.heap(page));
                // The page says of the column that it is text, or this panics.
                let _text = column.strings();
                // SAFETY: as above, and the text of a valid page is UTF-8.
                Arc::new(unsafe { StringViewArray::new_unchecked(views, vec![heap], nulls) })
            }
        }
    }

    /// Which rows are values: of the column itself, and of the rows that it is nested in.
    fn nulls(&self, page: &ValidPage<'a>, leaf: &'a Leaf, rows: usize) -> Option<NullBuffer> {
        let own = if leaf.own { page.column(leaf.column).validity().bytes() } else { None };
        let of = |bits| NullBuffer::new(BooleanBuffer::new(self.buffer(bits), 0, rows));
        if leaf.groups.is_empty() {
            return own.map(of);
        }
        let mut groups = self.groups.borrow_mut();
        let known = groups.iter().position(|group| group.columns == leaf.groups);
        let known = known.unwrap_or_else(|| {
            groups.push(self.group(page, &leaf.groups, rows));
            groups.len() - 1
        });
        let Group { bits, nulls, .. } = &groups[known];
        match own {
            // Mostly a cell is NULL where its row is.
            Some(own) if *bits != Some(own) => NullBuffer::union(nulls.as_ref(), Some(&of(own))),
            _ => nulls.clone(),
        }
    }

    fn group(&self, page: &ValidPage<'a>, columns: &'a [usize], rows: usize) -> Group<'a> {
        let mut all = columns.iter().filter_map(|column| page.column(*column).validity().bytes());
        let (first, second) = (all.next(), all.next());
        let of = |bits| NullBuffer::new(BooleanBuffer::new(self.buffer(bits), 0, rows));
        let nulls = first
            .into_iter()
            .chain(second)
            .chain(all)
            .fold(None, |nulls, bits| NullBuffer::union(nulls.as_ref(), Some(&of(bits))));
        Group { columns, bits: first.filter(|_| second.is_none()), nulls }
    }

    /// All bytes of the page.
    fn heap(&self, page: &ValidPage<'a>) -> Buffer {
        self.heap.get_or_init(|| self.buffer(page.bytes())).clone()
    }

    fn cells<T: ArrowNativeType>(&self, column: &Column<'_>, rows: usize) -> ScalarBuffer<T> {
        let cells = column.cells(0..rows).expect("a column of cells");
        ScalarBuffer::new(self.buffer(cells), 0, rows)
    }

    /// Bytes of the page as a buffer.
    fn buffer(&self, bytes: &[u8]) -> Buffer {
        let start = NonNull::from(bytes).cast::<u8>();
        let holder = Arc::clone(&self.holders);
        // SAFETY: the bytes are the page's, which is borrowed while `with_arrays` runs; the buffer and all
        // that is made of it hold a clone of `self.holders`, and the process ends before `with_arrays` does
        // if one is left. They are initialised, and nobody writes to a buffer that is shared.
        unsafe { Buffer::from_custom_allocation(start, bytes.len(), holder) }
    }
}
