//! The sink.

use std::{
    fmt, fs,
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
    /// Hidden names, and those that the files get when all is done.
    pending: Vec<(PathBuf, PathBuf)>,
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
            bytes: Vec::new(),
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
    part: Option<Part>,
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
}

impl FileWriter {
    fn open_part(&mut self) -> Result<Part, Error> {
        let Target { directory, format, compression, run, .. } = &*self.target;
        let suffix = match compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let (subtask, count, extension) = (self.subtask, self.count, format.name());
        let name = format!("part-{run}-{subtask}-{count}.{extension}{suffix}");
        let hidden = directory.join(format!(".{name}.inprogress"));
        let mut encoder = format.encoder()?;
        self.bytes.clear();
        encoder.begin(&mut self.bytes)?;
        let output = Output::create(&hidden, *compression)
            .map_err(|error| failed("make", &hidden, error))?;
        self.target.parts().pending.push((hidden.clone(), directory.join(name)));
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
