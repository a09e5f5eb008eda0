//! From rows to objects.

use millstream_sdk::{data::types::DataType, prelude::ValidPage};

use crate::{
    Columns,
    columns::{Column, Kind},
    text::push_cell,
};

/// Adds a row of a page as an object on a line. `cell` is scratch.
pub fn push_row(
    out: &mut Vec<u8>,
    columns: &Columns,
    page: &ValidPage<'_>,
    row: usize,
    cell: &mut Vec<u8>,
) {
    push_object(out, columns, page, row, cell);
    out.push(b'\n');
}

/// Adds the value of the field at this place of the schema: a scalar as it is, without quotes, a
/// nested one as JSON. `false` if it is NULL or there is no such field.
pub fn push_field(
    out: &mut Vec<u8>,
    columns: &Columns,
    field: usize,
    page: &ValidPage<'_>,
    row: usize,
) -> bool {
    let Some(column) = columns.fields.get(field) else { return false };
    if column.nullable && !page.column(column.index).validity().is_valid(row) {
        return false;
    }
    match &column.kind {
        Kind::Cell(_) => push_cell(out, &column.data_type, &page.column(column.index), row),
        _ => push_value(out, column, page, row, &mut Vec::new()),
    }
    true
}

/// Adds a row of a page as an object, without a line's end. `cell` is scratch.
pub(super) fn push_object(
    out: &mut Vec<u8>,
    columns: &Columns,
    page: &ValidPage<'_>,
    row: usize,
    cell: &mut Vec<u8>,
) {
    out.push(b'{');
    for (i, column) in columns.fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_text(out, column.name.as_bytes());
        out.push(b':');
        push_value(out, column, page, row, cell);
    }
    out.push(b'}');
}

fn push_value(
    out: &mut Vec<u8>,
    column: &Column,
    page: &ValidPage<'_>,
    row: usize,
    cell: &mut Vec<u8>,
) {
    if column.nullable && !page.column(column.index).validity().is_valid(row) {
        return out.extend_from_slice(b"null");
    }
    match &column.kind {
        Kind::Cell(_) => push_scalar(out, column, page, row, cell),
        Kind::Row(columns) => push_object(out, columns, page, row, cell),
        Kind::List(element) => {
            out.push(b'[');
            for (i, place) in page.column(column.index).lists().at(row).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_value(out, element, page, place, cell);
            }
            out.push(b']');
        }
        Kind::Map(_, columns) => {
            let [key, value] = &**columns;
            out.push(b'{');
            for (i, place) in page.column(column.index).lists().at(row).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_key(out, key, page, place, cell);
                out.push(b':');
                push_value(out, value, page, place, cell);
            }
            out.push(b'}');
        }
    }
}

/// Adds the key of a map's entry, always as text; `null` if it is NULL, as Flink's
/// `map-null-key.mode` = `LITERAL`.
fn push_key(
    out: &mut Vec<u8>,
    column: &Column,
    page: &ValidPage<'_>,
    place: usize,
    cell: &mut Vec<u8>,
) {
    let keys = page.column(column.index);
    cell.clear();
    match column.nullable && !keys.validity().is_valid(place) {
        true => cell.extend_from_slice(b"null"),
        false => push_cell(cell, &column.data_type, &keys, place),
    }
    push_text(out, cell);
}

fn push_scalar(
    out: &mut Vec<u8>,
    column: &Column,
    page: &ValidPage<'_>,
    row: usize,
    cell: &mut Vec<u8>,
) {
    cell.clear();
    push_cell(cell, &column.data_type, &page.column(column.index), row);
    // JSON has no infinity and no NaN; they are text, as what is not a number.
    let bare = match &column.data_type {
        DataType::Float32 | DataType::Float64 => cell.last().is_some_and(u8::is_ascii_digit),
        data_type => is_number(data_type),
    };
    match bare {
        true => out.extend_from_slice(cell),
        false => push_text(out, cell),
    }
}

fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Decimal { .. }
    )
}

/// Adds a string, escaped.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..0x20 => {
                out.extend(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let mut out = Vec::new();
        push_text(&mut out, "ä\"\\\n\u{1}".as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), r#""ä\"\\\n\u0001""#);
    }
}
