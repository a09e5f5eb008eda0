//! The sink.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millstream_sdk::{
    format::{Encoder, OpenFormat},
    prelude::*,
};

use crate::{
    input::Compression,
    output::Output,
    partition::{Partitioning, is_directory},
};

/// The option with the columns of directories.
const PARTITION_BY: &str = "partition-by";

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
    /// A file that has been open for so long is followed by another.
    rollover: Option<Duration>,
    /// How rows are divided into directories, if they are.
    partitioning: Option<Partitioning>,
    /// What is put into each directory of a partition at the end of the input.
    success_file: Option<String>,
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
        OptionDoc::duration(
            "sink.rolling-policy.rollover-interval",
            "A file that has been open for so long is followed by another",
        ),
        OptionDoc::duration(
            "sink.rolling-policy.check-interval",
            "Taken for Flink's sake: files are looked at with each page",
        ),
        OptionDoc::string(
            PARTITION_BY,
            "Columns, separated by commas, whose values name directories, `dt=2026-01-31/hm=23`, and are \
             not in the files",
        ),
        OptionDoc::string(
            "sink.partition-commit.policy.kind",
            "success-file puts an empty file into each partition once the input has ended",
        ),
        OptionDoc::string("sink.partition-commit.success-file.name", "What that file is called")
            .default("_SUCCESS"),
        OptionDoc::string(
            "sink.partition-commit.trigger",
            "Taken for Flink's sake: partitions are complete when the input has ended",
        ),
        OptionDoc::string("sink.partition-commit.delay", "As the trigger"),
        OptionDoc::string("partition.time-extractor.timestamp-pattern", "As the trigger"),
    ];
    /// If the format keeps them.
    const ROW_KINDS: bool = true;
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
        let divided = options.value(PARTITION_BY).map(|names| Partitioning::new(names, schema));
        let (partitioning, schema) = match divided.transpose()? {
            Some((partitioning, inner)) => (Some(partitioning), &inner.clone()),
            None => (None, schema),
        };
        let success_file = match options.value("sink.partition-commit.policy.kind") {
            None => None,
            Some("success-file") => {
                Some(options.string("sink.partition-commit.success-file.name")?.to_owned())
            }
            Some(other) => {
                return Err(Error::new(format!(
                    "the option `sink.partition-commit.policy.kind` is `{other}`: it is success-file"
                )));
            }
        };
        let interval = "sink.rolling-policy.rollover-interval";
        let rollover = options.value(interval).map(|_| options.duration(interval)).transpose()?;
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
            rollover,
            partitioning,
            success_file,
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
            parts: BTreeMap::new(),
            unprepared: Vec::new(),
            bytes: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn commit(&self) -> Result<(), Error> {
        self.target.show_pending()?;
        match &self.target.success_file {
            Some(name) if self.target.partitioning.is_some() => {
                mark(&self.target.directory, name).map(|_| ())
            }
            _ => Ok(()),
        }
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
    /// The file of each directory, that of the sink itself if there are no others.
    parts: BTreeMap<String, Part>,
    /// The files since the last checkpoint.
    unprepared: Vec<String>,
    /// The rows of a page as the format writes them.
    bytes: Vec<u8>,
    /// For the rows of one directory.
    scratch: Vec<u128>,
}

/// A file that is being written.
struct Part {
    path: PathBuf,
    opened: Instant,
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
        let target = Arc::clone(&self.target);
        let Some(partitioning) = &target.partitioning else { return self.write_to("", page) };
        let mut scratch = std::mem::take(&mut self.scratch);
        let written = partitioning
            .divide(page, &mut scratch, |directory, page| self.write_to(directory, page));
        self.scratch = scratch;
        written
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.close_parts()
    }

    /// The transaction is the names of files, a line each.
    fn prepare(&mut self) -> Result<Vec<u8>, Error> {
        self.close_parts()?;
        let files = std::mem::take(&mut self.unprepared);
        // From now on they are the checkpoint's: this process must not remove them.
        self.target.parts().pending.retain(|pending| !files.contains(pending));
        Ok(files.join("\n").into_bytes())
    }
}

impl FileWriter {
    /// Writes the rows of a page into the file of a directory.
    fn write_to(&mut self, directory: &str, page: &ValidPage<'_>) -> Result<(), Error> {
        let mut part = match self.parts.remove(directory) {
            Some(part) => part,
            None => self.open_part(directory)?,
        };
        self.bytes.clear();
        part.encoder.encode(page, &mut self.bytes)?;
        part.write(&self.bytes)?;
        let Target { file_size, rollover, .. } = &*self.target;
        let old = rollover.is_some_and(|rollover| part.opened.elapsed() >= rollover);
        if old || part.output.bytes() >= *file_size {
            return self.close_part(part);
        }
        self.parts.insert(directory.to_owned(), part);
        Ok(())
    }

    fn open_part(&mut self, directory: &str) -> Result<Part, Error> {
        let Target { format, compression, run, .. } = &*self.target;
        let suffix = match compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let (subtask, count, extension) = (self.subtask, self.count, format.name());
        let mut name = format!("part-{run}-{subtask}-{count}.{extension}{suffix}");
        if !directory.is_empty() {
            let path = self.target.directory.join(directory);
            fs::create_dir_all(&path).map_err(|error| failed("make", &path, error))?;
            name = format!("{directory}/{name}");
        }
        let hidden = self.target.hidden(&name);
        let mut encoder = format.encoder()?;
        self.bytes.clear();
        encoder.begin(&mut self.bytes)?;
        let output = Output::create(&hidden, *compression)
            .map_err(|error| failed("make", &hidden, error))?;
        self.target.parts().pending.push(name.clone());
        self.unprepared.push(name);
        self.count += 1;
        let mut part = Part { path: hidden, opened: Instant::now(), output, encoder };
        part.write(&self.bytes)?;
        Ok(part)
    }

    fn close_parts(&mut self) -> Result<(), Error> {
        while let Some((_, part)) = self.parts.pop_first() {
            self.close_part(part)?;
        }
        Ok(())
    }

    /// Completes a file: all of it is on the disk when this returns.
    fn close_part(&mut self, mut part: Part) -> Result<(), Error> {
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
        match name.rsplit_once('/') {
            Some((directory, file)) => {
                self.directory.join(directory).join(format!(".{file}.inprogress"))
            }
            None => self.directory.join(format!(".{name}.inprogress")),
        }
    }

    /// Gives a file its name, if it has not got it already.
    fn show(&self, name: &str) -> Result<(), Error> {
        if name.rsplit_once('/').is_some_and(|(directory, _)| !is_directory(directory)) {
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

/// Puts an empty file of this name into each directory below that has files; whether this one has.
fn mark(directory: &Path, name: &str) -> Result<bool, Error> {
    let unreadable = |error| failed("read", directory, error);
    let mut files = false;
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !path.is_dir() {
            files |=
                path.file_name().is_some_and(|file| !file.as_encoded_bytes().starts_with(b"."));
        } else if mark(&path, name)? {
            let success = path.join(name);
            fs::write(&success, []).map_err(|error| failed("write", &success, error))?;
        }
    }
    Ok(files)
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(format!("cannot {what} it: {error}")).at(path.display())
}
