//! What connectors know beside the rows of a table, and columns of it.

use datafusion_common::{Column as PlanColumn, TableReference};
use datafusion_expr::Expr;

use super::Bound;
use crate::{
    error::SqlError,
    function::checked_cast,
    parse::{ColumnSource, CreateTable},
    types::{Kind, STRING, Type},
};

/// What the filesystem knows of a file.
pub(crate) const FILES: &[(&str, Kind)] = &[
    ("file.path", STRING),
    ("file.name", STRING),
    ("file.size", Kind::BigInt),
    ("file.modification-time", Kind::TimestampLtz(3)),
];

/// The type in which a connector gives its metadata to a column that was declared to be of this type.
pub(crate) fn given(key: &str, declared: &Type) -> Type {
    let known = FILES.iter().find(|(known, _)| *known == key).map(|(_, kind)| kind.clone());
    Type { kind: known.unwrap_or_else(|| declared.kind.clone()), nullable: declared.nullable }
}

/// The cells of a table with metadata of other types than their columns were declared to be, and their casts.
///
/// # Errors
/// If there is no such cast.
pub(super) fn casts(table: &CreateTable) -> Result<Vec<(PlanColumn, Expr)>, SqlError> {
    let mut casts = Vec::new();
    for column in &table.columns {
        let ColumnSource::Metadata { data_type, key, .. } = &column.source else { continue };
        let given = given(key, data_type);
        if given.kind == data_type.kind {
            continue;
        }
        let qualifier = TableReference::bare(table.name.value.as_str());
        let cell = PlanColumn::new(Some(qualifier), &column.name.value);
        let bound = Bound { expr: Expr::Column(cell.clone()), data_type: given.clone() };
        let bound = checked_cast(bound, &data_type.kind, false).map_err(|error| {
            let Type { kind, .. } = given;
            SqlError::at(
                &column.name,
                format!("the metadata '{key}' are {kind}, and {error}: declare the column so"),
            )
        })?;
        casts.push((cell, bound.expr));
    }
    Ok(casts)
}
