//! `CREATE TABLE … AS query`.

use sqlparser::ast::{Ident, Query};

use crate::{
    bind::Binder,
    catalog::Catalog,
    error::{SqlError, suggestion},
    parse::{ColumnDefinition, ColumnSource, CreateTable},
};

/// Adds the table to the catalog, with the columns of the query behind its own, which come from the query if they
/// are called alike; in `order`, if that names them. Gives the table's name, and those of the query's columns.
///
/// # Errors
/// If the query is wrong, or the table contradicts it.
pub(super) fn table_as(
    catalog: &mut Catalog,
    mut table: CreateTable,
    order: &[Ident],
    query: &Query,
) -> Result<(Ident, Vec<Ident>), SqlError> {
    let bound = Binder::new(catalog).query(query)?.columns;
    let mut names = Vec::new();
    for column in &bound {
        let name = Ident { value: column.name.clone(), ..table.name.clone() };
        if !table.columns.iter().any(|own| own.name.value == column.name) {
            let source = ColumnSource::Physical(column.data_type.clone());
            table.columns.push(ColumnDefinition { name: name.clone(), source });
        }
        names.push(name);
    }
    if !order.is_empty() {
        table.columns = ordered(table.columns, order)?;
    }
    let name = table.name.clone();
    catalog.add_table(table)?;
    Ok((name, names))
}

/// The columns in the order of their names.
fn ordered(
    columns: Vec<ColumnDefinition>,
    order: &[Ident],
) -> Result<Vec<ColumnDefinition>, SqlError> {
    let ordered = order.iter().map(|name| {
        let column = columns.iter().find(|column| column.name.value == name.value);
        column.cloned().ok_or_else(|| {
            let known = columns.iter().map(|column| column.name.value.as_str());
            let near = suggestion(&name.value, known);
            SqlError::at(name, format!("the query has no column `{}`{near}", name.value))
        })
    });
    let ordered = ordered.collect::<Result<Vec<_>, _>>()?;
    let is_named = |column: &&ColumnDefinition| order.iter().any(|n| n.value == column.name.value);
    match columns.iter().find(|column| !is_named(column)) {
        None => Ok(ordered),
        Some(column) => Err(SqlError::at(
            &column.name,
            format!("the names of the table's columns leave `{}` out", column.name.value),
        )),
    }
}
