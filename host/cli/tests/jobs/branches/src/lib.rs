//! A job whose streams part and meet: flights flown and cancelled by carrier, counted twice.

use millstream_sdk::prelude::*;

/// The columns that the job reads, by name.
#[derive(Clone, Record)]
struct Flight {
    carrier: String,
    departure_delay_minutes: Option<i32>,
}

/// Carrier, flights flown and cancelled.
type Counts = (String, u64, u64);

/// Passes on what either of two streams counts.
#[derive(Clone)]
struct Both;

impl CoFunction for Both {
    type First = Counts;
    type Second = String;
    type Out = Counts;

    fn first(&mut self, row: (&str, u64, u64), out: &mut dyn Emit<Counts>) {
        out.emit(row);
    }

    fn second(&mut self, carrier: &str, out: &mut dyn Emit<Counts>) {
        out.emit((carrier, 0, 1));
    }
}

struct Branches;

impl Job for Branches {
    const NAME: &'static str = "branches";
    const SUMMARY: &'static str = "Flights flown and cancelled by carrier, counted twice";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::string("input", "The flights, as CSV")
        .default(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../../../examples/data/flights.csv.gz"
        ))];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let files = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("format", "csv");
        let flights = env.source::<Flight>("flights", files).rebalance();
        // One chain with a main and a side output, which meet again by key.
        let [once, again] = flights.fork();
        let (flown, cancelled) = once.process_with_side::<Counts, String, _>(|flight, out| {
            match flight.departure_delay_minutes {
                Some(_) => out.emit((flight.carrier, 1, 0)),
                None => out.emit_side(flight.carrier),
            }
        });
        let flown = flown.key_by::<String, _>(|row| row.0);
        let cancelled = cancelled.key_by::<String, _>(|carrier| *carrier);
        let once = flown.connect(cancelled).process(Both);
        // The same, by splitting.
        let (flown, cancelled) = again.split(|flight| flight.departure_delay_minutes.is_some());
        let again = flown
            .map(|flight| (flight.carrier.to_owned(), 1, 0))
            .union(cancelled.map(|flight| (flight.carrier.to_owned(), 0, 1)));
        once.union(again)
            .key_by::<String, _>(|row| row.0)
            .reduce_at_end(|sum, row| {
                sum.1 += row.1;
                sum.2 += row.2;
            })
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "branches",
    summary: "Streams that part and meet",
    jobs: [Branches],
}
millstream_sdk::export!(plugin);
