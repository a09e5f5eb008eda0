//! Joins.

use std::sync::Arc;

use datafusion_common::{DFSchema, NullEquality, ScalarValue};
use datafusion_expr::{
    BinaryExpr, Expr, Join, JoinType, Operator, lit,
    utils::{conjunction, find_valid_equijoin_key_pair, split_conjunction_owned},
};
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{Column, Literal},
};

use super::{Asked, column, filtered, lower, physical, pick, planning, project};
use crate::{
    bind::Within,
    error::SqlError,
    relation::{JoinKind, Rel, Timed, nullable, over},
};

/// The rows of a join.
pub(super) fn join(join: &Join, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let kind = kind(join)?;
    let mut conditions = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
    let within = taken(&mut conditions);
    let asked = Asked { time: asked.time || within.is_some(), ..asked.all() };
    let (left, right) = (lower(&join.left, asked)?, lower(&join.right, asked)?);
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (left, right) => return lonely(join, kind, left, right),
    };
    let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
    let (mut equal, mut rest) = (join.on.clone(), Vec::new());
    for condition in conditions {
        match sides(&condition, left_schema, right_schema)? {
            Some(sides) => equal.push(sides),
            None if condition == lit(true) => {}
            None => rest.push(condition),
        }
    }
    let (mut left_keys, mut right_keys): (Vec<Expr>, Vec<Expr>) = equal.into_iter().unzip();
    if let Some((_, [left, right])) = &within {
        left_keys.push(left.clone());
        right_keys.push(right.clone());
    }
    let (left, mut left_at) = keyed(left, &left_keys, left_schema)?;
    let (right, mut right_at) = keyed(right, &right_keys, right_schema)?;
    let times = within.as_ref().and_then(|_| Some([left_at.pop()?, right_at.pop()?]));
    let (left_width, right_width) = (left_schema.fields().len(), right_schema.fields().len());
    let (left_fields, right_fields) = (left.schema().fields, right.schema().fields);
    let between = left_fields.len() - left_width;
    let own = |i| if i < left_width { i } else { i + between };
    let rest = conjunction(rest);
    let condition = match &rest {
        Some(rest) if kind != JoinKind::Inner => {
            let pairs = left_schema.join(right_schema).map_err(|error| planning(&error))?;
            let fields: Vec<_> = left_fields.iter().chain(&right_fields).collect();
            let column =
                |i: usize| Arc::new(Column::new(&fields[i].name, i)) as Arc<dyn PhysicalExpr>;
            let columns: Vec<_> = (0..left_width + right_width).map(own).map(column).collect();
            over(&[physical(rest, &pairs)?], &columns).and_then(|mut made| made.pop())
        }
        _ => None,
    };
    let [pads_left, pads_right] = kind.pads();
    let padded = |rel: Rel, pads: bool| {
        let schema = rel.schema();
        Box::new(if pads { rel.with_schema(nullable(schema)) } else { rel })
    };
    let (left, right) = (padded(left, pads_left), padded(right, pads_right));
    let keys = left_at.into_iter().zip(right_at).collect();
    let mut joined = match (within, times) {
        (Some((bounds, _)), Some(times)) => {
            if let Some(cause) = left.updates().or_else(|| right.updates()) {
                return Err(SqlError::new(format!(
                    "a join by event time of rows that are updated and deleted, because of {cause}, is not \
                     supported"
                )));
            }
            let (left, right) = (*left, *right);
            let timed = Timed::IntervalJoin { left, right, keys, kind, condition, times, bounds };
            Rel::Timed(Box::new(timed))
        }
        _ => Rel::Join { left, right, keys, kind, condition },
    };
    let width = if kind.has_pairs() { left_width + right_width } else { left_width };
    if joined.schema().fields.len() > width {
        joined = pick(joined, &(0..width).map(own).collect::<Vec<_>>())?;
    }
    match rest {
        Some(rest) if kind == JoinKind::Inner => filtered(joined, &rest, &join.schema).map(Some),
        _ => Ok(Some(joined)),
    }
}

/// The bounds and times of the condition that makes a join one by time, if there is one.
fn taken(conditions: &mut Vec<Expr>) -> Option<([i64; 2], [Expr; 2])> {
    let at = conditions.iter().position(|part| Within::in_condition(part).is_some())?;
    let condition = conditions.remove(at);
    let (within, times) = Within::in_condition(&condition)?;
    Some((within.bounds, times.map(Expr::clone)))
}

/// The kind of a join.
fn kind(join: &Join) -> Result<JoinKind, SqlError> {
    match join.join_type {
        _ if join.null_equality != NullEquality::NullEqualsNothing || join.null_aware => {
            Err(SqlError::new("a join whose keys may be NULL is not supported yet"))
        }
        JoinType::Inner => Ok(JoinKind::Inner),
        JoinType::Left => Ok(JoinKind::Left),
        JoinType::Right => Ok(JoinKind::Right),
        JoinType::Full => Ok(JoinKind::Full),
        JoinType::LeftSemi => Ok(JoinKind::Semi),
        JoinType::LeftAnti => Ok(JoinKind::Anti),
        other => Err(SqlError::new(format!("{other} JOIN is not supported yet"))),
    }
}

/// The rows of a join one side of which has none.
fn lonely(
    join: &Join,
    kind: JoinKind,
    left: Option<Rel>,
    right: Option<Rel>,
) -> Result<Option<Rel>, SqlError> {
    let [keeps_left, keeps_right] = kind.keeps_lonely();
    let (rows, schema, is_left) = match (left, right) {
        (Some(left), None) if keeps_left => (left, join.left.schema(), true),
        (None, Some(right)) if keeps_right => (right, join.right.schema(), false),
        _ => return Ok(None),
    };
    if !kind.has_pairs() {
        return Ok(Some(rows));
    }
    let left_width = join.left.schema().fields().len();
    let mut columns: Vec<(String, Arc<dyn PhysicalExpr>)> = Vec::new();
    for (i, field) in join.schema.fields().iter().enumerate() {
        let own = if is_left { (i < left_width).then_some(i) } else { i.checked_sub(left_width) };
        let column: Arc<dyn PhysicalExpr> = match own {
            Some(own) => Arc::new(Column::new(field.name(), own)),
            None => {
                let null = ScalarValue::try_from(field.data_type());
                Arc::new(Literal::new(null.map_err(|error| planning(&error))?))
            }
        };
        columns.push((field.name().clone(), column));
    }
    project(rows, columns, schema.as_arrow()).map(Some)
}

/// The two sides of an equality of something of the left with something of the right.
fn sides(
    condition: &Expr,
    left: &DFSchema,
    right: &DFSchema,
) -> Result<Option<(Expr, Expr)>, SqlError> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) => {
            find_valid_equijoin_key_pair(a, b, left, right).map_err(|error| planning(&error))
        }
        _ => Ok(None),
    }
}

/// The rows with their keys as columns, and where these are: what is no column yet is added behind.
fn keyed(input: Rel, keys: &[Expr], schema: &DFSchema) -> Result<(Rel, Vec<usize>), SqlError> {
    let mut columns: Vec<(String, Arc<dyn PhysicalExpr>)> = Vec::new();
    for (i, field) in schema.fields().iter().enumerate() {
        columns.push((field.name().clone(), Arc::new(Column::new(field.name(), i))));
    }
    let width = columns.len();
    let mut at = Vec::new();
    for key in keys {
        at.push(match column(key, schema) {
            Some(column) => column,
            None => {
                columns.push((format!("$key{}", columns.len()), physical(key, schema)?));
                columns.len() - 1
            }
        });
    }
    let input = match columns.len() > width {
        true => project(input, columns, schema.as_arrow())?,
        false => input,
    };
    Ok((input, at))
}
