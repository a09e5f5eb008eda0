//! The source.

use std::{fs, io::Read, path::PathBuf, sync::Arc};

use millstream_format::{RecordError, Step, csv, json, lines};
use millstream_sdk::prelude::*;

use crate::{
    files,
    format::{CSV_DELIMITER, CSV_ELEMENT_DELIMITER, CSV_QUOTE, Format, Kind},
    input::{self, Compression},
    split::Split,
};

/// Reads files.
#[derive(Debug)]
pub struct FileSource {
    files: Vec<PathBuf>,
    compression: String,
    split_size: u64,
    record_bytes_max: usize,
    format: Arc<Format>,
}

impl Source for FileSource {
    const NAME: &'static str = "filesystem";
    const SUMMARY: &'static str = "Reads CSV, JSON lines and text, plain or compressed";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("path", "A file, a directory, or a pattern such as /data/*.csv")
            .required(),
        OptionDoc::string(
            "format",
            "csv (with a header line), json (lines) or text (a line is a row of one column)",
        )
        .default("csv"),
        OptionDoc::string("compression", "auto (by the file's name), none, gzip or zstd")
            .default("auto"),
        OptionDoc::bytes("split-size", "About how much of a file one reader reads at a time")
            .default("64 MiB"),
        CSV_DELIMITER,
        CSV_QUOTE,
        CSV_ELEMENT_DELIMITER,
        OptionDoc::bytes("max-record-size", "The largest record, as it is written and as a row")
            .default("16 MiB"),
        OptionDoc::boolean(
            "csv.multiline",
            "Whether quoted fields may contain line ends in files of any size; each file is then \
             read by one reader",
        )
        .default("false"),
    ];
    type Reader = FileReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let format = Format::new(options, schema)?;
        let multiline = options.boolean("csv.multiline")?;
        let files = files::matching(options.string("path")?)?;
        let compression = options.string("compression")?.to_owned();
        for file in &files {
            Compression::named(&compression, file)?;
        }
        Ok(Self {
            files,
            compression,
            // A file that is read as a whole is one split.
            split_size: if multiline { u64::MAX } else { options.bytes("split-size")? },
            record_bytes_max: usize::try_from(options.bytes("max-record-size")?)
                .unwrap_or(usize::MAX)
                .max(1),
            format: Arc::new(format),
        })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut splits = Vec::new();
        for file in &self.files {
            match Compression::named(&self.compression, file)? {
                Compression::None => {
                    let length = fs::metadata(file)
                        .map_err(|error| Error::from(error).at(file.display()))?
                        .len();
                    splits.extend(Split::parts(file, length, self.split_size));
                }
                _ => splits.push(Split::whole(file)),
            }
        }
        Ok(splits.iter().map(Split::encode).collect())
    }

    fn reader(&self, subtask: Subtask) -> Result<FileReader, Error> {
        Ok(FileReader {
            format: Arc::clone(&self.format),
            compression: self.compression.clone(),
            limits: Limits {
                record: self.record_bytes_max,
                // A page of the usual size may be short of room for a row that fits it.
                page: self.record_bytes_max.max(2 * subtask.segment_size as usize),
            },
            split: None,
        })
    }
}

/// Reads the splits of one subtask.
#[derive(Debug)]
pub struct FileReader {
    format: Arc<Format>,
    compression: String,
    limits: Limits,
    split: Option<OpenSplit>,
}

/// How large records may be, in bytes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// As they are written.
    record: usize,
    /// A record that finds no room in a page of its own of this size is too large.
    page: usize,
}

/// Bytes that are read from a file at a time.
const READ_BYTES: usize = 256 << 10;
/// The longest header line, in bytes.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// A split that is being read.
struct OpenSplit {
    path: PathBuf,
    compression: Compression,
    input: Box<dyn Read + Send>,
    decoder: Decoder,
    /// Bytes that were read: the first of them is at `offset` of the (decompressed) file.
    data: Vec<u8>,
    offset: u64,
    /// Where the next record begins in `data`.
    position: usize,
    /// The input has ended.
    ended: bool,
    /// Records that begin here or later belong to the next split.
    end: u64,
    limits: Limits,
    /// The line of the next record, if the split begins with the file.
    line: Option<u64>,
}

impl std::fmt::Debug for OpenSplit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenSplit({} at {})", self.path.display(), self.offset)
    }
}

impl SplitReader for FileReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        let split = Split::decode(split)?;
        let path = split.path.clone();
        let compression = Compression::named(&self.compression, &path)?;
        let open = OpenSplit::open(&self.format, split, compression, self.limits);
        self.split = Some(open.map_err(|error| error.at(path.display()))?);
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let Some(split) = &mut self.split else { return Ok(Filled::SplitDone) };
        let filled = split.fill(rows)?;
        if filled == Filled::SplitDone {
            self.split = None;
        }
        Ok(filled)
    }
}

impl OpenSplit {
    fn open(
        format: &Format,
        split: Split,
        compression: Compression,
        limits: Limits,
    ) -> Result<Self, Error> {
        let whole = split.start == 0 && split.end == u64::MAX;
        let decoder = match format.kind {
            Kind::Csv(dialect) => {
                let header = read_header(&split, dialect, compression)?;
                let decoder = csv::Decoder::new(dialect, &header, &format.columns)?;
                Decoder::Csv(decoder.multiline(whole))
            }
            Kind::Json => Decoder::Json(json::Decoder::new(format.columns.clone())),
            Kind::Text => Decoder::Text,
        };
        let has_header = matches!(decoder, Decoder::Csv(_));
        // From the byte before the start: if that is a line feed, a record begins at the start.
        let offset = split.start.saturating_sub(1);
        let mut open = Self {
            input: input::open(&split.path, compression, offset)?,
            path: split.path,
            compression,
            decoder,
            data: Vec::new(),
            offset,
            position: 0,
            ended: false,
            end: split.end,
            limits,
            line: (split.start == 0).then_some(1 + u64::from(has_header)),
        };
        // The header, or the rest of a record that belongs to the split before.
        if has_header || split.start > 0 {
            open.skip_line()?;
        }
        Ok(open)
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        self.decoder.seek(&self.data, self.position);
        while rows.has_room() {
            if self.offset + self.position as u64 >= self.end {
                return Ok(Filled::SplitDone);
            }
            if self.position == self.data.len() && self.ended {
                return Ok(Filled::SplitDone);
            }
            let step = self.decoder.record(&self.data, self.position, self.ended, rows);
            match step.map_err(|error| self.locate(&error))? {
                Step::Row(end) | Step::Blank(end) => {
                    if end - self.position > self.limits.record {
                        return Err(self.too_large());
                    }
                    if let Some(line) = &mut self.line {
                        *line += 1;
                    }
                    self.position = end;
                }
                Step::Incomplete => {
                    rows.roll_back();
                    self.read_more()?;
                    self.decoder.seek(&self.data, self.position);
                }
                Step::Full => {
                    rows.roll_back();
                    // A page of its own is lent to such a row, twice as large each time.
                    if rows.rows() == 0 && rows.size() >= self.limits.page {
                        return Err(self.too_large());
                    }
                    return Ok(Filled::Page);
                }
            }
        }
        Ok(Filled::Page)
    }

    /// Reads more bytes behind those of the record that is not complete.
    fn read_more(&mut self) -> Result<(), Error> {
        self.offset += self.position as u64;
        self.data.drain(..self.position);
        self.position = 0;
        if self.data.len() > self.limits.record {
            return Err(self.too_large());
        }
        let before = self.data.len();
        // A short record takes one read; one that does not fit takes twice as much each time.
        let wanted = READ_BYTES.max(before);
        self.data.resize(before + wanted, 0);
        let read = loop {
            match self.input.read(&mut self.data[before..]) {
                Ok(read) => break read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let place = format!("{}, byte {}", self.path.display(), self.offset);
                    return Err(input::explain(error, self.compression).at(place));
                }
            }
        };
        self.data.truncate(before + read);
        self.ended = read == 0;
        Ok(())
    }

    fn skip_line(&mut self) -> Result<(), Error> {
        loop {
            match memchr::memchr(b'\n', &self.data[self.position..]) {
                Some(at) => {
                    self.position += at + 1;
                    return Ok(());
                }
                None if self.ended => {
                    self.position = self.data.len();
                    return Ok(());
                }
                None => {
                    self.position = self.data.len();
                    self.read_more()?;
                }
            }
        }
    }

    /// The error for the record at hand, which is larger than it may be.
    fn too_large(&self) -> Error {
        let record = self.data.get(self.position..).unwrap_or(&[]);
        let limit = self.limits.record;
        self.locate(&match &self.decoder {
            Decoder::Csv(decoder) => decoder.too_large(record, limit),
            Decoder::Json(decoder) => decoder.too_large(record, limit),
            Decoder::Text => lines::too_large(record, limit),
        })
    }

    /// The error with the place of the record in front.
    fn locate(&self, error: &RecordError) -> Error {
        let path = self.path.display();
        let (place, hint) = match (self.line, &self.decoder) {
            (Some(line), _) => (format!("{path}, line {}", line + error.lines as u64), ""),
            (None, decoder) => {
                let hint = match decoder {
                    Decoder::Csv(_) => {
                        "; if quoted fields contain line ends, set `csv.multiline` to true"
                    }
                    Decoder::Json(_) | Decoder::Text => "",
                };
                (format!("{path}, byte {}", self.offset + self.position as u64), hint)
            }
        };
        Error::new(format!("{}{hint}", error.message)).at(place)
    }
}

/// What makes rows of records.
enum Decoder {
    Csv(csv::Decoder),
    Json(json::Decoder),
    Text,
}

impl Decoder {
    fn seek(&mut self, data: &[u8], position: usize) {
        if let Self::Csv(decoder) = self {
            decoder.seek(data, position);
        }
    }

    fn record(
        &mut self,
        data: &[u8],
        position: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        match self {
            Self::Csv(decoder) => decoder.record(data, position, last, rows),
            Self::Json(decoder) => decoder.record(data, position, last, rows),
            Self::Text => lines::record(data, position, last, rows),
        }
    }
}

/// The names of the columns, from the first line of the file.
fn read_header(
    split: &Split,
    dialect: csv::Dialect,
    compression: Compression,
) -> Result<Vec<String>, Error> {
    let mut input = input::open(&split.path, compression, 0)?;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while memchr::memchr(b'\n', &line).is_none() && line.len() < HEADER_BYTES_MAX {
        let read = input.read(&mut chunk).map_err(|error| input::explain(error, compression))?;
        if read == 0 {
            break;
        }
        line.extend(&chunk[..read]);
    }
    if line.is_empty() {
        return Err(Error::new("the file is empty: a header line with the columns was expected"));
    }
    let end = memchr::memchr(b'\n', &line).unwrap_or(line.len());
    csv::header_columns(&line[..end], dialect)
}
