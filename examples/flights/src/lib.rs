//! For each carrier and origin: flights, cancellations, mean and maximum departure delay, and the
//! share of flights on time.
//!
//! ```text
//! millstream run target/release/libflights.so [--input FILE]
//! ```

use millstream_sdk::prelude::*;

/// The columns that the job reads, by name.
#[derive(Clone, Record)]
struct Flight {
    carrier: String,
    origin: String,
    /// Absent for a flight that was cancelled.
    departure_delay_minutes: Option<i32>,
}

/// A row of the result.
#[derive(Clone, Record)]
struct Punctuality {
    carrier: String,
    origin: String,
    flights: i64,
    cancelled: i64,
    mean_departure_delay_minutes: Option<Decimal<18, 6>>,
    max_departure_delay_minutes: Option<i32>,
    on_time_share: Option<Decimal<18, 6>>,
}

/// A flight is on time if it leaves less than so many minutes late.
const ON_TIME_BELOW_MINUTES: i32 = 15;

/// What is known of the flights of a carrier from an origin.
#[derive(Clone, Default, Record)]
struct Delays {
    flights: i64,
    cancelled: i64,
    on_time: i64,
    sum_minutes: i64,
    max_minutes: Option<i32>,
}

#[derive(Clone)]
struct ByRoute;

impl AggregateFunction for ByRoute {
    type In = Flight;
    type Key = (String, String);
    type Accumulator = Delays;
    type Out = Punctuality;

    fn create(&self) -> Delays {
        Delays::default()
    }

    fn add(&self, delays: &mut Delays, flight: FlightView<'_>) {
        delays.flights += 1;
        let Some(minutes) = flight.departure_delay_minutes else {
            delays.cancelled += 1;
            return;
        };
        delays.sum_minutes += i64::from(minutes);
        delays.on_time += i64::from(minutes < ON_TIME_BELOW_MINUTES);
        delays.max_minutes = delays.max_minutes.max(Some(minutes));
    }

    fn finish(&self, (carrier, origin): (&str, &str), delays: &Delays) -> Punctuality {
        let flown = delays.flights - delays.cancelled;
        Punctuality {
            carrier: carrier.into(),
            origin: origin.into(),
            flights: delays.flights,
            cancelled: delays.cancelled,
            mean_departure_delay_minutes: Decimal::ratio(delays.sum_minutes, flown),
            max_departure_delay_minutes: delays.max_minutes,
            on_time_share: Decimal::ratio(delays.on_time, flown),
        }
    }
}

struct Flights;

impl Job for Flights {
    const NAME: &'static str = "flights";
    const SUMMARY: &'static str = "Delays by carrier and origin";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::string("input", "The flights, as CSV")
        .default(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/flights.csv.gz"))];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let files = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("format", "csv");
        env.source::<Flight>("flights", files)
            .key_by::<(String, String), _>(|flight| (flight.carrier, flight.origin))
            .aggregate_at_end(ByRoute)
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "flights",
    summary: "The main example of Millstream",
    jobs: [Flights],
}
millstream_sdk::export!(plugin);
