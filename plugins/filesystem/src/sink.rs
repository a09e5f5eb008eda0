//! The sink.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use millstream_format::{csv, json};
use millstream_sdk::prelude::*;

use crate::{
    format::{CSV_DELIMITER, CSV_ELEMENT_DELIMITER, CSV_QUOTE, Format, Kind},
    input::Compression,
    output::Output,
};

/// Writes files.
#[derive(Debug)]
pub struct FileSink {
    target: Arc<Target>,
}

/// What the writers of a sink share.
#[derive(Debug)]
struct Target {
    directory: PathBuf,
    format: Format,
    compression: Compression,
    file_size: u64,
    /// Tells the files of this run from those of others in the directory.
    run: String,
    parts: Mutex<Parts>,
}

/// The files of a run.
#[derive(Debug, Default)]
struct Parts {
    /// Hidden names, and those that the files get when all is done.
    pending: Vec<(PathBuf, PathBuf)>,
}

impl Sink for FileSink {
    const NAME: &'static str = "filesystem";
    const SUMMARY: &'static str = "Writes CSV or JSON lines into part files, plain or compressed";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("path", "The directory, which is made if it is not there").required(),
        OptionDoc::string("format", "The format of the files: csv (with a header line) or json")
            .default("csv"),
        OptionDoc::string("compression", "none, gzip or zstd").default("none"),
        OptionDoc::bytes(
            "sink.rolling-policy.file-size",
            "A file that has reached this size is followed by another",
        )
        .default("128 MiB"),
        CSV_DELIMITER,
        CSV_QUOTE,
        CSV_ELEMENT_DELIMITER,
    ];
    type Writer = FileWriter;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let directory = PathBuf::from(options.string("path")?);
        let compression = match options.string("compression")? {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "zstd" => Compression::Zstd,
            other => {
                return Err(Error::new(format!(
                    "the option `compression` is `{other}`: it is none, gzip or zstd"
                )));
            }
        };
        let format = Format::new(options, schema)?;
        if let Kind::Text = format.kind {
            return Err(Error::new(
                "the option `format` is `text`, which is only read: use csv or json",
            ));
        }
        fs::create_dir_all(&directory).map_err(|error| failed("make", &directory, error))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let target = Target {
            directory,
            format,
            compression,
            file_size: options.bytes("sink.rolling-policy.file-size")?.max(1),
            run: format!("{:x}-{:x}", since.as_nanos(), process::id()),
            parts: Mutex::default(),
        };
        Ok(Self { target: Arc::new(target) })
    }

    fn writer(&self, subtask: Subtask) -> Result<FileWriter, Error> {
        Ok(FileWriter {
            target: Arc::clone(&self.target),
            subtask: subtask.index,
            count: 0,
            part: None,
            text: Vec::new(),
            cell: Vec::new(),
        })
    }

    fn commit(&self) -> Result<(), Error> {
        self.target.show()
    }
}

/// Writes the files of one subtask.
pub struct FileWriter {
    target: Arc<Target>,
    subtask: u32,
    /// Files so far.
    count: u32,
    part: Option<(PathBuf, Output)>,
    /// The rows of a page as text.
    text: Vec<u8>,
    cell: Vec<u8>,
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileWriter({}, subtask {})", self.target.directory.display(), self.subtask)
    }
}

impl PageWriter for FileWriter {
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error> {
        let target = Arc::clone(&self.target);
        let Format { kind, columns } = &target.format;
        for row in 0..page.rows() {
            match kind {
                Kind::Csv(dialect) => {
                    csv::push_row(&mut self.text, columns, page, row, *dialect, &mut self.cell);
                }
                Kind::Json | Kind::Text => {
                    json::push_row(&mut self.text, columns, page, row, &mut self.cell);
                }
            }
            if self.text.len() >= WRITE_BYTES {
                self.write_text()?;
            }
        }
        self.write_text()
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.close_part()
    }
}

/// How much text is collected before it goes to the file.
const WRITE_BYTES: usize = 64 << 10;

impl FileWriter {
    /// Writes the text to the part file; one that is large enough is closed.
    fn write_text(&mut self) -> Result<(), Error> {
        if self.text.is_empty() {
            return Ok(());
        }
        let (path, mut output) = match self.part.take() {
            Some(part) => part,
            None => self.open_part()?,
        };
        output.write(&self.text).map_err(|error| failed("write", &path, error))?;
        self.text.clear();
        let full = output.bytes() >= self.target.file_size;
        self.part = Some((path, output));
        if full { self.close_part() } else { Ok(()) }
    }

    fn open_part(&mut self) -> Result<(PathBuf, Output), Error> {
        let Target { directory, format, compression, run, .. } = &*self.target;
        let extension = match format.kind {
            Kind::Csv(_) => "csv",
            Kind::Json | Kind::Text => "json",
        };
        let suffix = match compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let (subtask, count) = (self.subtask, self.count);
        let name = format!("part-{run}-{subtask}-{count}.{extension}{suffix}");
        let hidden = directory.join(format!(".{name}.inprogress"));
        let mut output = Output::create(&hidden, *compression)
            .map_err(|error| failed("make", &hidden, error))?;
        self.target.parts().pending.push((hidden.clone(), directory.join(name)));
        self.count += 1;
        if let Kind::Csv(dialect) = format.kind {
            let mut header = Vec::new();
            csv::push_header(&mut header, &format.columns, dialect);
            output.write(&header).map_err(|error| failed("write", &hidden, error))?;
        }
        Ok((hidden, output))
    }

    fn close_part(&mut self) -> Result<(), Error> {
        match self.part.take() {
            Some((path, output)) => output.finish().map_err(|error| failed("write", &path, error)),
            None => Ok(()),
        }
    }
}

impl Target {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the files their names.
    fn show(&self) -> Result<(), Error> {
        let mut parts = self.parts();
        while let Some((hidden, shown)) = parts.pending.last() {
            fs::rename(hidden, shown).map_err(|error| failed("rename", hidden, error))?;
            parts.pending.pop();
        }
        Ok(())
    }
}

impl Drop for Target {
    /// What has not been shown by now never will be.
    fn drop(&mut self) {
        for (hidden, _) in self.parts().pending.drain(..) {
            // There is nobody left to tell.
            let _ = fs::remove_file(hidden);
        }
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(format!("cannot {what} it: {error}")).at(path.display())
}
