//! The source.

use std::{fs, io::Read, path::PathBuf, sync::Arc};

use millstream_sdk::prelude::*;

use crate::{
    cell::Cell,
    csv::{Decoder, Dialect, RecordError, Step, header_columns},
    files,
    input::{self, Compression},
    split::Split,
};

/// Reads files.
#[derive(Debug)]
pub struct FileSource {
    files: Vec<PathBuf>,
    compression: String,
    split_size: u64,
    format: Arc<Format>,
}

/// How files are read.
#[derive(Debug)]
struct Format {
    dialect: Dialect,
    columns: Vec<(String, Cell)>,
}

impl Source for FileSource {
    const NAME: &'static str = "filesystem";
    const SUMMARY: &'static str = "Reads CSV files";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("path", "A file, a directory, or a pattern such as /data/*.csv")
            .required(),
        OptionDoc::string("format", "The format of the files: csv").default("csv"),
        OptionDoc::string("compression", "auto (by the file's name), none, gzip or zstd")
            .default("auto"),
        OptionDoc::bytes("split-size", "About how much of a file one reader reads at a time")
            .default("64 MiB"),
        OptionDoc::string("csv.field-delimiter", "The character between fields").default(","),
        OptionDoc::string("csv.quote-character", "The character around fields that need it")
            .default("\""),
    ];
    type Reader = FileReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let format = options.string("format")?;
        if format != "csv" {
            return Err(Error::new(format!("the option `format` is `{format}`: it is csv")));
        }
        let character = |name: &str| match options.string(name)?.as_bytes() {
            [byte] => Ok(*byte),
            _ => Err(Error::new(format!("the option `{name}` must be one ASCII character"))),
        };
        let dialect = Dialect {
            delimiter: character("csv.field-delimiter")?,
            quote: character("csv.quote-character")?,
        };
        let column = |field: &Field| {
            let cell = Cell::of(field).ok_or_else(|| {
                Error::new(format!("a CSV column cannot hold `{field}`: nested types need JSON"))
            })?;
            Ok((field.name.clone(), cell))
        };
        let columns = schema.fields.iter().map(column).collect::<Result<_, Error>>()?;
        let files = files::matching(options.string("path")?)?;
        let compression = options.string("compression")?.to_owned();
        for file in &files {
            Compression::named(&compression, file)?;
        }
        Ok(Self {
            files,
            compression,
            split_size: options.bytes("split-size")?,
            format: Arc::new(Format { dialect, columns }),
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

    fn reader(&self, _subtask: Subtask) -> Result<FileReader, Error> {
        Ok(FileReader {
            format: Arc::clone(&self.format),
            compression: self.compression.clone(),
            split: None,
        })
    }
}

/// Reads the splits of one subtask.
#[derive(Debug)]
pub struct FileReader {
    format: Arc<Format>,
    compression: String,
    split: Option<OpenSplit>,
}

/// Bytes that are read from a file at a time.
const READ_BYTES: usize = 256 << 10;
/// The longest record, in bytes.
const RECORD_BYTES_MAX: usize = 16 << 20;

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
        let open = OpenSplit::open(&self.format, split, compression);
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
    fn open(format: &Format, split: Split, compression: Compression) -> Result<Self, Error> {
        let header = read_header(&split, format, compression)?;
        let decoder = Decoder::new(format.dialect, &header, &format.columns)?;
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
            line: (split.start == 0).then_some(2),
        };
        // The header, or the rest of a record that belongs to the split before.
        open.skip_line()?;
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
        if self.data.len() > RECORD_BYTES_MAX {
            let message = format!("a record is longer than {RECORD_BYTES_MAX} bytes");
            return Err(self.locate(&RecordError { message, lines: 0 }));
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

    /// The error with the place of the record in front.
    fn locate(&self, error: &RecordError) -> Error {
        let path = self.path.display();
        let place = match self.line {
            Some(line) => format!("{path}, line {}", line + error.lines as u64),
            None => format!("{path}, byte {}", self.offset + self.position as u64),
        };
        Error::new(&*error.message).at(place)
    }
}

/// The names of the columns, from the first line of the file.
fn read_header(
    split: &Split,
    format: &Format,
    compression: Compression,
) -> Result<Vec<String>, Error> {
    let mut input = input::open(&split.path, compression, 0)?;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while memchr::memchr(b'\n', &line).is_none() && line.len() < RECORD_BYTES_MAX {
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
    header_columns(&line[..end], format.dialect)
}
