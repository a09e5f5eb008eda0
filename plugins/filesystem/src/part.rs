//! A split that is being read.

use std::{
    io::{ErrorKind, Read},
    path::PathBuf,
};

use millstream_sdk::{
    format::{Block, Constants, DecodeError, Decoder, Input, InputInfo, OpenFormat},
    prelude::*,
};

use crate::{
    input::{self, Compression},
    split::Split,
};

/// How rows and records may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of a segment.
    pub(crate) segment_size: u32,
    /// The largest record, in bytes.
    pub(crate) record_bytes_max: u64,
}

/// A split that is being read.
#[derive(Debug)]
pub(crate) struct Part {
    decoder: Decoder,
    bytes: Bytes,
    /// The line at which the decoder began, if the split begins with the file.
    line: Option<u64>,
}

/// The bytes of a split, from its first record on.
struct Bytes {
    path: PathBuf,
    compression: Compression,
    input: Box<dyn Read + Send>,
    /// Bytes that were read: the first of them is at `offset` of the (decompressed) file.
    data: Vec<u8>,
    offset: u64,
    /// Those before it are consumed.
    position: usize,
    /// The input has ended.
    ended: bool,
    /// Records that begin here or later belong to the next split.
    end: u64,
}

/// Bytes that are read from a file at a time.
const READ_BYTES: usize = 256 << 10;
/// The longest header line, in bytes.
const HEADER_BYTES_MAX: usize = 1 << 20;

impl Part {
    pub(crate) fn open(
        format: &OpenFormat,
        split: Split,
        compression: Compression,
        (limits, constants): (Limits, Option<&Constants>),
    ) -> Result<Self, Error> {
        let has_header = format.properties().header;
        let header = if has_header { read_header(&split, compression)? } else { Vec::new() };
        let info = InputInfo {
            header: &header,
            whole: (split.start == 0 || split.exact) && split.end == u64::MAX,
            record_bytes_max: limits.record_bytes_max,
        };
        let decoder = format.decoder_beside(&info, limits.segment_size, constants)?;
        // From the byte before the start: if that is a line feed, a record begins at the start.
        let offset = split.start.saturating_sub(u64::from(!split.exact));
        let mut bytes = Bytes {
            input: input::open(&split.path, compression, offset)?,
            path: split.path,
            compression,
            data: Vec::new(),
            offset,
            position: 0,
            ended: false,
            end: split.end,
        };
        // The header, or the rest of a record that belongs to the split before.
        if !split.exact && (has_header || split.start > 0) {
            bytes.skip_line()?;
        }
        let line = (split.start == 0 && !split.exact).then_some(1 + u64::from(has_header));
        Ok(Self { decoder, bytes, line })
    }

    /// What is left: from the first record that is in no page.
    pub(crate) fn rest(&self) -> Split {
        let Bytes { path, offset, position, end, .. } = &self.bytes;
        Split { start: offset + *position as u64, end: *end, exact: true, path: path.clone() }
    }

    /// Lets the format fill a page.
    pub(crate) fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        self.decoder.fill(&mut self.bytes, rows).map_err(|error| self.locate(error))
    }

    /// The error with the place of the record in front.
    fn locate(&self, error: DecodeError) -> Error {
        let Bytes { path, offset, position, .. } = &self.bytes;
        let path = path.display();
        match (error, self.line) {
            (DecodeError::Input(error), _) => error,
            (DecodeError::Record { error, lines, .. }, Some(line)) => {
                error.at(format!("{path}, line {}", line + lines))
            }
            (DecodeError::Record { error, at, .. }, None) => {
                error.at(format!("{path}, byte {}", offset + (position + at) as u64))
            }
        }
    }
}

impl Input for Bytes {
    fn block(&mut self, more: bool, _rows: u32) -> Result<Option<Block<'_>>, Error> {
        // What was asked for is there already if nothing is.
        if more || (self.position >= self.data.len() && !self.ended) {
            self.read_more()?;
        }
        let begin = self.offset + self.position as u64;
        Ok(Some(Block {
            bytes: self.data.get(self.position..).unwrap_or_default(),
            end: usize::try_from(self.end.saturating_sub(begin)).unwrap_or(usize::MAX),
            last: self.ended,
        }))
    }

    fn consume(&mut self, bytes: usize) {
        self.position = self.data.len().min(self.position.saturating_add(bytes));
    }
}

impl Bytes {
    /// Reads more bytes behind those that are not consumed.
    fn read_more(&mut self) -> Result<(), Error> {
        self.offset += self.position as u64;
        self.data.drain(..self.position);
        self.position = 0;
        let before = self.data.len();
        // A short record takes one read; one that does not fit takes twice as much each time.
        let wanted = READ_BYTES.max(before);
        self.data.resize(before + wanted, 0);
        let read = loop {
            match self.input.read(&mut self.data[before..]) {
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
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
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({} at {})", self.path.display(), self.offset)
    }
}

/// The first line of the file.
fn read_header(split: &Split, compression: Compression) -> Result<Vec<u8>, Error> {
    let mut input = input::open(&split.path, compression, 0)?;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while memchr::memchr(b'\n', &line).is_none() && line.len() < HEADER_BYTES_MAX {
        let read = input.read(&mut chunk).map_err(|error| input::explain(error, compression))?;
        if read == 0 {
            break;
        }
        line.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
    let end = memchr::memchr(b'\n', &line).unwrap_or(line.len());
    line.truncate(end);
    Ok(line)
}
