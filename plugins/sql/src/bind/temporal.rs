//! Joins with the versions of a table in a plan: `JOIN r FOR SYSTEM_TIME AS OF o.ts ON o.k = r.k`.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, TableReference};
use datafusion_expr::{
    Expr, Extension, JoinType, LogicalPlan, UserDefinedLogicalNodeCore,
    utils::{conjunction, find_valid_equijoin_key_pair, split_conjunction_owned},
};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor, TableVersion};
use sqlparser::tokenizer::Span;

use super::{
    Binder, Relation,
    event_time::{is_event_time, is_processing_time},
    expression::Scope,
    node::compared_by_identity,
    planning,
    version::Versions,
};
use crate::error::{Place, SqlError};

/// Joins each row of the left with what the right had at its time. It is no join of a plan: which rows of the
/// right there are decides what others are found.
#[derive(Clone, Debug)]
pub(crate) struct TemporalJoin {
    pub(crate) left: Arc<LogicalPlan>,
    pub(crate) right: Arc<LogicalPlan>,
    /// What of the left is what of the right.
    pub(crate) equal: Vec<(Expr, Expr)>,
    /// What else is true of a row and its version.
    pub(crate) condition: Option<Expr>,
    /// The event times of both, columns.
    pub(crate) times: [Expr; 2],
    /// Whether rows without a version are there, too.
    pub(crate) keeps: bool,
    /// Where it is in the script.
    pub(crate) span: Span,
    schema: DFSchemaRef,
}

impl TemporalJoin {
    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn schema_of(
        left: &LogicalPlan,
        right: &LogicalPlan,
        keeps: bool,
    ) -> Result<DFSchemaRef, DataFusionError> {
        let right = right.schema();
        let nullable =
            |(table, field): (Option<&TableReference>, &Arc<arrow::datatypes::Field>)| {
                let field = field.as_ref().clone();
                let nullable = keeps || field.is_nullable();
                (table.cloned(), Arc::new(field.with_nullable(nullable)))
            };
        let fields = right.iter().map(nullable).collect();
        let right = DFSchema::new_with_metadata(fields, HashMap::new())?;
        Ok(Arc::new(left.schema().join(&right)?))
    }

    fn identity(&self) -> Identity<'_> {
        let Self { left, right, equal, condition, times, keeps, .. } = self;
        (left, right, equal, condition.as_ref(), times, *keeps)
    }
}

type Identity<'a> =
    (&'a LogicalPlan, &'a LogicalPlan, &'a [(Expr, Expr)], Option<&'a Expr>, &'a [Expr; 2], bool);

compared_by_identity!(TemporalJoin);

impl UserDefinedLogicalNodeCore for TemporalJoin {
    fn name(&self) -> &str {
        "TemporalJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let equal = self.equal.iter().flat_map(|(left, right)| [left, right]);
        equal.chain(&self.times).chain(&self.condition).cloned().collect()
    }

    /// A version that is passed over lets an older one be found.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [left, right] = &self.times;
        write!(f, "TemporalJoin: {right} as of {left}")
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let wrong = || DataFusionError::Plan("a temporal join has two inputs and times".into());
        let [left, right] = <[LogicalPlan; 2]>::try_from(inputs).map_err(|_| wrong())?;
        let mut expressions = expressions.into_iter();
        let mut next = || expressions.next().ok_or_else(wrong);
        let equal = self.equal.iter().map(|_| Ok((next()?, next()?)));
        let equal = equal.collect::<Result<Vec<_>, DataFusionError>>()?;
        let times = [next()?, next()?];
        let condition = self.condition.as_ref().map(|_| next()).transpose()?;
        let schema = Self::schema_of(&left, &right, self.keeps)?;
        let (left, right) = (Arc::new(left), Arc::new(right));
        Ok(Self { left, right, equal, condition, times, schema, ..self.clone() })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let left = output.iter().copied().filter(|column| *column < width).collect();
        let right = output.iter().filter_map(|column| column.checked_sub(width)).collect();
        Some(vec![left, right])
    }
}

/// The time that a table of FROM is asked for, if it is.
pub(super) fn as_of(factor: &TableFactor) -> Option<&ast::Expr> {
    match factor {
        TableFactor::Table { version: Some(TableVersion::ForSystemTimeAsOf(time)), .. } => {
            Some(time)
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// The rows of a join with the versions of a table, as of a time.
    pub(super) fn as_of(
        &mut self,
        left: Relation,
        join: &ast::Join,
        time: &ast::Expr,
    ) -> Result<Relation, SqlError> {
        use JoinOperator::{Inner, Join, Left, LeftOuter};
        let part = &join.relation;
        let (kind, constraint) = match &join.join_operator {
            Join(constraint) | Inner(constraint) => (JoinType::Inner, constraint),
            Left(constraint) | LeftOuter(constraint) => (JoinType::Left, constraint),
            _ => {
                let message = "FOR SYSTEM_TIME AS OF joins with JOIN or LEFT JOIN only";
                return Err(SqlError::at(part, message));
            }
        };
        let JoinConstraint::On(condition) = constraint else {
            let message =
                "FOR SYSTEM_TIME AS OF needs ON, with an equality of the table's PRIMARY KEY";
            return Err(SqlError::at(part, message));
        };
        let mut table = part.clone();
        if let TableFactor::Table { version, .. } = &mut table {
            *version = None;
        }
        let right = self.factor(&table)?.apart(&left)?;
        let left_time = left.as_of_time(time)?;
        let versions = Versions::of(&right.plan).ok_or_else(|| SqlError::at(part, UNVERSIONED))?;
        let whole = left.beside(&right, part)?;
        let scope = Scope { relation: &whole, calls: None, around: None };
        let condition = scope.condition(condition, "ON")?;
        let (mut equal, mut rest) = (Vec::new(), Vec::new());
        for condition in split_conjunction_owned(condition) {
            let sides = match &condition {
                Expr::BinaryExpr(binary) if binary.op == datafusion_expr::Operator::Eq => {
                    let (a, b) = (&binary.left, &binary.right);
                    find_valid_equijoin_key_pair(a, b, left.plan.schema(), right.plan.schema())
                        .map_err(|error| planning(&error))?
                }
                _ => None,
            };
            match sides {
                Some(sides) => equal.push(sides),
                None => rest.push(condition),
            }
        }
        if let Some(missing) = versions.missing(equal.iter().map(|(_, right)| right)) {
            let message = format!(
                "FOR SYSTEM_TIME AS OF needs an equality of all of the table's key: add one of `{missing}` to ON"
            );
            return Err(SqlError::at(part, message));
        }
        let (keeps, width) = (kind == JoinType::Left, left.columns.len());
        let schema = TemporalJoin::schema_of(&left.plan, &right.plan, keeps);
        let node = TemporalJoin {
            equal,
            condition: conjunction(rest),
            times: [left_time, Expr::Column(versions.time)],
            keeps,
            span: part.place(),
            schema: schema.map_err(|error| planning(&error))?,
            left: left.plan,
            right: right.plan,
        };
        let plan = Arc::new(LogicalPlan::Extension(Extension { node: Arc::new(node) }));
        Ok(Relation { plan, ..whole }.padded(kind, width))
    }
}

impl Relation {
    /// The event time of these rows that an expression is.
    fn as_of_time(&self, time: &ast::Expr) -> Result<Expr, SqlError> {
        let bound = self.bind(time)?.expr;
        let message = match &bound {
            Expr::Column(column) if is_event_time(&self.plan, column) => return Ok(bound),
            Expr::Column(column) if is_processing_time(&self.plan, column) => {
                "a temporal join of processing time is not supported, as in Flink, and no connector looks rows up: use \
                 event time, or leave FOR SYSTEM_TIME out, so that rows are joined with those that come later, too"
                    .into()
            }
            _ => format!(
                "FOR SYSTEM_TIME AS OF takes the event time of the rows on its left, which `{time}` is not: \
                 declare it in CREATE TABLE with WATERMARK FOR, and pass the column on as it is"
            ),
        };
        Err(SqlError::at(time, message))
    }
}

const UNVERSIONED: &str = "the table on the right of a temporal join needs versions: declare PRIMARY KEY (…) NOT \
     ENFORCED and WATERMARK FOR in CREATE TABLE and select both columns; or keep the last row of each key by \
     event time in a view, with ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) = 1";
