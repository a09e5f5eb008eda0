//! From rows with kinds to objects that say what becomes of the row within.

use millstream_sdk::{data::page::RowKind, prelude::ValidPage};

use super::encode::push_object;
use crate::{Columns, change};

/// Adds a row of a page as a line of `changelog-json`: `{"data":{...},"op":"+I"}`. A page without
/// kinds has rows that are inserted. `cell` is scratch.
pub fn push_changelog(
    out: &mut Vec<u8>,
    columns: &Columns,
    page: &ValidPage<'_>,
    row: usize,
    cell: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"data\":");
    push_object(out, columns, page, row, cell);
    out.extend_from_slice(b",\"op\":\"");
    out.extend_from_slice(change::sign(page.row_kind(row)).as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Adds a row of a page as a line of `debezium-json`, as Flink writes it: an update is the deletion
/// of the row before, `{"before":{...},"after":null,"op":"d"}`, and the creation of the row after,
/// `{"before":null,"after":{...},"op":"c"}`. `cell` is scratch.
pub fn push_debezium(
    out: &mut Vec<u8>,
    columns: &Columns,
    page: &ValidPage<'_>,
    row: usize,
    cell: &mut Vec<u8>,
) {
    match page.row_kind(row) {
        RowKind::Insert | RowKind::UpdateAfter => {
            out.extend_from_slice(b"{\"before\":null,\"after\":");
            push_object(out, columns, page, row, cell);
            out.extend_from_slice(b",\"op\":\"c\"}\n");
        }
        RowKind::UpdateBefore | RowKind::Delete => {
            out.extend_from_slice(b"{\"before\":");
            push_object(out, columns, page, row, cell);
            out.extend_from_slice(b",\"after\":null,\"op\":\"d\"}\n");
        }
    }
}
