//! Formats of changelogs: rows with kinds, those without as inserted.

use std::{fmt, marker::PhantomData};

use millstream_sdk::{prelude::*, source};

use super::{TIMESTAMPS, is_sql, not_sql};
use crate::{
    Columns,
    json::{self, ChangeLines},
};

/// How times are written: those of other formats are refused.
const TIMES: OptionDoc = OptionDoc::string(
    TIMESTAMPS,
    "How times are written: SQL (2013-01-31 05:15:00.5), the only one so far",
)
.default("SQL");
const IGNORE: &str = "ignore-parse-errors";
const LENIENT: OptionDoc =
    OptionDoc::boolean(IGNORE, "Lines that are wrong are passed over when they are read")
        .default("false");
const SCHEMA: &str = "schema-include";

/// How a change is a line.
pub trait Line: 'static {
    /// The name of the format.
    const NAME: &'static str;
    /// What it is.
    const SUMMARY: &'static str;
    /// What it takes.
    const OPTIONS: &'static [OptionDoc];
    /// Adds the line of a row.
    const PUSH: Push;

    /// How it is read, with these options.
    ///
    /// # Errors
    /// If an option is wrong.
    fn lines(options: &Options) -> Result<ChangeLines, Error>;
}

/// A format of changelogs.
#[derive(Debug)]
pub struct Changes<L> {
    columns: Columns,
    lines: ChangeLines,
    lenient: bool,
    of: PhantomData<fn() -> L>,
}

/// A line of JSON says a row and its kind: `{"data":{...},"op":"+I"}`.
pub type ChangelogJson = Changes<Changelog>;

/// A line of JSON says a row before and after a change, as Debezium's connectors do:
/// `{"before":null,"after":{...},"op":"c"}`. An update is two lines, as in Flink.
pub type DebeziumJson = Changes<Debezium>;

/// See [`ChangelogJson`].
#[derive(Debug)]
pub struct Changelog;

/// See [`DebeziumJson`].
#[derive(Debug)]
pub struct Debezium;

impl Line for Changelog {
    const NAME: &'static str = "changelog-json";
    const SUMMARY: &'static str = "Changelogs as JSON lines, with +I, -U, +U or -D";
    const OPTIONS: &'static [OptionDoc] = &[TIMES, LENIENT];
    const PUSH: Push = json::push_changelog;

    fn lines(_options: &Options) -> Result<ChangeLines, Error> {
        Ok(ChangeLines::Changelog)
    }
}

impl Line for Debezium {
    const NAME: &'static str = "debezium-json";
    const SUMMARY: &'static str = "Changelogs as JSON lines as Debezium has them";
    const OPTIONS: &'static [OptionDoc] = &[
        TIMES,
        LENIENT,
        OptionDoc::boolean(
            SCHEMA,
            "Lines that are read have the schema, too, and the change as payload",
        )
        .default("false"),
    ];
    const PUSH: Push = json::push_debezium;

    fn lines(options: &Options) -> Result<ChangeLines, Error> {
        Ok(ChangeLines::Debezium { with_schema: options.boolean(SCHEMA)? })
    }
}

impl<L: Line> Format for Changes<L> {
    const NAME: &'static str = L::NAME;
    const SUMMARY: &'static str = L::SUMMARY;
    const OPTIONS: &'static [OptionDoc] = L::OPTIONS;
    const ROW_KINDS: bool = true;
    type Decoder = ChangeDecoder;
    type Encoder = ChangeEncoder;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        match is_sql(options, L::NAME)? {
            true => Ok(Self {
                columns: Columns::new(schema)?,
                lines: L::lines(options)?,
                lenient: options.boolean(IGNORE)?,
                of: PhantomData,
            }),
            false => Err(not_sql(L::NAME)),
        }
    }

    fn properties(&self) -> Properties {
        // A file is not divided: its changes have an order.
        Properties::BOTH
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<ChangeDecoder, Error> {
        Ok(ChangeDecoder(json::Changed::new(&self.columns, self.lines, self.lenient)))
    }

    fn encoder(&self) -> Result<ChangeEncoder, Error> {
        Ok(ChangeEncoder { columns: self.columns.clone(), push: L::PUSH, cell: Vec::new() })
    }
}

/// Reads changelogs of JSON lines.
#[derive(Debug)]
pub struct ChangeDecoder(json::Changed);

impl Decode for ChangeDecoder {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut source::Rows<'_>,
    ) -> Result<Step, RecordError> {
        self.0.record(bytes, start, last, rows)
    }

    fn too_large(&self, record: &[u8], record_bytes_max: usize) -> RecordError {
        self.0.too_large(record, record_bytes_max)
    }
}

/// Adds the line of a row of a page; the last argument is scratch.
pub(super) type Push = fn(&mut Vec<u8>, &Columns, &ValidPage<'_>, usize, &mut Vec<u8>);

/// Writes changelogs as JSON lines.
pub struct ChangeEncoder {
    columns: Columns,
    push: Push,
    cell: Vec<u8>,
}

impl Encode for ChangeEncoder {
    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        for row in 0..page.rows() {
            (self.push)(out, &self.columns, page, row, &mut self.cell);
        }
        Ok(())
    }
}

impl fmt::Debug for ChangeEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeEncoder").field("columns", &self.columns).finish_non_exhaustive()
    }
}
