//! Columns that are not in files: what a file's directory says, and what is known of the file.

use std::{fs, os::unix::ffi::OsStrExt, path::Path, time::UNIX_EPOCH};

use millstream_format::cell::{Cell, Put};
use millstream_sdk::{
    data::types::{DataType, Field, Schema},
    format::Constants,
    prelude::*,
};

use crate::partition::{DEFAULT_NAME, unescape};

/// Where the values of a column come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// The directory whose name begins with that of the column.
    Directory,
    Metadata(Metadata),
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metadata {
    Path,
    Name,
    Size,
    ModificationTime,
}

/// By the keys of Flink's filesystem.
const METADATA: &[(&str, Metadata)] = &[
    ("file.path", Metadata::Path),
    ("file.name", Metadata::Name),
    ("file.size", Metadata::Size),
    ("file.modification-time", Metadata::ModificationTime),
];

/// The columns of a table that its files do not have. They are the last ones of its schema.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    schema: Schema,
    origins: Vec<Origin>,
    /// The names of directories, the outermost first.
    pub(crate) directories: Vec<String>,
}

impl Beside {
    /// Those that options name, and the schema of what files have: `directories` are names with commas between
    /// them, `metadata` is a line `key=column` for each column.
    ///
    /// # Errors
    /// If there is no such key, or a column is of another type.
    pub(crate) fn new(
        directories: Option<&str>,
        metadata: Option<&str>,
        schema: &Schema,
    ) -> Result<(Self, Schema), Error> {
        let directories: Vec<String> = directories
            .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect())
            .unwrap_or_default();
        let mut known = Vec::new();
        for line in metadata.unwrap_or_default().lines() {
            let (key, column) = line.split_once('=').unwrap_or((line, line));
            let found = METADATA.iter().find(|(known, _)| *known == key).ok_or_else(|| {
                let keys: Vec<_> = METADATA.iter().map(|(key, _)| *key).collect();
                Error::new(format!("files have no metadata '{key}': there are {}", keys.join(", ")))
            })?;
            known.push((column, found.1));
        }
        let (mut files, mut fields, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for field in &schema.fields {
            let metadata = known.iter().find(|(column, _)| *column == field.name);
            let origin = match metadata {
                Some((_, metadata)) => Some(Origin::Metadata(*metadata)),
                None => directories.contains(&field.name).then_some(Origin::Directory),
            };
            match origin {
                Some(origin) => {
                    fields.push(field.clone());
                    origins.push(origin);
                }
                None if fields.is_empty() => files.push(field.clone()),
                None => {
                    return Err(Error::new(format!(
                        "the column `{}` stands behind those that files do not have",
                        field.name
                    )));
                }
            }
        }
        let files = Schema { fields: files, ..schema.clone() };
        Ok((Self { schema: Schema::new(fields), origins, directories }, files))
    }

    /// The cells of a file's rows; `None` if files have all columns.
    ///
    /// # Errors
    /// If a directory's name is no value of its column, or nothing is known of the file.
    pub(crate) fn of(&self, path: &Path) -> Result<Option<Constants>, Error> {
        if self.origins.is_empty() {
            return Ok(None);
        }
        let text = 4 * path.as_os_str().len();
        let made = Constants::new(&self.schema, text * self.origins.len(), |rows| {
            for (column, (field, origin)) in
                self.schema.fields.iter().zip(&self.origins).enumerate()
            {
                match origin {
                    Origin::Directory => {
                        let text = directory_value(path, &field.name)?;
                        put(field, column, text.as_deref(), rows)?;
                    }
                    Origin::Metadata(metadata) => {
                        metadata.put(path, (field, column), rows)?;
                    }
                }
            }
            Ok(())
        });
        made.map(Some)
    }
}

/// What the directory of a column says in a path; `None` for NULL.
fn directory_value(path: &Path, column: &str) -> Result<Option<String>, Error> {
    let parts = path.iter().rev().skip(1).filter_map(|part| part.to_str()?.split_once('='));
    let value = parts
        .map(|(name, value)| (unescape(name), value))
        .find(|(name, _)| name == column)
        .map(|(_, value)| (value != DEFAULT_NAME).then(|| unescape(value)));
    value.ok_or_else(|| {
        Error::new(format!("the file is in no directory `{column}=…`, which the table's files are"))
    })
}

type Cells<'a> = millstream_sdk::data::page::RowBuilder<&'a mut [u8]>;

/// Writes a value that is a text as the cell of its column.
fn put(
    field: &Field,
    column: usize,
    text: Option<&str>,
    rows: &mut Cells<'_>,
) -> Result<(), Error> {
    let Some(text) = text else {
        if !field.nullable {
            return Err(Error::new(format!(
                "the directory {}={DEFAULT_NAME} is that of NULL, but the column is NOT NULL",
                field.name
            )));
        }
        rows.put_null(column);
        return Ok(());
    };
    let cell = Cell::of(field).ok_or_else(|| {
        Error::new(format!(
            "a directory cannot name a value of `{}`, {}",
            field.name, field.data_type
        ))
    })?;
    match cell.put(rows, column, text.as_bytes(), true) {
        Ok(Put::Done) => Ok(()),
        Ok(Put::Full) => Err(Error::new("the name of a directory is too long")),
        Err(error) => Err(Error::new(format!("in the name of a directory: {error}"))
            .at(format!("column `{}`", field.name))),
    }
}

impl Metadata {
    fn put(
        self,
        path: &Path,
        (field, column): (&Field, usize),
        rows: &mut Cells<'_>,
    ) -> Result<(), Error> {
        let file = || fs::metadata(path).map_err(|error| Error::from(error).at(path.display()));
        let too_long = |_| Error::new("the name of a file is too long");
        match (self, &field.data_type) {
            (Self::Path | Self::Name, DataType::String) => {
                let name = match self {
                    Self::Path => path.as_os_str(),
                    _ => path.file_name().unwrap_or_default(),
                };
                let name = String::from_utf8_lossy(name.as_bytes());
                rows.put_str(column, &name).map_err(too_long)?;
            }
            (Self::Size, DataType::Int64) => {
                rows.put_fixed(column, (file()?.len() as i64).to_le_bytes());
            }
            (Self::ModificationTime, DataType::TimestampLtz { .. }) => {
                let modified = file()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                rows.put_fixed(column, (modified.as_millis() as i64 * 1000).to_le_bytes());
            }
            (_, found) => {
                let name = &field.name;
                return Err(Error::new(format!("the metadata of `{name}` are no {found}")));
            }
        }
        Ok(())
    }
}
