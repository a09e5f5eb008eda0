//! From relations to streams of the engine.

use std::sync::Arc;

use millstream_arrow::{Leaf, Places};
use millstream_data::types::Schema;
use millstream_dataflow::{Environment, stream::RowStream};

use super::scan::{Reader, SharedScan, calculate, cells};
use crate::{
    calc::{Calculation, Output},
    error::SqlError,
    operator::{self, Bundling, Changing},
    relation::{Life, Rel, Timed},
};

/// The streams of some relations. What they have in common is made once: a table is read once, whatever is
/// done with its rows, and the rows of operators that are the same are shared by those who read them.
pub(crate) struct Streams<'a> {
    env: &'a Environment,
    scans: Vec<SharedScan>,
    /// Relations that are used more than once.
    shared: Vec<Rel>,
    /// Those of them that are there, and the rows of scans.
    made: Vec<(Rel, RowStream)>,
    /// How aggregates take several rows at once, if they do.
    bundling: Option<Bundling>,
}

impl<'a> Streams<'a> {
    /// Looks for what these relations have in common. Aggregates may take several rows at once.
    pub(crate) fn new<'r>(
        env: &'a Environment,
        relations: impl IntoIterator<Item = &'r Rel>,
        bundling: Option<Bundling>,
    ) -> Self {
        let (scans, shared, made) = (Vec::new(), Vec::new(), Vec::new());
        let mut streams = Self { env, scans, shared, made, bundling };
        let mut seen = Vec::new();
        relations.into_iter().for_each(|relation| streams.look(relation, &mut seen));
        streams
    }

    fn look<'r>(&mut self, relation: &'r Rel, seen: &mut Vec<&'r Rel>) {
        if seen.contains(&relation) {
            if !self.shared.contains(relation) {
                self.shared.push(relation.clone());
            }
            return;
        }
        seen.push(relation);
        match Reader::of(relation) {
            Some(reader) => match self.scans.iter_mut().find(|scan| *scan.table == *reader.table) {
                Some(scan) => scan.add(reader),
                None => self.scans.push(SharedScan::of(reader)),
            },
            None => relation.inputs().into_iter().for_each(|input| self.look(input, seen)),
        }
    }

    /// The rows of one of the relations, or of one within, as a stream of its [schema](Rel::schema).
    ///
    /// # Errors
    /// If a table cannot be read, or an operator is not supported.
    pub(crate) fn stream(&mut self, relation: &Rel) -> Result<RowStream, SqlError> {
        if let Some((_, rows)) = self.made.iter().find(|(made, _)| made == relation) {
            return Ok(rows.clone());
        }
        if let Some(reader) = Reader::of(relation) {
            self.read(&reader)?;
            let rows = self.made.iter().find(|(made, _)| made == relation);
            return rows
                .map(|(_, rows)| rows.clone())
                .ok_or_else(|| SqlError::new("a table is read that nobody has looked at"));
        }
        let rows = match relation {
            Rel::Living { rows, life } => self.operator(rows, *life)?,
            Rel::Upserts { rows } => {
                let (rows, life) = match &**rows {
                    Rel::Living { rows, life } => (&**rows, life[0]),
                    rows => (rows, None),
                };
                self.changing(
                    rows,
                    relation.schema(),
                    Changing { life, upserts: true, ..Changing::default() },
                )?
            }
            relation => self.operator(relation, [None, None])?,
        };
        let rows = match relation.title() {
            Some(title) => rows.named(title),
            None => rows,
        };
        Ok(match self.shared.contains(relation) {
            true => {
                let rows = rows.shared();
                self.made.push((relation.clone(), rows.clone()));
                rows
            }
            false => rows,
        })
    }

    /// The rows of an operator, whose state lives so long.
    fn operator(&mut self, relation: &Rel, life: Life) -> Result<RowStream, SqlError> {
        let schema = relation.schema();
        match relation {
            // Those that are left have something else below than a scan.
            Rel::Scan { .. } => Err(SqlError::new("a scan that reads nothing")),
            Rel::Values { rows, .. } => Ok(operator::values(self.env, rows.clone(), schema)),
            Rel::Steps { input, steps, .. } => {
                let rows = self.stream(input)?;
                let read = rows.schema();
                let leaves = Leaf::of(read).map_err(|error| {
                    SqlError::new(format!("{error}, which is not supported yet between operators"))
                })?;
                let all = (0..leaves.len()).collect();
                let cells = cells(&leaves, all);
                let steps = steps.clone();
                let places = Places::of(&schema);
                let output = Output { cells, steps, timed: false, schema, places };
                let fingerprint = read.fingerprint();
                let outputs = vec![output];
                let calculation = Calculation { fingerprint, leaves, watermark: None, outputs };
                let rows = calculate(rows, Arc::new(calculation)).into_iter().next();
                rows.ok_or_else(|| SqlError::new("a calculation without rows"))
            }
            Rel::Union(inputs) => {
                let mut whole: Option<RowStream> = None;
                for input in inputs {
                    let rows = self.stream(input)?;
                    whole = Some(match whole {
                        None => rows,
                        Some(others) => others.union(rows),
                    });
                }
                whole.ok_or_else(|| SqlError::new("the query has no rows: nothing is read"))
            }
            Rel::Aggregate { .. } | Rel::TopN { .. } => {
                self.changing(relation, schema, Changing { life: life[0], ..Changing::default() })
            }
            Rel::Living { .. } | Rel::Upserts { .. } => {
                Err(SqlError::new("state that lives twice"))
            }
            Rel::Single { input, key, refusal } => {
                let refusal = refusal.as_deref().map(Arc::from);
                Ok(operator::single(self.stream(input)?, key, refusal, schema))
            }
            Rel::Earliest { input, partition, time } => {
                Ok(operator::earliest(self.stream(input)?, partition, (*time, life[0]), schema))
            }
            Rel::Over { input, partition, order, said, frame, calls } => {
                let over = operator::Around { order, said: *said, frame: *frame, calls };
                operator::over(self.stream(input)?, partition, (over, life[0]), schema)
            }
            Rel::Final { input } => match &**input {
                Rel::Aggregate { .. } | Rel::TopN { .. } => {
                    self.changing(input, schema, Changing { once: true, ..Changing::default() })
                }
                input => operator::left(self.stream(input)?, schema),
            },
            Rel::Windows { input, keys, time, window, zone, calls } => {
                let window = (*time, *window, *zone);
                operator::windows(self.stream(input)?, *keys, window, calls, schema)
            }
            Rel::Join { left, right, keys, kind, condition } => {
                let both = [self.stream(left)?, self.stream(right)?];
                operator::join(both, keys, (*kind, condition.as_ref(), life), schema)
            }
            Rel::Timed(timed) => self.timed(timed, schema),
            Rel::SetOperation { inputs, operation } => {
                let [left, right] = &inputs[..] else {
                    return Err(SqlError::new("a set operation has two inputs"));
                };
                let both = [self.stream(left)?, self.stream(right)?];
                Ok(operator::set_operation(both, (*operation, life[0]), schema))
            }
        }
    }

    /// The rows of an operator that updates what it has said.
    fn changing(
        &mut self,
        relation: &Rel,
        schema: Schema,
        how: Changing,
    ) -> Result<RowStream, SqlError> {
        match relation {
            Rel::Aggregate { input, keys, calls } => {
                let how = Changing { bundling: self.bundling, ..how };
                operator::aggregate(self.stream(input)?, (*keys, calls), schema, how)
            }
            Rel::TopN { input, partition, order, limit, rank, latest } => {
                let (limit, rank, latest) = (*limit, *rank, *latest);
                let order = operator::Order { order, limit, rank, latest };
                operator::top_n(self.stream(input)?, partition, order, schema, how)
            }
            _ => Err(SqlError::new("an operator that never updates is asked for its last rows")),
        }
    }

    fn timed(&mut self, timed: &Timed, schema: Schema) -> Result<RowStream, SqlError> {
        match timed {
            Timed::IntervalJoin { left, right, keys, kind, condition, times, bounds } => {
                let both = [self.stream(left)?, self.stream(right)?];
                let (kind, condition, times, bounds) = (*kind, condition.as_ref(), *times, *bounds);
                let joined = operator::Intervals { keys, kind, condition, times, bounds };
                operator::interval_join(both, joined, schema)
            }
            Timed::TemporalJoin { left, right, keys, kind, condition, times } => {
                let both = [self.stream(left)?, self.stream(right)?];
                let (kind, condition, times) = (*kind, condition.as_ref(), *times);
                let joined = operator::Versions { keys, kind, condition, times };
                operator::temporal_join(both, joined, schema)
            }
            Timed::Assign { input, time, window, zone, .. } => {
                operator::assign(self.stream(input)?, *time, (*window, *zone), schema)
            }
            Timed::WindowJoin { left, right, keys, kind, condition, ends, zone } => {
                let both = [self.stream(left)?, self.stream(right)?];
                let joined = (keys.as_slice(), *kind, condition.as_ref(), (*ends, *zone));
                operator::window_join(both, joined, schema)
            }
            Timed::WindowTopN { input, partition, bounds, zone, order, limit, rank, latest } => {
                let (limit, rank, latest) = (*limit, *rank, *latest);
                let order = operator::Order { order, limit, rank, latest };
                let by = (partition.as_slice(), *bounds, *zone);
                operator::window_top_n(self.stream(input)?, by, order, schema)
            }
        }
    }

    /// Makes the streams of all readers of a table.
    fn read(&mut self, reader: &Reader<'_>) -> Result<(), SqlError> {
        let scan = self.scans.iter().find(|scan| *scan.table == *reader.table);
        let scan = scan.ok_or_else(|| SqlError::new("a table is read that nobody looked at"))?;
        for (relation, rows) in scan.streams(self.env)? {
            let shared = self.shared.contains(&relation);
            self.made.push((relation, if shared { rows.shared() } else { rows }));
        }
        Ok(())
    }
}
