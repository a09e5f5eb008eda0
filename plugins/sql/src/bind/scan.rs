//! Tables as they are read.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{
    Column as PlanColumn, TableReference,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{Expr, LogicalPlanBuilder, TableSource};

use super::{Bound, Cells, Column, Relation, metadata, planning, watermark};
use crate::{
    error::SqlError,
    parse::{ColumnSource, CreateTable},
    types::{Kind, Type},
};

/// What a scan reads: the cells of a table's physical columns, nested rows as a whole and taken apart.
#[derive(Debug)]
pub struct ScanSource {
    /// The table.
    pub table: CreateTable,
    /// Where each cell is: the names of the rows that it is nested in, and its own.
    pub paths: Vec<Vec<String>>,
    schema: SchemaRef,
}

impl TableSource for ScanSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// What a scan of a plan reads.
pub fn scan_of(source: &dyn TableSource) -> Option<&ScanSource> {
    (source as &dyn Any).downcast_ref()
}

/// The rows of a table: its physical columns, and those computed from them.
pub(super) fn scan(table: &CreateTable) -> Result<Relation, SqlError> {
    let name = table.name.value.as_str();
    let mut walk = Walk { table: name, paths: Vec::new(), fields: Vec::new() };
    let mut cells = BTreeMap::new();
    for column in &table.columns {
        let data_type = match &column.source {
            ColumnSource::Physical(data_type) => data_type.clone(),
            ColumnSource::Metadata { data_type, key, .. } => metadata::given(key, data_type),
            ColumnSource::Computed(_) => continue,
        };
        let mut path = vec![column.name.value.clone()];
        cells.insert(&column.name.value, walk.cells(&mut path, &data_type, false));
    }
    if table.watermark.is_some() {
        walk.paths.push(vec![watermark::CURRENT.to_owned()]);
        walk.fields.push(Field::new(watermark::CURRENT, Kind::Timestamp(3).arrow(), true));
    }
    let Walk { paths, fields, .. } = walk;
    let source = ScanSource { table: table.clone(), paths, schema: Arc::new(Schema::new(fields)) };
    let plan = LogicalPlanBuilder::scan(TableReference::bare(name), Arc::new(source), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| planning(&error))?;
    let physical = |column: &crate::parse::ColumnDefinition| match &column.source {
        ColumnSource::Physical(data_type) | ColumnSource::Metadata { data_type, .. } => {
            Some(Column {
                table: Some(name.to_owned()),
                name: column.name.value.clone(),
                cells: cells.get(&column.name.value)?.clone(),
                data_type: data_type.clone(),
                qualified: false,
            })
        }
        ColumnSource::Computed(_) => None,
    };
    let columns = table.columns.iter().filter_map(physical).collect();
    computed(table, Relation { plan: Arc::new(plan), columns })
}

/// Adds computed columns, which may use physical ones only, and casts metadata.
fn computed(table: &CreateTable, base: Relation) -> Result<Relation, SqlError> {
    let casts = metadata::casts(table)?;
    let cast = |of: &PlanColumn| casts.iter().find(|(cell, _)| cell == of).map(|(_, cast)| cast);
    let over_casts = |expression: Expr| {
        let made = expression.transform_up(|part| {
            Ok(match &part {
                Expr::Column(of) => match cast(of) {
                    Some(cast) => Transformed::yes(cast.clone()),
                    None => Transformed::no(part),
                },
                _ => Transformed::no(part),
            })
        });
        made.map(|made| made.data).map_err(|error| planning(&error))
    };
    let mut added = Vec::new();
    for column in &table.columns {
        if let ColumnSource::Computed(expression) = &column.source {
            let bound = base.bind(expression)?;
            let expr = over_casts(bound.expr)?;
            added.push((column.name.value.as_str(), Bound { expr, ..bound }));
        }
    }
    if added.is_empty() && casts.is_empty() {
        return Ok(base);
    }
    let mut columns = base.columns.iter();
    let mut named = Vec::new();
    for column in &table.columns {
        let computed = added.iter().find(|(name, _)| *name == column.name.value);
        match computed {
            None => named.extend(columns.next().cloned()),
            Some((name, Bound { data_type, .. })) => named.push(Column {
                table: Some(table.name.value.clone()),
                name: (*name).to_owned(),
                cells: Cells::One(PlanColumn::new_unqualified(*name)),
                data_type: data_type.clone(),
                qualified: false,
            }),
        }
    }
    let kept = base.plan.schema().columns().into_iter().map(|cell| match cast(&cell) {
        Some(cast) => cast.clone().alias_qualified(cell.relation, cell.name),
        None => Expr::Column(cell),
    });
    let made = added.into_iter().map(|(name, bound)| bound.expr.alias(name));
    let plan = LogicalPlanBuilder::from(Arc::clone(&base.plan))
        .project(kept.chain(made).collect::<Vec<_>>())
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| planning(&error))?;
    Ok(Relation { plan: Arc::new(plan), columns: named })
}

struct Walk<'a> {
    table: &'a str,
    paths: Vec<Vec<String>>,
    fields: Vec<Field>,
}

impl Walk<'_> {
    /// Where the cells of a column are; `null` if a row that it is nested in may be NULL.
    fn cells(&mut self, path: &mut Vec<String>, data_type: &Type, null: bool) -> Cells {
        let null = null || data_type.nullable;
        let name = path.join(".");
        let cell = PlanColumn::new(Some(TableReference::bare(self.table)), &name);
        self.fields.push(Field::new(&name, data_type.kind.arrow(), null));
        self.paths.push(path.clone());
        if let Kind::Row(fields) = &data_type.kind {
            let fields = fields.iter().map(|(name, data_type)| {
                path.push(name.clone());
                let cells = self.cells(path, data_type, null);
                path.pop();
                (name.clone(), cells)
            });
            return Cells::Row(cell, fields.collect());
        }
        Cells::One(cell)
    }
}
