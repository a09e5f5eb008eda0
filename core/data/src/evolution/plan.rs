//! Rewriting rows.

use alloc::vec::Vec;
use core::ops::{DerefMut, Range};

use super::{
    Literal,
    cast::{Cast, Number},
};
use crate::{
    page::{Column, Full, PageError, RowBuilder, Shape, ValidPage},
    types::{DataType, Field},
};

/// How rows of one schema become rows of another.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Fingerprints of the schemas.
    old: u64,
    new: u64,
    steps: Vec<Step>,
}

/// How the columns of a field are filled. Columns are physical ones.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// From the cell of a plain value.
    Cell { from: usize, nullable: bool, to: usize, cast: Cast },
    /// From a list or map, element by element.
    List { from: usize, nullable: bool, to: usize, elements: Vec<Self> },
    /// From a nested row; `from` and `to` are the columns of its validity, `columns` its others.
    Row { from: Option<usize>, to: Option<usize>, columns: Range<usize>, fields: Vec<Self> },
    /// With NULL.
    Blank { columns: Range<usize> },
    /// With the same value in each row.
    Default { columns: Range<usize>, field: Field, value: Literal },
}

impl Plan {
    pub(super) fn new(old: &Shape, new: &Shape, steps: Vec<Step>) -> Self {
        Self { old: old.fingerprint(), new: new.fingerprint(), steps }
    }

    /// The rows of a page, to be rewritten.
    ///
    /// # Errors
    /// [`PageError::Schema`] if they are not of the schema that the plan begins with.
    pub fn open<'a>(&'a self, page: &ValidPage<'a>) -> Result<Migration<'a>, PageError> {
        if page.fingerprint() != self.old {
            return Err(PageError::Schema { expected: self.old, found: page.fingerprint() });
        }
        let columns = (0..page.columns()).map(|index| page.column(index)).collect();
        Ok(Migration { plan: self, page: *page, columns })
    }
}

/// The rows of a page that are rewritten.
#[derive(Debug)]
pub struct Migration<'a> {
    plan: &'a Plan,
    page: ValidPage<'a>,
    columns: Vec<Column<'a>>,
}

impl Migration<'_> {
    /// Adds a row of the page as a row of the new schema, of the same kind if both pages carry
    /// kinds.
    ///
    /// # Errors
    /// [`Full`] if the page that is built has no room for it; it is as it was.
    ///
    /// # Panics
    /// If the page has no such row, or the builder is for another schema.
    pub fn write<B: DerefMut<Target = [u8]>>(
        &self,
        row: usize,
        rows: &mut RowBuilder<B>,
    ) -> Result<(), Full> {
        assert_eq!(rows.shape().fingerprint(), self.plan.new, "the builder has the new schema");
        assert!(row < self.page.rows(), "row {row} of {}", self.page.rows());
        if !rows.has_room() {
            return Err(Full);
        }
        let written = self.plan.steps.iter().try_for_each(|step| self.step(step, row, rows));
        match written {
            Ok(()) => {
                if rows.shape().has_row_kinds() {
                    rows.put_kind(self.page.row_kind(row));
                }
                rows.commit();
            }
            Err(Full) => rows.roll_back(),
        }
        written
    }

    /// Fills a field of the row or element `at`.
    fn step<B: DerefMut<Target = [u8]>>(
        &self,
        step: &Step,
        at: usize,
        rows: &mut RowBuilder<B>,
    ) -> Result<(), Full> {
        let is_null = |column: usize| !self.columns[column].validity().is_valid(at);
        match step {
            Step::Cell { from, nullable, to, cast } => {
                if *nullable && is_null(*from) {
                    rows.put_null(*to);
                    return Ok(());
                }
                cast.write(&self.columns[*from], at, rows, *to)
            }
            Step::List { from, nullable, to, elements } => {
                if *nullable && is_null(*from) {
                    rows.put_null(*to);
                    return Ok(());
                }
                rows.begin_list(*to);
                for element in self.columns[*from].lists().at(at) {
                    rows.begin_element(*to)?;
                    elements.iter().try_for_each(|step| self.step(step, element, rows))?;
                }
                Ok(())
            }
            Step::Row { from, to, columns, fields } => {
                if let (Some(from), Some(to)) = (from, to)
                    && is_null(*from)
                {
                    rows.put_null(*to);
                    rows.put_blank(columns.clone());
                    return Ok(());
                }
                if let Some(to) = to {
                    rows.put_group(*to);
                }
                fields.iter().try_for_each(|step| self.step(step, at, rows))
            }
            Step::Blank { columns } => {
                rows.put_blank(columns.clone());
                Ok(())
            }
            Step::Default { columns, field, value } => {
                put_default(columns.clone(), field, value, rows)
            }
        }
    }
}

/// Writes the value of a field that old rows do not have.
fn put_default<B: DerefMut<Target = [u8]>>(
    columns: Range<usize>,
    field: &Field,
    value: &Literal,
    rows: &mut RowBuilder<B>,
) -> Result<(), Full> {
    let column = columns.start;
    match (value, Number::of(&field.data_type)) {
        (Literal::Text(text), _) => return rows.put_str(column, text),
        (Literal::Bytes(bytes), _) => return rows.put_bytes(column, bytes),
        (Literal::Boolean(value), _) => rows.put_bool(column, *value),
        (Literal::Float(value), Some(Number::F32)) => {
            rows.put_fixed(column, (*value as f32).to_le_bytes());
        }
        (Literal::Float(value), _) => rows.put_fixed(column, value.to_le_bytes()),
        (Literal::Integer(value), Some(number)) => number.put(rows, column, *value),
        // The rules let no other pair pass.
        (Literal::Zero | Literal::Integer(_), _) => {
            rows.put_blank(columns);
            // A nested row that is never NULL has no column of its own.
            if field.nullable || !matches!(field.data_type, DataType::Row(_)) {
                rows.put_zero(column);
            }
        }
    }
    Ok(())
}
