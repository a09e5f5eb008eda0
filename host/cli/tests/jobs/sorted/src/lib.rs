//! A job that sorts: flights, the most delayed first.

use millstream_sdk::prelude::*;

/// The columns that the job reads, by name.
#[derive(Clone, Record)]
struct Flight {
    carrier: String,
    origin: String,
    departure_delay_minutes: Option<i32>,
}

struct Sorted;

impl Job for Sorted {
    const NAME: &'static str = "sorted";
    const SUMMARY: &'static str = "Flights, the most delayed first";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::string("input", "The flights, as CSV")
        .default(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../../../examples/data/flights.csv.gz"
        ))];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let files = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("format", "csv");
        let order = [
            SortKey::descending("departure_delay_minutes"),
            SortKey::ascending("carrier"),
            SortKey::ascending("origin"),
        ];
        env.source::<Flight>("flights", files).global().sort_partition(order).result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "sorted",
    summary: "Sorting by several columns",
    jobs: [Sorted],
}
millstream_sdk::export!(plugin);
