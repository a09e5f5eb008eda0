//! What a query does, as a tree of the engine's operators: between the plan and the streams.

mod changelog;
mod living;
mod over;
mod place;
mod set_operation;
mod show;
mod timed;
mod title;
mod upsert;
mod window;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column};
use millstream_data::types::{DataType, Field, Schema};

pub(crate) use living::Life;
pub(crate) use over::{Edge, Frame, Said};
pub(crate) use place::Place;
pub(crate) use set_operation::SetOperation;
pub(crate) use show::Explained;
pub(crate) use timed::Timed;
pub(crate) use upsert::UpsertKey;
pub(crate) use window::{Watermark, WindowSpec, WindowTime};

use crate::{calc::Step, function::UserCall, parse::CreateTable, time::Zone, types::Type};

/// The name of the column with the rank.
pub(crate) const RANK: &str = "$rank";

/// The names of the columns with the bounds of windows, and with the last moment of windows as
/// event time.
pub(crate) const WINDOW: [&str; 3] = ["window_start", "window_end", "window_time"];

/// The rows of an operator, with those that it makes them of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rel {
    /// The cells of a table.
    Scan {
        table: Box<CreateTable>,
        /// The names of the cells that are read, nested rows taken apart.
        paths: Vec<Vec<String>>,
        /// The same as columns.
        schema: Schema,
        /// How event time goes on, if an operator above asks for it. All rows of the table count,
        /// also those that are filtered out above.
        watermark: Option<Watermark>,
    },
    /// Rows that the query itself has, computed when it was planned.
    Values { rows: RecordBatch, schema: Schema },
    /// Filters and projections, in the order in which they are done.
    Steps {
        input: Box<Self>,
        steps: Vec<Step>,
        /// The columns behind the last step.
        schema: Schema,
    },
    /// The rows of all, which have the same columns.
    Union(Vec<Self>),
    /// A row for each group. The first `keys` columns of the input say which it is in, and come first, too;
    /// behind them comes a column for each call. Without keys all rows are one group.
    Aggregate { input: Box<Self>, keys: usize, calls: Vec<AggregateCall> },
    /// A row for each group and window, when the time has passed the window's end. Rows are
    /// only ever added. The first `keys` columns of the input say which group a row is in, and come
    /// first, too; behind them comes a column for each call, and then the first moment of the
    /// window and the first behind it, TIMESTAMP(3). Without keys all rows of a window are one
    /// group.
    Windows {
        input: Box<Self>,
        keys: usize,
        time: WindowTime,
        window: WindowSpec,
        /// Of the window's bounds, if they are not of UTC.
        zone: Option<Zone>,
        calls: Vec<AggregateCall>,
    },
    /// Rows of two inputs that match: their keys are equal and not NULL. What is made of them, and of those
    /// without a match, is said by the kind.
    Join {
        left: Box<Self>,
        right: Box<Self>,
        /// Columns of the left, and of the right, of the same type. Without one all rows have the same key.
        keys: Vec<(usize, usize)>,
        kind: JoinKind,
        /// What else is true of two rows that match, over the columns of the left one, then of the right one. An
        /// inner join has a filter above instead.
        condition: Option<Arc<dyn PhysicalExpr>>,
    },
    /// Rows of two inputs, which have the same columns and kinds: those that both have, or only the first.
    SetOperation { inputs: Vec<Self>, operation: SetOperation },
    /// Of each partition the first rows in this order.
    TopN {
        input: Box<Self>,
        partition: Vec<usize>,
        order: Vec<OrderKey>,
        /// How many rows; one at least.
        limit: u64,
        /// Whether a last column says which of them it is, from 1; BIGINT.
        rank: bool,
        /// Of rows that are equal in this order the one that came last is first, as in Flink when the last row
        /// by event time is kept; else the one that came first.
        latest: bool,
    },
    /// Of the rows with the same key the one that was there first, without what it was before, or the job fails with
    /// what is said here: when the watermark rises.
    Single { input: Box<Self>, key: UpsertKey, refusal: Option<String> },
    /// Of each partition the first row by event time, said when the watermark has reached it.
    Earliest { input: Box<Self>, partition: Vec<usize>, time: usize },
    /// The rows with a column for each call, of the rows around each.
    Over {
        input: Box<Self>,
        partition: Vec<usize>,
        order: Vec<OrderKey>,
        said: Said,
        frame: Frame,
        /// Without FILTER.
        calls: Vec<AggregateCall>,
    },
    /// The rows that are left of a changelog when the input has ended.
    Final { input: Box<Self> },
    /// The rows of an operator whose state expires.
    Living { rows: Box<Self>, life: Life },
    /// The rows of an aggregate or a Top-N, whose updates are said without the rows as they were.
    Upserts { rows: Box<Self> },
    /// Rows of an operator that goes by event time.
    Timed(Box<Timed>),
}

/// A column that is made of the rows of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AggregateCall {
    pub(crate) function: AggregateFunction,
    /// The column of the input that is aggregated; it may be a key, too. `None` for COUNT(*).
    pub(crate) argument: Option<usize>,
    /// A BOOLEAN column of the input: other rows than those with TRUE are passed over.
    pub(crate) filter: Option<usize>,
    /// Whether equal values count once.
    pub(crate) distinct: bool,
    /// What is between the values of LISTAGG.
    pub(crate) separator: String,
    /// With LAG and LEAD: the column with the value where there is no such row.
    pub(crate) default: Option<usize>,
    /// With a function of a user: which it is, and its columns; `argument` is there with DISTINCT only.
    pub(crate) user: Option<UserCall<usize>>,
    /// The type of the result.
    pub(crate) output: Type,
    /// What the column is called.
    pub(crate) name: String,
}

/// What a call does with the values of its argument that are not NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum AggregateFunction {
    /// How many rows there are, whatever is in them.
    CountAll,
    /// How many there are.
    Count,
    /// Their sum, of the argument's type (DECIMAL with 38 digits).
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their mean; of whole numbers it is one, cut towards zero.
    Avg,
    /// The first that came, of those that are there.
    First,
    /// The last that came, of those that are there.
    Last,
    /// Their texts one behind the other, with the call's separator between each two.
    List,
    /// An array of them, each of which is an array of one value.
    Array,
    /// A multiset of them, each of which is a multiset of one value.
    Multiset,
    /// The one that there is, of a subquery that is a value: a second row is an error of the job.
    Single,
    /// Where the row is among the others, with OVER only.
    Place(Place),
    /// How far they are spread; of whole numbers it is one, cut towards zero.
    Spread(Spread),
    /// What a function of a user makes of them, also of NULLs that it takes.
    User,
}

/// A measure of how far values are from their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Spread {
    /// Whether it is the square root of the variance.
    pub(crate) root: bool,
    /// Whether the values are a sample of those that there are.
    pub(crate) sample: bool,
}

impl AggregateFunction {
    /// Its name in a query.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CountAll | Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Avg => "AVG",
            Self::First => "FIRST_VALUE",
            Self::Last => "LAST_VALUE",
            Self::List => "LISTAGG",
            Self::Array => "ARRAY_AGG",
            Self::Multiset => "COLLECT",
            Self::Single => "SINGLE_VALUE",
            Self::Place(place) => place.name(),
            Self::User => "USER",
            Self::Spread(Spread { root: true, sample: true }) => "STDDEV_SAMP",
            Self::Spread(Spread { root: true, sample: false }) => "STDDEV_POP",
            Self::Spread(Spread { root: false, sample: true }) => "VAR_SAMP",
            Self::Spread(Spread { root: false, sample: false }) => "VAR_POP",
        }
    }

    /// That of a name in a query, in capitals.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let spread = |root, sample| Self::Spread(Spread { root, sample });
        Some(match name {
            "COUNT" => Self::Count,
            "SUM" => Self::Sum,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "AVG" => Self::Avg,
            "FIRST_VALUE" => Self::First,
            "LAST_VALUE" => Self::Last,
            "LISTAGG" => Self::List,
            "ARRAY_AGG" => Self::Array,
            "COLLECT" => Self::Multiset,
            "STDDEV_SAMP" | "STDDEV" => spread(true, true),
            "STDDEV_POP" => spread(true, false),
            "VAR_SAMP" | "VARIANCE" => spread(false, true),
            "VAR_POP" => spread(false, false),
            _ => return None,
        })
    }

    /// Whether equal values are as good as one.
    pub(crate) fn is_extreme(self) -> bool {
        matches!(self, Self::Min | Self::Max)
    }

    /// Whether it is never NULL.
    pub(crate) fn is_never_null(self) -> bool {
        matches!(self, Self::Count | Self::CountAll | Self::Multiset)
    }

    /// Whether it can take a value back.
    pub(crate) fn takes_back(self) -> bool {
        !self.is_extreme() && !matches!(self, Self::First | Self::Last)
    }
}

/// Which rows a join gives. A pair is the columns of the left row, then those of the right one; a row without
/// a match may be there with NULLs in place of the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and rows of the left without a match.
    Left,
    /// Pairs, and rows of the right without a match.
    Right,
    /// Pairs, and rows of both without a match.
    Full,
    /// Rows of the left, without other columns, that have a match.
    Semi,
    /// Rows of the left, without other columns, that have none.
    Anti,
}

impl JoinKind {
    /// Whether it gives pairs.
    pub(crate) fn has_pairs(self) -> bool {
        !matches!(self, Self::Semi | Self::Anti)
    }

    /// Whether rows of the left, and of the right, are there without a match.
    pub(crate) fn keeps_lonely(self) -> [bool; 2] {
        let left = matches!(self, Self::Left | Self::Full | Self::Anti);
        [left, matches!(self, Self::Right | Self::Full)]
    }

    /// Whether columns of the left, and of the right, are NULL where a row is there without a match.
    pub(crate) fn pads(self) -> [bool; 2] {
        let [left, right] = self.keeps_lonely();
        [right, left && self.has_pairs()]
    }
}

/// A column that rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderKey {
    pub(crate) column: usize,
    /// The greatest first.
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl Rel {
    /// The columns; they have row kinds if the rows are a changelog.
    pub(crate) fn schema(&self) -> Schema {
        let fields = match self {
            Self::Scan { schema, .. }
            | Self::Values { schema, .. }
            | Self::Steps { schema, .. } => schema.fields.clone(),
            Self::Union(inputs) | Self::SetOperation { inputs, .. } => {
                inputs.first().map(Self::schema).unwrap_or_default().fields
            }
            Self::Aggregate { input, keys, calls } => grouped(input, *keys, calls),
            Self::Windows { input, keys, calls, .. } => {
                let [start, end, _] = WINDOW;
                let bound = |name| Field::new(name, DataType::Timestamp { precision: 3 });
                apart(grouped(input, *keys, calls), vec![bound(start), bound(end)])
            }
            Self::Join { left, kind, .. } if !kind.has_pairs() => left.schema().fields,
            Self::Join { left, right, kind, .. } => joined(left, right, *kind),
            Self::Timed(timed) => timed.fields(),
            Self::TopN { input, rank, .. } => {
                let mut fields = input.schema().fields;
                fields.extend(rank.then(|| Field::new(RANK, DataType::Int64)));
                fields
            }
            Self::Over { input, calls, .. } => {
                let mut fields = input.schema().fields;
                fields.extend(calls.iter().filter_map(|call| call.output.kept(&call.name)));
                fields
            }
            Self::Earliest { input, .. } | Self::Single { input, .. } | Self::Final { input } => {
                input.schema().fields
            }
            Self::Living { rows, .. } | Self::Upserts { rows } => rows.schema().fields,
        };
        let schema = Schema::new(fields);
        if self.has_kinds() { schema.with_row_kinds() } else { schema }
    }

    /// Whether the rows are a changelog, or are [said to be one](Self::with_schema).
    fn has_kinds(&self) -> bool {
        let said = match self {
            Self::Steps { schema, .. } => schema.row_kinds,
            Self::Union(inputs) => inputs.iter().any(Self::has_kinds),
            _ => false,
        };
        said || self.updates().is_some()
    }

    /// What the rows are made of.
    pub(crate) fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Scan { .. } | Self::Values { .. } => Vec::new(),
            Self::Union(inputs) | Self::SetOperation { inputs, .. } => inputs.iter().collect(),
            Self::Steps { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Windows { input, .. }
            | Self::TopN { input, .. }
            | Self::Earliest { input, .. }
            | Self::Single { input, .. }
            | Self::Over { input, .. }
            | Self::Final { input } => vec![input],
            Self::Join { left, right, .. } => vec![left, right],
            Self::Timed(timed) => timed.inputs(),
            Self::Living { rows, .. } | Self::Upserts { rows } => rows.inputs(),
        }
    }

    /// The operator that makes the rows a changelog, which updates and deletes what it has said, as a query
    /// says it. `None` if rows are only ever added.
    pub(crate) fn updates(&self) -> Option<&'static str> {
        match self {
            Self::Scan { table, .. } => {
                table.is_changelog().then_some("a table that is a changelog")
            }
            Self::Values { .. }
            | Self::Windows { .. }
            | Self::Earliest { .. }
            | Self::Over { .. }
            | Self::Final { .. }
            | Self::Timed(_) => None,
            Self::Steps { input, .. } | Self::Single { input, .. } => input.updates(),
            Self::Living { rows, .. } | Self::Upserts { rows } => rows.updates(),
            Self::Union(inputs) => inputs.iter().find_map(Self::updates),
            Self::Aggregate { keys: 0, .. } => Some("an aggregate function without GROUP BY"),
            Self::Aggregate { calls, .. } if calls.is_empty() => Some("DISTINCT or GROUP BY"),
            Self::Aggregate { .. } => Some("GROUP BY"),
            Self::Join { left, right, kind, .. } => match kind {
                JoinKind::Inner | JoinKind::Semi => left.updates().or_else(|| right.updates()),
                JoinKind::Left => Some("LEFT JOIN or a subquery"),
                JoinKind::Right => Some("RIGHT JOIN"),
                JoinKind::Full => Some("FULL JOIN"),
                JoinKind::Anti => Some("NOT EXISTS or NOT IN"),
            },
            Self::SetOperation { operation, .. } if operation.takes_back() => {
                Some(operation.name())
            }
            Self::SetOperation { inputs, .. } => inputs.iter().find_map(Self::updates),
            // The rows that come first stay.
            Self::TopN { input, order, .. } if order.is_empty() => input.updates(),
            Self::TopN { .. } => Some("ROW_NUMBER or LIMIT"),
        }
    }

    /// The rows behind one more step, which has these columns; it is done with each part of a union.
    pub(crate) fn step(self, step: Step, columns: &[Field]) -> Self {
        match self {
            Self::Union(inputs) => {
                let inputs = inputs.into_iter().map(|input| input.step(step.clone(), columns));
                Self::Union(inputs.collect())
            }
            Self::Steps { input, mut steps, mut schema } => {
                let step = match (steps.last(), &step) {
                    // Columns in another order are not made before they are used.
                    (Some(Step::Project(below, _)), Step::Project(above, schema)) => {
                        over(above, below).map(|made| {
                            drop(steps.pop());
                            Step::Project(made, Arc::clone(schema))
                        })
                    }
                    _ => None,
                }
                .unwrap_or(step);
                steps.push(step);
                schema.fields = columns.to_vec();
                Self::Steps { input, steps, schema }
            }
            input => {
                let schema = Schema { fields: columns.to_vec(), ..input.schema() };
                Self::Steps { input: Box::new(input), steps: vec![step], schema }
            }
        }
    }

    /// The same rows with columns of these names and types, which keep the same values; `row_kinds` of a schema
    /// says that they are a changelog even if nothing is ever updated.
    pub(crate) fn with_schema(self, output: Schema) -> Self {
        match self {
            Self::Union(inputs) => {
                let inputs = inputs.into_iter().map(|input| input.with_schema(output.clone()));
                Self::Union(inputs.collect())
            }
            Self::Steps { input, steps, .. } => Self::Steps { input, steps, schema: output },
            same if same.schema() == output => same,
            input => Self::Steps { input: Box::new(input), steps: Vec::new(), schema: output },
        }
    }
}

/// The same columns, each of which may have NULL.
pub(crate) fn nullable(schema: Schema) -> Schema {
    let fields = schema.fields.into_iter().map(|field| Field { nullable: true, ..field });
    Schema { fields: fields.collect(), ..schema }
}

/// Expressions over some columns as those over what these are columns of; `None` if they are
/// computed.
pub(crate) fn over(
    expressions: &[Arc<dyn PhysicalExpr>],
    columns: &[Arc<dyn PhysicalExpr>],
) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    if !columns.iter().all(|column| column.is::<Column>()) {
        return None;
    }
    let below = |expression: &Arc<dyn PhysicalExpr>| {
        let made = Arc::clone(expression).transform_up(|part| {
            let column = part.downcast_ref::<Column>();
            Ok(match column.and_then(|column| columns.get(column.index())) {
                Some(below) => Transformed::yes(Arc::clone(below)),
                None => Transformed::no(part),
            })
        });
        Some(made.ok()?.data)
    };
    expressions.iter().map(below).collect()
}

/// The columns of pairs.
fn joined(left: &Rel, right: &Rel, kind: JoinKind) -> Vec<Field> {
    let [pads_left, pads_right] = kind.pads();
    let of = |rel: &Rel, pads| {
        let schema = rel.schema();
        if pads { nullable(schema).fields } else { schema.fields }
    };
    apart(of(left, pads_left), of(right, pads_right))
}

/// The keys of groups, and a column for each call.
fn grouped(input: &Rel, keys: usize, calls: &[AggregateCall]) -> Vec<Field> {
    let mut fields = input.schema().fields;
    fields.truncate(keys);
    // What is not stored has been refused when the call was bound.
    fields.extend(calls.iter().filter_map(|call| call.output.kept(&call.name)));
    fields
}

/// These columns and others behind them, by names that differ.
fn apart(mut fields: Vec<Field>, behind: Vec<Field>) -> Vec<Field> {
    for mut field in behind {
        while fields.iter().any(|other| other.name == field.name) {
            field.name.push('\'');
        }
        fields.push(field);
    }
    fields
}

#[cfg(test)]
mod tests;
