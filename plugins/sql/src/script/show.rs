//! What SHOW, DESCRIBE and EXPLAIN give: rows like those of a query.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringViewArray};
use sqlparser::ast::Ident;

use super::settings::Settings;
use crate::{
    bind::Binder,
    catalog::{Catalog, Entry},
    error::SqlError,
    function,
    lower::rows_of,
    parse::{ColumnSource, Shown},
    relation::Rel,
};

/// The rows of SHOW: names in order.
pub(super) fn show(shown: &Shown, catalog: &Catalog, settings: &Settings) -> Result<Rel, SqlError> {
    let (shown, like) = match shown {
        Shown::Like(shown, pattern, not) => (&**shown, Some((pattern, *not))),
        shown => (shown, None),
    };
    let names = |column: &str, mut names: Vec<&str>| {
        if let Some((pattern, not)) = like {
            names.retain(|name| is_like(name, pattern) != not);
        }
        rows_of([column], vec![texts(names)])
    };
    match shown {
        Shown::Like(..) => Err(SqlError::new("SHOW takes one LIKE")),
        Shown::Tables => {
            let mut all: Vec<_> = catalog.names(false).chain(catalog.names(true)).collect();
            all.sort_unstable();
            names("table name", all)
        }
        Shown::Views => names("view name", catalog.names(true).collect()),
        Shown::Functions => {
            let mut all = function::names();
            all.extend(catalog.functions.names());
            all.sort_unstable();
            all.dedup();
            names("function name", all.iter().map(String::as_str).collect())
        }
        Shown::UserFunctions => {
            let all: Vec<String> = catalog.functions.names().collect();
            names("function name", all.iter().map(String::as_str).collect())
        }
        Shown::Settings => {
            let (keys, values): (Vec<_>, Vec<_>) = settings.iter().unzip();
            rows_of(["key", "value"], vec![texts(keys), texts(values)])
        }
        Shown::CreateTable(name) => text(&catalog.table(name)?.to_string()),
        Shown::CreateView(name) => match catalog.find(name)? {
            Entry::View { columns, query } => {
                let columns: Vec<_> = columns.iter().map(|name| quoted(&name.value)).collect();
                let columns = match columns.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", columns.join(", ")),
                };
                text(&format!("CREATE VIEW {}{columns} AS\n{query}", quoted(&name.value)))
            }
            Entry::Table(_) => {
                let message = format!("`{}` is a table: SHOW CREATE TABLE", name.value);
                Err(SqlError::at(name, message))
            }
        },
    }
}

/// One row with one text.
pub(super) fn text(text: &str) -> Result<Rel, SqlError> {
    rows_of(["result"], vec![texts([text])])
}

/// A row for each column of a table or view, as in Flink: types without NOT NULL, which has a column of its own.
pub(super) fn describe(name: &Ident, catalog: &Catalog) -> Result<Rel, SqlError> {
    let columns = Binder::new(catalog).table(name)?.columns;
    let table = match catalog.find(name)? {
        Entry::Table(table) => Some(table),
        Entry::View { .. } => None,
    };
    let keys = table.map(|table| &table.primary_key[..]).unwrap_or_default();
    let is_key = |name: &str| keys.iter().any(|key| key.value == name);
    let key_names: Vec<_> = keys.iter().map(|key| key.value.as_str()).collect();
    let key_names = format!("PRI({})", key_names.join(", "));
    let watermark = table.and_then(|table| table.watermark.as_ref());
    let (mut names, mut types, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut key, mut extras, mut watermarks) = (Vec::new(), Vec::new(), Vec::new());
    for column in &columns {
        let name = column.name.as_str();
        let watermark = watermark.filter(|watermark| watermark.column.value == name);
        let rowtime = if watermark.is_some() { " *ROWTIME*" } else { "" };
        names.push(name);
        types.push(format!("{}{rowtime}", column.data_type.kind));
        nulls.push(column.data_type.nullable);
        key.push(is_key(name).then_some(key_names.as_str()));
        let mut declared = table.into_iter().flat_map(|table| &table.columns);
        let declared = declared.find(|declared| declared.name.value == name);
        extras.push(declared.and_then(|declared| match &declared.source {
            ColumnSource::Computed(expression) => Some(format!("AS {expression}")),
            ColumnSource::Physical(_) => None,
            ColumnSource::Metadata { key, is_virtual, .. } => {
                let from = match key == name {
                    true => String::new(),
                    false => format!(" FROM '{key}'"),
                };
                let is_virtual = if *is_virtual { " VIRTUAL" } else { "" };
                Some(format!("METADATA{from}{is_virtual}"))
            }
        }));
        watermarks.push(watermark.map(|watermark| watermark.expression.to_string()));
    }
    rows_of(
        ["name", "type", "null", "key", "extras", "watermark"],
        vec![
            texts(names),
            texts(types),
            Arc::new(BooleanArray::from(nulls)),
            Arc::new(StringViewArray::from_iter(key)),
            Arc::new(StringViewArray::from_iter(extras)),
            Arc::new(StringViewArray::from_iter(watermarks)),
        ],
    )
}

fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(texts))
}

/// Whether a name is like a pattern, in which `%` stands for anything and `_` for a letter.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('%') => name
            .char_indices()
            .map(|(at, _)| at)
            .chain([name.len()])
            .any(|at| name.get(at..).is_some_and(|rest| is_like(rest, letters.as_str()))),
        Some(letter) => {
            let mut rest = name.chars();
            rest.next().is_some_and(|found| letter == '_' || found == letter)
                && is_like(rest.as_str(), letters.as_str())
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
