//! Tables that are like others.

use sqlparser::ast::Ident;

use crate::{
    error::SqlError,
    parse::{ColumnSource, CreateTable, Feature, Like, Merging},
};

/// The table `base` as far as it is taken over, with what `table` adds.
///
/// # Errors
/// If something is in both, and neither was said to count.
pub(super) fn merge(
    base: CreateTable,
    mut table: CreateTable,
    like: &Like,
) -> Result<CreateTable, SqlError> {
    let of = |feature| like.merging(feature);
    let twice = |place: &Ident, what: &str, feature: &str, overwriting: bool| {
        let or = if overwriting { format!(" or OVERWRITING {feature}") } else { String::new() };
        let base = &base.name.value;
        let message = format!(
            "`{base}`, which the table is LIKE, has {what} already: add EXCLUDING {feature}{or}"
        );
        SqlError::at(place, message)
    };
    let mut columns = Vec::new();
    for column in base.columns {
        let feature = match column.source {
            ColumnSource::Physical(_) => None,
            ColumnSource::Computed(_) => Some((Feature::Generated, "GENERATED")),
            ColumnSource::Metadata { .. } => Some((Feature::Metadata, "METADATA")),
        };
        let own = table.columns.iter().position(|own| own.name.value == column.name.value);
        match (feature, own) {
            (Some((feature, _)), _) if of(feature) == Merging::Excluding => {}
            (_, None) => columns.push(column),
            (Some((feature, _)), Some(own)) if of(feature) == Merging::Overwriting => {
                columns.push(table.columns.remove(own));
            }
            (Some((_, feature)), Some(own)) => {
                let what = format!("a column `{}`", column.name.value);
                return Err(twice(&table.columns[own].name, &what, feature, true));
            }
            (None, Some(own)) => {
                let (name, base) = (&table.columns[own].name, &base.name.value);
                let message = format!(
                    "`{base}`, which the table is LIKE, has a column `{}` already",
                    name.value
                );
                return Err(SqlError::at(name, message));
            }
        }
    }
    columns.append(&mut table.columns);
    let watermark = match (of(Feature::Watermarks), base.watermark, table.watermark) {
        (Merging::Including, Some(_), Some(own)) => {
            return Err(twice(&own.column, "a watermark", "WATERMARKS", true));
        }
        (Merging::Excluding, _, own) | (_, None, own) => own,
        (_, base, own) => own.or(base),
    };
    let primary_key = match (of(Feature::Constraints), &table.primary_key[..]) {
        (Merging::Excluding, _) => table.primary_key,
        (_, []) => base.primary_key,
        (_, [first, ..]) if !base.primary_key.is_empty() => {
            return Err(twice(first, "a primary key", "CONSTRAINTS", false));
        }
        _ => table.primary_key,
    };
    // As in Flink, EXCLUDING PARTITIONS only makes room for those of the table itself.
    let partitioned_by = match (of(Feature::Partitions), &table.partitioned_by[..]) {
        (_, []) => base.partitioned_by,
        (Merging::Including, [first, ..]) if !base.partitioned_by.is_empty() => {
            return Err(twice(first, "partitions", "PARTITIONS", false));
        }
        _ => table.partitioned_by,
    };
    let mut options = match of(Feature::Options) {
        Merging::Excluding => Vec::new(),
        _ => base.options,
    };
    let is_own = |key: &String| table.options.iter().any(|(other, _)| other == key);
    if let (Merging::Including, Some((key, _))) =
        (of(Feature::Options), options.iter().find(|(key, _)| is_own(key)))
    {
        let what = format!("the option '{key}'");
        let place = Ident { span: table.options_span, ..table.name.clone() };
        return Err(twice(&place, &what, "OPTIONS", true));
    }
    options.retain(|(key, _)| !is_own(key));
    options.extend(table.options);
    Ok(CreateTable {
        columns,
        options,
        watermark,
        primary_key,
        partitioned_by,
        like: None,
        ..table
    })
}
