//! What a table says of its columns, of rows that are written: NOT NULL, and the lengths of texts and bytes.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema};
use datafusion_common::{Column as Named, DFSchema};
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, Column, is_not_null},
};

use super::physical;
use crate::{
    bind::{Bound, planning},
    calc::Step,
    error::SqlError,
    function::{fitted, measured},
    parse::CreateTable,
    relation::Rel,
    types::{Kind, MAX_LENGTH, Type},
};

/// What becomes of values that a column of a table does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Enforced {
    /// Whether a row with NULL in a column that is NOT NULL is left out; else it fails the job.
    pub(crate) drops_nulls: bool,
    pub(crate) lengths: Lengths,
}

/// What becomes of a text, or of bytes, that are longer than their column, or shorter than one of CHAR or BINARY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// They are written as they are.
    #[default]
    Ignored,
    /// They are cut and filled up.
    Fitted,
    /// They fail the job.
    Checked,
}

impl Enforced {
    /// The rows as the table takes them.
    ///
    /// # Errors
    /// If its columns are not those of the rows.
    pub(crate) fn rows(self, table: &CreateTable, rows: Rel) -> Result<Rel, SqlError> {
        let columns = table.physical();
        let rows = if self.drops_nulls { without_nulls(rows, &columns) } else { rows };
        match self.lengths {
            Lengths::Ignored => Ok(rows),
            lengths => sized(rows, &columns, lengths),
        }
    }
}

/// The rows that have a value in each column that is NOT NULL.
fn without_nulls(rows: Rel, columns: &[(&str, &Type)]) -> Rel {
    let never = columns.iter().enumerate().filter(|(_, (_, data_type))| !data_type.nullable);
    let is_there = never.filter_map(|(at, (name, _))| is_not_null(column(name, at)).ok());
    let all = is_there.reduce(|all, next| Arc::new(BinaryExpr::new(all, Operator::And, next)));
    match all {
        Some(condition) => {
            let fields = rows.schema().fields;
            rows.step(Step::Filter(condition), &fields)
        }
        None => rows,
    }
}

fn column(name: &str, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, at))
}

/// The rows with texts and bytes of their columns' lengths.
fn sized(rows: Rel, columns: &[(&str, &Type)], lengths: Lengths) -> Result<Rel, SqlError> {
    if !columns.iter().any(|(_, data_type)| has_length(&data_type.kind)) {
        return Ok(rows);
    }
    let arrays = columns
        .iter()
        .map(|(name, data_type)| ArrowField::new(*name, data_type.kind.arrow(), true));
    let arrays = Arc::new(ArrowSchema::new(arrays.collect::<Vec<_>>()));
    let schema = DFSchema::try_from(Arc::clone(&arrays)).map_err(|error| planning(&error))?;
    let made = columns.iter().enumerate().map(|(at, (name, data_type))| {
        if !has_length(&data_type.kind) {
            return Ok(column(name, at));
        }
        let expr = Expr::Column(Named::new_unqualified(*name));
        let value = Bound { expr, data_type: (*data_type).clone() };
        let value = match lengths {
            Lengths::Checked => measured(name, value),
            Lengths::Fitted | Lengths::Ignored => fitted(value),
        };
        physical(&value.expr, &schema)
    });
    let made = made.collect::<Result<Vec<_>, SqlError>>()?;
    let fields = rows.schema().fields;
    Ok(rows.step(Step::Project(made, arrays), &fields))
}

/// Whether values have a length of their own.
fn has_length(kind: &Kind) -> bool {
    match kind {
        Kind::Char(_) | Kind::Binary(_) => true,
        Kind::Varchar(length) | Kind::Varbinary(length) => *length < MAX_LENGTH,
        _ => false,
    }
}
