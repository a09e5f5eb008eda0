//! Rows that stand in the query itself.

use std::{collections::HashMap, sync::Arc};

use datafusion_common::{Column as PlanColumn, DFSchema};
use datafusion_expr::{EmptyRelation, LogicalPlan, Values};
use sqlparser::ast;

use arrow::datatypes::Field;

use super::{Bound, Cells, Column, Relation, coerce, planning, select::project};
use crate::{
    error::{Place, SqlError},
    types::{Kind, Type},
};

impl Relation {
    /// One row without columns: what a SELECT without FROM computes its own of.
    pub(super) fn one_row() -> Result<Self, SqlError> {
        let schema = Arc::new(DFSchema::empty());
        let plan = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema });
        Ok(Self { plan: Arc::new(plan), columns: Vec::new() })
    }

    /// The rows of VALUES: each column is of the type that its values have in common, and called by its place.
    ///
    /// # Errors
    /// If a row has other columns than the first, values of a column have no type in common, or one is no
    /// constant.
    pub(super) fn values(values: &ast::Values, part: &impl Place) -> Result<Self, SqlError> {
        let nothing = Self::one_row()?;
        let width = values.rows.first().map_or(0, Vec::len);
        let mut columns: Vec<Vec<Bound>> = vec![Vec::new(); width];
        for row in &values.rows {
            if row.len() != width {
                let found = row.len();
                let message =
                    format!("the rows of VALUES have as many columns: {width} and {found}");
                return Err(row.first().map_or_else(
                    || SqlError::at(part, message.as_str()),
                    |first| SqlError::at(first, message.as_str()),
                ));
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(nothing.bind(value)?);
            }
        }
        let mut made = Made::default();
        for (i, column) in columns.into_iter().enumerate() {
            let nullable = column.iter().any(|value| value.data_type.nullable);
            let (column, kind) = coerce::common(column).map_err(|(a, b)| {
                SqlError::at(part, format!("column {} of VALUES is {a} and {b}: use CAST", i + 1))
            })?;
            made.add(format!("EXPR${i}"), column, Type { kind, nullable });
        }
        made.relation(values.rows.len())
    }
}

/// The columns of VALUES, as far as they are made.
#[derive(Default)]
struct Made {
    fields: Vec<Field>,
    /// By column.
    values: Vec<Vec<Bound>>,
    /// All columns: those without a type are not among the above.
    columns: Vec<(String, Type)>,
}

impl Made {
    fn add(&mut self, name: String, values: Vec<Bound>, data_type: Type) {
        if data_type.kind != Kind::Null {
            self.fields.push(Field::new(&name, data_type.kind.arrow(), true));
            self.values.push(values);
        }
        self.columns.push((name, data_type));
    }

    fn relation(self, rows: usize) -> Result<Relation, SqlError> {
        let Self { fields, values, columns } = self;
        let mut values: Vec<_> = values.into_iter().map(Vec::into_iter).collect();
        let mut row = || {
            let cells = values.iter_mut().filter_map(Iterator::next);
            cells.map(|value| value.expr).collect::<Vec<_>>()
        };
        let values = (0..rows).map(|_| row()).collect();
        let schema = DFSchema::from_unqualified_fields(fields.into(), HashMap::new());
        let schema = Arc::new(schema.map_err(|error| planning(&error))?);
        let typed = Relation {
            plan: Arc::new(LogicalPlan::Values(Values { schema, values })),
            columns: Vec::new(),
        };
        // A column of NULLs only gets its type where it is used.
        let items = columns.into_iter().map(|(name, data_type)| {
            let bound = match data_type.kind {
                Kind::Null => coerce::null(),
                _ => {
                    let cells = Cells::One(PlanColumn::new_unqualified(&name));
                    let (table, name) = (None, name.clone());
                    let column = Column { table, name, cells, data_type, qualified: false };
                    column.bound()
                }
            };
            Ok((name, bound))
        });
        project(&typed, items.collect::<Result<_, SqlError>>()?)
    }
}
