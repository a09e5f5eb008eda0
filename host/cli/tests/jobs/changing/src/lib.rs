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

/// What is counted of a day, in a program that has learned to count more.
#[derive(Clone, Record)]
struct Wide {
    note: Option<String>,
    value: i64,
}

/// As [`Flights`], with another accumulator.
#[derive(Clone)]
struct Wider;

impl WindowAggregate for Wider {
    type In = Flight;
    type Key = String;
    type Accumulator = Wide;
    type Out = Count;

    fn create(&self) -> Wide {
        Wide { note: Some("a day that began after the change".into()), value: 0 }
    }

    fn add(&self, day: &mut Wide, _flight: FlightView<'_>) {
        day.value += 1;
    }

    fn merge(&self, day: &mut Wide, other: WideView<'_>) {
        day.value += other.value;
    }

    fn finish(&self, origin: &str, window: Window, day: WideView<'_>, out: &mut dyn Emit<Count>) {
        let start = Timestamp::from_millis(window.start);
        out.emit(CountView { window: "day", origin, start, flights: day.value });
    }
}

/// As [`Flights`], with an accumulator that is something else.
#[derive(Clone)]
struct Named;

impl WindowAggregate for Named {
    type In = Flight;
    type Key = String;
    type Accumulator = String;
    type Out = Count;

    fn create(&self) -> String {
        String::new()
    }

    fn add(&self, _names: &mut String, _flight: FlightView<'_>) {}

    fn merge(&self, _names: &mut String, _other: &str) {}

    fn finish(&self, origin: &str, window: Window, _names: &str, out: &mut dyn Emit<Count>) {
        let start = Timestamp::from_millis(window.start);
        out.emit(CountView { window: "day", origin, start, flights: 0 });
    }
}

/// The job; what it consists of is an option.
struct Changing;

impl Job for Changing {
    const NAME: &'static str = "changing";
    const SUMMARY: &'static str = "Flights by hour and by day";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("input", "The flights, as CSV").required(),
        OptionDoc::string(
            "parts",
            "both, mapped: with a map in front, hours: without the days, wider: with more of \
             a day, named: with something else of it",
        )
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
        let days = second
            .key_by::<String, _>(|flight| flight.origin)
            .window(days, |flight| flight.scheduled_departure.millis());
        match parts {
            "wider" => days.aggregate(Wider).uid("days").union(hours).result(),
            "named" => days.aggregate(Named).uid("days").union(hours).result(),
            _ => days.aggregate(Flights("day")).uid("days").union(hours).result(),
        }
        Ok(())
    }
}

millstream_sdk::plugin! { name: "changing", summary: "A job of the tests", jobs: [Changing] }
millstream_sdk::export!(plugin);
