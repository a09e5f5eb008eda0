//! Rows of any schema, as whoever stands outside of the engine knows them.

use std::{collections::BTreeMap, fmt, ops::DerefMut};

use millstream_data::{
    page::{Column, ColumnKind, Full, RowBuilder, RowKind, Shape, ValidPage},
    types::Schema,
};
use millstream_dataflow::TaskError;

/// A cell of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number; of other types of fixed width the bits.
    Number(i128),
    /// Text, or bytes that are text.
    Text(String),
}

/// A row.
pub type Row = Vec<Cell>;

/// Rows, and how often each is there: one that was taken back is not. Less than never is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<Row, i64>);

impl Cell {
    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

impl Rows {
    /// Adds a row so often; takes it back if that is less than never.
    pub fn add(&mut self, row: Row, times: i64) {
        let all = self.0.entry(row).or_default();
        *all += times;
    }

    /// The rows that are there, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (&Row, i64)> {
        self.0.iter().map(|(row, times)| (row, *times)).filter(|(_, times)| *times != 0)
    }

    /// How often a row is there.
    pub fn times(&self, row: &Row) -> i64 {
        self.0.get(row).copied().unwrap_or(0)
    }

    /// Compares these rows with what they should be.
    ///
    /// # Errors
    /// What is missing, or too many, with an example of each.
    pub fn compare(&self, expected: &Self) -> Result<(), String> {
        let of = |rows: &Self, others: &Self| {
            let more = rows.iter().filter(|(row, times)| *times > others.times(row));
            more.map(|(row, _)| row.clone()).collect::<Vec<_>>()
        };
        let (missing, wrong) = (of(expected, self), of(self, expected));
        if missing.is_empty() && wrong.is_empty() {
            return Ok(());
        }
        let first = |rows: &[Row]| rows.first().map_or_else(|| "none".to_owned(), shown);
        Err(format!(
            "of {} rows {} are missing, and {} are wrong or there too often: missing {}, wrong {}",
            expected.iter().count(),
            missing.len(),
            wrong.len(),
            first(&missing),
            first(&wrong)
        ))
    }
}

impl FromIterator<Row> for Rows {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|row| all.add(row, 1));
        all
    }
}

/// A row in parentheses.
pub fn shown(row: &Row) -> String {
    let cells: Vec<_> = row.iter().map(Cell::to_string).collect();
    format!("({})", cells.join(", "))
}

/// What a source reads, by split.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Rows of so many cells, in the order in which they come.
    pub splits: Vec<Vec<Row>>,
}

impl Table {
    /// Which cells of its rows make up rows of this schema.
    pub(super) fn places(&self, schema: &Schema) -> Result<Vec<usize>, TaskError> {
        let place = |name: &str| self.columns.iter().position(|column| column == name);
        let missing = |name: &str| TaskError::new(format!("the table has no column `{name}`"));
        let fields = schema.fields.iter();
        fields.map(|field| place(&field.name).ok_or_else(|| missing(&field.name))).collect()
    }
}

/// Writes the cells of a row at these places.
///
/// # Errors
/// [`Full`] if a text has no room.
pub(super) fn put<B: DerefMut<Target = [u8]>>(
    rows: &mut RowBuilder<B>,
    row: &[Cell],
    places: &[usize],
) -> Result<(), Full> {
    for (column, place) in places.iter().enumerate() {
        let kind = rows.shape().columns()[column].kind;
        match (&row[*place], kind) {
            (Cell::Null, _) => rows.put_null(column),
            (Cell::Bool(value), ColumnKind::Bit) => rows.put_bool(column, *value),
            (Cell::Number(number), ColumnKind::Fixed(1)) => {
                rows.put_fixed(column, (*number as i8).to_le_bytes());
            }
            (Cell::Number(number), ColumnKind::Fixed(2)) => {
                rows.put_fixed(column, (*number as i16).to_le_bytes());
            }
            (Cell::Number(number), ColumnKind::Fixed(4)) => {
                rows.put_fixed(column, (*number as i32).to_le_bytes());
            }
            (Cell::Number(number), ColumnKind::Fixed(8)) => {
                rows.put_fixed(column, (*number as i64).to_le_bytes());
            }
            (Cell::Number(number), ColumnKind::Fixed(16)) => {
                rows.put_fixed(column, number.to_le_bytes());
            }
            (Cell::Text(text), ColumnKind::String) => rows.put_str(column, text)?,
            (cell, kind) => panic!("{cell} is no value of a column of {kind:?}"),
        }
    }
    rows.commit();
    Ok(())
}

/// Reads the rows of a page, each with whether it comes or is taken back.
pub(super) fn read(page: &ValidPage<'_>, shape: &Shape) -> Vec<(Row, i64)> {
    let kinds = usize::from(shape.has_row_kinds());
    let columns = &shape.columns()[..shape.columns().len() - kinds];
    let cells: Vec<_> = columns.iter().enumerate().map(|(i, of)| (page.column(i), of)).collect();
    (0..page.rows())
        .map(|at| {
            let row = cells.iter().map(|(column, of)| cell(column, of.kind, at)).collect();
            match page.row_kind(at) {
                RowKind::Insert | RowKind::UpdateAfter => (row, 1),
                RowKind::UpdateBefore | RowKind::Delete => (row, -1),
            }
        })
        .collect()
}

fn cell(column: &Column<'_>, kind: ColumnKind, at: usize) -> Cell {
    if !column.validity().is_valid(at) {
        return Cell::Null;
    }
    match kind {
        ColumnKind::Bit => Cell::Bool(column.bits().at(at)),
        ColumnKind::Fixed(1) => Cell::Number(column.fixed::<i8>()[at].into()),
        ColumnKind::Fixed(2) => Cell::Number(column.fixed::<i16>()[at].into()),
        ColumnKind::Fixed(4) => Cell::Number(column.fixed::<i32>()[at].into()),
        ColumnKind::Fixed(8) => Cell::Number(column.fixed::<i64>()[at].into()),
        ColumnKind::Fixed(_) => Cell::Number(column.fixed::<i128>()[at]),
        ColumnKind::String => Cell::Text(column.strings().at(at).to_owned()),
        ColumnKind::Bytes => {
            Cell::Text(String::from_utf8_lossy(column.views().at(at)).into_owned())
        }
        ColumnKind::Offsets | ColumnKind::Group => panic!("nested rows are not simulated"),
    }
}
