//! Calls that fail: the task fails with an error that names the plugin, and the runtime goes on.

use millstream::{
    Runtime,
    loader::Registry,
    result::{Collected, Discard},
};
use millstream_sdk::{
    dataflow::{Connector, Environment, stream::Program},
    prelude::Timestamp,
};

use crate::libraries::plugin;

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.load(&plugin("calls")).expect("it is loaded");
    registry.load(&plugin("pages")).expect("it is loaded");
    registry
}

fn runtime() -> Runtime {
    let builder = Runtime::builder().segment_size(4096).network_memory(1 << 20).parallelism(2);
    builder.plugins(registry()).build().expect("a small runtime")
}

/// A job that reads ten numbers from a source.
fn numbers(source: Connector) -> Program {
    let env = Environment::new("numbers");
    env.source::<u64>("numbers", source).map(|number| number * 2).result();
    env.build()
}

/// The runtime still runs a job of the same plugin.
fn lives_on(runtime: &Runtime) {
    let collected = Collected::<u64>::new();
    runtime.run(numbers(Connector::new("calls")), collected.sink()).expect("a good job runs");
    let mut rows = collected.take();
    rows.sort_unstable();
    assert_eq!(rows, (0..10).map(|number| number * 2).collect::<Vec<u64>>());
}

/// Runs a job that must fail, saying all this, and then a good one.
fn fails(runtime: &Runtime, program: Program, parts: &[&str]) {
    let error = runtime.run(program, Box::new(Discard)).expect_err("it fails").to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` in: {error}");
    }
    lives_on(runtime);
}

#[test]
fn panics_and_errors_in_a_source() {
    let runtime = runtime();
    for call in ["open", "splits", "reader", "begin", "fill"] {
        let panics = numbers(Connector::new("calls").option("panic", call));
        let said = format!("panicked: the plugin's own mistake in {call}");
        fails(&runtime, panics, &["source `calls` of plugin calls", &said]);
        let errs = numbers(Connector::new("calls").option("error", call));
        let said = format!("{call} does not work today");
        fails(&runtime, errs, &["source `calls` of plugin calls", &said]);
    }
}

#[test]
fn a_panic_while_closing_is_caught() {
    let runtime = runtime();
    let collected = Collected::<u64>::new();
    let program = numbers(Connector::new("calls").option("panic", "close"));
    runtime.run(program, collected.sink()).expect("all rows were read before it was closed");
    assert_eq!(collected.take().len(), 10);
    lives_on(&runtime);
}

#[test]
fn panics_and_errors_in_a_sink() {
    let runtime = runtime();
    let sum = |sink: Connector| {
        let env = Environment::new("sink");
        env.source::<u64>("numbers", Connector::new("calls")).sink("forget", sink);
        env.build()
    };
    for call in ["open", "writer", "write", "finish"] {
        let said = format!("panicked: the plugin's own mistake in {call}");
        let panics = sum(Connector::new("calls").option("panic", call));
        fails(&runtime, panics, &["sink `calls` of plugin calls", &said]);
        let said = format!("{call} does not work today");
        let errs = sum(Connector::new("calls").option("error", call));
        fails(&runtime, errs, &["sink `calls` of plugin calls", &said]);
    }
}

#[test]
fn panics_in_a_job() {
    let runtime = runtime();
    let registry = registry();
    let calls = registry.plugins().iter().find(|plugin| plugin.name == "calls").expect("loaded");
    let job = |key: &str, call: &str| registry.job(calls, "sum", &[(key.into(), call.into())]);

    let said = job("panic", "build").expect_err("it is not built").to_string();
    assert!(said.contains("job `sum` of plugin calls: panicked"), "{said}");
    let said = job("error", "build").expect_err("it is not built").to_string();
    assert!(said.contains("job `sum` of plugin calls: build does not work today"), "{said}");

    let panics = job("panic", "process").expect("it is built");
    let error = runtime.run(panics, Box::new(Discard)).expect_err("it fails").to_string();
    assert!(error.contains("job `sum` of plugin calls: panicked"), "{error}");
    lives_on(&runtime);

    let collected = Collected::<u64>::new();
    runtime.run(job("panic", "").expect("it is built"), collected.sink()).expect("it runs");
    assert_eq!(collected.take(), [45]);
}

#[test]
fn wrong_claims_about_a_page() {
    let runtime = runtime();
    let oversized = numbers(Connector::new("oversized"));
    fails(&runtime, oversized, &["source `oversized` of plugin pages", "longer than the segment"]);
    let bad = numbers(Connector::new("bad-page"));
    fails(&runtime, bad, &["source `bad-page` of plugin pages", "bad page", "magic"]);
    let backwards = numbers(Connector::new("backwards"));
    fails(&runtime, backwards, &["source `backwards` of plugin pages", "2048 bytes"]);
}

#[test]
fn a_page_of_another_schema() {
    // The plugin writes numbers of eight bytes whatever it is asked for.
    let env = Environment::new("other");
    env.source::<Option<Timestamp>>("numbers", Connector::new("calls")).result();
    let runtime = runtime();
    let collected = Collected::<Option<Timestamp>>::new();
    runtime.run(env.build(), collected.sink()).expect("as wide, so it is a valid page");
    let env = Environment::new("other");
    env.source::<u32>("numbers", Connector::new("calls")).result();
    fails(&runtime, env.build(), &["source `calls` of plugin calls", "panicked", "column 0"]);
}
