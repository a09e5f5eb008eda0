//! The source.

use std::sync::Arc;

use millstream_sdk::{
    generated::{Cursor, Numbers},
    prelude::*,
};

use crate::{
    model::{Config, Generator, Scratch},
    plan::Plan,
};

/// Makes events.
#[derive(Debug)]
pub struct NexmarkSource {
    numbers: Numbers,
    generator: Arc<Generator>,
    plan: Plan,
}

impl Source for NexmarkSource {
    const NAME: &'static str = "nexmark";
    const SUMMARY: &'static str = "Makes the events of an online auction: persons, auctions, bids";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::integer("events", "How many events; without end if not set"),
        OptionDoc::integer(
            "rate",
            "How many events in a second, of all readers together; as fast as possible if not set",
        ),
        OptionDoc::integer("seed", "Another number gives other events").default("42"),
        OptionDoc::integer("base-time-ms", "When the first event happens, in ms since 1970")
            .default("1689379170000"),
        OptionDoc::integer("gap-us-min", "The least event time between two events, in µs")
            .default("100"),
        OptionDoc::integer("gap-us-max", "The greatest event time between two events, in µs")
            .default("1000"),
    ];
    type Reader = NexmarkReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let natural = |name: &str, least: i64| {
            let value = options.integer(name)?;
            u64::try_from(value).ok().filter(|_| value >= least).ok_or_else(|| {
                Error::new(format!("the option `{name}` is {value}: it is at least {least}"))
            })
        };
        let optional = |name: &str, least| match options.value(name) {
            Some(_) => natural(name, least).map(Some),
            None => Ok(None),
        };
        let config = Config {
            seed: options.integer("seed")? as u64,
            base_micros: options.integer("base-time-ms")?.saturating_mul(1000),
            gap_micros_min: natural("gap-us-min", 0)?,
            gap_micros_max: natural("gap-us-max", 0)?,
        };
        if config.gap_micros_max < config.gap_micros_min || config.gap_micros_max > GAP_MICROS_MAX {
            return Err(Error::new(format!(
                "the options `gap-us-min` and `gap-us-max` are {} and {}: the second is the \
                 larger, up to {GAP_MICROS_MAX}",
                config.gap_micros_min, config.gap_micros_max
            )));
        }
        Ok(Self {
            numbers: Numbers::new(optional("events", 0)?, optional("rate", 1)?),
            generator: Arc::new(Generator::new(config)),
            plan: Plan::new(schema)?,
        })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.numbers.splits())
    }

    fn is_bounded(&self) -> bool {
        self.numbers.is_bounded()
    }

    fn reader(&self, subtask: Subtask) -> Result<NexmarkReader, Error> {
        Ok(NexmarkReader {
            cursor: self.numbers.cursor(subtask),
            generator: Arc::clone(&self.generator),
            plan: self.plan.clone(),
            scratch: Scratch::default(),
        })
    }
}

/// The greatest time between two events: an hour.
const GAP_MICROS_MAX: u64 = 3_600_000_000;

/// Makes the events of one subtask.
#[derive(Debug)]
pub struct NexmarkReader {
    cursor: Cursor,
    generator: Arc<Generator>,
    plan: Plan,
    scratch: Scratch,
}

impl SplitReader for NexmarkReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        self.cursor.begin(split)
    }

    fn rest(&self) -> Result<Vec<u8>, Error> {
        Ok(self.cursor.rest())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let Self { cursor, generator, plan, scratch } = self;
        Ok(cursor.fill(rows, |rows, number| plan.put(rows, &generator.event(number, scratch))))
    }
}
