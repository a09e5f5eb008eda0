//! Arrays that borrow the bytes of a page, for the time of a call.

use std::{process, ptr::NonNull, sync::Arc};

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
pub fn with_arrays<R>(
    page: &ValidPage<'_>,
    leaves: &[Leaf],
    call: impl FnOnce(Vec<ArrayRef>) -> R,
) -> R {
    let lent = Lent(Arc::new(()));
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

/// Counts who holds bytes of the page: each buffer has a clone.
struct Lent(Arc<()>);

impl Drop for Lent {
    /// Also when the call panics: what it has put elsewhere by then would outlive the page.
    fn drop(&mut self) {
        if Arc::get_mut(&mut self.0).is_none() {
            eprintln!("an array that borrows a page was kept beyond the call that it was lent for");
            process::abort();
        }
    }
}

impl Lent {
    fn array(&self, page: &ValidPage<'_>, leaf: &Leaf) -> ArrayRef {
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
                let (views, heap) = (self.cells(&column, rows), self.buffer(page.bytes()));
                // SAFETY: the views of a valid page lie within it, in its only buffer, with prefixes and
                // padding as Arrow has them.
                Arc::new(unsafe { BinaryViewArray::new_unchecked(views, vec![heap], nulls) })
            }
            // Leaves are of no other type.
            _ => {
                let (views, heap) = (self.cells(&column, rows), self.buffer(page.bytes()));
                // The page says of the column that it is text, or this panics.
                let _text = column.strings();
                // SAFETY: as above, and the text of a valid page is UTF-8.
                Arc::new(unsafe { StringViewArray::new_unchecked(views, vec![heap], nulls) })
            }
        }
    }

    /// Which rows are values: of the column itself, and of the rows that it is nested in.
    fn nulls(&self, page: &ValidPage<'_>, leaf: &Leaf, rows: usize) -> Option<NullBuffer> {
        let own = leaf.own.then_some(leaf.column);
        leaf.groups.iter().copied().chain(own).fold(None, |nulls, column| {
            let Some(bits) = page.column(column).validity().bytes() else { return nulls };
            let bits = BooleanBuffer::new(self.buffer(bits), 0, rows);
            NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::new(bits)))
        })
    }

    fn cells<T: ArrowNativeType>(&self, column: &Column<'_>, rows: usize) -> ScalarBuffer<T> {
        let cells = column.cells(0..rows).expect("a column of cells");
        ScalarBuffer::new(self.buffer(cells), 0, rows)
    }

    /// Bytes of the page as a buffer.
    fn buffer(&self, bytes: &[u8]) -> Buffer {
        let start = NonNull::from(bytes).cast::<u8>();
        // SAFETY: the bytes are the page's, which is borrowed while `with_arrays` runs; the buffer and all
        // that is made of it hold a clone of `self.0`, and the process ends before `with_arrays` does if
        // one is left. They are initialised, and nobody writes to a buffer that is shared.
        unsafe { Buffer::from_custom_allocation(start, bytes.len(), Arc::new(Arc::clone(&self.0))) }
    }
}
