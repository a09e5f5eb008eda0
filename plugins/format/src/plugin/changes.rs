//! Formats of changelogs, which are only written: any rows, those without kinds as inserted.

use std::{fmt, marker::PhantomData};

use millstream_sdk::{format::Unsupported, prelude::*};

use super::{TIMESTAMPS, is_sql, not_sql};
use crate::{Columns, json};

/// How times are written: those of other formats are refused.
const OPTIONS: &[OptionDoc] = &[OptionDoc::string(
    TIMESTAMPS,
    "How times are written: SQL (2013-01-31 05:15:00.5), the only one so far",
)
.default("SQL")];

/// How a change is a line.
pub trait Line: 'static {
    /// The name of the format.
    const NAME: &'static str;
    /// What it is.
    const SUMMARY: &'static str;
    /// Adds the line of a row.
    const PUSH: Push;
}

/// A format of changelogs.
#[derive(Debug)]
pub struct Changes<L>(Columns, PhantomData<fn() -> L>);

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
    const SUMMARY: &'static str = "Changelogs as JSON lines, with +I, -U, +U or -D; only written";
    const PUSH: Push = json::push_changelog;
}

impl Line for Debezium {
    const NAME: &'static str = "debezium-json";
    const SUMMARY: &'static str = "Changelogs as JSON lines as Debezium has them; only written";
    const PUSH: Push = json::push_debezium;
}

impl<L: Line> Format for Changes<L> {
    const NAME: &'static str = L::NAME;
    const SUMMARY: &'static str = L::SUMMARY;
    const OPTIONS: &'static [OptionDoc] = OPTIONS;
    const ROW_KINDS: bool = true;
    type Decoder = Unsupported;
    type Encoder = ChangeEncoder;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        match is_sql(options, L::NAME)? {
            true => Ok(Self(Columns::new(schema)?, PhantomData)),
            false => Err(not_sql(L::NAME)),
        }
    }

    fn properties(&self) -> Properties {
        Properties::WRITES
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<Unsupported, Error> {
        Err(Error::new(format!("the format `{}` is only written, not read", L::NAME)))
    }

    fn encoder(&self) -> Result<ChangeEncoder, Error> {
        Ok(ChangeEncoder { columns: self.0.clone(), push: L::PUSH, cell: Vec::new() })
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
