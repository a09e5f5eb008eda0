//! The source.

use std::sync::Arc;

use millstream_sdk::{
    generated::{Cursor, Numbers},
    prelude::*,
};

use crate::column::Column;

/// Makes rows.
#[derive(Debug)]
pub struct DataSource {
    numbers: Numbers,
    seed: u64,
    columns: Arc<[Column]>,
}

impl Source for DataSource {
    const NAME: &'static str = "datagen";
    const SUMMARY: &'static str = "Makes rows of plain types, sequential or random";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::integer(
            "number-of-rows",
            "How many rows; without end if not set, unless a sequence ends",
        ),
        OptionDoc::integer(
            "rows-per-second",
            "How many rows in a second, of all readers together; as fast as possible if not set",
        ),
        OptionDoc::integer("seed", "Another number gives other random values").default("0"),
        OptionDoc::string("fields.*.kind", "How a column is made: random or sequence")
            .default("random"),
        OptionDoc::string("fields.*.min", "The least random value of a number"),
        OptionDoc::string("fields.*.max", "The greatest random value of a number"),
        OptionDoc::integer("fields.*.length", "Characters of a random text").default("100"),
        OptionDoc::integer("fields.*.start", "The first value of a sequence").default("0"),
        OptionDoc::integer("fields.*.end", "The last value of a sequence, with which the rows end"),
        OptionDoc::float(
            "fields.*.null-rate",
            "The share of rows in which the column is NULL, 0 to 1",
        )
        .default("0"),
    ];
    type Reader = DataReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        check_names(options, schema)?;
        let columns = schema.fields.iter().map(|field| Column::new(field, options));
        let columns: Arc<[Column]> = columns.collect::<Result<_, _>>()?;
        let limit = optional(options, "number-of-rows")?;
        let ends = columns.iter().filter_map(Column::rows);
        let limit = ends.chain(limit).min();
        let rate = optional(options, "rows-per-second")?;
        if rate == Some(0) {
            return Err(Error::new("the option `rows-per-second` is 0: it is at least 1"));
        }
        let seed = options.integer("seed")? as u64;
        Ok(Self { numbers: Numbers::new(limit, rate), seed, columns })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.numbers.splits())
    }

    fn is_bounded(&self) -> bool {
        self.numbers.is_bounded()
    }

    fn reader(&self, subtask: Subtask) -> Result<DataReader, Error> {
        let (cursor, columns) = (self.numbers.cursor(subtask), Arc::clone(&self.columns));
        Ok(DataReader { cursor, seed: self.seed, columns, text: String::new() })
    }
}

/// A number of rows that may be left out.
fn optional(options: &Options, name: &str) -> Result<Option<u64>, Error> {
    if options.value(name).is_none() {
        return Ok(None);
    }
    let value = options.integer(name)?;
    u64::try_from(value)
        .map(Some)
        .map_err(|_| Error::new(format!("the option `{name}` is {value}: it must not be negative")))
}

/// An option for a column that does not exist is a slip of the pen.
fn check_names(options: &Options, schema: &Schema) -> Result<(), Error> {
    for (key, _) in options.given() {
        let Some(rest) = key.strip_prefix("fields.") else { continue };
        let name = rest.rsplit_once('.').map_or(rest, |(name, _)| name);
        if schema.position(name).is_none() {
            return Err(Error::new(format!(
                "the option `{key}` is of a column `{name}`, but the columns are {schema}"
            )));
        }
    }
    Ok(())
}

/// Makes the rows of one subtask.
#[derive(Debug)]
pub struct DataReader {
    cursor: Cursor,
    seed: u64,
    columns: Arc<[Column]>,
    text: String,
}

impl SplitReader for DataReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        self.cursor.begin(split)
    }

    fn rest(&self) -> Result<Vec<u8>, Error> {
        Ok(self.cursor.rest())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let Self { cursor, seed, columns, text } = self;
        Ok(cursor.fill(rows, |rows, number| {
            columns
                .iter()
                .enumerate()
                .try_for_each(|(index, column)| column.put(rows, index, *seed, number, text))
        }))
    }
}
