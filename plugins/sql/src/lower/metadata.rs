//! Columns of what a connector knows beside the rows.

use crate::{
    bind::metadata::FILES,
    error::SqlError,
    parse::{ColumnDefinition, ColumnSource, CreateTable},
};

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

/// Checks that the connector of a table that is read knows its metadata, each of which is one column.
pub(super) fn check(table: &CreateTable) -> Result<(), SqlError> {
    for column in &table.columns {
        let ColumnSource::Metadata { key, .. } = &column.source else { continue };
        let (connector, _) = table.connector()?;
        if connector != "filesystem" {
            let message = format!("the connector '{connector}' has no metadata columns");
            return Err(SqlError::at(&column.name, message));
        }
        if !FILES.iter().any(|(known, _)| known == key) {
            let keys: Vec<_> = FILES.iter().map(|(key, _)| *key).collect();
            let message = format!("there is no metadata '{key}': there are {}", keys.join(", "));
            return Err(SqlError::at(&column.name, message));
        }
        let is_first = |other: &&ColumnDefinition| matches!(&other.source, ColumnSource::Metadata { key: of, .. } if of == key);
        match table.columns.iter().find(is_first) {
            Some(first) if first.name.value != column.name.value => {
                let (first, second) = (&first.name.value, &column.name.value);
                let message = format!(
                    "the columns `{first}` and `{second}` are both of the metadata '{key}': compute one of them, as in \
                     `{second}` AS `{first}`"
                );
                return Err(SqlError::at(&column.name, message));
            }
            _ => {}
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
