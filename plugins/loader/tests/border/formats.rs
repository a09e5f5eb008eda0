//! Formats of libraries: used by connectors of other plugins, refused, and survived when they fail.

use std::fs;

use millstream::{
    Runtime, builder,
    loader::{Block, InputInfo, Registry},
    result::{Collected, Discard},
};
use millstream_data::Record;
use millstream_sdk::dataflow::{Connector, Environment, stream::Program};

use crate::libraries::{Scratch, plugin};

fn registry() -> Registry {
    let mut registry = Registry::new();
    builder::bundle(&mut registry).expect("the bundled plugins");
    registry.load(&plugin("format_calls")).expect("it is loaded");
    registry.load(&plugin("format_pages")).expect("it is loaded");
    registry
}

fn runtime() -> Runtime {
    let builder = Runtime::builder().segment_size(4096).network_memory(1 << 20).parallelism(2);
    builder.plugins(registry()).build().expect("a small runtime")
}

/// A file of the numbers below a thousand.
fn file(scratch: &Scratch) -> String {
    let path = scratch.0.join("numbers");
    let text: String = (0..1000).map(|number| format!("{number}\n")).collect();
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a UTF-8 path").into()
}

fn source(path: &str, format: &str) -> Connector {
    Connector::new("filesystem").option("path", path).option("format", format)
}

fn numbers(source: Connector) -> Program {
    let env = Environment::new("numbers");
    env.source::<u64>("numbers", source).result();
    env.build()
}

/// The runtime still reads the file.
fn lives_on(runtime: &Runtime, path: &str) {
    let collected = Collected::<u64>::new();
    let source = source(path, "numbers").option("split-size", "500");
    runtime.run(numbers(source), collected.sink()).expect("a good job runs");
    let mut rows = collected.take();
    rows.sort_unstable();
    assert_eq!(rows, (0..1000).collect::<Vec<u64>>());
}

fn fails(runtime: &Runtime, program: Program, parts: &[&str]) {
    let error = runtime.run(program, Box::new(Discard)).expect_err("it fails").to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` in: {error}");
    }
}

#[test]
fn connectors_use_a_format_of_a_library() {
    let scratch = Scratch::new("format-use");
    let (runtime, path) = (runtime(), file(&scratch));
    lives_on(&runtime, &path);
    let out = scratch.0.join("out");
    let env = Environment::new("copy");
    let sink = Connector::new("filesystem").option("path", out.to_str().expect("UTF-8"));
    let from = env.source::<u64>("numbers", source(&path, "numbers"));
    from.sink("copy", sink.option("format", "numbers"));
    runtime.run(env.build(), Box::new(Discard)).expect("it is copied");
    let parts = fs::read_dir(&out).expect("the directory").map(|part| part.expect("a part"));
    let text = parts.map(|part| {
        assert_eq!(part.path().extension().and_then(|end| end.to_str()), Some("numbers"));
        fs::read_to_string(part.path()).expect("text")
    });
    let mut lines: Vec<u64> =
        text.collect::<String>().lines().map(|line| line.parse().expect("a number")).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..1000).collect::<Vec<u64>>());
}

#[test]
fn formats_and_their_options_are_checked() {
    let scratch = Scratch::new("format-options");
    let (runtime, path) = (runtime(), file(&scratch));
    for (format, option, value, parts) in [
        (
            "nubmers",
            "",
            "",
            &[
                "the option `format` of source `filesystem`",
                "no format called `nubmers`",
                "did you mean `numbers`?",
            ][..],
        ),
        ("numbers", "numbers.ad", "1", &["no option `numbers.ad`", "did you mean `numbers.add`?"]),
        ("numbers", "numbers.add", "x", &["`numbers.add`", "a whole number", "`x` is not"]),
        ("numbers", "csv.multiline", "true", &["no option `csv.multiline`"]),
    ] {
        let source = source(&path, format);
        let source = if option.is_empty() { source } else { source.option(option, value) };
        fails(&runtime, numbers(source), parts);
    }
    let two = registry();
    let format = two.format("numbers", &[], &u64::schema()).expect("it opens");
    assert!(format.properties().expect("it says so").splits);
}

#[test]
fn panics_and_errors_in_a_format() {
    let scratch = Scratch::new("format-fails");
    let (runtime, path) = (runtime(), file(&scratch));
    let owner = "format `numbers` of plugin format_calls";
    for call in ["open", "decoder", "record"] {
        let said = format!("panicked: the format's own mistake in {call}");
        let panics = source(&path, "numbers").option("numbers.panic", call);
        fails(&runtime, numbers(panics), &["source `filesystem`", owner, &said]);
        let said = format!("{call} does not work today");
        let errs = source(&path, "numbers").option("numbers.error", call);
        fails(&runtime, numbers(errs), &["source `filesystem`", &said]);
        lives_on(&runtime, &path);
    }
    let panics = source(&path, "numbers").option("numbers.panic", "properties");
    fails(&runtime, numbers(panics), &[owner, "the format's own mistake in properties"]);
    let closes = source(&path, "numbers").option("numbers.panic", "close");
    runtime.run(numbers(closes), Box::new(Discard)).expect("all rows were read before");
    let out = scratch.0.join("out");
    for call in ["encoder", "begin", "encode", "finish"] {
        let said = format!("panicked: the format's own mistake in {call}");
        let env = Environment::new("copy");
        let sink = Connector::new("filesystem").option("path", out.to_str().expect("UTF-8"));
        let sink = sink.option("format", "numbers").option("numbers.panic", call);
        env.source::<u64>("numbers", source(&path, "numbers")).sink("copy", sink);
        fails(&runtime, env.build(), &["sink `filesystem`", owner, &said]);
        assert_eq!(fs::read_dir(&out).expect("the directory").count(), 0, "nothing is left");
        lives_on(&runtime, &path);
    }
}

#[test]
fn a_bad_record_is_the_users_with_its_line() {
    let scratch = Scratch::new("format-record");
    let path = scratch.0.join("numbers");
    fs::write(&path, "1\n2\nthree\n").expect("a file");
    let program = numbers(source(path.to_str().expect("UTF-8"), "numbers"));
    fails(&runtime(), program, &["numbers, line 3: the line is no number"]);
}

#[test]
fn wrong_claims_of_a_decoder() {
    let scratch = Scratch::new("format-pages");
    let (runtime, path) = (runtime(), file(&scratch));
    for (format, said) in [
        ("oversized", "longer than the segment"),
        ("bad-page", "with format `bad-page` of plugin format_pages made a bad page"),
        ("backwards", "2048 bytes"),
        ("greedy", "consumed more bytes than there were"),
        ("ahead", "consumed more bytes than there were"),
        ("silent", "without saying why"),
    ] {
        fails(&runtime, numbers(source(&path, format)), &["source `filesystem`", said]);
        // A host that decodes itself sees the same.
        let format = registry().format(format, &[], &u64::schema()).expect("it opens");
        let input =
            InputInfo { header: &[], whole: true, segment_size: 4096, record_bytes_max: 1 << 20 };
        let mut decoder = format.decoder(&input).expect("a decoder");
        let mut segment = vec![0; 4096];
        let block = Block { bytes: b"1\n", end: usize::MAX, last: true };
        let decoded = decoder.decode(&block, &mut segment);
        let refused = decoded.expect_err("it is refused").to_string();
        assert!(refused.contains("plugin format_pages"), "{refused}");
    }
    lives_on(&runtime, &path);
}
