//! A job whose rows are larger than a segment: the last row of each name, all columns kept.

use millstream_sdk::prelude::*;

/// Twenty columns of text, as long as it likes.
#[derive(Clone, Record)]
struct Wide {
    name: String,
    c01: String,
    c02: String,
    c03: String,
    c04: String,
    c05: String,
    c06: String,
    c07: String,
    c08: String,
    c09: String,
    c10: String,
    c11: String,
    c12: String,
    c13: String,
    c14: String,
    c15: String,
    c16: String,
    c17: String,
    c18: String,
    c19: String,
}

struct WideRows;

impl Job for WideRows {
    const NAME: &'static str = "wide";
    const SUMMARY: &'static str = "The first row of each name";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("input", "CSV with the columns name, c01, .. c19").required()];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let files = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("format", "csv");
        env.source::<Wide>("rows", files)
            .rebalance()
            .filter(|row| !row.c19.is_empty())
            .key_by::<String, _>(|row| row.name)
            .reduce_at_end(|_, _| ())
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "wide",
    summary: "Rows that no segment holds",
    jobs: [WideRows],
}
millstream_sdk::export!(plugin);
