//! Columns of what a connector knows beside the rows.

use crate::{
    error::SqlError,
    parse::{ColumnDefinition, ColumnSource, CreateTable},
    types::{Kind, STRING},
};

/// What the filesystem knows of a file.
const FILES: &[(&str, Kind)] = &[
    ("file.path", STRING),
    ("file.name", STRING),
    ("file.size", Kind::BigInt),
    ("file.modification-time", Kind::TimestampLtz(3)),
];

impl CreateTable {
    /// Whether a column is not in the rows of the connector.
    pub(super) fn is_beside(&self, name: &str) -> bool {
        let is_metadata = |column: &&ColumnDefinition| {
            column.name.value == name && matches!(column.source, ColumnSource::Metadata { .. })
        };
        self.partitioned_by.iter().any(|key| key.value == name)
            || self.columns.iter().any(|column| is_metadata(&column))
    }

    /// The columns of metadata as the connector is told of them: `key=column`.
    pub(super) fn metadata(&self) -> Vec<String> {
        let columns = self.columns.iter().filter_map(|column| match &column.source {
            ColumnSource::Metadata { key, .. } => Some(format!("{key}={}", column.name.value)),
            _ => None,
        });
        columns.collect()
    }
}

/// Checks that the connector of a table that is read knows its metadata, of these types.
pub(super) fn check(table: &CreateTable) -> Result<(), SqlError> {
    for column in &table.columns {
        let ColumnSource::Metadata { data_type, key, .. } = &column.source else { continue };
        let (connector, _) = table.connector()?;
        if connector != "filesystem" {
            let message = format!("the connector '{connector}' has no metadata columns");
            return Err(SqlError::at(&column.name, message));
        }
        let Some((_, kind)) = FILES.iter().find(|(known, _)| known == key) else {
            let keys: Vec<_> = FILES.iter().map(|(key, _)| *key).collect();
            let message = format!("there is no metadata '{key}': there are {}", keys.join(", "));
            return Err(SqlError::at(&column.name, message));
        };
        if data_type.kind != *kind {
            let message = format!(
                "the metadata '{key}' are {kind}: declare the column so, and CAST them where they are used"
            );
            return Err(SqlError::at(&column.name, message));
        }
    }
    Ok(())
}

/// Checks that a table that is written has no metadata that were to be written.
pub(crate) fn check_written(table: &CreateTable) -> Result<(), SqlError> {
    let written = table
        .columns
        .iter()
        .find(|column| matches!(column.source, ColumnSource::Metadata { is_virtual: false, .. }));
    match written {
        None => Ok(()),
        Some(column) => Err(SqlError::at(
            &column.name,
            format!(
                "the metadata column `{}` cannot be written: declare it VIRTUAL",
                column.name.value
            ),
        )),
    }
}
