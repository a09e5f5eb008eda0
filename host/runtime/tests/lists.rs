//! Rows with lists and maps, through the runtime within one process.

use std::collections::BTreeMap;

use millstream::{Runtime, dataflow::Environment, result::Collected};
use millstream_data::Record;

/// A row whose lists are empty, short, or larger than any segment.
#[derive(Clone, Debug, PartialEq, Record)]
struct Basket {
    id: u64,
    prices: Vec<i64>,
    items: Vec<(String, Option<Vec<i32>>)>,
    labels: Option<BTreeMap<String, String>>,
}

fn basket(id: u64) -> Basket {
    let length = match id % 50 {
        0 => 3000,
        n => n % 5,
    };
    let item = |n: u64| {
        let numbers = (0..n % 4).map(|n| n as i32).collect();
        (format!("an item of number {n}"), (!n.is_multiple_of(3)).then_some(numbers))
    };
    let labels = (0..id % 4).map(|n| (n.to_string(), format!("a label of basket {id}")));
    Basket {
        id,
        prices: (0..length).map(|n| (n * id) as i64).collect(),
        items: (0..length / 2).map(item).collect(),
        labels: (!id.is_multiple_of(3)).then(|| labels.collect()),
    }
}

#[test]
fn lists_of_all_lengths_pass_an_exchange_and_are_read_in_place() {
    let env = Environment::new("baskets");
    env.generate(|subtask, parallelism| {
        (0..400u64).map(basket).skip(subtask as usize).step_by(parallelism as usize)
    })
    .filter(|row| row.prices.iter().sum::<i64>() >= 0 && row.items.len() < 1 << 20)
    .key_by::<u64, _>(|row| row.id)
    .reduce(|_, _| ())
    .result();
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(2).segment_size(4096).network_memory(10 * 4096);
    runtime.build().unwrap().run(env.build(), rows.sink()).unwrap();
    let mut rows: Vec<Basket> = rows.take();
    rows.sort_by_key(|row| row.id);
    assert_eq!(rows.len(), 400);
    assert!(rows.iter().enumerate().all(|(i, row)| *row == basket(i as u64)));
}
