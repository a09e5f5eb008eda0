//! GROUPING SETS, CUBE and ROLLUP: groups of the same rows by several sets of keys.

use std::sync::Arc;

use datafusion_common::{Column as PlanColumn, ScalarValue, tree_node::TreeNode};
use datafusion_expr::{Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast::{self, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    Bound,
    aggregate::{Call, Calls},
    expression::Scope,
    group::Groups,
    planning,
};
use crate::{
    error::SqlError,
    types::{Kind, Type},
};

/// The column that says which set of keys a group is of.
pub(super) const SET: &str = "$set";

/// Sets that CUBE and others make at most: rows are grouped by each.
const SETS_MAX: usize = 64;

/// What rows are grouped by.
#[derive(Clone, Debug, Default)]
pub(super) struct Grouping {
    /// All keys, over the rows; none twice.
    pub(super) keys: Vec<Expr>,
    /// Which of them each set has. One set has them all if there is nothing but a list of keys.
    sets: Vec<Vec<usize>>,
}

/// Parts of GROUP BY: of which sets each is.
pub(super) fn sets(part: &ast::Expr) -> Option<Vec<Vec<&ast::Expr>>> {
    use ast::Expr as Sql;
    Some(match part {
        Sql::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
        // All, then without the last, and so on.
        Sql::Rollup(parts) => {
            let first = |count: usize| parts.iter().take(count).flatten().collect();
            (0..=parts.len()).rev().map(first).collect()
        }
        Sql::Cube(parts) if parts.len() <= 16 => {
            let last = parts.len();
            let picked = |left_out: usize| {
                let parts = parts.iter().enumerate();
                let parts = parts.filter(|(i, _)| left_out >> (last - 1 - i) & 1 == 0);
                parts.flat_map(|(_, part)| part).collect()
            };
            (0..1 << last).map(picked).collect()
        }
        Sql::Tuple(keys) => vec![keys.iter().collect()],
        _ => return None,
    })
}

impl Grouping {
    /// That by no keys.
    pub(super) fn none() -> Self {
        Self { keys: Vec::new(), sets: vec![Vec::new()] }
    }

    /// Adds a part of GROUP BY: each set of keys is there with each of these.
    ///
    /// # Errors
    /// If there are too many sets; the message.
    pub(super) fn add(&mut self, part: Vec<Vec<Expr>>) -> Result<(), String> {
        let mut at = |key: Expr| {
            let same = self.keys.iter().position(|other| *other == key);
            same.unwrap_or_else(|| {
                self.keys.push(key);
                self.keys.len() - 1
            })
        };
        let part: Vec<Vec<usize>> =
            part.into_iter().map(|set| set.into_iter().map(&mut at).collect()).collect();
        if self.sets.len() * part.len() > SETS_MAX {
            return Err(format!("more than {SETS_MAX} sets of keys are not supported"));
        }
        let with = |set: &Vec<usize>| {
            let set = set.clone();
            part.iter().map(move |more| {
                let mut whole = set.clone();
                for key in more {
                    if !whole.contains(key) {
                        whole.push(*key);
                    }
                }
                whole
            })
        };
        self.sets = self.sets.iter().flat_map(with).collect();
        Ok(())
    }

    /// Whether there is nothing to group by.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.sets.len() == 1
    }

    /// Whether all groups are of the same keys.
    pub(super) fn is_one_set(&self) -> bool {
        self.sets.len() == 1
    }

    /// Groups rows by each set of keys.
    pub(super) fn groups(
        &self,
        input: Arc<LogicalPlan>,
        calls: &[Call],
    ) -> Result<Groups, SqlError> {
        if self.is_one_set() {
            return Groups::new(input, &self.keys, calls);
        }
        let columns: Vec<PlanColumn> =
            (0..self.keys.len()).map(|i| PlanColumn::new_unqualified(format!("$key{i}"))).collect();
        let mut whole: Option<LogicalPlanBuilder> = None;
        for (number, set) in self.sets.iter().enumerate() {
            let part = self.of_set(&input, (number, set), &columns, calls)?;
            whole = Some(match whole {
                None => part,
                Some(others) => part
                    .build()
                    .and_then(|part| others.union(part))
                    .map_err(|error| planning(&error))?,
            });
        }
        let plan = whole.ok_or_else(|| SqlError::new("GROUP BY has no set of keys"))?.build();
        let keys = self.keys.iter().cloned().zip(columns).collect();
        Ok(Groups::of_plan(plan.map_err(|error| planning(&error))?, keys, calls.len()))
    }

    /// The groups of one set, with NULL for each key that it does not have.
    fn of_set(
        &self,
        input: &Arc<LogicalPlan>,
        (number, set): (usize, &[usize]),
        columns: &[PlanColumn],
        calls: &[Call],
    ) -> Result<LogicalPlanBuilder, SqlError> {
        let keys: Vec<Expr> = set.iter().filter_map(|key| self.keys.get(*key).cloned()).collect();
        // One group of all rows, of which nothing is asked but that it is there.
        let keys = if keys.is_empty() && calls.is_empty() { vec![lit(true)] } else { keys };
        let groups = Groups::new(Arc::clone(input), &keys, calls)?;
        let mut items = Vec::new();
        for (at, (key, column)) in self.keys.iter().zip(columns).enumerate() {
            let item = match set.contains(&at) {
                true => groups.of(key.clone(), sqlparser::tokenizer::Span::empty())?,
                false => {
                    let data_type = key.get_type(input.schema());
                    let null = data_type.and_then(|of| ScalarValue::try_new_null(&of));
                    Expr::Literal(null.map_err(|error| planning(&error))?, None)
                }
            };
            items.push(item.alias(&column.name));
        }
        let results = (0..calls.len()).map(Calls::name);
        items.extend(results.map(|name| Expr::Column(PlanColumn::new_unqualified(name))));
        items.push(lit(number as i32).alias(SET));
        LogicalPlanBuilder::from(groups.plan).project(items).map_err(|error| planning(&error))
    }

    /// Whether an expression over the rows is about a key that not all sets have.
    pub(super) fn may_be_missing(&self, expression: &Expr) -> bool {
        let mut missing = self.keys.iter().enumerate().filter_map(|(at, key)| {
            (!self.sets.iter().all(|set| set.contains(&at))).then_some(key)
        });
        let has = |key: &Expr| expression.exists(|part| Ok(part == key)).unwrap_or(true);
        missing.any(has)
    }

    /// A number for each set, as an expression over the groups.
    fn by_set(&self, number: impl Fn(usize, &[usize]) -> i64) -> Expr {
        let numbers: Vec<i64> =
            self.sets.iter().enumerate().map(|(i, set)| number(i, set)).collect();
        let last = numbers.last().copied().unwrap_or(0);
        if numbers.iter().all(|number| *number == last) {
            return lit(last);
        }
        let when = numbers.iter().enumerate();
        let when = when.map(|(i, number)| (Box::new(lit(i as i32)), Box::new(lit(*number))));
        let set = Expr::Column(PlanColumn::new_unqualified(SET));
        Expr::Case(Case::new(Some(Box::new(set)), when.collect(), Some(Box::new(lit(last)))))
    }
}

/// The functions about sets of keys, and how they are called.
const CALLS: [(&str, &str); 3] = [
    ("GROUPING", "GROUPING(key, …)"),
    ("GROUPING_ID", "GROUPING_ID(key, …)"),
    ("GROUP_ID", "GROUP_ID()"),
];

impl Scope<'_> {
    /// What a function says of the set of keys of a group, if it is one of those.
    pub(super) fn grouping(
        &self,
        name: &str,
        function: &Function,
        part: &ast::Expr,
    ) -> Result<Option<Bound>, SqlError> {
        let Some((_, how)) = CALLS.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        let calls = self.calls.map(|calls| calls.borrow());
        let grouping = calls.as_ref().map(|calls| &calls.grouping);
        let Some(grouping) = grouping.filter(|grouping| !grouping.is_empty()) else {
            let message = format!("{name} may stand in SELECT, HAVING and ORDER BY, with GROUP BY");
            return Err(SqlError::at(part, message));
        };
        let wrong = || SqlError::at(part, format!("it is called as {how}"));
        let arguments = match &function.args {
            FunctionArguments::List(list) => list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Ok(value),
                _ => Err(wrong()),
            }),
            _ => return Err(wrong()),
        };
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        if arguments.is_empty() != (name == "GROUP_ID") {
            return Err(wrong());
        }
        // What it is about are values of single rows.
        let rows = Scope { calls: None, ..*self };
        let mut keys = Vec::new();
        for argument in arguments {
            let key = rows.bind(argument)?.expr;
            let at = grouping.keys.iter().position(|other| *other == key);
            keys.push(at.ok_or_else(|| {
                SqlError::at(
                    argument,
                    format!("{name} is about keys of GROUP BY, and this is none"),
                )
            })?);
        }
        let expr = match name {
            // How many of the sets before are the same.
            "GROUP_ID" => grouping.by_set(|number, set| {
                let same = |other: &&Vec<usize>| {
                    other.len() == set.len() && other.iter().all(|key| set.contains(key))
                };
                grouping.sets.iter().take(number).filter(same).count() as i64
            }),
            // A bit for each, 1 if the set does not have it; the last is the lowest.
            _ => grouping.by_set(|_, set| {
                keys.iter().fold(0, |bits, key| bits << 1 | i64::from(!set.contains(key)))
            }),
        };
        Ok(Some(Bound { expr, data_type: Type::required(Kind::BigInt) }))
    }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::col;

    use super::*;

    #[test]
    fn sets_of_parts_are_combined_and_keys_are_there_once() {
        let mut grouping = Grouping::none();
        assert!(grouping.is_empty());
        grouping.add(vec![vec![col("a")]]).unwrap();
        assert!(grouping.is_one_set());
        grouping.add(vec![vec![col("b"), col("a")], vec![]]).unwrap();
        grouping.add(vec![vec![col("c")], vec![]]).unwrap();
        assert_eq!(grouping.keys, [col("a"), col("b"), col("c")]);
        assert_eq!(grouping.sets, [vec![0, 1, 2], vec![0, 1], vec![0, 2], vec![0]]);
        assert!(grouping.may_be_missing(&(col("b") + lit(1))));
        assert!(!grouping.may_be_missing(&(col("a") + lit(1))));
        let many = vec![vec![]; 17];
        assert!(grouping.add(many).is_err());
    }
}
