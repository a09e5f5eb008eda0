//! Arrays as a page of arguments, and pages of results as arrays.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray, UInt32Array},
    compute::take,
    datatypes::DataType as Arrow,
    error::ArrowError,
};
use datafusion_common::DataFusionError;
use millstream_arrow::{ArrayRun, Leaf, with_arrays};
use millstream_data::page::{Layout, RowBuilder, Shape, ValidPage};

/// Bytes of a page, before one is known to be too small.
pub(super) const SEGMENT_BYTES: usize = 64 << 10;
/// How pages are aligned, in bytes.
const ALIGNMENT: usize = 64;
/// Bytes of the largest page.
pub(super) const LARGEST_BYTES: usize = 1 << 31;

/// Memory for a page, which grows.
#[derive(Debug, Default)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    /// Where it is aligned.
    start: usize,
}

impl Memory {
    /// At least so many bytes.
    pub(super) fn of(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < self.start + length {
            self.bytes = vec![0; length + ALIGNMENT];
            self.start = self.bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        }
        let end = self.bytes.len().saturating_sub(ALIGNMENT - self.start);
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }
}

/// Writes arrays into one page with all rows.
pub(super) fn written<'a>(
    memory: &'a mut Memory,
    shape: &Arc<Shape>,
    arrays: &[ArrayRef],
    rows: usize,
) -> Result<ValidPage<'a>, DataFusionError> {
    let wrong = |what: &str| DataFusionError::Execution(what.to_owned());
    let run = ArrayRun::new(rows, arrays)
        .ok_or_else(|| wrong("the arguments of a function are of types that pages have not"))?;
    let room = u32::try_from(rows).map_err(|_| wrong("a function is called for too many rows"))?;
    let heap: usize = (0..rows).map(|row| run.heap_bytes(row)).sum();
    let mut size = SEGMENT_BYTES.max(heap.next_multiple_of(ALIGNMENT));
    let length = loop {
        if size > LARGEST_BYTES {
            return Err(wrong("the arguments of a function are more than 2 GiB"));
        }
        if let Some(layout) = Layout::new(shape, size, &[room]) {
            let segment = &mut *memory.of(size);
            let mut page = RowBuilder::new(segment, shape, &Arc::new(layout));
            if page.room_for_run(rows, |row| run.heap_bytes(row)) == rows {
                run.write(0, rows, &mut page);
                page.commit_run(rows);
                break page.seal(true).length;
            }
        }
        size *= 2;
    };
    let page = memory.of(size).get(..length).unwrap_or_default();
    ValidPage::trusted(page).map_err(|error| wrong(&error.to_string()))
}

/// The columns of a page of results, copied.
pub(super) fn copied(
    page: &ValidPage<'_>,
    leaves: &[Leaf],
) -> Result<Vec<ArrayRef>, DataFusionError> {
    let all = UInt32Array::from_iter_values(0..page.rows() as u32);
    let copies = with_arrays(page, leaves, |arrays| {
        let copies = arrays.iter().map(|array| copy(array, &all));
        copies.collect::<Result<Vec<_>, ArrowError>>()
    });
    Ok(copies?)
}

/// An array that shares nothing with another.
fn copy(array: &ArrayRef, all: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        // What takes from these shares their texts.
        Arrow::Utf8View => Arc::new(array.as_string_view().iter().collect::<StringViewArray>()),
        Arrow::BinaryView => Arc::new(array.as_binary_view().iter().collect::<BinaryViewArray>()),
        _ => take(array, all, None)?,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use millstream_data::types::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written_however_long() {
        let fields =
            vec![Field::new("n", DataType::Int64).nullable(), Field::new("s", DataType::String)];
        let schema = Schema::new(fields);
        let (shape, leaves) = (Arc::new(Shape::new(&schema)), Leaf::of(&schema).unwrap());
        let mut memory = Memory::default();
        // The page grows for texts and for rows, and is used again for less.
        for (rows, length) in [(3, 5), (2, 3 * SEGMENT_BYTES), (20_000, 20), (1, 0), (0, 0)] {
            let numbers = (0..rows as i64).map(|row| (row % 3 != 1).then_some(row));
            let texts = (0..rows).map(|row| Some("x".repeat(length) + &row.to_string()));
            let arrays: [ArrayRef; 2] = [
                Arc::new(numbers.collect::<Int64Array>()),
                Arc::new(texts.collect::<StringViewArray>()),
            ];
            let page = written(&mut memory, &shape, &arrays, rows).unwrap();
            let page = ValidPage::validate(page.bytes(), &shape).unwrap();
            assert_eq!(copied(&page, &leaves).unwrap(), arrays, "{rows} rows of {length}");
        }
    }
}
