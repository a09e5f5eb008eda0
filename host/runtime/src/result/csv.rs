//! A job's result as CSV.

use std::{fmt, io::Write};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::TaskError;

use super::{ResultSink, TextColumn};

/// Writes the result as CSV (RFC 4180): a header line, fields quoted only where they must be, NULL
/// an empty field and the empty text `""`.
///
/// Nothing is written before the result is complete: a job that fails prints no part of it.
pub struct Csv<W> {
    out: W,
    columns: Vec<TextColumn>,
    text: String,
}

impl<W: Write + Send> Csv<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, columns: Vec::new(), text: String::new() }
    }
}

impl<W> fmt::Debug for Csv<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Csv({} columns)", self.columns.len())
    }
}

impl<W: Write + Send> ResultSink for Csv<W> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        self.columns = TextColumn::of(schema).map_err(|field| {
            TaskError::new(format!("the column `{field}` of the result is nested: use JSON"))
        })?;
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                self.text.push(',');
            }
            push_field(&mut self.text, column.name());
        }
        self.text.push('\n');
        Ok(())
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        let mut cell = String::new();
        for row in 0..page.rows() {
            for (i, column) in self.columns.iter().enumerate() {
                if i > 0 {
                    self.text.push(',');
                }
                cell.clear();
                let written = column.write(page, row, &mut cell);
                match written.map_err(|error| TaskError::new(error.to_string()))? {
                    true if cell.is_empty() => self.text.push_str("\"\""),
                    true => push_field(&mut self.text, &cell),
                    false => {}
                }
            }
            self.text.push('\n');
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        self.out
            .write_all(self.text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| TaskError::new(format!("the result cannot be printed: {error}")))
    }
}

fn push_field(out: &mut String, field: &str) {
    if !field.contains([',', '"', '\n', '\r']) {
        return out.push_str(field);
    }
    out.push('"');
    for part in field.split_inclusive('"') {
        out.push_str(part);
        if part.ends_with('"') {
            out.push('"');
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let quoted = |field| {
            let mut out = String::new();
            push_field(&mut out, field);
            out
        };
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
    }
}
