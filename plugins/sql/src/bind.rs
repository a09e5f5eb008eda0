//! From parsed queries to logical plans whose types are Flink's.
//!
//! The plans are DataFusion's, but names and types are resolved here: its coercion is never asked, and its
//! functions are not known.

mod aggregate;
mod arithmetic;
mod coerce;
mod event_time;
mod expression;
mod from;
mod gather;
mod group;
mod grouping;
mod hint;
mod interval;
mod json;
mod literal;
pub(crate) mod metadata;
mod nested;
mod node;
mod order;
mod over;
mod overlaps;
mod place;
mod rank;
mod scan;
mod select;
mod set_operation;
mod subquery;
mod temporal;
mod unnest;
mod user;
mod using;
mod values;
mod version;
pub(crate) mod watermark;
mod window;

use std::sync::Arc;

use datafusion_common::{Column as PlanColumn, DataFusionError};
use datafusion_expr::{Expr, LogicalPlan};
use sqlparser::ast::Ident;

pub(crate) use aggregate::{Aggregate, Order};
pub(crate) use arithmetic::compute;
pub(crate) use coerce::{common, widen};
pub(crate) use event_time::EventTime;
pub(crate) use hint::Lived;
pub(crate) use interval::Within;
pub(crate) use order::Sorted;
pub(crate) use over::{Over, row_number};
pub(crate) use rank::RowNumber;
pub use scan::{ScanSource, scan_of};
pub(crate) use set_operation::Matched;
pub(crate) use temporal::TemporalJoin;
pub(crate) use unnest::Unnested;
pub(crate) use window::{Bounds, GroupedWindow, JoinedWindows, Origin, Windowed, ranked_window};

use crate::{
    catalog::Catalog,
    error::{Place, SqlError, suggestion},
    types::Type,
};

/// An expression with its type.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What is computed.
    pub expr: Expr,
    /// Of what type.
    pub data_type: Type,
}

/// A plan, and what its columns are called in the query.
#[derive(Clone, Debug)]
pub struct Relation {
    /// What makes the rows.
    pub plan: Arc<LogicalPlan>,
    /// Its columns as far as they can be named, in order.
    pub columns: Vec<Column>,
}

/// A column that a query can name.
#[derive(Clone, Debug)]
pub struct Column {
    /// The table or alias that may stand in front of it.
    pub table: Option<String>,
    /// Its name.
    pub name: String,
    /// Where its values are.
    pub cells: Cells,
    /// Of what type.
    pub data_type: Type,
    /// Whether it is found only with its table in front: USING has made one column of it and another's.
    pub qualified: bool,
}

/// Where the values of a column are.
#[derive(Clone, Debug)]
pub enum Cells {
    /// In a column of the plan.
    One(PlanColumn),
    /// A nested row: in a column of the plan as a whole, and its fields have columns of their own.
    Row(PlanColumn, Vec<(String, Self)>),
}

impl Relation {
    /// The column of this name.
    ///
    /// # Errors
    /// If there is none, or there are several.
    pub fn column(&self, table: Option<&Ident>, name: &Ident) -> Result<&Column, SqlError> {
        let of_table = |column: &&Column| match table {
            None => !column.qualified,
            Some(table) => column.table.as_deref() == Some(&table.value),
        };
        let mut found = self.columns.iter().filter(of_table).filter(|c| c.name == name.value);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column),
            (None, _) => {
                let known = self.columns.iter().filter(of_table).map(|c| c.name.as_str());
                let near = suggestion(&name.value, known);
                Err(SqlError::at(name, format!("there is no column `{}`{near}", name.value)))
            }
            (Some(_), Some(_)) => Err(SqlError::at(
                name,
                format!("the column `{0}` is in several tables: write `table.{0}`", name.value),
            )),
        }
    }

    /// Whether a table is called so here.
    fn has_table(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.table.as_deref() == Some(name))
    }

    /// The same rows under another name.
    fn named(mut self, table: &str) -> Self {
        for column in &mut self.columns {
            column.table = Some(table.to_owned());
        }
        self
    }

    /// The same columns by these names.
    fn renamed(mut self, names: &[Ident], span: &impl Place) -> Result<Self, SqlError> {
        if names.is_empty() {
            return Ok(self);
        }
        if names.len() != self.columns.len() {
            let (given, there) = (names.len(), self.columns.len());
            let message = format!("{given} columns are named, but the query has {there}");
            return Err(SqlError::at(span, message));
        }
        for (column, name) in self.columns.iter_mut().zip(names) {
            column.name = name.value.clone();
        }
        Ok(self)
    }
}

/// Binds queries to the tables of a catalog.
#[derive(Debug)]
pub struct Binder<'a> {
    catalog: &'a Catalog,
    /// What WITH has named, the innermost last.
    named: Vec<(String, Relation)>,
    /// Views that are being bound, so that none is asked for by itself.
    views: Vec<String>,
    /// When the rows of the query that is bound next are in its order, if that is asked for.
    sorted: Option<Sorted>,
    /// What hints say of the SELECT at hand.
    lives: hint::Lives,
}

impl<'a> Binder<'a> {
    /// A binder for queries over these tables.
    pub fn new(catalog: &'a Catalog) -> Self {
        let (named, views, lives) = Default::default();
        Self { catalog, named, views, sorted: None, lives }
    }

    /// The same, which keeps the order of the query that is bound next.
    pub(crate) fn sorting(self, sorted: Sorted) -> Self {
        Self { sorted: Some(sorted), ..self }
    }
}

/// An error of the planner, which is ours to prevent: it says what failed.
pub(crate) fn planning(error: &DataFusionError) -> SqlError {
    SqlError::new(format!("the query cannot be planned: {}", error.strip_backtrace()))
}
