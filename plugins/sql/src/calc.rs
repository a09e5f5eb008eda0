//! Filters and projections: a chain that computes with a page at a time.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
        UInt32Array,
    },
    compute::{filter, filter_record_batch, take},
    datatypes::{SchemaRef, TimestampMicrosecondType},
};
use datafusion_common::{DataFusionError, cast::as_primitive_array};
use datafusion_physical_expr::PhysicalExpr;
use millstream_arrow::{ArrayRun, Leaf, Places, with_arrays};
use millstream_data::{
    page::{RowBuilder, RowKind, ValidPage},
    types::Schema,
};
use millstream_dataflow::{
    Chain, Context, TaskError,
    chain::Signal,
    operator::rows::Marks,
    writer::run::{Run, RunWriter},
};
use millstream_memory::Segment;

use crate::{relation::Watermark, spread::Spread};

/// A step of a calculation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Keeps the rows for which it is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Makes rows of these columns.
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
    /// Makes several rows of one.
    Spread(Spread),
}

/// What is made of the rows of a stream: rows of one kind or several, each in an output of its own.
#[derive(Clone, Debug)]
pub(crate) struct Calculation {
    /// The fingerprint of the pages' schema.
    pub(crate) fingerprint: u64,
    /// What is read of a page.
    pub(crate) leaves: Vec<Leaf>,
    /// The event time of rows, before anything is done, if somebody needs it.
    pub(crate) watermark: Option<(Cells, Watermark)>,
    /// What comes out.
    pub(crate) outputs: Vec<Output>,
}

/// Some of what is read of a page, as arrays.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    /// Which leaves, in this order.
    pub(crate) leaves: Vec<usize>,
    pub(crate) schema: SchemaRef,
}

/// How the rows of an output are made.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// What they are made of.
    pub(crate) cells: Cells,
    /// What is done, in order.
    pub(crate) steps: Vec<Step>,
    /// Whether the watermark is said to it.
    pub(crate) timed: bool,
    /// The rows that come out.
    pub(crate) schema: Schema,
    /// Where their columns are, if some are nested.
    pub(crate) places: Option<Places>,
}

impl Cells {
    fn batch(&self, arrays: &[ArrayRef], rows: usize) -> Result<RecordBatch, DataFusionError> {
        let chosen = self.leaves.iter().filter_map(|at| arrays.get(*at).cloned());
        batch(&self.schema, chosen.collect(), rows)
    }
}

/// Rows of a page that are left, and what was made of them.
struct Made {
    batch: RecordBatch,
    /// Which rows of the page they are made of, from its first row that was calculated with; `None` for all.
    origins: Option<UInt32Array>,
}

impl Calculation {
    /// Takes the event times of rows, and puts the watermark in front of each behind their arrays, where a cell may
    /// ask for it.
    fn observe(
        &self,
        arrays: &mut Vec<ArrayRef>,
        rows: usize,
        marks: &mut Marks,
    ) -> Result<(), DataFusionError> {
        let Some((cells, Watermark { time, mark, .. })) = &self.watermark else {
            return Ok(());
        };
        let in_front = self.leaves.len();
        let is_asked = |cells: &Cells| cells.leaves.contains(&in_front);
        let asked = self.outputs.iter().any(|output| is_asked(&output.cells)) || is_asked(cells);
        if asked {
            // Nobody's event time depends on it.
            arrays.push(Arc::new(TimestampMicrosecondArray::new_null(rows)));
        }
        let batch = cells.batch(arrays, rows)?;
        let times = |of: &Arc<dyn PhysicalExpr>| of.evaluate(&batch)?.into_array(rows);
        let (times, all) = (times(time)?, times(mark)?);
        let stamps = |array| as_primitive_array::<TimestampMicrosecondType>(array);
        let (times, all) = (stamps(&times)?, stamps(&all)?);
        let millis = |array: &TimestampMicrosecondArray, row: usize| {
            array.is_valid(row).then(|| array.value(row).div_euclid(1000))
        };
        marks.observe((0..rows).map(|row| (millis(times, row), millis(all, row))));
        if let Some(last) = arrays.last_mut().filter(|_| asked) {
            let micros = (0..rows).map(|row| Some(marks.in_front(row)?.saturating_mul(1000)));
            *last = Arc::new(micros.collect::<TimestampMicrosecondArray>());
        }
        Ok(())
    }
}

impl Output {
    /// What is made of these arrays.
    fn run(&self, arrays: &[ArrayRef], rows: usize) -> Result<Made, DataFusionError> {
        let mut made = Made { batch: self.cells.batch(arrays, rows)?, origins: None };
        for step in &self.steps {
            match step {
                Step::Filter(condition) => made.keep(&**condition)?,
                Step::Spread(spread) => {
                    let (batch, of) = spread.run(&made.batch)?;
                    made.batch = batch;
                    made.origins = Some(match &made.origins {
                        Some(origins) => take(origins, &of, None)?.as_primitive().clone(),
                        None => of,
                    });
                }
                Step::Project(columns, schema) => {
                    let rows = made.batch.num_rows();
                    let values = columns.iter().map(|column| {
                        column.evaluate(&made.batch).and_then(|value| value.into_array(rows))
                    });
                    let values = values.collect::<Result<_, _>>()?;
                    made.batch = self::batch(schema, values, rows)?;
                }
            }
            if made.batch.num_rows() == 0 {
                break;
            }
        }
        Ok(made)
    }

    /// Checks that what must not be NULL is not.
    fn check(&self, batch: &RecordBatch) -> Result<(), TaskError> {
        for (field, array) in self.schema.fields.iter().zip(batch.columns()) {
            if !field.nullable && array.null_count() > 0 {
                return Err(TaskError::new(format!(
                    "a row has NULL in the column `{}`, which is NOT NULL: filter such rows, declare the column \
                     without NOT NULL, or SET 'table.exec.sink.not-null-enforcer' = 'DROP'",
                    field.name
                )));
            }
        }
        Ok(())
    }
}

impl Made {
    /// Which row of the page one is made of; `None` behind the last one.
    fn origin(&self, row: usize) -> Option<usize> {
        if row >= self.batch.num_rows() {
            return None;
        }
        Some(self.origins.as_ref().map_or(row, |origins| origins.value(row) as usize))
    }

    /// How many of `rows` are made of rows of the page in front of this one.
    fn before(&self, origin: usize, rows: usize) -> usize {
        match &self.origins {
            Some(origins) => origins.values().partition_point(|of| (*of as usize) < origin),
            None => rows.min(origin),
        }
    }

    fn keep(&mut self, condition: &dyn PhysicalExpr) -> Result<(), DataFusionError> {
        let rows = self.batch.num_rows();
        let kept = condition.evaluate(&self.batch)?.into_array(rows)?;
        let kept = kept.as_boolean();
        // NULL is not true; without NULLs all bits count.
        if kept.null_count() == 0 && kept.true_count() == rows {
            return Ok(());
        }
        let all;
        let origins: &dyn Array = match &self.origins {
            Some(origins) => origins,
            None => {
                all = UInt32Array::from_iter_values(0..rows as u32);
                &all
            }
        };
        let origins = filter(origins, kept)?;
        self.origins = Some(origins.as_primitive().clone());
        self.batch = filter_record_batch(&self.batch, kept)?;
        Ok(())
    }
}

pub(crate) fn batch(
    schema: &SchemaRef,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, DataFusionError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

/// The chain of a calculation.
pub(crate) struct CalculationChain {
    calculation: Arc<Calculation>,
    /// Of no use without a watermark.
    marks: Marks,
    /// By output.
    writers: Vec<RunWriter>,
}

impl CalculationChain {
    pub(crate) fn new(calculation: Arc<Calculation>, writers: Vec<RunWriter>) -> Self {
        let idle = calculation.watermark.as_ref().and_then(|(_, watermark)| watermark.idle);
        let marks = Marks::default();
        let marks = match idle {
            Some(millis) => marks.idle_after(millis),
            None => marks,
        };
        Self { calculation, marks, writers }
    }

    /// Passes a signal on to those who go by event time.
    fn tell(&mut self, signal: Signal, context: &mut Context<'_>) {
        let outputs = self.calculation.outputs.iter().zip(&mut self.writers);
        for (_, writer) in outputs.filter(|(output, _)| output.timed) {
            writer.signal(signal, context);
        }
    }

    /// Calculates with the rows from `start` on, and writes what comes out; gives the row to go on with.
    fn calculate(
        &mut self,
        page: &ValidPage<'_>,
        arrays: Vec<ArrayRef>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let Self { calculation, marks, writers } = self;
        let rows = page.rows() - start;
        let mut arrays: Vec<_> = match start {
            0 => arrays,
            _ => arrays.into_iter().map(|array| array.slice(start, rows)).collect(),
        };
        calculation.observe(&mut arrays, rows, marks).map_err(|error| failed(&error))?;
        // All outputs stop behind the same row: where the first finds no room.
        let mut end = rows;
        for (number, (output, writer)) in calculation.outputs.iter().zip(&mut *writers).enumerate()
        {
            let made = output.run(&arrays, rows).map_err(|error| failed(&error))?;
            let batch = &made.batch;
            if batch.num_rows() == 0 {
                continue;
            }
            output.check(batch)?;
            let run = match &output.places {
                None => ArrayRun::new(batch.num_rows(), batch.columns()),
                Some(places) => ArrayRun::nested(batch.num_rows(), batch.columns(), places),
            };
            let run = run.ok_or_else(|| {
                TaskError::new(format!("rows of ({}) cannot be written", output.schema))
            })?;
            let origins = made.origins.as_ref();
            let kinds = output.schema.row_kinds.then_some(Kinds { page, start, origins });
            let run = Written { run, kinds };
            let marks = (output.timed && calculation.watermark.is_some()).then_some(&*marks);
            let written = write(&run, &made, (marks, end), (writer, number > 0), context);
            if number == 0 {
                end = made.origin(written).unwrap_or(end);
            }
        }
        if end < rows {
            // What was not written is calculated again: a consumer is slow, and there is time.
            marks.go_back(end);
            return Ok(start + end);
        }
        if let (Some(_), Some(watermark)) = (&calculation.watermark, marks.watermark()) {
            let timed = calculation.outputs.iter().zip(writers).filter(|(output, _)| output.timed);
            for (_, writer) in timed {
                writer.signal(Signal::Watermark(watermark), context);
            }
        }
        Ok(page.rows())
    }
}

/// Writes the rows that were made of those in front of `end`, and the watermarks in front of late ones; if it
/// has to go `through`, whether there is room or not. Gives the row to go on with.
fn write(
    run: &Written<'_>,
    made: &Made,
    (marks, end): (Option<&Marks>, usize),
    (writer, through): (&mut RunWriter, bool),
    context: &mut Context<'_>,
) -> usize {
    let rows = made.before(end, run.rows());
    // A row that is late comes behind the watermark that it missed.
    let late = |row| Some((row, Some(marks?.late(made.origin(row)?)?)));
    let stops: Vec<_> = match marks {
        Some(_) => (0..rows).filter_map(late).collect(),
        None => Vec::new(),
    };
    let mut written = 0;
    for (end, late) in stops.into_iter().chain([(rows, None)]) {
        written = match through {
            true => writer.write_through(run, written..end, context),
            false => writer.write(run, written..end, context),
        };
        if written < end {
            break;
        }
        if let Some(watermark) = late {
            writer.signal(Signal::Watermark(watermark), context);
            writer.signal(Signal::Late, context);
        }
    }
    if written > 0 && written < rows && !context.has_failed() {
        // What is made of one row is written as a whole: the calculation goes on with another one.
        let last = made.origin(written - 1);
        let of_it = (written..rows).take_while(|row| made.origin(*row) == last).count();
        written = writer.write_through(run, written..written + of_it, context);
    }
    written
}

/// An expression that cannot be computed for a row.
pub(crate) fn failed(error: &DataFusionError) -> TaskError {
    TaskError::new(said(error))
}

/// What went wrong with values, without who found it.
pub(crate) fn said(error: &DataFusionError) -> String {
    let said = error.strip_backtrace();
    let said = said.strip_prefix("Execution error: ").unwrap_or(&said);
    said.strip_prefix("Arrow error: Compute error: ").unwrap_or(said).to_owned()
}

/// Arrays as a run of the engine's.
pub(crate) struct Written<'a> {
    run: ArrayRun<'a>,
    kinds: Option<Kinds<'a>>,
}

impl<'a> Written<'a> {
    /// Rows without kinds; `None` if a column of pages cannot have the values of one.
    pub(crate) fn of(rows: &'a RecordBatch) -> Option<Self> {
        Some(Self { run: ArrayRun::new(rows.num_rows(), rows.columns())?, kinds: None })
    }
}

impl Written<'_> {
    /// Writes rows with nested values one by one.
    fn write_apart(&self, from: usize, rows: usize, page: &mut RowBuilder<Segment>) {
        for row in from..from + rows {
            self.run.write(row, 1, page);
            if let Some(kinds) = &self.kinds {
                page.put_kind(kinds.at(row));
            }
            page.commit();
        }
    }
}

/// Where the kinds of rows are found that something was calculated of.
struct Kinds<'a> {
    page: &'a ValidPage<'a>,
    start: usize,
    origins: Option<&'a UInt32Array>,
}

impl Kinds<'_> {
    fn at(&self, row: usize) -> RowKind {
        let row = self.origins.map_or(row, |origins| origins.value(row) as usize);
        self.page.row_kind(self.start + row)
    }
}

impl Run for Written<'_> {
    fn rows(&self) -> usize {
        self.run.rows()
    }

    fn heap_bytes(&self, row: usize) -> usize {
        self.run.heap_bytes(row)
    }

    fn heap_bytes_at_most(&self, rows: Range<usize>) -> usize {
        self.run.heap_bytes_at_most(rows)
    }

    fn count_elements(&self, row: usize, elements: &mut [u32]) {
        self.run.count_elements(row, elements);
    }

    fn hash(&self, row: usize, columns: &[usize]) -> u64 {
        self.run.hash(row, columns)
    }

    fn write(&self, from: usize, rows: usize, page: &mut RowBuilder<Segment>) {
        if self.run.is_nested() {
            return self.write_apart(from, rows, page);
        }
        self.run.write(from, rows, page);
        if let Some(kinds) = &self.kinds {
            page.put_kinds_run(rows, |row| kinds.at(from + row));
        }
        page.commit_run(rows);
    }
}

impl Chain for CalculationChain {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let rows = page.rows();
        if page.fingerprint() != self.calculation.fingerprint {
            context.fail(TaskError::new("a page of another schema arrived at a calculation"));
            return start;
        }
        if start >= rows || context.is_blocked() {
            return start;
        }
        let calculation = Arc::clone(&self.calculation);
        self.marks.called(context);
        if let Some(active) = self.marks.came(context) {
            self.tell(active, context);
        }
        let next = with_arrays(page, &calculation.leaves, |arrays| {
            self.calculate(page, arrays, start, context)
        });
        self.marks.taken(context);
        next.unwrap_or_else(|error| {
            context.fail(error);
            start
        })
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        !context.is_blocked()
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.marks.called(context);
        if let Some(before) = self.marks.before(signal, context) {
            self.tell(before, context);
        }
        let Self { calculation, marks, writers } = self;
        let in_time = match &calculation.watermark {
            Some(_) => marks.signal(signal),
            None => Some(signal),
        };
        for (output, writer) in calculation.outputs.iter().zip(writers) {
            let passed = if output.timed { in_time } else { Some(signal) };
            if let Some(signal) = passed {
                writer.signal(signal, context);
            }
        }
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.writers.iter_mut().for_each(|writer| writer.flush(force, context));
    }
}

impl fmt::Debug for CalculationChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalculationChain").field("outputs", &self.calculation.outputs).finish()
    }
}
