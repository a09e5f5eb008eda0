//! Flights by airport and hour, to files; each flight as it comes, to others; the flights of each
//! hour as a function sees them, a while later, to yet others; and how many an airport and a flight number have,
//! after each flight and at the end.

use millstream_sdk::{
    dataflow::{
        TaskError,
        operator::{
            AggregateFunction,
            process::{KeyedProcessFunction, ListState, ProcessContext, StateRegistry},
            window::{ProcessWindowFunction, WindowContext, WindowRows},
        },
    },
    prelude::*,
};

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

#[derive(Clone, Record)]
struct Total {
    origin: String,
    flights: i64,
}

/// Counts the flights of a number.
#[derive(Clone)]
struct CountUp;

/// Counts the flights of an airport, in an accumulator that grows.
#[derive(Clone)]
struct CountUpText;

/// The most that it grows to.
const DOTS: usize = 100;

impl AggregateFunction for CountUp {
    type In = Flight;
    type Key = i64;
    type Accumulator = i64;
    type Out = Total;

    fn create(&self) -> i64 {
        0
    }

    fn add(&self, flights: &mut i64, _flight: FlightView<'_>) {
        *flights += 1;
    }

    fn finish(&self, flight: i64, flights: &i64) -> Total {
        Total { origin: flight.to_string(), flights: *flights }
    }
}

impl AggregateFunction for CountUpText {
    type In = Flight;
    type Key = String;
    type Accumulator = (i64, String);
    type Out = Total;

    fn create(&self) -> (i64, String) {
        (0, String::new())
    }

    fn add(&self, (flights, dots): &mut (i64, String), _flight: FlightView<'_>) {
        *flights += 1;
        if dots.len() < DOTS {
            dots.push('.');
        }
    }

    fn finish(&self, origin: &str, (flights, dots): &(i64, String)) -> Total {
        let is_whole = dots.len() == DOTS.min(*flights as usize);
        Total { origin: origin.into(), flights: if is_whole { *flights } else { -1 } }
    }
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

/// Counts the flights of an hour at its end.
#[derive(Clone)]
struct CountAll;

impl ProcessWindowFunction for CountAll {
    type Key = String;
    type In = Flight;
    type Out = Hour;

    fn process(
        &mut self,
        rows: &WindowRows<'_, Flight>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let (origin, start) = (context.key(), Timestamp::from_millis(context.window().start));
        context.emit(HourView { origin, start, flights: rows.len() as i64 });
        Ok(())
    }
}

/// Passes rows on two milliseconds later by the wall clock, or when the input has ended.
#[derive(Clone)]
struct Later;

impl Later {
    fn pass_on(
        held: &mut ListState<Hour>,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        for hour in held.get(context)? {
            context.emit(hour.view());
        }
        held.clear(context)
    }
}

impl KeyedProcessFunction for Later {
    type Key = String;
    type In = Hour;
    type Out = Hour;
    type States = ListState<Hour>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ListState<Hour>, TaskError> {
        states.list("held")
    }

    fn process(
        &mut self,
        held: &mut ListState<Hour>,
        row: HourView<'_>,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        held.add(context, row)?;
        let now = context.processing_time();
        context.register_processing_timer(now + 2)?;
        context.register_timer(i64::MAX)
    }

    fn on_timer(
        &mut self,
        held: &mut ListState<Hour>,
        _: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        Self::pass_on(held, context)
    }

    fn on_processing_timer(
        &mut self,
        held: &mut ListState<Hour>,
        _: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        Self::pass_on(held, context)
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
        let [hourly, listed, all, counted, numbered, totals] =
            env.source::<Flight>("flights", input).fork();
        // Rows are shown all the time, those of an hour only when time goes on.
        all.shuffle().sink("flights", output("flights"));
        hourly
            .assign_watermarks(Bounded::new(30 * 60_000), |row| row.scheduled_departure.millis())
            .key_by::<String, _>(|flight| flight.origin)
            .window(hours, |flight| flight.scheduled_departure.millis())
            .aggregate(Count)
            .uid("hours")
            .sink("hours", output("hours"));
        listed
            .assign_watermarks(Bounded::new(30 * 60_000), |row| row.scheduled_departure.millis())
            .key_by::<String, _>(|flight| flight.origin)
            .window(hours, |flight| flight.scheduled_departure.millis())
            .process(CountAll)
            .key_by::<String, _>(|hour| hour.origin)
            .process(Later)
            .sink("listed", output("listed"));
        counted
            .key_by::<String, _>(|flight| flight.origin)
            .aggregate(CountUpText)
            .sink("counted", output("counted"));
        numbered
            .key_by::<i64, _>(|flight| flight.flight)
            .aggregate(CountUp)
            .uid("numbered")
            .sink("numbered", output("numbered"));
        totals
            .key_by::<i64, _>(|flight| flight.flight)
            .aggregate_at_end(CountUp)
            .sink("totals", output("totals"));
        Ok(())
    }
}

millstream_sdk::plugin! { name: "filed", summary: "A job of the tests", jobs: [Filed] }
millstream_sdk::export!(plugin);
