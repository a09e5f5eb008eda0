//! The tables, views and functions of a script.

mod like;

use std::collections::BTreeMap;

use sqlparser::ast::{Ident, Query};

use crate::{
    error::{SqlError, suggestion},
    function::Functions,
    parse::{ColumnSource, CreateTable},
};

/// Options of a connector, in order.
type Options = Vec<(String, String)>;

/// Tables and views by name.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
    /// What CREATE FUNCTION has made.
    pub(crate) functions: Functions,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A table, which a connector reads or writes.
    Table(Box<CreateTable>),
    /// A query by another name.
    View {
        /// Its columns, if they were named.
        columns: Vec<Ident>,
        /// What it stands for.
        query: Box<Query>,
    },
}

impl Catalog {
    /// What a name stands for.
    ///
    /// # Errors
    /// If there is nothing of this name.
    pub fn find(&self, name: &Ident) -> Result<&Entry, SqlError> {
        self.entries.get(&name.value).ok_or_else(|| {
            let near = suggestion(&name.value, self.entries.keys().map(String::as_str));
            SqlError::at(name, format!("there is no table or view `{}`{near}", name.value))
        })
    }

    /// The table of this name.
    ///
    /// # Errors
    /// If there is none, or it is a view.
    pub fn table(&self, name: &Ident) -> Result<&CreateTable, SqlError> {
        match self.find(name)? {
            Entry::Table(table) => Ok(table),
            Entry::View { .. } => {
                Err(SqlError::at(name, format!("`{}` is a view, no table", name.value)))
            }
        }
    }

    /// The names of tables, or of views.
    pub fn names(&self, views: bool) -> impl Iterator<Item = &str> {
        let wanted = move |entry: &Entry| matches!(entry, Entry::View { .. }) == views;
        let found = self.entries.iter().filter(move |(_, entry)| wanted(entry));
        found.map(|(name, _)| name.as_str())
    }

    /// Adds a view.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add_view(
        &mut self,
        name: &Ident,
        columns: Vec<Ident>,
        query: Box<Query>,
        if_not_exists: bool,
    ) -> Result<(), SqlError> {
        self.add(name, Entry::View { columns, query }, if_not_exists)
    }

    /// Adds a table; what it is LIKE comes in front.
    ///
    /// # Errors
    /// If the name is taken, or the declaration contradicts itself.
    pub fn add_table(&mut self, table: CreateTable) -> Result<(), SqlError> {
        let table = match table.like.clone() {
            Some(like) => like::merge(self.table(&like.table)?.clone(), table, &like)?,
            None => table,
        };
        check(&table)?;
        let table = with_keys(table);
        let (name, if_not_exists) = (table.name.clone(), table.if_not_exists);
        self.add(&name, Entry::Table(Box::new(table)), if_not_exists)
    }

    /// Whether there is a table or view of this name.
    pub fn has(&self, name: &Ident) -> bool {
        self.entries.contains_key(&name.value)
    }

    fn add(&mut self, name: &Ident, entry: Entry, if_not_exists: bool) -> Result<(), SqlError> {
        if self.entries.contains_key(&name.value) {
            return match if_not_exists {
                true => Ok(()),
                false => Err(SqlError::at(name, format!("there is a `{}` already", name.value))),
            };
        }
        self.entries.insert(name.value.clone(), entry);
        Ok(())
    }

    /// Removes a table or view.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove(&mut self, name: &Ident, view: bool, if_exists: bool) -> Result<(), SqlError> {
        match self.find(name) {
            Err(error) => return if if_exists { Ok(()) } else { Err(error) },
            Ok(entry) if matches!(entry, Entry::View { .. }) != view => {
                let is = if view { "a table: DROP TABLE" } else { "a view: DROP VIEW" };
                return Err(SqlError::at(name, format!("`{}` is {is}", name.value)));
            }
            Ok(_) => {}
        }
        self.entries.remove(&name.value);
        Ok(())
    }
}

fn check(table: &CreateTable) -> Result<(), SqlError> {
    for (i, column) in table.columns.iter().enumerate() {
        if table.columns[..i].iter().any(|other| other.name.value == column.name.value) {
            let message = format!("the column `{}` is declared twice", column.name.value);
            return Err(SqlError::at(&column.name, message));
        }
    }
    let watermark = table.watermark.iter().map(|watermark| &watermark.column);
    for name in watermark.chain(&table.primary_key).chain(&table.partitioned_by) {
        if !table.columns.iter().any(|column| column.name.value == name.value) {
            let known = table.columns.iter().map(|column| column.name.value.as_str());
            let near = suggestion(&name.value, known);
            let message =
                format!("the table `{}` has no column `{}`{near}", table.name.value, name.value);
            return Err(SqlError::at(name, message));
        }
    }
    let physical = |column: &&crate::parse::ColumnDefinition| {
        matches!(column.source, ColumnSource::Physical(_))
    };
    if !table.columns.iter().any(|column| physical(&column)) {
        let message = format!("the table `{}` has no column of its own", table.name.value);
        return Err(SqlError::at(&table.name, message));
    }
    Ok(())
}

/// The table, whose PRIMARY KEY is NOT NULL, whether that was said or not.
fn with_keys(mut table: CreateTable) -> CreateTable {
    let is_key = |name: &str| table.primary_key.iter().any(|key| key.value == name);
    for column in &mut table.columns {
        if let ColumnSource::Physical(data_type) = &mut column.source {
            data_type.nullable &= !is_key(&column.name.value);
        }
    }
    table
}

impl CreateTable {
    /// The connector, by name, and its options.
    ///
    /// # Errors
    /// If there is none.
    pub fn connector(&self) -> Result<(&str, Options), SqlError> {
        let Some((_, connector)) = self.options.iter().find(|(key, _)| key == "connector") else {
            let message = format!(
                "the table `{}` has no connector: add WITH ('connector' = '…')",
                self.name.value
            );
            return Err(SqlError::at(&self.name, message));
        };
        let options = self.options.iter().filter(|(key, _)| key != "connector").cloned();
        Ok((connector, options.collect()))
    }
}
