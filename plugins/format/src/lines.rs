//! Plain text: each line is a row of one column.

use millstream_sdk::{
    Error,
    data::types::{DataType, Schema},
};
use simdutf8::compat::from_utf8;

use crate::{Largest, RecordError, Rows, Step};

/// Whether a schema is one column of text.
///
/// # Errors
/// If it is not.
pub fn check_schema(schema: &Schema) -> Result<(), Error> {
    match schema.fields.as_slice() {
        [field] if field.data_type == DataType::String => Ok(()),
        _ => Err(Error::new(format!(
            "lines of text are one column of STRING, but the columns are {schema}"
        ))),
    }
}

/// The line that begins at `start`, without its end, and where the next one begins; `None` if its end has not come
/// yet. With `last` the end of the data ends it, too.
pub fn line(data: &[u8], start: usize, last: bool) -> Option<(&[u8], usize)> {
    let rest = data.get(start..).unwrap_or(&[]);
    let (line, end) = match memchr::memchr(b'\n', rest) {
        Some(at) => (&rest[..at], start + at + 1),
        None if last => (rest, data.len()),
        None => return None,
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), end))
}

/// Adds the line that begins at `start`, without its end. With `last` the end of the data ends it,
/// too. Empty lines are rows.
///
/// # Errors
/// If the line is not UTF-8.
pub fn record(
    data: &[u8],
    start: usize,
    last: bool,
    rows: &mut Rows<'_>,
) -> Result<Step, RecordError> {
    let Some((line, end)) = line(data, start, last) else { return Ok(Step::Incomplete) };
    let text = from_utf8(line)
        .map_err(|_| RecordError { message: "the line is not UTF-8 text".into(), lines: 0 })?;
    if rows.put_str(0, text).is_err() {
        return Ok(Step::Full);
    }
    rows.commit();
    Ok(Step::Row(end))
}

/// The error for a line that is larger than `limit` bytes; `line` begins with it.
pub fn too_large(line: &[u8], limit: usize) -> RecordError {
    let end = memchr::memchr(b'\n', line);
    let mut largest = Largest::default();
    largest.consider(end.unwrap_or(line.len()), end.is_none(), || "line".into());
    largest.error(limit)
}
