//! For each airport and day the three hours with the highest mean departure delay, with the weather
//! that was observed there when the hour began.
//!
//! ```text
//! millstream run target/release/libflights_hourly.so [--input FILE] [--weather FILE] [--bound 30m]
//! ```
//!
//! Everything happens in event time. Flights are folded into windows of an hour; a window that has
//! ended meets the weather of its hour, and goes into a window of a day, which keeps the worst three.

use millstream_sdk::prelude::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// The columns of a flight that the job reads, by name.
#[derive(Clone, Record)]
struct Flight {
    scheduled_departure: Timestamp,
    origin: String,
    /// Absent for a flight that was cancelled.
    departure_delay_minutes: Option<i32>,
}

/// What was observed at an airport.
#[derive(Clone, Record)]
struct Weather {
    observed_at: Timestamp,
    origin: String,
    temperature_f: Option<f64>,
    wind_speed_mph: Option<f64>,
}

/// The flights of an hour that had flown ones.
#[derive(Clone, Record)]
struct Hour {
    origin: String,
    start: Timestamp,
    flights: i64,
    flown: i64,
    delay_minutes: i64,
}

/// An hour and its weather.
#[derive(Clone, Record)]
struct Observed {
    origin: String,
    start: Timestamp,
    flights: i64,
    flown: i64,
    delay_minutes: i64,
    temperature_f: Option<f64>,
    wind_speed_mph: Option<f64>,
}

/// A row of the result.
#[derive(Clone, Record)]
struct Ranked {
    origin: String,
    window_start: Timestamp<0>,
    place: i64,
    flights: i64,
    mean_departure_delay_minutes: Option<Decimal<18, 6>>,
    temperature_f: Option<f64>,
    wind_speed_mph: Option<f64>,
}

/// Folds the flights of an hour: their number, that of those flown, and the sum of their delays.
#[derive(Clone)]
struct Delays;

impl WindowAggregate for Delays {
    type In = Flight;
    type Key = String;
    type Accumulator = (i64, i64, i64);
    type Out = Hour;

    fn create(&self) -> (i64, i64, i64) {
        (0, 0, 0)
    }

    fn add(&self, (flights, flown, minutes): &mut (i64, i64, i64), flight: FlightView<'_>) {
        *flights += 1;
        if let Some(delay) = flight.departure_delay_minutes {
            *flown += 1;
            *minutes += i64::from(delay);
        }
    }

    fn merge(&self, sums: &mut (i64, i64, i64), other: (i64, i64, i64)) {
        *sums = (sums.0 + other.0, sums.1 + other.1, sums.2 + other.2);
    }

    fn finish(
        &self,
        origin: &str,
        window: Window,
        (flights, flown, delay_minutes): (i64, i64, i64),
        out: &mut dyn Emit<Hour>,
    ) {
        if flown > 0 {
            let (origin, start) = (origin.to_owned(), Timestamp::from_millis(window.start));
            out.emit(Hour { origin, start, flights, flown, delay_minutes }.view());
        }
    }
}

/// Gives an hour the last observation of the same hour.
#[derive(Clone)]
struct WithWeather;

impl CoGroupFunction for WithWeather {
    type First = Hour;
    type Second = Weather;
    type Key = String;
    type Out = Observed;

    fn call(
        &mut self,
        _origin: &str,
        window: Window,
        hours: &Group<'_, Hour>,
        weather: &Group<'_, Weather>,
        out: &mut dyn Emit<Observed>,
    ) {
        // An observation is of the moment, not of the hour around it.
        let last = weather.iter().filter(|seen| seen.observed_at.millis() == window.start).last();
        for hour in hours.iter() {
            let HourView { origin, start, flights, flown, delay_minutes } = hour;
            let temperature_f = last.and_then(|seen| seen.temperature_f);
            let wind_speed_mph = last.and_then(|seen| seen.wind_speed_mph);
            out.emit(ObservedView {
                origin,
                start,
                flights,
                flown,
                delay_minutes,
                temperature_f,
                wind_speed_mph,
            });
        }
    }
}

/// Keeps the hours with the highest means, the worst first.
#[derive(Clone)]
struct Worst;

/// How many hours of a day are kept.
const PLACES: usize = 3;

/// Whether an hour comes before another. The means are compared as fractions.
fn is_worse(a: &Observed, b: &Observed) -> bool {
    let left = i128::from(a.delay_minutes) * i128::from(b.flown);
    let right = i128::from(b.delay_minutes) * i128::from(a.flown);
    left > right || (left == right && a.start.0 < b.start.0)
}

fn insert(worst: &mut Vec<Observed>, hour: Observed) {
    let place = worst.partition_point(|kept| is_worse(kept, &hour));
    worst.insert(place, hour);
    worst.truncate(PLACES);
}

impl WindowAggregate for Worst {
    type In = Observed;
    type Key = String;
    type Accumulator = Vec<Observed>;
    type Out = Ranked;

    fn create(&self) -> Vec<Observed> {
        Vec::new()
    }

    fn add(&self, worst: &mut Vec<Observed>, hour: ObservedView<'_>) {
        insert(worst, Observed::own(hour));
    }

    fn merge(&self, worst: &mut Vec<Observed>, other: ListView<'_, Observed>) {
        other.iter().for_each(|hour| insert(worst, Observed::own(hour)));
    }

    fn finish(
        &self,
        origin: &str,
        _day: Window,
        worst: ListView<'_, Observed>,
        out: &mut dyn Emit<Ranked>,
    ) {
        for (place, hour) in (1..).zip(worst.iter()) {
            out.emit(RankedView {
                origin,
                window_start: Timestamp(hour.start.0),
                place,
                flights: hour.flights,
                mean_departure_delay_minutes: Decimal::ratio(hour.delay_minutes, hour.flown),
                temperature_f: hour.temperature_f,
                wind_speed_mph: hour.wind_speed_mph,
            });
        }
    }
}

struct FlightsHourly;

impl Job for FlightsHourly {
    const NAME: &'static str = "flights_hourly";
    const SUMMARY: &'static str =
        "The three worst hours of each airport and day, with their weather";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("input", "The flights, as CSV")
            .default(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/flights.csv.gz")),
        OptionDoc::string("weather", "The weather, as CSV in the order of its hours")
            .default(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/weather.csv.gz")),
        OptionDoc::duration("bound", "How far flights may be out of order").default("30 min"),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let files =
            |path: &str| Connector::new("filesystem").option("path", path).option("format", "csv");
        let bound = options.duration("bound")?.as_millis() as i64;
        let wrong = |error| Error::new(format!("{error}"));
        let (hours, days) = (Tumbling::of(HOUR).map_err(wrong)?, Tumbling::of(DAY).map_err(wrong)?);

        // One subtask reads the weather: of rows for the same hour the last one counts.
        let weather = env
            .source::<Weather>("weather", files(options.string("weather")?).subtasks(1))
            .assign_watermarks(Bounded::new(bound), |seen| seen.observed_at.millis())
            .key_by::<String, _>(|seen| seen.origin)
            .window(hours, |seen| seen.observed_at.millis());
        env.source::<Flight>("flights", files(options.string("input")?))
            .assign_watermarks(Bounded::new(bound), |flight| flight.scheduled_departure.millis())
            .key_by::<String, _>(|flight| flight.origin)
            .window(hours, |flight| flight.scheduled_departure.millis())
            .aggregate(Delays)
            .name("hours")
            .key_by::<String, _>(|hour| hour.origin)
            .window(hours, |hour| hour.start.millis())
            .co_group(weather, WithWeather)
            .name("weather of the hour")
            .key_by::<String, _>(|hour| hour.origin)
            .window(days, |hour| hour.start.millis())
            .aggregate(Worst)
            .name("worst hours")
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "flights_hourly",
    summary: "The event-time example of Millstream",
    jobs: [FlightsHourly],
}
millstream_sdk::export!(plugin);
