//! Everything that reads bytes from outside, as functions that panic if the code is wrong and
//! return otherwise, whatever the bytes are.
//!
//! `cargo run --release -p millstream-fuzz -- 30` replays each target's inputs and then mutates them
//! for 30 seconds. An input that fails is written to `fuzz/targets/corpus`, where the tests replay
//! it from then on.
#![forbid(unsafe_code)]

mod inputs;
pub mod mutate;

use std::{collections::BTreeMap, sync::Arc};

use millstream::Config;
use millstream_data::{
    Decimal, Record, Value,
    page::{Layout, RowBuilder, Shape, ValidPage},
};
use millstream_dataflow::{StreamGraph, graph::decode_schema};
use millstream_format::{
    Columns, Step,
    csv::{Decoder, Dialect},
};
use millstream_memory::view::{Input, SliceReader};
use millstream_simulation::fuzz;

/// A function over bytes, and inputs to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Inputs that are well-formed.
    pub inputs: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "page", run: page, inputs: inputs::pages },
    Target { name: "graph", run: graph, inputs: inputs::graphs },
    Target { name: "schema", run: schema, inputs: inputs::schemas },
    Target { name: "frame", run: fuzz::frame, inputs: inputs::frames },
    Target { name: "event", run: fuzz::event, inputs: inputs::none },
    Target { name: "payload", run: fuzz::payload, inputs: inputs::none },
    Target { name: "connection", run: fuzz::connection, inputs: inputs::none },
    Target { name: "view", run: view, inputs: inputs::none },
    Target { name: "config", run: config, inputs: inputs::configs },
    Target { name: "csv", run: csv, inputs: inputs::csv },
];

/// A row with every kind of column.
#[derive(Clone, Debug, PartialEq, Record)]
pub(crate) struct Everything {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) note: Option<String>,
    pub(crate) delay: Option<i32>,
    pub(crate) price: Decimal<10, 2>,
    pub(crate) open: bool,
    pub(crate) nested: Option<(i16, String)>,
    pub(crate) numbers: Option<Vec<Option<i32>>>,
    pub(crate) tags: BTreeMap<String, Vec<(bool, String)>>,
}

/// A page that is valid can be read, every cell of it.
fn page(data: &[u8]) {
    // A page lies at the start of a segment, aligned.
    let mut words = vec![0u128; data.len().div_ceil(16)];
    for (word, chunk) in words.iter_mut().zip(data.chunks(16)) {
        let mut padded = [0; 16];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u128::from_ne_bytes(padded);
    }
    inputs::with_bytes(&words, data.len(), |bytes| {
        if let Ok(page) = ValidPage::validate(
            bytes,
            &Shape::new(&<Everything as millstream_data::value::Record>::schema()),
        ) {
            let columns = <Everything as millstream_data::value::Record>::bind(&page);
            for row in 0..page.rows() {
                let read = Everything::own(Everything::at(&columns, row));
                assert!(read.name.len() <= data.len());
            }
        }
    });
}

/// Bytes are no graph, or a graph whose bytes they are.
fn graph(data: &[u8]) {
    if let Ok(graph) = StreamGraph::decode(data) {
        assert_eq!(StreamGraph::decode(&graph.encode()).as_ref(), Ok(&graph));
        // Whether it can run is another question, which must have an answer.
        let _ = graph.check(2);
    }
}

fn schema(data: &[u8]) {
    if let Ok(schema) = decode_schema(data) {
        let shape = Shape::new(&schema);
        let _ = Layout::fitted(&shape, 32 << 10, 16);
        let _ = schema.fingerprint();
    }
}

/// Reads values in an order that the bytes say, and never beyond the end.
fn view(data: &[u8]) {
    let Some((orders, rest)) = data.split_at_checked(data.len() / 2) else { return };
    let mut reader = SliceReader::new(rest);
    for order in orders {
        let before = reader.remaining();
        let read = match order % 6 {
            0 => reader.read_u8().is_ok(),
            1 => reader.read_u32().is_ok(),
            2 => reader.read_varint_u64().is_ok(),
            3 => reader.read_varint_i32().is_ok(),
            4 => reader.skip(u64::from(order / 6)).is_ok(),
            _ => reader.read_u64().is_ok(),
        };
        assert!(reader.remaining() <= before);
        if !read && reader.remaining() == 0 {
            return;
        }
    }
}

/// Settings are refused or kept.
fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut config = Config::new();
    if config.parse("fuzz", text).is_ok() {
        let _ = config.memory();
        assert!(config.explain().count() > 5);
    }
    let _ = config.assign(text);
}

/// Records are rows or errors, and decoding comes to an end.
fn csv(data: &[u8]) {
    type Row = (Option<i64>, Option<String>, Option<bool>);
    let schema = <Row as millstream_data::value::Record>::schema();
    let Ok(columns) = Columns::new(&schema) else { return };
    let header: Vec<String> = schema.fields.iter().map(|field| field.name.clone()).collect();
    let decoder = Decoder::new(Dialect::default(), &header, &columns);
    let mut decoder = decoder.expect("the header has every column");
    let shape = Arc::new(Shape::new(&schema));
    let layout = Arc::new(Layout::fitted(&shape, 4096, 16).expect("it fits"));
    let mut words = vec![0u128; 4096 / 16];
    inputs::with_bytes_mut(&mut words, |bytes| {
        let mut rows = RowBuilder::new(bytes, &shape, &layout);
        let mut position = 0;
        decoder.seek(data, position);
        while rows.has_room() && position < data.len() {
            match decoder.record(data, position, true, &mut rows) {
                Ok(Step::Row(end) | Step::Blank(end)) => {
                    assert!(end > position && end <= data.len(), "{end} after {position}");
                    position = end;
                }
                Ok(Step::Full) => return,
                Ok(Step::Incomplete) => panic!("the last record is complete or an error"),
                Err(error) => return assert!(!error.message.is_empty()),
            }
        }
        let count = rows.rows();
        let sealed = rows.seal(true);
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape);
        assert_eq!(page.expect("what was built is valid").rows(), count);
    });
}
