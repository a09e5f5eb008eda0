//! A sink that appends numbers to a file.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use millstream_sdk::prelude::*;

/// Appends numbers to a file, a line each.
#[derive(Debug)]
pub struct Append {
    path: PathBuf,
}

impl Sink for Append {
    const NAME: &'static str = "append";
    const SUMMARY: &'static str = "Appends numbers to a file, a line each";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::string("path", "The file").required()];
    type Writer = AppendWriter;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        match schema.fields.as_slice() {
            [Field { data_type: DataType::Int64, nullable: false, .. }] => {}
            _ => {
                return Err(Error::new(format!(
                    "append takes one column of BIGINT NOT NULL, but the columns are {schema}"
                )));
            }
        }
        Ok(Self { path: options.string("path")?.into() })
    }

    fn writer(&self, _subtask: Subtask) -> Result<AppendWriter, Error> {
        Ok(AppendWriter { path: self.path.clone(), text: String::new() })
    }
}

/// Collects the lines of one subtask, and appends them when the input has ended.
#[derive(Debug)]
pub struct AppendWriter {
    path: PathBuf,
    text: String,
}

impl PageWriter for AppendWriter {
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error> {
        // Columns are slices, read in place.
        for number in page.column(0).fixed::<i64>() {
            self.text.push_str(&format!("{number}\n"));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(self.text.as_bytes()));
        written.map_err(|error| Error::from(error).at(self.path.display()))
    }
}
