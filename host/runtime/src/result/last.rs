//! The rows that a result has when all of its changes are made.

mod pages;

use std::collections::HashMap;

use millstream_data::{
    page::{RowKind, ValidPage},
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_dataflow::TaskError;
use millstream_format::{Columns, change};

use self::pages::Pages;
#[cfg(test)]
pub(super) use self::pages::Segment;
use super::{ResultSink, kept, kept_as};

/// Gives a result the rows of a changelog in the way that it takes them: as they come, or those that
/// are left in the end. Rows without kinds are handed on as they are.
pub(super) struct LastRows {
    result: Box<dyn ResultSink>,
    /// The rows so far, if they are made of changes.
    rows: Option<Rows>,
}

impl LastRows {
    pub(super) fn new(result: Box<dyn ResultSink>) -> Self {
        Self { result, rows: None }
    }
}

impl ResultSink for LastRows {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        if !schema.row_kinds || self.result.takes_changes() {
            self.rows = None;
            return self.result.open(schema);
        }
        let schema = Schema::new(schema.fields.clone());
        self.rows = Some(Rows::new(&schema));
        self.result.open(&schema)
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        match &mut self.rows {
            Some(rows) => rows.change(page),
            None => self.result.write(page),
        }
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        if let Some(rows) = self.rows.take() {
            rows.each_page(|page| self.result.write(page))?;
        }
        self.result.finish()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        match &self.rows {
            Some(rows) => Ok(rows.encode()),
            None => self.result.snapshot(),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TaskError> {
        match &mut self.rows {
            Some(rows) => rows.decode(state),
            None => self.result.restore(state),
        }
    }
}

/// How many rows a table may have lost before it gives memory back.
const SPARE_ROWS: usize = 1024;
/// Characters of a row that an error shows.
const SHOWN_MAX: usize = 200;
/// What snapshots are kept as.
const KEPT_AS: &str = "rows";

/// Rows that come and go, equal ones counted.
pub(super) struct Rows {
    schema: Schema,
    layout: RowLayout,
    /// By their bytes, which are the same for equal rows.
    copies: HashMap<Box<[u8]>, Copies>,
    /// Rows that have come so far, not counting those that were there already.
    next: u64,
    /// The bytes of the row at hand.
    bytes: Vec<u8>,
}

/// Equal rows.
#[derive(Clone, Copy)]
struct Copies {
    /// When the first of them came.
    first: u64,
    count: u64,
}

impl Rows {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            schema: schema.clone(),
            layout: RowLayout::new(schema),
            copies: HashMap::new(),
            next: 0,
            bytes: Vec::new(),
        }
    }

    /// Makes the changes of a page.
    pub(super) fn change(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        let Self { layout, copies, next, bytes, schema } = self;
        let rows = PageRows::new(layout, page).map_err(|error| {
            TaskError::new(format!("a page of the result is not of its schema: {error}"))
        })?;
        for row in 0..rows.rows() {
            bytes.clear();
            rows.gather(row, bytes);
            match page.row_kind(row) {
                RowKind::Insert | RowKind::UpdateAfter => add(copies, next, bytes, 1),
                RowKind::UpdateBefore | RowKind::Delete => {
                    let Some(found) = copies.get_mut(bytes.as_slice()) else {
                        return Err(absent(schema, page, row));
                    };
                    found.count -= 1;
                    if found.count == 0 {
                        copies.remove(bytes.as_slice());
                    }
                }
            }
        }
        if copies.capacity() > SPARE_ROWS && copies.len() < copies.capacity() / 4 {
            copies.shrink_to(copies.len() * 2);
        }
        Ok(())
    }

    /// The rows in the order in which they came, equal ones behind the first of them.
    fn in_order(&self) -> Vec<(&[u8], Copies)> {
        let mut rows: Vec<_> =
            self.copies.iter().map(|(bytes, copies)| (&**bytes, *copies)).collect();
        rows.sort_unstable_by_key(|(_, copies)| copies.first);
        rows
    }

    /// Hands out the rows, in order.
    fn each_page(
        &self,
        each: impl FnMut(&ValidPage<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        self.each_of_first(usize::MAX, each).map(|_| ())
    }

    /// Hands out so many rows, in order; gives how many there are beside them.
    pub(super) fn each_of_first(
        &self,
        most: usize,
        mut each: impl FnMut(&ValidPage<'_>) -> Result<(), TaskError>,
    ) -> Result<u64, TaskError> {
        let mut pages = Pages::new(&self.schema)?;
        let (mut room, mut beside) = (most as u64, 0);
        for (bytes, Copies { count, .. }) in self.in_order() {
            let row = self.layout.trusted(bytes).map_err(|error| damaged(&error.to_string()))?;
            let shown = count.min(room);
            (room, beside) = (room - shown, beside + (count - shown));
            for _ in 0..shown {
                pages.write(&row, &mut each)?;
            }
        }
        pages.submit(&mut each)?;
        Ok(beside)
    }

    /// For each row how many there are, how long its bytes are, and these.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = kept_as(KEPT_AS, &[]);
        for (bytes, Copies { count, .. }) in self.in_order() {
            out.extend_from_slice(&count.to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    pub(super) fn decode(&mut self, state: &[u8]) -> Result<(), TaskError> {
        self.copies.clear();
        let mut rest = kept(KEPT_AS, state)?;
        while !rest.is_empty() {
            let cut = || damaged("it ends within a row");
            let (count, behind) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            let (length, behind) = behind.split_first_chunk::<8>().ok_or_else(cut)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
            let (bytes, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
            self.layout.validate(bytes).map_err(|error| damaged(&error.to_string()))?;
            match u64::from_le_bytes(*count) {
                0 => return Err(damaged("it has a row that is not there")),
                count => add(&mut self.copies, &mut self.next, bytes, count),
            }
            rest = behind;
        }
        Ok(())
    }
}

/// Adds equal rows.
fn add(copies: &mut HashMap<Box<[u8]>, Copies>, next: &mut u64, bytes: &[u8], count: u64) {
    match copies.get_mut(bytes) {
        Some(found) => found.count = found.count.saturating_add(count),
        None => {
            copies.insert(bytes.into(), Copies { first: *next, count });
            *next += 1;
        }
    }
}

/// The error for the removal of a row that is not there.
#[cold]
fn absent(schema: &Schema, page: &ValidPage<'_>, row: usize) -> TaskError {
    let mut text = Vec::new();
    if let Ok(columns) = Columns::new(schema) {
        change::push_row(&mut text, &columns, page, row);
    }
    let text = String::from_utf8_lossy(&text);
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    TaskError::new(format!(
        "a change takes a row from the result that is not there: {shown}{more}; what makes the \
         changes must give a row before it takes it away (--output changelog shows them all)"
    ))
}

fn damaged(what: &str) -> TaskError {
    TaskError::new(format!("the checkpoint's rows of the result are damaged: {what}"))
}

#[cfg(test)]
mod tests;
