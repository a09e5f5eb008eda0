//! A sink that appends numbers to a file.

use std::{
    fs::OpenOptions,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use millstream_sdk::prelude::*;

/// Appends numbers to a file, a line each.
#[derive(Debug)]
pub struct Append {
    path: PathBuf,
    /// What writers have finished, and nobody has seen yet.
    finished: Arc<Mutex<String>>,
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
        Ok(Self { path: options.string("path")?.into(), finished: Arc::default() })
    }

    fn writer(&self, _subtask: Subtask) -> Result<AppendWriter, Error> {
        Ok(AppendWriter { finished: Arc::clone(&self.finished), text: String::new() })
    }

    /// Every part of the job is done: now the numbers may be seen.
    fn commit(&self) -> Result<(), Error> {
        let text = lock(&self.finished);
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Error::from(error).at(self.path.display()))
    }
}

fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects the lines of one subtask, and hands them over when its input has ended.
#[derive(Debug)]
pub struct AppendWriter {
    finished: Arc<Mutex<String>>,
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

    // Without `prepare` and `show` a sink says that jobs which write to it take no checkpoints: lines that
    // were appended cannot be appended once more without being there twice.

    fn finish(&mut self) -> Result<(), Error> {
        lock(&self.finished).push_str(&self.text);
        Ok(())
    }
}
