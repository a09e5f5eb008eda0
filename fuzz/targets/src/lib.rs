//! Everything that reads bytes from outside, as functions that panic if the code is wrong and
//! return otherwise, whatever the bytes are.
//!
//! `cargo run --release -p millstream-fuzz -- 30` replays each target's inputs and then mutates them
//! for 30 seconds. An input that fails is written to `fuzz/targets/corpus`, where the tests replay
//! it from then on. `fuzz/cargo` runs the same functions under `cargo fuzz`.
#![forbid(unsafe_code)]

mod inputs;
mod manifest;
pub mod mutate;
mod rows;
mod sorted;
mod sorting;
mod state;
mod text;

pub use manifest::manifest;
use millstream::Config;
use millstream_data::page::{Layout, Shape};
use millstream_dataflow::{StreamGraph, graph::decode_schema};
use millstream_memory::view::{Input, SliceReader};
pub use millstream_simulation::fuzz::{connection, event, frame, payload};
pub use rows::{migration, page, snapshot};
pub use sorted::{block, head, index, index_page, runs, stored};
pub use state::{description, state};
pub use text::{changes, csv, json};

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
    Target { name: "frame", run: frame, inputs: inputs::frames },
    Target { name: "event", run: event, inputs: inputs::none },
    Target { name: "payload", run: payload, inputs: inputs::none },
    Target { name: "connection", run: connection, inputs: inputs::none },
    Target { name: "view", run: view, inputs: inputs::none },
    Target { name: "config", run: config, inputs: inputs::configs },
    Target { name: "csv", run: csv, inputs: inputs::csv },
    Target { name: "row", run: sorting::row, inputs: sorting::rows },
    Target { name: "key", run: sorting::key, inputs: sorting::keys },
    Target { name: "sort", run: sorting::sort, inputs: sorting::sorts },
    Target { name: "json", run: json, inputs: inputs::json },
    Target { name: "changes", run: changes, inputs: inputs::changes },
    Target { name: "snapshot", run: snapshot, inputs: inputs::snapshots },
    Target { name: "state", run: state, inputs: state::snapshots },
    Target { name: "description", run: description, inputs: state::descriptions },
    Target { name: "manifest", run: manifest, inputs: manifest::manifests },
    Target { name: "block", run: block, inputs: sorted::blocks },
    Target { name: "stored", run: stored, inputs: sorted::stored_blocks },
    Target { name: "index", run: index, inputs: sorted::indexes },
    Target { name: "head", run: head, inputs: sorted::heads },
    Target { name: "index_page", run: index_page, inputs: sorted::pages },
    Target { name: "runs", run: runs, inputs: sorted::manifests },
    Target { name: "migration", run: migration, inputs: inputs::pages },
];

/// Bytes are no graph, or a graph whose bytes they are.
pub fn graph(data: &[u8]) {
    if let Ok(graph) = StreamGraph::decode(data) {
        assert_eq!(StreamGraph::decode(&graph.encode()).as_ref(), Ok(&graph));
        // Whether it can run is another question, which must have an answer.
        let _ = graph.check(2);
    }
}

/// Bytes are no schema, or one that has a shape and a layout.
pub fn schema(data: &[u8]) {
    if let Ok(schema) = decode_schema(data) {
        let shape = Shape::new(&schema);
        let _ = Layout::fitted(&shape, 32 << 10, 16);
        let _ = schema.fingerprint();
    }
}

/// Reads values in an order that the bytes say, and never beyond the end.
pub fn view(data: &[u8]) {
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
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut config = Config::new();
    if config.parse("fuzz", text).is_ok() {
        let _ = config.memory();
        assert!(config.explain().count() > 5);
    }
    let _ = config.assign(text);
}
