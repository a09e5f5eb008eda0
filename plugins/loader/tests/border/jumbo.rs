//! Rows that fit no segment.

use std::fs;

use millstream::{
    Runtime, builder,
    loader::Registry,
    result::{Collected, Discard},
};
use millstream_sdk::{
    dataflow::{Connector, Environment, stream::Program},
    prelude::Record,
};

use crate::libraries::Scratch;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Record)]
struct Document {
    id: i64,
    text: String,
}

/// What a job makes of a document. It is small: a writer's rows are another matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Record)]
struct Digest {
    id: i64,
    length: u64,
    sum: u64,
}

fn digest(id: i64, text: &str) -> Digest {
    let sum = text.bytes().zip(1u64..).map(|(byte, place)| u64::from(byte) * place).sum();
    Digest { id, length: text.len() as u64, sum }
}

fn runtime() -> Runtime {
    let mut registry = Registry::new();
    builder::bundle(&mut registry).expect("the bundled plugins");
    let builder = Runtime::builder().segment_size(4096).network_memory(1 << 20).parallelism(2);
    builder.plugins(registry).build().expect("a small runtime")
}

fn documents(path: &str) -> Program {
    let env = Environment::new("documents");
    let files = Connector::new("filesystem").option("path", path);
    env.source::<Document>("documents", files).map(|row| digest(row.id, row.text)).result();
    env.build()
}

fn csv(scratch: &Scratch, lengths: &[usize]) -> (String, Vec<Document>) {
    let document = |(id, length): (usize, &usize)| {
        let letter = char::from(b'a' + (id % 26) as u8);
        Document { id: id as i64, text: letter.to_string().repeat(*length) }
    };
    let documents: Vec<_> = lengths.iter().enumerate().map(document).collect();
    let rows = documents.iter().map(|row| format!("{},{}\n", row.id, row.text));
    let path = scratch.0.join("documents.csv");
    fs::write(&path, format!("id,text\n{}", rows.collect::<String>())).expect("a file");
    (path.to_str().expect("a UTF-8 path").into(), documents)
}

#[test]
fn rows_up_to_the_largest_record_pass_among_small_ones() {
    let scratch = Scratch::new("jumbo");
    // Around the segment's size, far above it, and again small.
    let mut lengths = vec![3, 3000, 3900, 4000, 4096, 5000, 10, 100_000, 0, 5 << 20];
    lengths.extend([20; 1000]);
    lengths.extend([8000; 50]);
    let (path, expected) = csv(&scratch, &lengths);
    let collected = Collected::<Digest>::new();
    runtime().run(documents(&path), collected.sink()).expect("they fit");
    let mut found = collected.take();
    found.sort_unstable();
    let expected: Vec<_> = expected.iter().map(|row| digest(row.id, &row.text)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_row_above_the_largest_record_is_an_error() {
    let scratch = Scratch::new("too-large");
    let (path, _) = csv(&scratch, &[3, 17 << 20, 3]);
    let error = runtime().run(documents(&path), Box::new(Discard)).expect_err("too large");
    let said = error.to_string();
    assert!(said.contains("documents") && said.contains("16777216 bytes"), "{said}");
}
