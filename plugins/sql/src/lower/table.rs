//! Tables as connectors read and write them.

use millstream_data::types::{DataType, Field, Schema};
use millstream_dataflow::Connector;

use super::watermark_options::is_of_watermarks;
use crate::{
    error::SqlError,
    parse::CreateTable,
    types::{Kind, Type},
};

/// Whether CSV files begin with a header line.
const HEADER: &str = "csv.header";
/// Whether an empty field is NULL in a column of texts, too, which it is not in Flink.
const EMPTY: &str = "csv.empty-is-null";

/// The connector of a table.
pub(crate) fn connector(table: &CreateTable) -> Result<Connector, SqlError> {
    let (name, mut options) = table.connector()?;
    let value = |wanted: &str| {
        options.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    };
    // Flink's CSV has no header line: the order of the columns is that of the declaration. Files that do have
    // one say so with an option of ours, and their columns are found by name.
    let header = value(HEADER) == Some("true");
    let is_said = value("format") != Some("csv") || value(EMPTY).is_some();
    if value("format") == Some("csv") && value("csv.columns").is_none() && !header {
        let delimiter = value("csv.field-delimiter").unwrap_or(",");
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        // Those that name directories are not in the files.
        let in_files = |name: &&str| !table.partitioned_by.iter().any(|key| key.value == **name);
        let names = table.physical().into_iter().map(|(name, _)| name).filter(in_files);
        let names: Vec<_> = names.map(quoted).collect();
        options.push(("csv.columns".into(), names.join(delimiter)));
    }
    if !is_said {
        options.push((EMPTY.into(), "false".into()));
    }
    options.retain(|(key, _)| !is_of_watermarks(key));
    options.retain(|(key, value)| key != HEADER || !matches!(value.as_str(), "true" | "false"));
    if !table.partitioned_by.is_empty() {
        let names: Vec<_> = table.partitioned_by.iter().map(|name| name.value.as_str()).collect();
        options.push(("partition-by".into(), names.join(",")));
    }
    let known = table.metadata();
    if !known.is_empty() {
        options.push(("metadata".into(), known.join("\n")));
    }
    let connector = Connector::new(name);
    Ok(options.into_iter().fold(connector, |connector, (key, value)| connector.option(key, value)))
}

/// The columns of a table as far as they are read; one at least, since rows without columns are no rows.
pub(super) fn pruned(table: &CreateTable, paths: &[Vec<String>]) -> Schema {
    // What the connector knows beside the rows comes last.
    let mut physical = table.readable();
    physical.sort_by_key(|(name, _)| table.is_beside(name));
    let keep = |name: &str, data_type: &Type| {
        let below: Vec<&[String]> = paths
            .iter()
            .filter(|path| path.first().is_some_and(|first| first == name))
            .map(|path| &path[1..])
            .collect();
        pruned_field(name, data_type, &below)
    };
    let mut fields: Vec<Field> =
        physical.iter().filter_map(|(name, data_type)| keep(name, data_type)).collect();
    if fields.first().is_none_or(|field| table.is_beside(&field.name)) {
        fields.splice(0..0, physical.first().and_then(|(name, data_type)| data_type.field(name)));
    }
    let schema = Schema::new(fields);
    if table.is_changelog() { schema.with_row_kinds() } else { schema }
}

/// A column with those of its fields that are read: the paths are within it. `None` if none is.
fn pruned_field(name: &str, data_type: &Type, paths: &[&[String]]) -> Option<Field> {
    if paths.is_empty() {
        return None;
    }
    let is_whole = paths.iter().any(|path| path.is_empty());
    let Kind::Row(fields) = &data_type.kind else { return data_type.field(name) };
    if is_whole {
        return data_type.field(name);
    }
    let kept = fields.iter().filter_map(|(name, data_type)| {
        let below = paths.iter().filter(|path| path.first() == Some(name));
        let below: Vec<&[String]> = below.map(|path| &path[1..]).collect();
        pruned_field(name, data_type, &below)
    });
    let field = Field::new(name, DataType::Row(kept.collect()));
    Some(if data_type.nullable { field.nullable() } else { field })
}
