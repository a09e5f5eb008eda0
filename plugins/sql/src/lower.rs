//! From plans to relations, and from these to streams of the engine.

mod aggregate;
mod enforce;
mod join;
mod metadata;
mod over;
mod rank;
mod scan;
mod set_operation;
mod stream;
mod table;
mod temporal;
mod unnest;
mod values;
mod watermark;
mod watermark_options;
mod window;

use std::sync::Arc;

use arrow::datatypes::{DataType as Arrow, Field as ArrowField, Schema as ArrowSchema, TimeUnit};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, LogicalPlan, TableScan, execution_props::ExecutionProps};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr, expressions::Column};
use millstream_arrow::arrow_type;
use millstream_data::types::{DataType, Field, Schema};

pub(crate) use enforce::{Enforced, Lengths};
pub(crate) use metadata::check_written;
pub(crate) use stream::Streams;
pub(crate) use table::connector;
pub(crate) use values::rows_of;
use watermark::Needed;
use watermark_options::WatermarkOptions;

use crate::{
    bind::{
        self, GroupedWindow, Lived, Matched, Over, RowNumber, TemporalJoin, Unnested, Windowed,
        planning, scan_of, watermark::CURRENT,
    },
    calc::Step,
    error::SqlError,
    plan::optimize,
    relation::{RANK, Rel},
    types::Type,
};

/// What makes the rows of a query; `fields` are its columns.
///
/// # Errors
/// If a column cannot be stored, or an operator is not supported.
pub(crate) fn relation(
    query: &bind::Relation,
    fields: &[(&str, &Type)],
    Running { mode, life, idle, time, .. }: Running,
) -> Result<Rel, SqlError> {
    let field = |(name, data_type): &(&str, &Type)| {
        data_type.field(name).ok_or_else(|| {
            let kind = &data_type.kind;
            SqlError::new(format!(
                "the column `{name}` is {kind}, which cannot be stored: use CAST"
            ))
        })
    };
    let fields = fields.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let asked = Asked { rank: true, time, mode, life, idle };
    let rel = lower(&optimize(&query.plan)?, asked)?;
    let rel = rel.map_or_else(|| values::no_rows(&fields), Ok)?;
    let row_kinds = rel.updates().is_some();
    Ok(rel.with_schema(Schema { fields, row_kinds }))
}

/// When rows are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As soon as they are known, and again when they change.
    Streaming,
    /// When the input has ended, if they may change before. No row is late.
    Batch,
}

/// How a script's queries run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) mode: Mode,
    /// How long state is kept after it was last written, in milliseconds; `None` for ever.
    pub(crate) life: Option<i64>,
    /// After how many milliseconds without a row a subtask of a table no longer holds the watermark back.
    pub(crate) idle: Option<u64>,
    /// Whether who takes the rows asks for event time.
    pub(crate) time: bool,
    /// What tables that are written see to.
    pub(crate) enforced: Enforced,
}

/// What the operators above ask of rows.
#[derive(Clone, Copy)]
struct Asked {
    /// For the column [`RANK`]: without, it need not be there, and is the last one if it is.
    rank: bool,
    /// For event time.
    time: bool,
    mode: Mode,
    /// How long what is kept lives, if nothing else is said of an operator.
    life: Option<i64>,
    /// See [`Running`].
    idle: Option<u64>,
}

impl Asked {
    /// The same, and for all columns.
    fn all(self) -> Self {
        Self { rank: true, ..self }
    }
}

/// What makes the rows of a plan; `None` if there are none.
fn lower(plan: &LogicalPlan, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let rel = operator(plan, asked)?;
    Ok(rel.map(|rel| match asked.mode {
        Mode::Batch if rel.updates().is_some() => Rel::Final { input: Box::new(rel) },
        Mode::Batch => rel,
        Mode::Streaming => rel.living([asked.life; 2]),
    }))
}

fn operator(plan: &LogicalPlan, asked: Asked) -> Result<Option<Rel>, SqlError> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let rows = self::scan(scan, asked)?;
            match (asked.mode, rows.updates()) {
                (Mode::Batch, Some(cause)) => Err(SqlError::new(format!(
                    "batch mode reads tables of rows that only come, but this is {cause}"
                ))),
                _ => Ok(Some(rows)),
            }
        }
        LogicalPlan::SubqueryAlias(alias) => lower(&alias.input, asked),
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter();
            let inputs = inputs.filter_map(|input| lower(input, asked.all()).transpose());
            Ok(unite(inputs.collect::<Result<_, _>>()?))
        }
        LogicalPlan::Filter(filter) => {
            let (condition, schema) = (&filter.predicate, filter.input.schema());
            let rank = asked.rank || mentions(condition, RANK);
            let Some(input) = lower(&filter.input, Asked { rank, ..asked })? else {
                return Ok(None);
            };
            filtered(input, condition, schema).map(Some)
        }
        LogicalPlan::Projection(projection) => {
            let rank = projection.expr.iter().any(|column| mentions(column, RANK));
            let Some(input) = lower(&projection.input, Asked { rank, ..asked })? else {
                return Ok(None);
            };
            let schema = projection.input.schema();
            let columns = projection.expr.iter().zip(projection.schema.fields());
            let columns = columns
                .map(|(column, field)| Ok((field.name().clone(), physical(column, schema)?)));
            project(input, columns.collect::<Result<_, _>>()?, schema.as_arrow()).map(Some)
        }
        LogicalPlan::Join(join) => join::join(join, asked),
        LogicalPlan::Aggregate(aggregate) => match GroupedWindow::of(aggregate) {
            Some(grouped) => window::windows(aggregate, &grouped, asked),
            None => aggregate::aggregate(aggregate, asked),
        },
        LogicalPlan::Values(values) => values::values(values).map(Some),
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => values::one_row().map(Some),
        LogicalPlan::EmptyRelation(_) => Ok(None),
        other if let Some(lived) = Lived::in_plan(other) => {
            let rows = lower(&lived.input, asked)?;
            Ok(rows.map(|rows| match asked.mode {
                Mode::Streaming => rows.hinted(lived.life),
                Mode::Batch => rows,
            }))
        }
        other if let Some(over) = Over::in_plan(other) => over::over(over, asked),
        other if let Some(join) = TemporalJoin::in_plan(other) => temporal::join(join, asked),
        other if let Some(unnested) = Unnested::in_plan(other) => unnest::rows(unnested, asked),
        other if let Some(matched) = Matched::in_plan(other) => {
            set_operation::matched(matched, asked)
        }
        other => match (RowNumber::in_plan(other), Windowed::in_plan(other)) {
            (Some(rows), _) => rank::top_n(rows, asked),
            (None, Some(windowed)) => window::rows(windowed, asked),
            (None, None) => {
                let shown = other.display().to_string();
                Err(SqlError::new(format!("the query needs what is not supported yet: {shown}")))
            }
        },
    }
}

/// Whether an expression is about a column of this name.
fn mentions(expression: &Expr, name: &str) -> bool {
    expression.column_refs().iter().any(|column| column.name == name)
}

/// The cells of a table; with its watermark if event time is asked for.
fn scan(scan: &TableScan, asked: Asked) -> Result<Rel, SqlError> {
    let source = scan_of(&*scan.source)
        .ok_or_else(|| SqlError::new("a scan of something that is no table"))?;
    let table = &source.table;
    metadata::check(table)?;
    let all: Vec<usize> = (0..source.paths.len()).collect();
    let mut read = scan.projection.as_ref().unwrap_or(&all).clone();
    let width = read.len();
    let is_mark = |at: &usize| source.paths.get(*at).is_some_and(|path| is_current(path));
    let marked = read.iter().any(is_mark);
    if marked && asked.mode == Mode::Batch {
        return Err(SqlError::new(
            "CURRENT_WATERMARK has no meaning in batch mode, where there are no watermarks",
        ));
    }
    let time = (asked.time || marked) && asked.mode == Mode::Streaming;
    let time = time.then_some(asked.idle);
    let needed = if time.is_some() { Needed::of(source)? } else { None };
    if let Some(needed) = &needed {
        needed.read(source, &mut read);
    }
    // What a table says of itself counts more than what is set for all.
    let idle = match WatermarkOptions::of(table)?.idle {
        Some(millis) => Some(millis).filter(|millis| *millis > 0),
        None => time.flatten(),
    };
    let watermark = needed.map(|needed| needed.over(source, &read, idle)).transpose()?;
    let paths: Vec<_> = read.iter().filter_map(|at| source.paths.get(*at).cloned()).collect();
    let cells: Vec<_> = paths.iter().filter(|path| !is_current(path)).cloned().collect();
    let leaves = scan::leaves(table, &table::pruned(table, &cells), &cells)?;
    let mut fields = leaves.into_iter().map(|leaf| {
        let field = Field::new(leaf.path.join("."), leaf.data_type);
        if leaf.nullable { field.nullable() } else { field }
    });
    let mark = Field::new(CURRENT, DataType::Timestamp { precision: 3 }).nullable();
    let fields = paths.iter().filter_map(|path| match is_current(path) {
        true => Some(mark.clone()),
        false => fields.next(),
    });
    let schema = Schema::new(fields.collect());
    let rows = Rel::Scan { table: Box::new(table.clone()), paths, schema, watermark };
    match read.len() > width {
        true => pick(rows, &(0..width).collect::<Vec<_>>()),
        false => Ok(rows),
    }
}

/// Whether a cell is the watermark in front of its row.
fn is_current(path: &[String]) -> bool {
    path == [CURRENT]
}

/// The rows of all, whose columns have the same types; NULL may be in each in which one of them may have it.
fn unite(inputs: Vec<Rel>) -> Option<Rel> {
    let mut schemas = inputs.iter().map(Rel::schema);
    let mut whole = schemas.next()?;
    for schema in schemas {
        whole.row_kinds |= schema.row_kinds;
        for (field, other) in whole.fields.iter_mut().zip(schema.fields) {
            field.nullable |= other.nullable;
        }
    }
    Some(Rel::Union(inputs.into_iter().map(|input| input.with_schema(whole.clone())).collect()))
}

/// The rows for which a condition is true.
fn filtered(input: Rel, condition: &Expr, schema: &DFSchema) -> Result<Rel, SqlError> {
    let columns = input.schema().fields;
    Ok(input.step(Step::Filter(physical(condition, schema)?), &columns))
}

/// Rows of these columns, which are computed of an input whose arrays have this schema; the input itself, if
/// they are its own.
fn project(
    input: Rel,
    columns: Vec<(String, Arc<dyn PhysicalExpr>)>,
    schema: &ArrowSchema,
) -> Result<Rel, SqlError> {
    let from = input.schema().fields;
    let own = columns.iter().zip(&from).enumerate().all(|(i, ((name, column), field))| {
        let at = column.downcast_ref::<Column>().map(Column::index);
        at == Some(i) && *name == field.name
    });
    if own && columns.len() == from.len() {
        return Ok(input);
    }
    let (mut arrays, mut fields) = (Vec::new(), Vec::new());
    for (name, column) in &columns {
        // The kernels' word counts; NULL is looked for where a column must have none.
        let data_type = column.data_type(schema).map_err(|error| planning(&error))?;
        let same = column.downcast_ref::<Column>().and_then(|column| from.get(column.index()));
        fields.push(match same {
            Some(same) => Field { name: name.clone(), ..same.clone() },
            None => Field::new(name, stored(name, &data_type)?).nullable(),
        });
        arrays.push(ArrowField::new(name, data_type, true));
    }
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    Ok(input.step(Step::Project(columns, Arc::new(ArrowSchema::new(arrays))), &fields))
}

/// The rows with these of their columns, in this order.
fn pick(input: Rel, columns: &[usize]) -> Result<Rel, SqlError> {
    let from = input.schema().fields;
    let (mut picked, mut arrays, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    for at in columns {
        let field = from.get(*at).ok_or_else(|| SqlError::new("a column is not there"))?;
        let arrow = arrow_type(&field.data_type)
            .ok_or_else(|| SqlError::new(format!("the column `{}` has no array", field.name)))?;
        picked.push(Arc::new(Column::new(&field.name, *at)) as Arc<dyn PhysicalExpr>);
        arrays.push(ArrowField::new(&field.name, arrow, true));
        fields.push(field.clone());
    }
    Ok(input.step(Step::Project(picked, Arc::new(ArrowSchema::new(arrays))), &fields))
}

fn physical(expression: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    create_physical_expr(expression, input, &ExecutionProps::new(), &Default::default())
        .map_err(|error| planning(&error))
}

/// The column of the input that an expression is, if it is one.
fn column(expression: &Expr, input: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Column(column) => input.maybe_index_of_column(column),
        _ => None,
    }
}

/// The type of a column of pages for arrays of this type. Arrays do not know how many digits of a second are
/// shown; between operators nobody asks.
fn stored(name: &str, arrow: &Arrow) -> Result<DataType, SqlError> {
    Ok(match arrow {
        Arrow::Boolean => DataType::Boolean,
        Arrow::Int8 => DataType::Int8,
        Arrow::Int16 => DataType::Int16,
        Arrow::Int32 => DataType::Int32,
        Arrow::Int64 => DataType::Int64,
        Arrow::Float32 => DataType::Float32,
        Arrow::Float64 => DataType::Float64,
        Arrow::Decimal128(precision, scale) if *scale >= 0 => {
            DataType::Decimal { precision: *precision, scale: scale.unsigned_abs() }
        }
        Arrow::Date32 => DataType::Date,
        Arrow::Time32(TimeUnit::Millisecond) => DataType::Time,
        Arrow::Timestamp(TimeUnit::Microsecond, None) => DataType::Timestamp { precision: 6 },
        Arrow::Timestamp(TimeUnit::Microsecond, Some(_)) => DataType::TimestampLtz { precision: 6 },
        Arrow::Utf8View => DataType::String,
        Arrow::BinaryView => DataType::Bytes,
        other => {
            return Err(SqlError::new(format!(
                "`{name}` is kept between two operators, but its values, {other}, cannot be stored: \
                 use CAST"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_stored_as_what_they_are_lent_from() {
        for data_type in [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal { precision: 23, scale: 3 },
            DataType::Date,
            DataType::Time,
            DataType::Timestamp { precision: 6 },
            DataType::TimestampLtz { precision: 6 },
            DataType::String,
            DataType::Bytes,
        ] {
            let arrow = arrow_type(&data_type).unwrap();
            assert_eq!(stored("x", &arrow).unwrap(), data_type);
        }
        let refused = stored("x", &Arrow::Duration(TimeUnit::Microsecond)).unwrap_err();
        assert!(refused.to_string().starts_with("`x` is kept between two operators"), "{refused}");
    }
}
