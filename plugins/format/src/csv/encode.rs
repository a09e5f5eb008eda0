//! From rows to text.

use millstream_sdk::prelude::ValidPage;

use super::Dialect;
use crate::{
    Columns,
    columns::{Column, Kind},
    text::push_cell,
};

/// Adds the header line.
pub fn push_header(out: &mut Vec<u8>, columns: &Columns, dialect: Dialect) {
    for (i, column) in columns.fields.iter().enumerate() {
        if i > 0 {
            out.push(dialect.delimiter);
        }
        push_field(out, column.name.as_bytes(), dialect);
    }
    out.push(b'\n');
}

/// Adds a row of a page: NULL is `null`, which may be nothing, the empty text and the empty list two quotes. Of
/// columns that [`check`](super::check) refuses nothing is written. `cell` is scratch.
pub fn push_row(
    out: &mut Vec<u8>,
    columns: &Columns,
    page: &ValidPage<'_>,
    row: usize,
    (dialect, null): (Dialect, &str),
    cell: &mut Vec<u8>,
) {
    for (i, column) in columns.fields.iter().enumerate() {
        if i > 0 {
            out.push(dialect.delimiter);
        }
        cell.clear();
        if is_null(column, page, row) {
            out.extend_from_slice(null.as_bytes());
            continue;
        }
        match &column.kind {
            Kind::List(element) => {
                for (i, place) in page.column(column.index).lists().at(row).enumerate() {
                    if i > 0 {
                        cell.push(dialect.element_delimiter);
                    }
                    if !is_null(element, page, place) {
                        push_cell(cell, &element.data_type, &page.column(element.index), place);
                    }
                }
            }
            _ => push_cell(cell, &column.data_type, &page.column(column.index), row),
        }
        push_field(out, cell, dialect);
    }
    out.push(b'\n');
}

fn is_null(column: &Column, page: &ValidPage<'_>, row: usize) -> bool {
    column.nullable && !page.column(column.index).validity().is_valid(row)
}

/// Adds a field, in quotes only if it has to be; the empty text is two quotes.
pub fn push_field(out: &mut Vec<u8>, field: &[u8], dialect: Dialect) {
    let Dialect { delimiter, quote, .. } = dialect;
    let special = |byte: &u8| *byte == delimiter || *byte == quote || matches!(byte, b'\n' | b'\r');
    if !field.is_empty() && !field.iter().any(special) {
        return out.extend_from_slice(field);
    }
    out.push(quote);
    for byte in field {
        if *byte == quote {
            out.push(quote);
        }
        out.push(*byte);
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let quoted = |field: &str| {
            let mut out = Vec::new();
            push_field(&mut out, field.as_bytes(), Dialect::default());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
    }
}
