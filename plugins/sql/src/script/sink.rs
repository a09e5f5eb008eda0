//! What a table that is written does to the rows of a query.

use crate::{
    error::SqlError,
    lower::{Mode, Running},
    parse::{CreateTable, OnConflict},
    relation::{Rel, UpsertKey},
};

/// The rows as a table takes them, with what it says of its columns; of those with the same primary key what the INSERT
/// says of conflicts.
///
/// # Errors
/// If the table takes new rows only and there are others, it knows rows by another key than the query, or there can be
/// no conflict of which something is said.
pub(super) fn taken(
    table: &CreateTable,
    rows: Rel,
    conflict: Option<OnConflict>,
    Running { mode, enforced, .. }: Running,
) -> Result<Rel, SqlError> {
    takes(table, &rows)?;
    if rows.updates().is_none() {
        // Of batch mode only the rows that are left come, and Flink takes the words.
        return match conflict.filter(|_| mode == Mode::Streaming) {
            Some(conflict) => Err(no_conflict(conflict)),
            None => enforced.rows(table, rows),
        };
    }
    let key = primary_key(table, &rows);
    let keys = rows.upsert_keys();
    // Of rows that one key of the query has there is one with the table's key, too, if that has all of its columns.
    let is_apart = |of: &UpsertKey| of.iter().all(|column| key.contains(column));
    if !key.is_empty() && !keys.iter().any(is_apart) {
        let refusal = self::conflict(table, &rows, &key);
        let conflict = conflict.ok_or(refusal)?;
        let rows = enforced.rows(table, rows)?;
        let said = several(table, &rows, &key);
        return Ok(match conflict {
            OnConflict::Deduplicate => rows.last_by(key),
            OnConflict::Nothing => rows.single_by(key, None),
            OnConflict::Error => rows.single_by(key, Some(said)),
        });
    }
    let knows = key.is_empty() || keys.contains(&key);
    let rows = if knows && takes_upserts(table)? { rows.upserting() } else { rows };
    enforced.rows(table, rows)
}

/// The rows of some jobs, where an operator that several of them read runs once.
pub(super) fn together<S>(jobs: Vec<(S, Rel)>) -> Vec<(S, Rel)> {
    let all: Vec<Rel> = jobs.iter().map(|(_, rows)| rows.clone()).collect();
    let is_used = |rows: &Rel| all.iter().any(|other| other.uses(rows));
    jobs.into_iter().map(|(sink, rows)| (sink, rows.together(&is_used))).collect()
}

/// The columns of the primary key, in order.
fn primary_key(table: &CreateTable, rows: &Rel) -> UpsertKey {
    let fields = rows.schema().fields;
    let at = |name: &str| fields.iter().position(|field| field.name == name);
    let mut key: UpsertKey = table.primary_key.iter().filter_map(|name| at(&name.value)).collect();
    key.sort_unstable();
    key
}

/// Whether the connector asks for no row as it was before an update. As in Flink `print` does, whatever its key is,
/// and a file of changes has them.
fn takes_upserts(table: &CreateTable) -> Result<bool, SqlError> {
    Ok(table.connector()?.0 == "blackhole")
}

fn conflict(table: &CreateTable, rows: &Rel, key: &UpsertKey) -> SqlError {
    let (name, key) = (&table.name.value, rows.column_sets(std::slice::from_ref(key)));
    let by = match &rows.upsert_keys()[..] {
        [] => "by no columns".to_owned(),
        keys => format!("by {}", rows.column_sets(keys)),
    };
    SqlError::new(format!(
        "the table `{name}` knows its rows by the PRIMARY KEY {key}, but the query updates them {by}, so that \
         several of its rows may have one key: write ON CONFLICT DO DEDUPLICATE behind the query, which keeps all \
         of them and writes the last one, DO NOTHING, which writes the first one, DO ERROR, or another key"
    ))
}

fn no_conflict(conflict: OnConflict) -> SqlError {
    SqlError::new(format!(
        "ON CONFLICT DO {} is about rows that are updated, but the query only adds rows: leave it away",
        conflict.name()
    ))
}

/// What a job fails with that has several rows of a key.
fn several(table: &CreateTable, rows: &Rel, key: &UpsertKey) -> String {
    format!(
        "two rows of the query have one PRIMARY KEY {} of the table `{}`: ON CONFLICT DO NOTHING writes the first one, \
         DO DEDUPLICATE the last one",
        rows.column_sets(std::slice::from_ref(key)),
        table.name.value
    )
}

/// Checks that a table takes what a query does to its rows.
fn takes(table: &CreateTable, rows: &Rel) -> Result<(), SqlError> {
    let Some(cause) = rows.updates() else { return Ok(()) };
    let (name, options) = table.connector()?;
    let format = options.iter().find(|(key, _)| key == "format").map(|(_, value)| value.as_str());
    let updated = matches!(name, "print" | "blackhole")
        || matches!(format, Some("changelog-json" | "debezium-json"));
    if updated {
        return Ok(());
    }
    let how = match format {
        Some(format) => format!("format '{format}'"),
        None => format!("connector '{name}'"),
    };
    Err(SqlError::new(format!(
        "the table `{}` only takes new rows ({how}), but the query updates and deletes rows, because of \
         {cause}: use a format that takes these, 'changelog-json' or 'debezium-json', or the connector \
         'print' or 'blackhole'",
        table.name.value
    )))
}
