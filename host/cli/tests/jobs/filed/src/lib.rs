//! Flights by airport and hour, to files; and each flight as it comes, to others.

use millstream_sdk::prelude::*;

#[derive(Clone, Record)]
struct Flight {
    scheduled_departure: Timestamp<0>,
    origin: String,
    flight: i64,
}

#[derive(Clone, Record)]
struct Hour {
    origin: String,
    start: Timestamp<0>,
    flights: i64,
}

#[derive(Clone)]
struct Count;

impl WindowAggregate for Count {
    type In = Flight;
    type Key = String;
    type Accumulator = i64;
    type Out = Hour;

    fn create(&self) -> i64 {
        0
    }

    fn add(&self, flights: &mut i64, _flight: FlightView<'_>) {
        *flights += 1;
    }

    fn merge(&self, flights: &mut i64, other: i64) {
        *flights += other;
    }

    fn finish(&self, origin: &str, hour: Window, flights: i64, out: &mut dyn Emit<Hour>) {
        out.emit(HourView { origin, start: Timestamp::from_millis(hour.start), flights });
    }
}

struct Filed;

impl Job for Filed {
    const NAME: &'static str = "filed";
    const SUMMARY: &'static str = "Flights by airport and hour, to files";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("input", "The flights, as CSV").required(),
        OptionDoc::string("to", "The directory of the files").required(),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let hours = Tumbling::of(3_600_000).map_err(|error| Error::new(error.to_string()))?;
        // Several splits, so that several subtasks read at a time, each as fast as it can.
        let input = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("split-size", "100 KiB");
        let to = options.string("to")?;
        let output = |name| Connector::new("filesystem").option("path", format!("{to}/{name}"));
        let [hourly, all] = env.source::<Flight>("flights", input).fork();
        // Rows are shown all the time, those of an hour only when time goes on.
        all.shuffle().sink("flights", output("flights"));
        hourly
            .assign_watermarks(Bounded::new(30 * 60_000), |row| row.scheduled_departure.millis())
            .key_by::<String, _>(|flight| flight.origin)
            .window(hours, |flight| flight.scheduled_departure.millis())
            .aggregate(Count)
            .uid("hours")
            .sink("hours", output("hours"));
        Ok(())
    }
}

millstream_sdk::plugin! { name: "filed", summary: "A job of the tests", jobs: [Filed] }
millstream_sdk::export!(plugin);
