//! By which columns the updates of rows are unique, and where that leaves rows as they were before an update away.

use std::fmt;

use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{CastExpr, Column},
    utils::collect_columns,
};

use super::{JoinKind, Rel, show::Columns};
use crate::calc::Step;

/// Columns, in order, by which there is one row at most, and whose changes come one after the other: what is said
/// of them last is what they are.
pub(crate) type UpsertKey = Vec<usize>;

impl Rel {
    /// The keys of the rows, as Flink infers them; none if rows can only be told apart as a whole.
    pub(crate) fn upsert_keys(&self) -> Vec<UpsertKey> {
        match self {
            Self::Scan { table, paths, .. } => {
                let at = |name: &str| paths.iter().position(|path| *path == [name]);
                let key: Option<Vec<_>> =
                    table.primary_key.iter().map(|name| at(&name.value)).collect();
                key.filter(|key| !key.is_empty()).map(set).into_iter().collect()
            }
            Self::Steps { input, steps, .. } => steps.iter().fold(input.upsert_keys(), through),
            Self::Living { rows, .. } | Self::Upserts { rows } => rows.upsert_keys(),
            Self::Aggregate { keys, .. } => vec![(0..*keys).collect()],
            Self::Windows { keys, calls, .. } => {
                let bounds = keys + calls.len();
                [bounds, bounds + 1].map(|bound| (0..*keys).chain([bound]).collect()).into()
            }
            Self::Join { left, right, keys, kind, .. } => joined(left, right, keys, *kind),
            Self::SetOperation { operation, .. } if operation.is_set() => {
                vec![(0..self.schema().fields.len()).collect()]
            }
            Self::TopN { input, partition, limit, rank, .. } => {
                let mut found = Vec::new();
                let width = input.schema().fields.len();
                match (*limit, *rank) {
                    (1, _) => add(&mut found, partition.clone()),
                    (_, true) => {
                        add(&mut found, partition.iter().copied().chain([width]).collect());
                    }
                    (_, false) => {}
                }
                within(input.upsert_keys(), partition)
                    .into_iter()
                    .for_each(|key| add(&mut found, key));
                found
            }
            Self::Single { key, .. } => vec![key.clone()],
            Self::Earliest { partition, .. } => vec![set(partition.clone())],
            Self::Over { input, partition, .. } => within(input.upsert_keys(), partition),
            Self::Values { .. }
            | Self::Union(_)
            | Self::SetOperation { .. }
            | Self::Final { .. }
            | Self::Timed(_) => Vec::new(),
        }
    }

    /// The same rows for one who knows them by their keys, or to whom rows as they were before an update mean
    /// nothing: the operator that updates them leaves those away, if nothing on the way needs them.
    pub(crate) fn upserting(self) -> Self {
        match self {
            // A row that no longer passes a filter is known to be gone only by what it was.
            Self::Steps { input, steps, schema } => {
                let mut keys = input.upsert_keys();
                let mut passes = true;
                for step in &steps {
                    passes &= match step {
                        Step::Filter(condition) => {
                            let read = collect_columns(condition);
                            keys.iter().any(|key| read.iter().all(|at| key.contains(&at.index())))
                        }
                        Step::Project(..) => true,
                        Step::Spread(_) => false,
                    };
                    keys = through(keys, step);
                }
                let input = if passes { Box::new(input.upserting()) } else { input };
                Self::Steps { input, steps, schema }
            }
            Self::Union(inputs) => Self::Union(inputs.into_iter().map(Self::upserting).collect()),
            rows @ (Self::Aggregate { .. } | Self::TopN { .. }) => {
                Self::Upserts { rows: Box::new(rows) }
            }
            Self::Living { rows, life } => match *rows {
                Self::Aggregate { .. } | Self::TopN { .. } => {
                    Self::Upserts { rows: Box::new(Self::Living { rows, life }) }
                }
                _ => Self::Living { rows, life },
            },
            rows => rows,
        }
    }

    /// The same rows, where an operator that is used elsewhere with its rows as they were says these here, too: it
    /// runs once.
    pub(crate) fn together(self, is_used: &dyn Fn(&Self) -> bool) -> Self {
        match self {
            Self::Steps { input, steps, schema } => {
                Self::Steps { input: Box::new(input.together(is_used)), steps, schema }
            }
            Self::Union(inputs) => {
                Self::Union(inputs.into_iter().map(|input| input.together(is_used)).collect())
            }
            Self::Upserts { rows } if is_used(&rows) => *rows,
            rows => rows,
        }
    }

    /// Whether a relation is one of those that make the rows.
    pub(crate) fn uses(&self, other: &Self) -> bool {
        self == other || self.inputs().into_iter().any(|input| input.uses(other))
    }

    /// Of the rows that have the same values in these columns the one that came last, without what it was before.
    pub(crate) fn last_by(self, partition: UpsertKey) -> Self {
        let input = Box::new(self);
        let rows =
            Self::TopN { input, partition, order: Vec::new(), limit: 1, rank: false, latest: true };
        Self::Upserts { rows: Box::new(rows) }
    }

    /// Of the rows that have the same values in these columns the one that was there first, or the job fails with
    /// this `refusal`.
    pub(crate) fn single_by(self, key: UpsertKey, refusal: Option<String>) -> Self {
        Self::Single { input: Box::new(self), key, refusal }
    }

    /// Sets of columns: `[a], [b, c]`.
    pub(crate) fn column_sets(&self, keys: &[UpsertKey]) -> String {
        let columns = Columns(self.schema());
        let keys: Vec<_> = keys.iter().map(|key| format!("[{}]", columns.list(key))).collect();
        keys.join(", ")
    }

    /// Of rows that change: the keys, as EXPLAIN shows them.
    pub(super) fn show_upsert_keys(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.upsert_keys();
        if keys.is_empty() || self.updates().is_none() {
            return Ok(());
        }
        write!(f, ", upsertKeys=[{}]", self.column_sets(&keys))
    }
}

/// The keys behind a step: a column that is not handed on as it is takes the keys with it.
fn through(keys: Vec<UpsertKey>, step: &Step) -> Vec<UpsertKey> {
    match step {
        Step::Filter(_) => keys,
        Step::Spread(_) => Vec::new(),
        Step::Project(columns, _) => {
            let at =
                |of: &usize| columns.iter().position(|column| handed_on(&**column) == Some(*of));
            let mut found = Vec::new();
            for key in keys {
                let key: Option<Vec<_>> = key.iter().map(at).collect();
                key.into_iter().for_each(|key| add(&mut found, key));
            }
            found
        }
    }
}

/// The column that an expression is, maybe as a wider whole number: values that differ still do.
fn handed_on(expression: &dyn PhysicalExpr) -> Option<usize> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        return Some(column.index());
    }
    let cast = expression.downcast_ref::<CastExpr>()?;
    let is_whole = cast.cast_type().is_signed_integer();
    is_whole.then(|| handed_on(&**cast.expr())).flatten()
}

/// The keys that have all of these columns: the changes of others may come from several subtasks.
fn within(keys: Vec<UpsertKey>, columns: &[usize]) -> Vec<UpsertKey> {
    keys.into_iter().filter(|key| columns.iter().all(|column| key.contains(column))).collect()
}

/// The keys of a join: those of a side of whose rows each has one match at most, and those of both together.
fn joined(left: &Rel, right: &Rel, on: &[(usize, usize)], kind: JoinKind) -> Vec<UpsertKey> {
    let (a, b): (Vec<usize>, Vec<usize>) = on.iter().copied().unzip();
    let lefts = within(left.upsert_keys(), &a);
    if !kind.has_pairs() {
        return lefts;
    }
    let is_one = |rel: &Rel, columns: &[usize]| {
        let keys = rel.upsert_keys();
        keys.iter().any(|key| key.iter().all(|column| columns.contains(column)))
    };
    let (left_is_one, right_is_one) = (is_one(left, &a), is_one(right, &b));
    let width = left.schema().fields.len();
    let rights: Vec<UpsertKey> = within(right.upsert_keys(), &b)
        .into_iter()
        .map(|key| key.into_iter().map(|column| width + column).collect())
        .collect();
    let [pads_left, pads_right] = kind.pads();
    let mut found = Vec::new();
    if right_is_one && !pads_left {
        lefts.iter().for_each(|key| add(&mut found, key.clone()));
    }
    if left_is_one && !pads_right {
        rights.iter().for_each(|key| add(&mut found, key.clone()));
    }
    for (left, right) in lefts.iter().flat_map(|left| rights.iter().map(move |right| (left, right)))
    {
        add(&mut found, left.iter().chain(right).copied().collect());
    }
    found
}

/// Adds a key, if no part of it is one.
fn add(keys: &mut Vec<UpsertKey>, key: UpsertKey) {
    let key = set(key);
    if !keys.iter().any(|other| other.iter().all(|column| key.contains(column))) {
        keys.push(key);
    }
}

fn set(mut key: UpsertKey) -> UpsertKey {
    key.sort_unstable();
    key.dedup();
    key
}
