//! Formats: rows as bytes, and back.
//!
//! A format is what stands between a connector, which moves bytes, and rows. It is offered by one
//! plugin and used by the connectors of others: `format = "NAME"` in the options of a table makes
//! the host open it and lend it to the connector.
//!
//! # Writing a format
//!
//! 1. Implement [`Format`]: [`Format::open`] looks at the options and the columns, and refuses what
//!    the format cannot hold. [`Format::properties`] says whether it reads, writes, may be divided
//!    at line ends, and has a header line.
//! 2. Implement [`Decode`]: one function, that finds a record in the bytes and writes its cells into
//!    the page that is being filled. What surrounds it (blocks, pages, splits, places in errors, the
//!    largest record) is done for you.
//! 3. Implement [`Encode`]: the rows of a page are appended to bytes; what stands before the first
//!    row and behind the last has functions of its own.
//! 4. List the type in [`plugin!`](crate::plugin!) under `formats`, and test it with `FormatTest` of
//!    the crate `millstream-sdk-test`, whose `check_contract` divides the bytes in every way.
//!
//! A format that only reads has [`Unsupported`] as its encoder, one that only writes as its decoder.
//!
//! ```
//! use millstream_sdk::{data::page::ValidPage, prelude::*};
//!
//! /// One number, a line each.
//! struct Numbers;
//!
//! impl Format for Numbers {
//!     const NAME: &'static str = "numbers";
//!     const SUMMARY: &'static str = "A number on each line";
//!     const OPTIONS: &'static [OptionDoc] = &[];
//!     type Decoder = NumberLines;
//!     type Encoder = NumberLines;
//!
//!     fn open(_options: &Options, schema: &Schema) -> Result<Self, Error> {
//!         match schema.fields.as_slice() {
//!             [field] if field.data_type == DataType::Int64 && !field.nullable => Ok(Self),
//!             _ => Err(Error::new(format!("numbers are one BIGINT NOT NULL, and not {schema}"))),
//!         }
//!     }
//!
//!     fn properties(&self) -> Properties {
//!         Properties { splits: true, ..Properties::BOTH }
//!     }
//!
//!     fn decoder(&self, _input: &InputInfo<'_>) -> Result<NumberLines, Error> {
//!         Ok(NumberLines)
//!     }
//!
//!     fn encoder(&self) -> Result<NumberLines, Error> {
//!         Ok(NumberLines)
//!     }
//! }
//!
//! struct NumberLines;
//!
//! impl Decode for NumberLines {
//!     fn record(
//!         &mut self,
//!         bytes: &[u8],
//!         start: usize,
//!         last: bool,
//!         rows: &mut Rows<'_>,
//!     ) -> Result<Step, RecordError> {
//!         let rest = bytes.get(start..).unwrap_or_default();
//!         let length = rest.iter().position(|byte| *byte == b'\n');
//!         let (line, end) = match length {
//!             Some(length) => (&rest[..length], start + length + 1),
//!             None if last => (rest, bytes.len()),
//!             None => return Ok(Step::Incomplete),
//!         };
//!         let number = str::from_utf8(line).ok().and_then(|line| line.parse::<i64>().ok());
//!         let number = number.ok_or_else(|| RecordError::new("the line is no number"))?;
//!         rows.put_fixed(0, number.to_le_bytes());
//!         rows.commit();
//!         Ok(Step::Row(end))
//!     }
//! }
//!
//! impl Encode for NumberLines {
//!     fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
//!         for number in page.column(0).fixed::<i64>() {
//!             out.extend_from_slice(format!("{number}\n").as_bytes());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! millstream_sdk::plugin! {
//!     name: "numbers",
//!     summary: "Numbers as lines",
//!     formats: [Numbers],
//! }
//! ```
//!
//! # Using a format in a connector
//!
//! Declare an option with [`OptionDoc::format`] and open it with
//! [`Options::format`](crate::options::Options::format): what comes is an [`OpenFormat`], whoever
//! offers it. Its [`Decoder`] fills the page that the host has lent to the connector; no row is
//! copied on the way.

mod constants;
mod lent;
mod records;
mod table;

use millstream_data::{page::ValidPage, types::Schema};

pub use constants::Constants;
pub use lent::{DecodeError, Decoder, Encoder, OpenFormat};
pub(crate) use table::Thunks;

use crate::{
    Error,
    options::{OptionDoc, Options},
    source::Rows,
};

/// A format: opened once for a table, it makes a decoder or an encoder for each file or stream.
pub trait Format: Sized + Send + Sync + 'static {
    /// The name that programs call it by.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// The options that it takes. A user writes them behind the format's name: `csv.quote-character`
    /// is the option `quote-character` of the format `csv`.
    const OPTIONS: &'static [OptionDoc];
    /// Whether it keeps the kinds of rows ([`Schema::row_kinds`]). One that does not is never opened
    /// for a changelog, whose deletions it would write as rows like any other.
    const ROW_KINDS: bool = false;
    /// What makes rows of bytes.
    type Decoder: Decode;
    /// What makes bytes of rows.
    type Encoder: Encode;

    /// Opens the format for rows of `schema`.
    ///
    /// # Errors
    /// If the options do not fit each other, or the format cannot hold the columns.
    fn open(options: &Options, schema: &Schema) -> Result<Self, Error>;

    /// What it is like, with the options that it was opened with.
    fn properties(&self) -> Properties;

    /// A decoder, for one file, part of a file or stream.
    ///
    /// # Errors
    /// If the input cannot be read, as its header tells.
    fn decoder(&self, input: &InputInfo<'_>) -> Result<Self::Decoder, Error>;

    /// An encoder, for one file or stream.
    ///
    /// # Errors
    /// If there is none to be had.
    fn encoder(&self) -> Result<Self::Encoder, Error>;
}

/// What a format is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// It makes rows of bytes.
    pub decodes: bool,
    /// It makes bytes of rows.
    pub encodes: bool,
    /// Records end with a line feed, and none within a record can be taken for its end; a decoder of
    /// a part has to refuse what it could get wrong. So a file may be divided behind line feeds.
    pub splits: bool,
    /// A file begins with a line that each decoder has to know, and that is no record.
    pub header: bool,
}

impl Properties {
    /// Reads and writes, each file as a whole and without a header.
    pub const BOTH: Self = Self { decodes: true, encodes: true, splits: false, header: false };
    /// Reads only.
    pub const READS: Self = Self { encodes: false, ..Self::BOTH };
    /// Writes only.
    pub const WRITES: Self = Self { decodes: false, ..Self::BOTH };
}

/// What a decoder is opened for.
#[derive(Clone, Copy, Debug, Default)]
pub struct InputInfo<'a> {
    /// The first line of the file, if the format has [`Properties::header`]; it is not part of the
    /// input.
    pub header: &'a [u8],
    /// The input is a whole file or stream, not a part of one.
    pub whole: bool,
    /// The largest record, as it is written and as a row, in bytes.
    pub record_bytes_max: u64,
}

/// Makes rows of bytes.
pub trait Decode: Send + 'static {
    /// Is told that records are read from `start` of these bytes on: other bytes than before, or
    /// another place in them. A decoder that looks ahead begins anew here.
    fn seek(&mut self, bytes: &[u8], start: usize) {
        let _ = (bytes, start);
    }

    /// Writes the record that begins at `start` as a row. With `last` nothing follows the bytes:
    /// their end may end the record, and [`Step::Incomplete`] is an error.
    ///
    /// A format that keeps several rows in one unit gives one with each call, all but the last with
    /// `start` as their end.
    ///
    /// # Errors
    /// If the bytes are no record, or hold what its column does not; with the field's name.
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError>;

    /// The error for the record at the start of `record`, which is larger than it may be; the bytes
    /// may end within it. A format that can tells the largest field.
    fn too_large(&self, record: &[u8], record_bytes_max: usize) -> RecordError {
        let _ = record;
        RecordError::new(format!(
            "the record is larger than `max-record-size`, {record_bytes_max} bytes: raise the \
             option or shorten the record"
        ))
    }
}

/// What a decoder has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record, which ends before this byte; it is a row of the page.
    Row(usize),
    /// An empty line, which ends before this byte.
    Blank(usize),
    /// The data end within a record. Cells that were written of it are forgotten.
    Incomplete,
    /// The page has no room for the record, which was not committed. Cells that were written of it
    /// are forgotten, and the record is asked for again, for another page.
    Full,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// What, and in which column.
    pub message: String,
    /// Line ends within the record before the error.
    pub lines: usize,
}

impl RecordError {
    /// An error in the first line of a record.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), lines: 0 }
    }
}

/// Makes bytes of rows.
pub trait Encode: Send + 'static {
    /// Appends what stands before the first row.
    ///
    /// # Errors
    /// If there is no way to begin.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let _ = out;
        Ok(())
    }

    /// Appends the rows of a page.
    ///
    /// # Errors
    /// If the format cannot hold one of them.
    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Appends what stands behind the last row.
    ///
    /// # Errors
    /// If what was written cannot be completed.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let _ = out;
        Ok(())
    }
}

/// The decoder of a format that only writes, or the encoder of one that only reads: there is none.
#[derive(Clone, Copy, Debug)]
pub enum Unsupported {}

impl Decode for Unsupported {
    fn record(
        &mut self,
        _bytes: &[u8],
        _start: usize,
        _last: bool,
        _rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        match *self {}
    }
}

impl Encode for Unsupported {
    fn encode(&mut self, _page: &ValidPage<'_>, _out: &mut Vec<u8>) -> Result<(), Error> {
        match *self {}
    }
}

/// Bytes of an input, in order.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The bytes that are not consumed yet.
    pub bytes: &'a [u8],
    /// Records that begin at this byte or behind it belong to somebody else; `usize::MAX` for none.
    pub end: usize,
    /// Nothing follows the bytes.
    pub last: bool,
}

/// Where a connector's decoder gets its bytes from.
pub trait Input {
    /// The bytes that are not consumed yet. With `more` at least one beyond those that it gave
    /// before, unless nothing follows; without, what there is, perhaps nothing. `rows` says how many
    /// rows have been made since the page was opened. `None` if there is no more for now: the page
    /// goes out as it is.
    ///
    /// # Errors
    /// If the input cannot be read.
    fn block(&mut self, more: bool, rows: u32) -> Result<Option<Block<'_>>, Error>;

    /// The first bytes of the last block are done with.
    fn consume(&mut self, bytes: usize);
}
