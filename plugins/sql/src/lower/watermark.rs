//! The watermarks of tables.

use arrow::datatypes::Schema as ArrowSchema;
use datafusion_common::{Column, DFSchema};
use datafusion_expr::Expr;

use super::{physical, planning};
use crate::{
    bind::{EventTime, ScanSource},
    error::SqlError,
    relation::Watermark,
};

/// The event time of a table's rows, as it is bound, and which of its cells it needs.
pub(super) struct Needed(EventTime);

impl Needed {
    /// That of a table, if it has a watermark.
    pub(super) fn of(source: &ScanSource) -> Result<Option<Self>, SqlError> {
        Ok(EventTime::of(&source.table)?.map(Self))
    }

    /// Adds to the cells that are `read`, which are numbers of the source's, those that are
    /// missing.
    pub(super) fn read(&self, source: &ScanSource, read: &mut Vec<usize>) {
        let EventTime { time, mark } = &self.0;
        let name = |column: &Column| column.name.clone();
        let names = |expression: &Expr| {
            expression.column_refs().into_iter().map(name).collect::<Vec<String>>()
        };
        let needed = [names(time), names(mark)].concat();
        for (at, path) in source.paths.iter().enumerate() {
            if needed.contains(&path.join(".")) && !read.contains(&at) {
                read.push(at);
            }
        }
    }

    /// The same over the cells that are `read`.
    pub(super) fn over(
        self,
        source: &ScanSource,
        read: &[usize],
        idle: Option<u64>,
    ) -> Result<Watermark, SqlError> {
        let all = datafusion_expr::TableSource::schema(source);
        let fields = read.iter().filter_map(|at| all.fields().get(*at).cloned());
        let schema = ArrowSchema::new(fields.collect::<Vec<_>>());
        let table = datafusion_common::TableReference::bare(source.table.name.value.as_str());
        let schema = DFSchema::try_from_qualified_schema(table, &schema);
        let schema = schema.map_err(|error| planning(&error))?;
        let EventTime { time, mark } = self.0;
        Ok(Watermark { time: physical(&time, &schema)?, mark: physical(&mark, &schema)?, idle })
    }
}
