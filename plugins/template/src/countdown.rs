//! A source that counts down.

use millstream_sdk::prelude::*;

/// Counts down to 1: `number BIGINT NOT NULL, text STRING NOT NULL, half BIGINT`.
#[derive(Debug)]
pub struct Countdown {
    from: u64,
}

/// Numbers of a split.
const SPLIT_NUMBERS: u64 = 1000;

impl Source for Countdown {
    const NAME: &'static str = "countdown";
    const SUMMARY: &'static str = "The numbers from the first down to 1";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::integer("from", "The first number").required()];
    type Reader = CountdownReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        // The job says which columns it wants; a source says which it can give.
        let types = schema.fields.iter().map(|field| (&field.data_type, field.nullable));
        match types.collect::<Vec<_>>().as_slice() {
            [(DataType::Int64, _), (DataType::String, _), (DataType::Int64, true)] => {}
            _ => {
                return Err(Error::new(format!(
                    "countdown gives a BIGINT, a STRING and a BIGINT that may be NULL, but the \
                     columns are {schema}"
                )));
            }
        }
        let from = options.integer("from")?;
        let from = u64::try_from(from)
            .map_err(|_| Error::new(format!("the option `from` is {from}: it is 0 or more")))?;
        Ok(Self { from })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        // What a split says is up to the source. Here: the first of its numbers, and that of the next.
        let firsts = (0..self.from.div_ceil(SPLIT_NUMBERS)).map(|n| self.from - n * SPLIT_NUMBERS);
        Ok(firsts.map(|first| split(first, first.saturating_sub(SPLIT_NUMBERS))).collect())
    }

    fn reader(&self, _subtask: Subtask) -> Result<CountdownReader, Error> {
        Ok(CountdownReader::default())
    }
}

/// The numbers from `first` down to just before `end`.
fn split(first: u64, end: u64) -> Vec<u8> {
    [first.to_le_bytes(), end.to_le_bytes()].concat()
}

/// Reads the splits of one subtask.
#[derive(Debug, Default)]
pub struct CountdownReader {
    next: u64,
    /// Where the split ends: this number belongs to the next one.
    end: u64,
}

impl SplitReader for CountdownReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        let (numbers, []) = split.as_chunks() else { return Err(Error::new("a split is damaged")) };
        let [first, end] = numbers else { return Err(Error::new("a split is damaged")) };
        (self.next, self.end) = (u64::from_le_bytes(*first), u64::from_le_bytes(*end));
        Ok(())
    }

    /// With this, jobs that read from the source can take checkpoints: after a failure some reader goes on
    /// with what is left here.
    fn rest(&self) -> Result<Vec<u8>, Error> {
        Ok(split(self.next, self.end))
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        // As long as the page has room: write every cell of a row, then commit it.
        while rows.has_room() {
            if self.next == self.end {
                return Ok(Filled::SplitDone);
            }
            if self.put(rows).is_err() {
                // There is no room for the text. The row is not committed, so no part of the page;
                // `next` stays, and the next call writes the row again, into another page.
                return Ok(Filled::Page);
            }
            rows.commit();
            self.next -= 1;
        }
        Ok(Filled::Page)
    }
}

impl CountdownReader {
    /// Writes the cells of the next row.
    fn put(&self, rows: &mut Rows<'_>) -> Result<(), Full> {
        rows.put_fixed(0, self.next.to_le_bytes());
        // What has no fixed width may find the page full: strings, bytes and elements of lists.
        rows.put_str(1, &format!("{} seconds to go", self.next))?;
        match self.next % 2 {
            0 => rows.put_fixed(2, (self.next / 2).to_le_bytes()),
            // A cell that is not written is an error, NULL has to be said.
            _ => rows.put_null(2),
        }
        Ok(())
    }
}
