//! A job's result as a table for people.

use std::{fmt, io::Write};

use millstream_data::{
    page::ValidPage,
    types::{DataType, Schema},
};
use millstream_dataflow::TaskError;
use millstream_format::{Columns, json};

use super::{ResultSink, kept, kept_as};

/// What snapshots are kept as.
const KEPT_AS: &str = "table";
/// What stands for NULL, as in Flink.
const NULL: &str = "<NULL>";
/// What stands between the lines of a cell while it is kept. It comes in no text: see [`shown`].
const BREAK: char = '\r';

/// Writes the result as a table with lines around its cells: numbers at the right, nested values as
/// JSON, and how many rows there are below. Columns are as wide as their longest value, in
/// characters; a text of several lines, such as a plan, has several lines in its cell.
///
/// Nothing is written before the result is complete: a job that fails prints no part of it.
pub struct Table<W> {
    out: W,
    columns: Columns,
    heads: Vec<Head>,
    /// The cells of all rows, row by row.
    cells: Vec<String>,
}

/// The head of a column.
struct Head {
    name: String,
    is_number: bool,
}

impl<W: Write + Send> Table<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, columns: Columns::default(), heads: Vec::new(), cells: Vec::new() }
    }

    /// Prints the rows, and how many there are with those `beside` them.
    fn print(&mut self, beside: u64) -> std::io::Result<()> {
        let Self { out, heads, cells, .. } = self;
        let rows = cells.chunks(heads.len().max(1));
        let count = rows.len() as u64 + beside;
        if count == 0 {
            writeln!(out, "Empty set")?;
            return out.flush();
        }
        let mut widths: Vec<usize> = heads.iter().map(|head| head.name.chars().count()).collect();
        for row in rows.clone() {
            for (width, cell) in widths.iter_mut().zip(row) {
                let lines = cell.split(BREAK).map(|line| line.chars().count());
                *width = lines.fold(*width, usize::max);
            }
        }
        let line =
            widths.iter().fold("+".to_owned(), |line, width| line + &"-".repeat(width + 2) + "+");
        writeln!(out, "{line}")?;
        let names: Vec<&str> = heads.iter().map(|head| head.name.as_str()).collect();
        print_row(out, heads, &widths, names.into_iter())?;
        writeln!(out, "{line}")?;
        for row in rows {
            print_row(out, heads, &widths, row.iter().map(String::as_str))?;
        }
        let shown = match beside {
            0 => String::new(),
            _ => format!(", the first {} are shown", count - beside),
        };
        writeln!(out, "{line}\n{count} row{} in set{shown}", if count == 1 { "" } else { "s" })?;
        out.flush()
    }
}

impl Table<Vec<u8>> {
    /// The table, of rows beside which there are others.
    pub(super) fn text(mut self, beside: u64) -> Result<Vec<u8>, TaskError> {
        self.print(beside).map_err(|error| TaskError::new(error.to_string()))?;
        Ok(self.out)
    }
}

/// Prints as many lines as the cell with the most has.
fn print_row<'a>(
    out: &mut impl Write,
    heads: &[Head],
    widths: &[usize],
    cells: impl Iterator<Item = &'a str>,
) -> std::io::Result<()> {
    let mut cells: Vec<_> = cells.map(|cell| cell.split(BREAK)).collect();
    let lines = cells.iter().map(|lines| lines.clone().count()).max().unwrap_or(0);
    for _ in 0..lines {
        write!(out, "|")?;
        for ((head, width), lines) in heads.iter().zip(widths).zip(&mut cells) {
            let line = lines.next().unwrap_or("");
            match head.is_number {
                true => write!(out, " {line:>width$} |")?,
                false => write!(out, " {line:<width$} |")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The text of a cell, with a [`BREAK`] between its lines.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            shown.push(BREAK);
        }
        shown.push_str(&on_one_line(line));
    }
    shown
}

/// A text on one line: what would leave it is shown as it is written in programs.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

impl<W> fmt::Debug for Table<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} columns)", self.heads.len())
    }
}

impl<W: Write + Send> ResultSink for Table<W> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        self.columns = Columns::new(schema).map_err(|error| TaskError::new(error.to_string()))?;
        let heads = schema.fields.iter().map(|field| Head {
            name: on_one_line(&field.name),
            is_number: is_number(&field.data_type),
        });
        self.heads = heads.collect();
        self.cells.clear();
        Ok(())
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        let mut text = Vec::new();
        for row in 0..page.rows() {
            for field in 0..self.heads.len() {
                text.clear();
                let cell = match json::push_field(&mut text, &self.columns, field, page, row) {
                    true => shown(&String::from_utf8_lossy(&text)),
                    false => NULL.to_owned(),
                };
                self.cells.push(cell);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        self.print(0)
            .map_err(|error| TaskError::new(format!("the result cannot be printed: {error}")))
    }

    /// A line for each cell, in which there is no line's end.
    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        let mut text = String::new();
        for cell in &self.cells {
            text.push_str(cell);
            text.push('\n');
        }
        Ok(kept_as(KEPT_AS, text.as_bytes()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TaskError> {
        let damaged = || TaskError::new("the checkpoint's cells of the result are damaged");
        let text = str::from_utf8(kept(KEPT_AS, state)?).map_err(|_| damaged())?;
        let cells: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
        if !cells.len().is_multiple_of(self.heads.len().max(1)) {
            return Err(damaged());
        }
        self.cells = cells;
        Ok(())
    }
}

fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal { .. }
    )
}

#[cfg(test)]
mod tests {
    use millstream_data::{
        Record, Value,
        page::{Layout, PageBuilder, Shape},
    };

    use super::*;

    type Row = (i64, Option<String>, Vec<i32>);

    fn write(table: &mut Table<Vec<u8>>, rows: &[Row]) {
        let shape = Shape::new(&Row::schema());
        let layout = Layout::fitted(&shape, 4096, 100).unwrap().into();
        let mut page = PageBuilder::<Row, _>::new(vec![0; 4096], &shape, &layout);
        rows.iter().for_each(|row| page.append(row.view()).unwrap());
        let sealed = page.seal(&shape, false);
        table.write(&ValidPage::trusted(&sealed.buffer).unwrap()).unwrap();
    }

    fn opened() -> Table<Vec<u8>> {
        let mut table = Table::new(Vec::new());
        table.open(&Row::schema()).unwrap();
        table
    }

    fn printed(mut table: Table<Vec<u8>>) -> String {
        table.finish().unwrap();
        String::from_utf8(table.out).unwrap()
    }

    #[test]
    fn cells_are_as_wide_as_the_widest() {
        let mut first = opened();
        let lines = "one\ntwo\u{7}\tand three\n";
        write(&mut first, &[(-10, Some(lines.into()), vec![1, 2]), (7, None, vec![])]);
        // Another run goes on from a checkpoint.
        let mut table = opened();
        table.restore(&first.snapshot().unwrap()).unwrap();
        write(&mut table, &[(100, Some("ä".into()), vec![3])]);
        let expected = "\
+-----+---------------------+-------+
|  f0 | f1                  | f2    |
+-----+---------------------+-------+
| -10 | one                 | [1,2] |
|     | two\\u{7}\\tand three |       |
|   7 | <NULL>              | []    |
| 100 | ä                   | [3]   |
+-----+---------------------+-------+
3 rows in set
";
        assert_eq!(printed(table), expected);
    }

    #[test]
    fn one_row_and_none() {
        let mut table = opened();
        write(&mut table, &[(1, None, vec![])]);
        assert!(printed(table).ends_with("+\n1 row in set\n"));
        assert_eq!(printed(opened()), "Empty set\n");
    }

    #[test]
    fn checkpoints_of_others_are_refused() {
        let mut table = opened();
        let error = table.restore(b"csv\na,b\n").unwrap_err().to_string();
        assert!(error.contains("does not have the result as table"), "{error}");
        let error = table.restore(b"table\n1\n2\n").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}
