//! Nexmark's queries beside loops that are written by hand over the same columns: `nexmark_loops [EVENTS]
//! [QUERY…]`. Needs `cargo build --release` before.
//!
//! Both read the pages of the `nexmark` connector, on one thread or with one subtask. A loop does for its query
//! what somebody would write who knows that events come in the order of time, and adds its rows up so that
//! nothing is left out; the query's rows go to `blackhole`. Prints processor seconds of both, start of the process
//! included, and the ratio; both must come to the same number of rows.

mod loops;
mod pages;

use std::{path::Path, process::Command};

use loops::QUERIES;
use millstream_benches::{cpu_seconds_of_children, measure, median};

const ROUNDS: usize = 3;
/// The table of events, and what the queries read.
const TABLES: &str = include_str!("../../../../host/cli/tests/nexmark/queries/ddl.sql");

fn main() {
    let mut arguments = std::env::args().skip(1);
    let events =
        arguments.next().map_or(2_000_000, |text| text.parse().expect("a number of events"));
    let chosen: Vec<String> = arguments.collect();
    println!("{events} events\nquery  CPU s  by hand    ratio  asked      rows");
    for (name, asked, columns, run) in QUERIES {
        if !chosen.is_empty() && !chosen.iter().any(|query| query == name) {
            continue;
        }
        let rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| {
                let (rows, cost) = measure(|| run(pages::of(columns, events)));
                let (engine_rows, engine) = engine(name, events);
                assert_eq!(rows, engine_rows, "{name}: by hand, and here");
                (engine, cost.cpu)
            })
            .collect();
        let engine = median(rounds.iter().map(|(engine, _)| *engine));
        let by_hand = median(rounds.iter().map(|(_, by_hand)| *by_hand));
        let rows = run(pages::of(columns, events));
        println!(
            "{name:5} {engine:6.2}  {by_hand:7.2}  {:7.2}  {asked:5} {rows:9}",
            by_hand / engine
        );
    }
}

/// Rows of a query, and what it costs.
fn engine(name: &str, events: u64) -> (u64, f64) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let query = root.join(format!("host/cli/tests/nexmark/queries/{name}.sql"));
    let query = std::fs::read_to_string(query).expect("the query");
    let (before, behind) = TABLES.split_once("'connector' = 'filesystem'").expect("a connector");
    let (_, behind) = behind.split_once("'SQL'").expect("its last option");
    let script = format!("{before}'connector' = 'nexmark', 'events' = '{events}'{behind}\n{query}")
        .replace("${SINK}", "'connector' = 'blackhole'");
    let path = std::env::temp_dir().join(format!("millstream-{name}-{}.sql", std::process::id()));
    std::fs::write(&path, script).expect("room");
    let before = cpu_seconds_of_children();
    let executable = std::env::current_exe().expect("this program").with_file_name("millstream");
    let output = Command::new(executable)
        .arg("run")
        .arg(&path)
        .args(["--parallelism", "1"])
        .output()
        .expect("millstream is built");
    let cost = cpu_seconds_of_children() - before;
    std::fs::remove_file(&path).expect("the script");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (before, _) = said.split_once(" rows to sinks").expect("a summary");
    let rows = before.rsplit(' ').next().and_then(|rows| rows.parse().ok());
    (rows.expect("a number of rows"), cost)
}
