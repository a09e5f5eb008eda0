//! A program that depends on this crate alone.

use millstream::{Record, Runtime, data::Decimal, dataflow::Environment, result::Collected};

#[derive(Clone, Debug, PartialEq, Record)]
struct Price {
    item: String,
    amounts: Vec<Decimal<10, 2>>,
}

#[test]
fn records_are_derived_through_the_facade() {
    let price = |n: i128| Price { item: n.to_string(), amounts: vec![Decimal(n)] };
    let env = Environment::new("prices");
    env.generate(move |_, _| (0..3).map(price)).result();
    let prices = Collected::<Price>::new();
    let runtime = Runtime::builder().parallelism(1).build().unwrap();
    runtime.run(env.build(), prices.sink()).unwrap();
    assert_eq!(prices.take(), [price(0), price(1), price(2)]);
}
