//! Flights by hour and by day: a job that is changed between a savepoint and its restore.

use millstream_sdk::prelude::*;

#[derive(Clone, Record)]
struct Flight {
    scheduled_departure: Timestamp<0>,
    origin: String,
    flight: i64,
}

#[derive(Clone, Record)]
struct Count {
    window: String,
    origin: String,
    start: Timestamp<0>,
    flights: i64,
}

#[derive(Clone)]
struct Flights(&'static str);

impl WindowAggregate for Flights {
    type In = Flight;
    type Key = String;
    type Accumulator = i64;
    type Out = Count;

    fn create(&self) -> i64 {
        0
    }

    fn add(&self, flights: &mut i64, _flight: FlightView<'_>) {
        *flights += 1;
    }

    fn merge(&self, flights: &mut i64, other: i64) {
        *flights += other;
    }

    fn finish(&self, origin: &str, window: Window, flights: i64, out: &mut dyn Emit<Count>) {
        let start = Timestamp::from_millis(window.start);
        out.emit(CountView { window: self.0, origin, start, flights });
    }
}

/// The job; what it consists of is an option.
struct Changing;

impl Job for Changing {
    const NAME: &'static str = "changing";
    const SUMMARY: &'static str = "Flights by hour and by day";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("input", "The flights, as CSV").required(),
        OptionDoc::string("parts", "both, mapped: with a map in front, hours: without the days")
            .default("both"),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let tumbling = |millis| Tumbling::of(millis).map_err(|error| Error::new(error.to_string()));
        let (hours, days) = (tumbling(3_600_000)?, tumbling(86_400_000)?);
        let input = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("split-size", "100 KiB");
        let flights = env
            .source::<Flight>("flights", input)
            .assign_watermarks(Bounded::new(30 * 60_000), |row| row.scheduled_departure.millis());
        let parts = options.string("parts")?;
        let [first, second] = match parts {
            "mapped" => flights.filter(|flight| flight.flight >= 0).fork(),
            _ => flights.fork(),
        };
        let hours = first
            .key_by::<String, _>(|flight| flight.origin)
            .window(hours, |flight| flight.scheduled_departure.millis())
            .aggregate(Flights("hour"));
        if parts == "hours" {
            second.for_each(|_| ());
            hours.result();
            return Ok(());
        }
        second
            .key_by::<String, _>(|flight| flight.origin)
            .window(days, |flight| flight.scheduled_departure.millis())
            .aggregate(Flights("day"))
            .uid("days")
            .union(hours)
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! { name: "changing", summary: "A job of the tests", jobs: [Changing] }
millstream_sdk::export!(plugin);
