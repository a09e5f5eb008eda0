//! Tables that are read.

use std::sync::Arc;

use arrow::datatypes::{
    DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, TimeUnit,
};
use millstream_arrow::{Leaf, Places, arrow_type};
use millstream_data::types::Schema;
use millstream_dataflow::{Chain, Environment, stream::RowStream};

use super::{
    is_current,
    table::{connector, pruned},
    watermark_options::WatermarkOptions,
};
use crate::{
    bind::watermark::CURRENT,
    calc::{Calculation, CalculationChain, Cells, Output, Step},
    error::SqlError,
    parse::CreateTable,
    relation::{Rel, Watermark},
};

/// A relation that is a table, with what is done with the rows first.
pub(super) struct Reader<'a> {
    relation: &'a Rel,
    pub(super) table: &'a CreateTable,
    paths: &'a [Vec<String>],
    watermark: Option<&'a Watermark>,
    steps: &'a [Step],
}

impl<'a> Reader<'a> {
    pub(super) fn of(relation: &'a Rel) -> Option<Self> {
        let (scan, steps) = match relation {
            Rel::Steps { input, steps, .. } => (&**input, steps.as_slice()),
            scan => (scan, &[][..]),
        };
        match scan {
            Rel::Scan { table, paths, watermark, .. } => {
                Some(Self { relation, table, paths, watermark: watermark.as_ref(), steps })
            }
            _ => None,
        }
    }
}

/// A table and all who read it: it is read once, in a chain with an output for each of them.
pub(super) struct SharedScan {
    pub(super) table: Box<CreateTable>,
    /// The cells that anybody reads.
    paths: Vec<Vec<String>>,
    /// How event time goes on, and which of the cells it needs.
    watermark: Option<(Vec<usize>, Watermark)>,
    readers: Vec<Reading>,
}

/// The cell that is the watermark in front of its row, behind all others.
const MARK: usize = usize::MAX;

/// What becomes of a [`Reader`].
struct Reading {
    relation: Rel,
    /// Which of the cells it reads.
    cells: Vec<usize>,
    steps: Vec<Step>,
    timed: bool,
}

impl SharedScan {
    /// That of the first reader.
    pub(super) fn of(reader: Reader<'_>) -> Self {
        let table = Box::new(reader.table.clone());
        let mut scan = Self { table, paths: Vec::new(), watermark: None, readers: Vec::new() };
        scan.add(reader);
        scan
    }

    /// Lets one more read the table.
    pub(super) fn add(&mut self, reader: Reader<'_>) {
        let Reader { relation, paths, watermark, steps, .. } = reader;
        let mut place = |path: &Vec<String>| {
            if is_current(path) {
                return MARK;
            }
            let known = self.paths.iter().position(|known| known == path);
            known.unwrap_or_else(|| {
                self.paths.push(path.clone());
                self.paths.len() - 1
            })
        };
        let cells: Vec<usize> = paths.iter().map(&mut place).collect();
        // All that want event time want that of the table.
        if let (None, Some(watermark)) = (&self.watermark, watermark) {
            self.watermark = Some((cells.clone(), watermark.clone()));
        }
        let (relation, steps, timed) = (relation.clone(), steps.to_vec(), watermark.is_some());
        self.readers.push(Reading { relation, cells, steps, timed });
    }

    /// The rows of each reader.
    pub(super) fn streams(&self, env: &Environment) -> Result<Vec<(Rel, RowStream)>, SqlError> {
        let read = pruned(&self.table, &self.paths);
        let leaves = leaves(&self.table, &read, &self.paths)?;
        let mut rows =
            env.source_rows(&self.table.name.value, connector(&self.table)?, read.clone());
        // Where nothing needs event time there is no watermark, and nobody waits.
        let alignment = WatermarkOptions::of(&self.table)?.alignment;
        if let Some(alignment) = alignment.filter(|_| self.watermark.is_some()) {
            rows = rows.aligned(&alignment);
        }
        let output = |reading: &Reading| Output {
            cells: cells(&leaves, reading.cells.clone()),
            steps: reading.steps.clone(),
            timed: reading.timed,
            schema: reading.relation.schema(),
            places: Places::of(&reading.relation.schema()),
        };
        let watermark = self.watermark.as_ref();
        let calculation = Arc::new(Calculation {
            fingerprint: read.fingerprint(),
            watermark: watermark
                .map(|(needed, watermark)| (cells(&leaves, needed.clone()), watermark.clone())),
            outputs: self.readers.iter().map(output).collect(),
            leaves,
        });
        let streams = calculate(rows, calculation);
        let relations = self.readers.iter().map(|reading| reading.relation.clone());
        Ok(relations.zip(streams).collect())
    }
}

/// The cells of a table at these paths; `read` are the columns that have them.
pub(super) fn leaves(
    table: &CreateTable,
    read: &Schema,
    paths: &[Vec<String>],
) -> Result<Vec<Leaf>, SqlError> {
    let name = &table.name;
    let leaves = Leaf::with_rows(read).map_err(|error| {
        SqlError::new(format!("the table `{name}`: {error}, which is not supported yet"))
    })?;
    let leaf =
        |path: &Vec<String>| {
            leaves.iter().find(|leaf| leaf.path == *path).cloned().ok_or_else(|| {
                SqlError::new(format!("the table `{name}` has no `{}`", path.join(".")))
            })
        };
    paths.iter().map(leaf).collect()
}

/// Some of these leaves as arrays.
pub(super) fn cells(leaves: &[Leaf], chosen: Vec<usize>) -> Cells {
    let field = |leaf: &Leaf| {
        Some(ArrowField::new(leaf.path.join("."), arrow_type(&leaf.data_type)?, leaf.nullable))
    };
    let mark = ArrowField::new(CURRENT, ArrowType::Timestamp(TimeUnit::Microsecond, None), true);
    let fields = chosen.iter().filter_map(|at| match *at {
        MARK => Some(mark.clone()),
        at => leaves.get(at).and_then(field),
    });
    let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    let leaves = chosen.into_iter().map(|at| at.min(leaves.len())).collect();
    Cells { leaves, schema }
}

/// The rows of each output of a calculation.
pub(super) fn calculate(rows: RowStream, calculation: Arc<Calculation>) -> Vec<RowStream> {
    let schemas: Vec<Schema> =
        calculation.outputs.iter().map(|output| output.schema.clone()).collect();
    rows.chain_apart(calculation.name(), &schemas, move |_, writers| {
        let chain = CalculationChain::new(Arc::clone(&calculation), writers);
        Ok(Box::new(chain) as Box<dyn Chain>)
    })
}

impl Calculation {
    /// What it does, for plans and metrics.
    fn name(&self) -> &'static str {
        let mut steps = self.outputs.iter().flat_map(|output| &output.steps);
        match steps.any(|step| matches!(step, Step::Filter(_))) {
            true => "calculate, filter",
            false => "calculate",
        }
    }
}
