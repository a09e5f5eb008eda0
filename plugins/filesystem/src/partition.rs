//! Rows divided into directories by the values of some columns, as Hive and Flink lay them out.

use std::{fmt::Write, sync::Arc};

use millstream_format::text::push_cell;
use millstream_sdk::{
    data::{
        page::{Layout, RowBuilder, Shape, ValidPage},
        types::{DataType, Schema},
    },
    prelude::*,
};

/// The directory of rows whose value is NULL or empty.
pub(crate) const DEFAULT_NAME: &str = "__DEFAULT_PARTITION__";

/// Divides pages by the columns that name directories.
#[derive(Debug)]
pub(crate) struct Partitioning {
    /// The columns of directories, the outermost first.
    keys: Vec<Column>,
    /// The physical columns that files have.
    kept: Vec<usize>,
    /// The shape of rows in files.
    shape: Arc<Shape>,
}

#[derive(Debug)]
struct Column {
    name: String,
    data_type: DataType,
    /// The physical column.
    index: usize,
    nullable: bool,
}

impl Partitioning {
    /// Directories by the columns of these names; also gives the schema of the rows in files.
    ///
    /// # Errors
    /// If there is no such column, it is nested or a list, or no column is left.
    pub(crate) fn new(names: &str, schema: &Schema) -> Result<(Self, Schema), Error> {
        let nested = |field: &&millstream_sdk::data::types::Field| {
            matches!(field.data_type, DataType::Row(_) | DataType::Array(_) | DataType::Map(..))
        };
        if let Some(field) = schema.fields.iter().find(nested) {
            return Err(Error::new(format!(
                "rows with nested columns are not divided into partitions yet: `{}` is {}",
                field.name, field.data_type
            )));
        }
        let mut keys = Vec::new();
        for name in names.split(',').map(str::trim) {
            let found = schema.fields.iter().enumerate().find(|(_, field)| field.name == name);
            let (index, field) = found.ok_or_else(|| {
                Error::new(format!("there is no column `{name}` to partition by"))
            })?;
            let (name, data_type) = (field.name.clone(), field.data_type.clone());
            keys.push(Column { name, data_type, index, nullable: field.nullable });
        }
        let is_key = |index: &usize| keys.iter().any(|key| key.index == *index);
        let mut kept: Vec<usize> =
            (0..schema.fields.len()).filter(|index| !is_key(index)).collect();
        if kept.is_empty() {
            return Err(Error::new("files of partitions need a column of their own"));
        }
        let fields = kept.iter().filter_map(|index| schema.fields.get(*index).cloned()).collect();
        let inner = Schema { fields, row_kinds: schema.row_kinds };
        // Kinds are the last physical column.
        kept.extend(schema.row_kinds.then_some(schema.fields.len()));
        let shape = Arc::new(Shape::new(&inner));
        Ok((Self { keys, kept, shape }, inner))
    }

    /// Hands the rows of a page to `write`, those of one directory that follow each other as a page of
    /// their own, which `scratch` is for.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn divide(
        &self,
        page: &ValidPage<'_>,
        scratch: &mut Vec<u128>,
        mut write: impl FnMut(&str, &ValidPage<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut start, mut directory, mut next) = (0, String::new(), String::new());
        let mut cell = Vec::new();
        for row in 0..page.rows() {
            next.clear();
            self.push_directory(page, row, &mut cell, &mut next);
            if row > 0 && next != directory {
                self.write_run(page, start, row, scratch, &directory, &mut write)?;
                start = row;
            }
            std::mem::swap(&mut directory, &mut next);
        }
        self.write_run(page, start, page.rows(), scratch, &directory, &mut write)
    }

    /// Adds `dt=2026-01-31/hm=23%3A59`. `cell` is scratch.
    fn push_directory(
        &self,
        page: &ValidPage<'_>,
        row: usize,
        cell: &mut Vec<u8>,
        out: &mut String,
    ) {
        for (i, key) in self.keys.iter().enumerate() {
            if i > 0 {
                out.push('/');
            }
            escape(&key.name, out);
            out.push('=');
            cell.clear();
            let column = page.column(key.index);
            if !key.nullable || column.validity().is_valid(row) {
                push_cell(cell, &key.data_type, &column, row);
            }
            match str::from_utf8(cell) {
                Ok(text) if !text.is_empty() => escape(text, out),
                _ => out.push_str(DEFAULT_NAME),
            }
        }
    }

    fn write_run(
        &self,
        page: &ValidPage<'_>,
        start: usize,
        end: usize,
        scratch: &mut Vec<u128>,
        directory: &str,
        write: &mut impl FnMut(&str, &ValidPage<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = end - start;
        let too_many = || Error::new("a page has more rows than one can have");
        let capacity = u32::try_from(rows).map_err(|_| too_many())?;
        // Fewer columns and no more text than the page has; what alignment takes is far less than this.
        let size = page.bytes().len().next_multiple_of(16) + 64 * (self.kept.len() + 1);
        scratch.resize(size / 16, 0);
        let layout = Layout::new(&self.shape, size, &[capacity]).ok_or_else(too_many)?;
        let bytes = bytemuck::cast_slice_mut(scratch);
        let mut copy = RowBuilder::new(bytes, &self.shape, &Arc::new(layout));
        for (to, from) in self.kept.iter().enumerate() {
            copy.put_column_run(to, &page.column(*from), start..end);
        }
        copy.commit_run(rows);
        let sealed = copy.seal(false);
        let made = ValidPage::trusted(&sealed.buffer[..sealed.length])
            .map_err(|error| Error::new(error.to_string()))?;
        write(directory, &made)
    }
}

/// Adds a name or value with the characters that directories must not have as `%3A` and the like.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\0'..='\x1f'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '\x7f'
            | '{'
            | '['
            | ']'
            | '^' => {
                // Writing to a String never fails.
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// The text that [`escape`] has made this of.
pub(crate) fn unescape(escaped: &str) -> String {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'%').then(|| behind.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { behind.get(2..).unwrap_or(&[]) } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a directory is one that [`Partitioning`] names: nothing that leads elsewhere.
pub(crate) fn is_directory(path: &str) -> bool {
    path.split('/').all(|part| {
        part.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_directories_must_not_have_is_escaped() {
        let mut out = String::new();
        escape("23:59/a=b%", &mut out);
        assert_eq!(out, "23%3A59%2Fa%3Db%25");
        assert_eq!(unescape(&out), "23:59/a=b%");
        assert_eq!(unescape("100%,%4"), "100%,%4");
        assert!(is_directory("dt=2026-01-31/hm=23%3A59"));
        assert!(!is_directory("dt=1/..") && !is_directory("") && !is_directory("dt="));
    }
}
