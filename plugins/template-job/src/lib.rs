//! A Millstream job to begin with: what each customer has spent.
//!
//! ```text
//! millstream run target/release/libtemplate_job.so --input orders.csv --output csv
//! ```
#![forbid(unsafe_code)]

use millstream_sdk::prelude::*;

/// The columns that the job reads, by name: a file may have others.
#[derive(Clone, Record)]
struct Order {
    customer: String,
    /// Absent for an order that was called off.
    amount: Option<Decimal<18, 2>>,
}

/// A row of the result.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct Turnover {
    /// Who has ordered.
    pub customer: String,
    /// How often.
    pub orders: i64,
    /// What the orders cost together.
    pub amount: Decimal<18, 2>,
}

/// Adds up the orders of a customer.
#[derive(Clone)]
struct Sum;

impl AggregateFunction for Sum {
    type In = Order;
    type Key = String;
    /// How many orders, and what they cost. It is state, so it is made of what columns are made of.
    type Accumulator = (i64, Decimal<18, 2>);
    type Out = Turnover;

    fn create(&self) -> (i64, Decimal<18, 2>) {
        (0, Decimal(0))
    }

    // Rows are read in place: a view of an `Order` borrows the page that it stands in.
    fn add(&self, (orders, amount): &mut (i64, Decimal<18, 2>), order: OrderView<'_>) {
        *orders += 1;
        amount.0 += order.amount.map_or(0, |amount| amount.0);
    }

    fn finish(&self, customer: &str, (orders, amount): &(i64, Decimal<18, 2>)) -> Turnover {
        Turnover { customer: customer.into(), orders: *orders, amount: *amount }
    }
}

/// What each customer has spent.
#[derive(Debug)]
pub struct CustomerTurnover;

impl Job for CustomerTurnover {
    const NAME: &'static str = "turnover";
    const SUMMARY: &'static str = "What each customer has spent";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("input", "The orders: a CSV file, a directory, or a pattern")
            .required()];

    // Every process of the job calls this with the same options, and must get the same program.
    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let files = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("format", "csv");
        env.source::<Order>("orders", files)
            .filter(|order| order.amount.is_some())
            .key_by::<String, _>(|order| order.customer)
            .aggregate_at_end(Sum)
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "template-job",
    summary: "A job to begin with",
    jobs: [CustomerTurnover],
}
millstream_sdk::export!(plugin);
