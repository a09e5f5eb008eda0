//! Conditions on pairs of rows.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, PrimitiveArray, RecordBatch,
        RecordBatchOptions, StringViewArray,
    },
    datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef, *},
};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns};
use millstream_arrow::arrow_type;
use millstream_data::{
    row::{Row, RowError, RowLayout},
    types::{DataType as Stored, Schema as Rows},
};
use millstream_dataflow::TaskError;

use crate::{calc::failed, error::SqlError};

/// What must be true of two rows. Only the columns that it is about become arrays.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// Over the cells.
    expression: Arc<dyn PhysicalExpr>,
    cells: Vec<Cell>,
    schema: SchemaRef,
}

/// A column of one of the rows.
#[derive(Clone, Debug)]
struct Cell {
    /// Of the left row, 0, or of the right one.
    side: usize,
    /// Its physical column.
    column: usize,
    data_type: Stored,
}

impl Condition {
    /// The condition that an expression is over the columns of left rows, then of right ones.
    ///
    /// # Errors
    /// If it is about a column that has no array.
    pub(crate) fn new(
        expression: &Arc<dyn PhysicalExpr>,
        inputs: &[Rows; 2],
    ) -> Result<Self, SqlError> {
        let missing = || SqlError::new("a join's condition is about a column that is not there");
        let mut used: Vec<Column> = collect_columns(expression).into_iter().collect();
        used.sort_by_key(Column::index);
        let [left, _] = inputs;
        let (mut cells, mut arrays) = (Vec::new(), Vec::new());
        for column in &used {
            let (side, field) = match column.index().checked_sub(left.fields.len()) {
                None => (0, column.index()),
                Some(field) => (1, field),
            };
            let physical = RowLayout::new(&inputs[side]).column_of(field).ok_or_else(missing)?;
            let field = inputs[side].fields.get(field).ok_or_else(missing)?;
            let arrow = arrow_type(&field.data_type).ok_or_else(|| {
                SqlError::new(format!("the column `{}` has no array", field.name))
            })?;
            arrays.push(ArrowField::new(column.name(), arrow, true));
            cells.push(Cell { side, column: physical, data_type: field.data_type.clone() });
        }
        let dense = Arc::clone(expression).transform_up(|part| {
            let of = part.downcast_ref::<Column>();
            let at = of.and_then(|of| used.iter().position(|column| column == of));
            Ok(match (of, at) {
                (Some(of), Some(at)) => Transformed::yes(Arc::new(Column::new(of.name(), at)) as _),
                _ => Transformed::no(part),
            })
        });
        let expression = dense.map_err(|error| crate::bind::planning(&error))?.data;
        Ok(Self { expression, cells, schema: Arc::new(ArrowSchema::new(arrays)) })
    }

    /// For which pairs it is true: left rows, and as many right ones.
    ///
    /// # Errors
    /// If it cannot be computed for one of them.
    pub(super) fn holds(&self, pairs: [&[Row<'_>]; 2]) -> Result<BooleanArray, TaskError> {
        let rows = pairs[0].len();
        let arrays = self.cells.iter().map(|cell| cell.array(pairs[cell.side]));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        let holds = RecordBatch::try_new_with_options(schema, arrays.collect(), &options)
            .map_err(Into::into)
            .and_then(|batch| self.expression.evaluate(&batch)?.into_array(rows));
        let holds = holds.map_err(|error| failed(&error))?;
        let holds = holds.as_boolean();
        // NULL is not true.
        Ok((0..rows).map(|row| Some(holds.is_valid(row) && holds.value(row))).collect())
    }

    /// Appends what the condition needs of a row of a side: rows of which that is the same match the same rows.
    ///
    /// # Errors
    /// If the row is shorter than one of its side.
    pub(super) fn needed(
        &self,
        side: usize,
        layout: &RowLayout,
        row: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        let row = layout.trusted(row).map_err(|error| damaged(&error))?;
        self.cells.iter().filter(|cell| cell.side == side).for_each(|cell| cell.put(&row, out));
        Ok(())
    }
}

/// A row that was kept is none.
pub(super) fn damaged(error: &RowError) -> TaskError {
    TaskError::new(format!("a row in the state of a join: {error}"))
}

impl Cell {
    /// Appends its value in a row, in such a way that others can follow.
    fn put(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        let column = self.column;
        let is_null = row.is_null(column);
        out.push(u8::from(is_null));
        match &self.data_type {
            _ if is_null => {}
            Stored::Boolean | Stored::Int8 => out.extend(row.fixed::<1>(column)),
            Stored::Int16 => out.extend(row.fixed::<2>(column)),
            Stored::Int32 | Stored::Float32 | Stored::Date | Stored::Time => {
                out.extend(row.fixed::<4>(column));
            }
            Stored::Int64
            | Stored::Float64
            | Stored::Timestamp { .. }
            | Stored::TimestampLtz { .. } => out.extend(row.fixed::<8>(column)),
            Stored::Decimal { .. } => out.extend(row.fixed::<16>(column)),
            _ => {
                let bytes = row.variable(column);
                out.extend((bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Its values in these rows.
    fn array(&self, rows: &[Row<'_>]) -> ArrayRef {
        let column = self.column;
        macro_rules! primitive {
            ($arrow:ty, $native:ty) => {
                rows.iter()
                    .map(|row| {
                        (!row.is_null(column)).then(|| <$native>::from_le_bytes(row.fixed(column)))
                    })
                    .collect::<PrimitiveArray<$arrow>>()
            };
        }
        let bytes = rows.iter().map(|row| (!row.is_null(column)).then(|| row.variable(column)));
        match &self.data_type {
            Stored::Boolean => {
                let cell =
                    |row: &Row<'_>| (!row.is_null(column)).then(|| row.fixed::<1>(column) != [0]);
                Arc::new(rows.iter().map(cell).collect::<BooleanArray>())
            }
            Stored::Int8 => Arc::new(primitive!(Int8Type, i8)),
            Stored::Int16 => Arc::new(primitive!(Int16Type, i16)),
            Stored::Int32 => Arc::new(primitive!(Int32Type, i32)),
            Stored::Int64 => Arc::new(primitive!(Int64Type, i64)),
            Stored::Float32 => Arc::new(primitive!(Float32Type, f32)),
            Stored::Float64 => Arc::new(primitive!(Float64Type, f64)),
            Stored::Date => Arc::new(primitive!(Date32Type, i32)),
            Stored::Time => Arc::new(primitive!(Time32MillisecondType, i32)),
            Stored::Timestamp { .. } => Arc::new(primitive!(TimestampMicrosecondType, i64)),
            Stored::TimestampLtz { .. } => {
                Arc::new(primitive!(TimestampMicrosecondType, i64).with_timezone("UTC"))
            }
            Stored::Decimal { precision, scale } => {
                let data_type = DataType::Decimal128(*precision, *scale as i8);
                Arc::new(primitive!(Decimal128Type, i128).with_data_type(data_type))
            }
            Stored::Bytes => Arc::new(bytes.collect::<BinaryViewArray>()),
            // Cells are of no other type: the rest has no array.
            _ => {
                let text = |bytes| str::from_utf8(bytes).unwrap_or("\u{FFFD}");
                Arc::new(bytes.map(|bytes| bytes.map(text)).collect::<StringViewArray>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::Operator;
    use datafusion_physical_expr::expressions::BinaryExpr;
    use millstream_data::types::Field as Stores;

    use super::*;

    const TYPES: [Stored; 14] = [
        Stored::Boolean,
        Stored::Int8,
        Stored::Int16,
        Stored::Int32,
        Stored::Int64,
        Stored::Float32,
        Stored::Float64,
        Stored::Date,
        Stored::Time,
        Stored::Timestamp { precision: 3 },
        Stored::TimestampLtz { precision: 6 },
        Stored::Decimal { precision: 20, scale: 2 },
        Stored::String,
        Stored::Bytes,
    ];

    /// A row of NULL, and of a value of this type, 0 or 1.
    fn row(layout: &RowLayout, data_type: &Stored, value: Option<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        layout.write(&mut bytes, |row| {
            row.leave_empty();
            let Some(value) = value else { return row.leave_empty() };
            match data_type {
                Stored::Boolean | Stored::Int8 => row.put_fixed([value]),
                Stored::Int16 => row.put_fixed([value, 0]),
                Stored::Int32 | Stored::Date | Stored::Time => row.put_fixed([value, 0, 0, 0]),
                Stored::Float32 => row.put_fixed(f32::from(value).to_le_bytes()),
                Stored::Float64 => row.put_fixed(f64::from(value).to_le_bytes()),
                Stored::Decimal { .. } => row.put_fixed(i128::from(value).to_le_bytes()),
                Stored::String | Stored::Bytes => row.put_variable(&[b'a' + value]),
                _ => row.put_fixed(i64::from(value).to_le_bytes()),
            }
        });
        bytes
    }

    #[test]
    fn values_of_all_types_are_compared_and_told_apart() {
        for data_type in TYPES {
            let fields =
                [Stored::Int64, data_type.clone()].map(|of| Stores::new("x", of).nullable());
            let schema = Rows::new(fields.to_vec());
            let inputs = [schema.clone(), schema];
            let column = |at| Arc::new(Column::new("x", at)) as Arc<dyn PhysicalExpr>;
            let less = Arc::new(BinaryExpr::new(column(1), Operator::Lt, column(3))) as _;
            let less = Condition::new(&less, &inputs).unwrap();
            let layout = RowLayout::new(&inputs[0]);
            let values = [None, Some(0), Some(1)];
            let rows = values.map(|value| row(&layout, &data_type, value));
            let all = rows.each_ref().map(|row| layout.trusted(row).unwrap());
            for (a, left) in all.iter().enumerate() {
                let holds = less.holds([&[*left; 3], &all]).unwrap();
                let expected = [0, 1, 2].map(|b| a == 1 && b == 2);
                assert_eq!(holds.values().iter().collect::<Vec<_>>(), expected, "{data_type} {a}");
            }
            let needed = |side, row: &Vec<u8>| {
                let mut needed = Vec::new();
                less.needed(side, &layout, row, &mut needed).unwrap();
                needed
            };
            let [null, zero, one] = rows.each_ref().map(|row| needed(0, row));
            assert!(null != zero && zero != one && one != null, "{data_type}");
            assert_eq!(needed(1, &rows[2]), one);
        }
    }
}
