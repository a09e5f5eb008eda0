//! Columns that two tables have in common: USING and NATURAL.

use std::sync::Arc;

use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Expr, JoinType, LogicalPlanBuilder, utils::conjunction};
use sqlparser::ast::{self, Ident, JoinConstraint};

use super::{Bound, Cells, Column, Relation, coerce, planning};
use crate::{
    error::{Place, SqlError},
    function,
    parse::simple_name,
};

/// Which rows of two tables match.
pub(super) enum Matching<'a> {
    /// Those for which it is true.
    On(&'a ast::Expr),
    /// Those that have the same in these columns.
    Using(Vec<Ident>),
    /// Those that have the same in all columns of the same names.
    Natural,
    /// All.
    All,
}

impl<'a> Matching<'a> {
    /// What stands behind a join; `None` if it is nothing.
    pub(super) fn of(constraint: &'a JoinConstraint) -> Result<Option<Self>, SqlError> {
        Ok(match constraint {
            JoinConstraint::On(condition) => Some(Self::On(condition)),
            JoinConstraint::Using(names) => {
                Some(Self::Using(names.iter().map(simple_name).collect::<Result<_, _>>()?))
            }
            JoinConstraint::Natural => Some(Self::Natural),
            JoinConstraint::None => None,
        })
    }
}

/// A column of the left and one of the right that are one column of the join, by their places.
pub(super) struct Common {
    name: String,
    at: [usize; 2],
    /// Both as the type that both can be.
    sides: [Bound; 2],
}

impl Common {
    /// The columns that two tables have in common, as far as it matters for what matches.
    pub(super) fn of(
        matching: &Matching<'_>,
        [left, right]: [&Relation; 2],
        part: &impl Place,
    ) -> Result<Vec<Self>, SqlError> {
        let names = match matching {
            Matching::On(_) | Matching::All => return Ok(Vec::new()),
            Matching::Using(names) => names.clone(),
            Matching::Natural => {
                let shown = left.columns.iter().filter(|column| !column.qualified);
                let names = shown.map(|column| &column.name).filter(|name| {
                    right.columns.iter().any(|other| other.name == **name && !other.qualified)
                });
                names.map(|name| Ident { span: part.place(), ..Ident::new(name) }).collect()
            }
        };
        let one = |name: &Ident| {
            let of = |relation: &Relation| {
                let column = relation.column(None, name)?;
                let at = relation.columns.iter().position(|other| std::ptr::eq(other, column));
                Ok((at.unwrap_or_default(), column.bound()))
            };
            let ((a, left), (b, right)) = (of(left)?, of(right)?);
            let (mut sides, _) = coerce::common(vec![left, right]).map_err(|(kind, other)| {
                let message = format!(
                    "the column `{}` is {kind} and {other} in the two tables: join them with ON and a CAST",
                    name.value
                );
                SqlError::at(name, message)
            })?;
            let right = sides.pop().unwrap_or_else(coerce::null);
            let left = sides.pop().unwrap_or_else(coerce::null);
            Ok(Self { name: name.value.clone(), at: [a, b], sides: [left, right] })
        };
        names.iter().map(one).collect()
    }

    /// That all of them are the same; `None` if there are none.
    pub(super) fn condition(all: &[Self]) -> Option<Expr> {
        conjunction(all.iter().map(|common| {
            let [left, right] = &common.sides;
            left.expr.clone().eq(right.expr.clone())
        }))
    }

    /// The column of the join: what the side has that is there.
    fn value(&self, kind: JoinType, part: &impl Place) -> Result<Bound, SqlError> {
        let [left, right] = self.sides.clone();
        match kind {
            JoinType::Right => Ok(right),
            JoinType::Full => {
                let nullable = left.data_type.nullable || right.data_type.nullable;
                let padded = |mut side: Bound| {
                    side.data_type.nullable = true;
                    side
                };
                let value = function::call("COALESCE", vec![padded(left), padded(right)]);
                let mut value = value.map_err(|message| SqlError::at(part, message))?;
                value.data_type.nullable = nullable;
                Ok(value)
            }
            _ => Ok(left),
        }
    }
}

impl Relation {
    /// The rows of a join whose left has so many columns: those that its sides have in common come first, once,
    /// and the sides' own are found under the names of their tables only.
    pub(super) fn with_common(
        mut self,
        common: &[Common],
        (kind, width): (JoinType, usize),
        part: &impl Place,
    ) -> Result<Self, SqlError> {
        let (mut merged, mut computed) = (Vec::new(), Vec::new());
        for common in common {
            let [left, right] = common.at;
            for column in [left, width + right] {
                if let Some(column) = self.columns.get_mut(column) {
                    column.qualified = true;
                }
            }
            let Bound { expr, data_type } = common.value(kind, part)?;
            let of = match expr {
                Expr::Column(of) => of,
                expr => {
                    let mut name = common.name.clone();
                    while self.plan.schema().fields().iter().any(|field| *field.name() == name) {
                        name.push('\'');
                    }
                    computed.push(expr.alias(&name));
                    PlanColumn::new_unqualified(name)
                }
            };
            let (table, name, cells) = (None, common.name.clone(), Cells::One(of));
            merged.push(Column { table, name, cells, data_type, qualified: false });
        }
        merged.append(&mut self.columns);
        self.columns = merged;
        if !computed.is_empty() {
            let kept = self.plan.schema().columns().into_iter().map(Expr::Column);
            let columns: Vec<Expr> = kept.chain(computed).collect();
            let plan = LogicalPlanBuilder::from(self.plan).project(columns);
            let plan =
                plan.and_then(LogicalPlanBuilder::build).map_err(|error| planning(&error))?;
            self.plan = Arc::new(plan);
        }
        Ok(self)
    }
}
