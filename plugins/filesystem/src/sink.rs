//! The sink.

use std::{
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use millstream_sdk::{
    format::{Encoder, OpenFormat},
    prelude::*,
};

use crate::{input::Compression, output::Output};

/// Writes files.
#[derive(Debug)]
pub struct FileSink {
    target: Arc<Target>,
}

/// What the writers of a sink share.
#[derive(Debug)]
struct Target {
    directory: PathBuf,
    format: OpenFormat,
    compression: Compression,
    file_size: u64,
    /// Tells the files of this run from those of others in the directory.
    run: String,
    parts: Mutex<Parts>,
}

/// The files of a run.
#[derive(Debug, Default)]
struct Parts {
    /// The names that files get when all is done; until then they are [hidden](Target::hidden).
    pending: Vec<String>,
}

impl Sink for FileSink {
    const NAME: &'static str = "filesystem";
    const SUMMARY: &'static str = "Writes part files in any format, plain or compressed";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("path", "The directory, which is made if it is not there").required(),
        OptionDoc::format("format", "The format of the files: csv, json or one of a plugin")
            .default("csv"),
        OptionDoc::string("compression", "none, gzip or zstd").default("none"),
        OptionDoc::bytes(
            "sink.rolling-policy.file-size",
            "A file that has reached this size is followed by another",
        )
        .default("128 MiB"),
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
        let format = options.format("format", schema)?;
        if !format.properties().encodes {
            let name = format.name();
            return Err(Error::new(format!(
                "the format `{name}` is only read, not written: use another, such as csv or json"
            )));
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
            unprepared: Vec::new(),
            bytes: Vec::new(),
        })
    }

    fn commit(&self) -> Result<(), Error> {
        self.target.show_pending()
    }

    fn show(&self, transaction: &[u8]) -> Result<(), Error> {
        let text =
            str::from_utf8(transaction).map_err(|_| Error::new("a transaction is damaged"))?;
        text.lines().try_for_each(|name| self.target.show(name))
    }
}

/// Writes the files of one subtask.
pub struct FileWriter {
    target: Arc<Target>,
    subtask: u32,
    /// Files so far.
    count: u32,
    part: Option<Part>,
    /// The files since the last checkpoint.
    unprepared: Vec<String>,
    /// The rows of a page as the format writes them.
    bytes: Vec<u8>,
}

/// A file that is being written.
struct Part {
    path: PathBuf,
    output: Output,
    encoder: Encoder,
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileWriter({}, subtask {})", self.target.directory.display(), self.subtask)
    }
}

impl PageWriter for FileWriter {
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error> {
        if page.rows() == 0 {
            return Ok(());
        }
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.open_part()?,
        };
        self.bytes.clear();
        part.encoder.encode(page, &mut self.bytes)?;
        part.write(&self.bytes)?;
        let full = part.output.bytes() >= self.target.file_size;
        self.part = Some(part);
        if full { self.close_part() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.close_part()
    }

    /// The transaction is the names of files, a line each.
    fn prepare(&mut self) -> Result<Vec<u8>, Error> {
        self.close_part()?;
        let files = std::mem::take(&mut self.unprepared);
        // From now on they are the checkpoint's: this process must not remove them.
        self.target.parts().pending.retain(|pending| !files.contains(pending));
        Ok(files.join("\n").into_bytes())
    }
}

impl FileWriter {
    fn open_part(&mut self) -> Result<Part, Error> {
        let Target { format, compression, run, .. } = &*self.target;
        let suffix = match compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let (subtask, count, extension) = (self.subtask, self.count, format.name());
        let name = format!("part-{run}-{subtask}-{count}.{extension}{suffix}");
        let hidden = self.target.hidden(&name);
        let mut encoder = format.encoder()?;
        self.bytes.clear();
        encoder.begin(&mut self.bytes)?;
        let output = Output::create(&hidden, *compression)
            .map_err(|error| failed("make", &hidden, error))?;
        self.target.parts().pending.push(name.clone());
        self.unprepared.push(name);
        self.count += 1;
        let mut part = Part { path: hidden, output, encoder };
        part.write(&self.bytes)?;
        Ok(part)
    }

    /// Completes the file at hand: all of it is on the disk when this returns.
    fn close_part(&mut self) -> Result<(), Error> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        self.bytes.clear();
        part.encoder.finish(&mut self.bytes)?;
        part.write(&self.bytes)?;
        part.output.finish().map_err(|error| failed("write", &part.path, error))
    }
}

impl Part {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.output.write(bytes).map_err(|error| failed("write", &self.path, error))
    }
}

impl Target {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file is until it gets its name.
    fn hidden(&self, name: &str) -> PathBuf {
        self.directory.join(format!(".{name}.inprogress"))
    }

    /// Gives a file its name, if it has not got it already.
    fn show(&self, name: &str) -> Result<(), Error> {
        if name.contains('/') {
            return Err(Error::new(format!(
                "a transaction is damaged: `{name}` is no file's name"
            )));
        }
        let (hidden, shown) = (self.hidden(name), self.directory.join(name));
        match fs::rename(&hidden, &shown) {
            Err(error) if error.kind() == ErrorKind::NotFound && shown.exists() => Ok(()),
            renamed => renamed.map_err(|error| failed("rename", &hidden, error)),
        }
    }

    /// Gives the files of this process their names.
    fn show_pending(&self) -> Result<(), Error> {
        let mut parts = self.parts();
        while let Some(name) = parts.pending.last() {
            self.show(name)?;
            parts.pending.pop();
        }
        Ok(())
    }
}

impl Drop for Target {
    /// What has not been shown by now never will be.
    fn drop(&mut self) {
        let pending = std::mem::take(&mut self.parts().pending);
        for name in pending {
            // There is nobody left to tell.
            let _ = fs::remove_file(self.hidden(&name));
        }
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(format!("cannot {what} it: {error}")).at(path.display())
}
