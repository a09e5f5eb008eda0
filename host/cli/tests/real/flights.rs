//! The main job: the same result whatever it runs on.

use std::{collections::BTreeMap, fs::File, io::Read};

use crate::program::{Scratch, flights, root, stderr, stdout};

const HEADER: &str = "carrier,origin,flights,cancelled,mean_departure_delay_minutes,\
                      max_departure_delay_minutes,on_time_share";

/// The flights as text.
fn data() -> String {
    let file = File::open(root().join("examples/data/flights.csv.gz")).expect("the data");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    text
}

/// The result, by the plainest program.
fn reference(data: &str) -> Vec<String> {
    #[derive(Default)]
    struct Delays {
        all: usize,
        flown: Vec<i64>,
    }
    let mut routes: BTreeMap<(String, String), Delays> = BTreeMap::new();
    for line in data.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let route = routes.entry((fields[1].into(), fields[4].into())).or_default();
        route.all += 1;
        route.flown.extend(fields[6].parse::<i64>());
    }
    let mut rows = Vec::new();
    for ((carrier, origin), Delays { all, flown }) in routes {
        let count = flown.len() as f64;
        let mean = flown.iter().sum::<i64>() as f64 / count;
        let on_time = flown.iter().filter(|delay| **delay < 15).count() as f64 / count;
        let (cancelled, max) = (all - flown.len(), flown.iter().max().unwrap());
        rows.push(format!("{carrier},{origin},{all},{cancelled},{mean:.6},{max},{on_time:.6}"));
    }
    rows.sort();
    rows
}

fn rows(arguments: &[&str]) -> Vec<String> {
    let output = flights(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let text = stdout(&output);
    let mut lines = text.lines().map(str::to_owned);
    assert_eq!(lines.next().as_deref(), Some(HEADER));
    let mut rows: Vec<_> = lines.collect();
    rows.sort();
    rows
}

#[test]
fn the_result_is_right_for_every_parallelism_and_segment_size() {
    let expected = reference(&data());
    assert_eq!(expected.len(), 35);
    for parallelism in ["1", "2", "4"] {
        for size in ["4KiB", "32KiB", "256KiB"] {
            let set = format!("memory.segment-size={size}");
            let found = rows(&["--output", "csv", "--parallelism", parallelism, "--set", &set]);
            assert_eq!(found, expected, "parallelism {parallelism}, segments of {size}");
        }
    }
}

#[test]
fn the_result_is_right_across_processes_on_both_transports() {
    let expected = reference(&data());
    for transport in ["tcp", "uring", "auto"] {
        for (processes, parallelism, size) in
            [("2", "1", "32KiB"), ("2", "2", "4KiB"), ("2", "4", "256KiB"), ("3", "4", "32KiB")]
        {
            let set = format!("memory.segment-size={size}");
            let arguments = [
                ["--processes", processes],
                ["--parallelism", parallelism],
                ["--transport", transport],
                ["--set", &set],
            ];
            assert_eq!(rows(&arguments.concat()), expected, "{arguments:?}");
        }
    }
}

#[test]
fn a_file_in_many_splits_gives_the_same_result() {
    let text = data();
    let scratch = Scratch::new("splits");
    let file = scratch.file("flights.csv", text.as_bytes());
    let expected = reference(&text);
    assert_eq!(rows(&["--input", &file, "--parallelism", "3"]), expected);
    let parts = scratch.file("part.csv", text.as_bytes());
    assert_eq!(rows(&["--input", &parts, "--parallelism", "4", "--processes", "2"]), expected);
}

#[test]
fn results_go_to_standard_output_and_all_else_to_standard_error() {
    let output = flights(&[]);
    assert_eq!(stdout(&output).lines().count(), 36);
    assert!(stderr(&output).contains("336776 rows read"), "{}", stderr(&output));
}
