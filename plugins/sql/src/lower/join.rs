//! Joins.

use std::sync::Arc;

use datafusion_common::{Column as PlanColumn, DFSchema, NullEquality, ScalarValue};
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
    bind::{JoinedWindows, Within},
    error::SqlError,
    relation::{JoinKind, Rel, Timed, nullable, over},
};

/// The rows of a join.
pub(super) fn join(join: &Join, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let kind = kind(join)?;
    let mut conditions = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
    let within = taken(&mut conditions);
    let windows = JoinedWindows::of(join).filter(|_| within.is_none());
    let asked = Asked { time: asked.time || within.is_some() || windows.is_some(), ..asked.all() };
    let (left, right) = (lower(&join.left, asked)?, lower(&join.right, asked)?);
    let schemas = [&**join.left.schema(), &**join.right.schema()];
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        alone => return lonely(alone, schemas, &join.schema, kind),
    };
    let (mut equal, mut rest) = (join.on.clone(), Vec::new());
    for condition in conditions {
        match sides(&condition, schemas)? {
            Some(sides) => equal.push(sides),
            None if condition == lit(true) => {}
            None => rest.push(condition),
        }
    }
    let zone = windows.as_ref().and_then(|windows| windows.zone);
    let windows = windows.filter(|_| left.updates().is_none() && right.updates().is_none());
    if let Some(windows) = &windows {
        // The end says which window it is. If there is no other key it divides the rows, too.
        equal.retain(|sides| !is_of(sides, &windows.starts));
        if equal.iter().any(|sides| !is_of(sides, &windows.ends)) {
            equal.retain(|sides| !is_of(sides, &windows.ends));
        }
    }
    let times = match (&within, &windows) {
        (Some((_, times)), _) => Some(times.clone()),
        (None, Some(windows)) => Some(windows.ends.map(|end| Expr::Column(end.clone()))),
        (None, None) => None,
    };
    let mut inputs = Inputs::new([left, right], schemas, equal, times)?;
    let rest = conjunction(rest);
    let condition = match &rest {
        Some(rest) if kind != JoinKind::Inner => inputs.condition(rest)?,
        _ => None,
    };
    inputs.pad(kind);
    let Inputs { rows: [left, right], keys, times, .. } = inputs.clone();
    let joined = match (within, times) {
        (None, Some(ends)) => {
            let timed = Timed::WindowJoin { left, right, keys, kind, condition, ends, zone };
            Rel::Timed(Box::new(timed))
        }
        (Some((bounds, _)), Some(times)) => {
            never_updated("a join by event time", [&left, &right])?;
            let timed = Timed::IntervalJoin { left, right, keys, kind, condition, times, bounds };
            Rel::Timed(Box::new(timed))
        }
        _ => {
            let (left, right) = (Box::new(left), Box::new(right));
            Rel::Join { left, right, keys, kind, condition }
        }
    };
    let joined = inputs.picked(joined, kind)?;
    match rest {
        Some(rest) if kind == JoinKind::Inner => filtered(joined, &rest, &join.schema).map(Some),
        _ => Ok(Some(joined)),
    }
}

/// Whether an equality is that of these columns.
fn is_of((left, right): &(Expr, Expr), columns: &[&PlanColumn; 2]) -> bool {
    let is = |side: &Expr, column: &PlanColumn| matches!(side, Expr::Column(of) if of == column);
    let [first, second] = columns;
    is(left, first) && is(right, second)
}

/// Refuses inputs that are changelogs.
pub(super) fn never_updated(what: &str, inputs: [&Rel; 2]) -> Result<(), SqlError> {
    match inputs.into_iter().find_map(Rel::updates) {
        None => Ok(()),
        Some(cause) => Err(SqlError::new(format!(
            "{what} of rows that are updated and deleted, because of {cause}, is not supported"
        ))),
    }
}

/// The two inputs of a join, with their keys as columns.
#[derive(Clone)]
pub(super) struct Inputs<'a> {
    pub(super) rows: [Rel; 2],
    /// The columns that they have of themselves.
    schemas: [&'a DFSchema; 2],
    pub(super) keys: Vec<(usize, usize)>,
    /// The columns with their times, if they have been asked for.
    pub(super) times: Option<[usize; 2]>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(
        [left, right]: [Rel; 2],
        schemas: [&'a DFSchema; 2],
        equal: Vec<(Expr, Expr)>,
        times: Option<[Expr; 2]>,
    ) -> Result<Self, SqlError> {
        let (mut left_keys, mut right_keys): (Vec<Expr>, Vec<Expr>) = equal.into_iter().unzip();
        let timed = times.is_some();
        if let Some([left, right]) = times {
            left_keys.push(left);
            right_keys.push(right);
        }
        let (left, mut left_at) = keyed(left, &left_keys, schemas[0])?;
        let (right, mut right_at) = keyed(right, &right_keys, schemas[1])?;
        let times = match timed {
            true => left_at.pop().zip(right_at.pop()).map(|(left, right)| [left, right]),
            false => None,
        };
        let keys = left_at.into_iter().zip(right_at).collect();
        Ok(Self { rows: [left, right], schemas, keys, times })
    }

    /// Where a column that the inputs have of themselves is.
    fn own(&self, column: usize) -> usize {
        let width = self.schemas[0].fields().len();
        match column < width {
            true => column,
            false => column - width + self.rows[0].schema().fields.len(),
        }
    }

    /// How many columns they have of themselves.
    fn width(&self) -> usize {
        self.schemas.iter().map(|schema| schema.fields().len()).sum()
    }

    /// A condition over the columns of both.
    pub(super) fn condition(
        &self,
        condition: &Expr,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>, SqlError> {
        let [left, right] = self.schemas;
        let pairs = left.join(right).map_err(|error| planning(&error))?;
        let fields = self.rows.each_ref().map(|rows| rows.schema().fields).concat();
        let column = |at: usize| Arc::new(Column::new(&fields[at].name, at)) as _;
        let columns: Vec<_> = (0..self.width()).map(|at| column(self.own(at))).collect();
        Ok(over(&[physical(condition, &pairs)?], &columns).and_then(|mut made| made.pop()))
    }

    /// Lets keys be NULL on both sides where they may be on one: then they are the same bytes.
    pub(super) fn align(&mut self) {
        let mut schemas = self.rows.each_ref().map(Rel::schema);
        let [left, right] = &mut schemas;
        for (a, b) in &self.keys {
            if let (Some(a), Some(b)) = (left.fields.get_mut(*a), right.fields.get_mut(*b)) {
                let nullable = a.nullable || b.nullable;
                (a.nullable, b.nullable) = (nullable, nullable);
            }
        }
        for (rows, schema) in self.rows.iter_mut().zip(schemas) {
            *rows = rows.clone().with_schema(schema);
        }
    }

    /// Lets columns be NULL where a row is there without a match.
    pub(super) fn pad(&mut self, kind: JoinKind) {
        for (rows, pads) in self.rows.iter_mut().zip(kind.pads()) {
            if pads {
                let schema = nullable(rows.schema());
                *rows = rows.clone().with_schema(schema);
            }
        }
    }

    /// The columns of a join that its inputs have of themselves.
    pub(super) fn picked(&self, joined: Rel, kind: JoinKind) -> Result<Rel, SqlError> {
        let width = match kind.has_pairs() {
            true => self.width(),
            false => self.schemas[0].fields().len(),
        };
        match joined.schema().fields.len() > width {
            true => pick(joined, &(0..width).map(|at| self.own(at)).collect::<Vec<_>>()),
            false => Ok(joined),
        }
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
pub(super) fn lonely(
    inputs: (Option<Rel>, Option<Rel>),
    [left_schema, right_schema]: [&DFSchema; 2],
    whole: &DFSchema,
    kind: JoinKind,
) -> Result<Option<Rel>, SqlError> {
    let [keeps_left, keeps_right] = kind.keeps_lonely();
    let (rows, schema, is_left) = match inputs {
        (Some(left), None) if keeps_left => (left, left_schema, true),
        (None, Some(right)) if keeps_right => (right, right_schema, false),
        _ => return Ok(None),
    };
    if !kind.has_pairs() {
        return Ok(Some(rows));
    }
    let left_width = left_schema.fields().len();
    let mut columns: Vec<(String, Arc<dyn PhysicalExpr>)> = Vec::new();
    for (i, field) in whole.fields().iter().enumerate() {
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
    [left, right]: [&DFSchema; 2],
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
    if columns.is_empty() {
        // Rows without columns are no rows.
        let row = Arc::new(Literal::new(ScalarValue::Boolean(Some(true))));
        columns.push(("$row".to_owned(), row));
    }
    let input = match columns.len() > width {
        true => project(input, columns, schema.as_arrow())?,
        false => input,
    };
    Ok((input, at))
}
