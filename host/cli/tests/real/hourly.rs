//! The event-time job: the same result whatever it runs on, and whatever the order of its input.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::program::{Scratch, build_library, millstream, root, stderr, stdout};

const HEADER: &str = "origin,window_start,place,flights,mean_departure_delay_minutes,\
                      temperature_f,wind_speed_mph";

pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build_library("flights_hourly"))
}

/// A file of the examples' data as text.
pub(crate) fn data(name: &str) -> String {
    let file = File::open(root().join("examples/data").join(name)).expect("the data");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    text
}

/// The flights of an hour.
#[derive(Clone, Copy, Default)]
struct Hour {
    flights: i64,
    flown: i64,
    minutes: i64,
}

impl Hour {
    /// Whose mean is higher comes first.
    fn compare(&self, other: &Self) -> Ordering {
        let product = |a: i64, b: i64| i128::from(a) * i128::from(b);
        product(other.minutes, self.flown).cmp(&product(self.minutes, other.flown))
    }

    /// The mean with six digits, halves rounded away from zero.
    fn mean(&self) -> String {
        let (scaled, flown) = (2_000_000 * self.minutes.abs(), self.flown);
        let rounded = (scaled + flown) / (2 * flown);
        let sign = if self.minutes < 0 && rounded > 0 { "-" } else { "" };
        format!("{sign}{}.{:06}", rounded / 1_000_000, rounded % 1_000_000)
    }
}

/// The result, by the plainest program.
pub(crate) fn reference(flights: &str, weather: &str) -> Vec<String> {
    let mut hours: BTreeMap<(String, String), Hour> = BTreeMap::new();
    for line in flights.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let start = format!("{}:00:00", &fields[0][..13]);
        let hour = hours.entry((fields[4].into(), start)).or_default();
        hour.flights += 1;
        if let Ok(delay) = fields[6].parse::<i64>() {
            hour.flown += 1;
            hour.minutes += delay;
        }
    }
    let number = |text: &str| text.parse::<f64>().map_or(String::new(), |n| format!("{n:?}"));
    let seen: HashMap<(String, String), String> = weather
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let weather = format!("{},{}", number(fields[2]), number(fields[3]));
            ((fields[1].into(), fields[0].into()), weather)
        })
        .collect();
    let mut days: BTreeMap<(&str, &str), Vec<(&str, Hour)>> = BTreeMap::new();
    for ((origin, start), hour) in hours.iter().filter(|(_, hour)| hour.flown > 0) {
        days.entry((origin, &start[..10])).or_default().push((start, *hour));
    }
    let mut rows = Vec::new();
    for ((origin, _), mut hours) in days {
        // Stable: of equal means the earlier hour stays in front.
        hours.sort_by(|a, b| a.1.compare(&b.1));
        for (place, (start, hour)) in (1..=3).zip(hours) {
            let weather = seen.get(&(origin.into(), start.into()));
            let weather = weather.map_or(",", String::as_str);
            let (flights, mean) = (hour.flights, hour.mean());
            rows.push(format!("{origin},{start},{place},{flights},{mean},{weather}"));
        }
    }
    rows.sort();
    rows
}

/// The flights, each up to 30 minutes later in the file than its time says.
pub(crate) fn shuffled(flights: &str) -> String {
    let mut lines = flights.lines();
    let header = lines.next().unwrap_or_default();
    let mut rows: Vec<(u64, &str)> = lines
        .enumerate()
        .map(|(number, line)| {
            let part = |range: std::ops::Range<usize>| line[range].parse::<u64>().expect("a time");
            let days = part(5..7) * 31 + part(8..10);
            let seconds = (days * 24 + part(11..13)) * 3600 + part(14..16) * 60;
            let later = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            (seconds + later % 1800, line)
        })
        .collect();
    rows.sort_by_key(|(at, _)| *at);
    let mut text = header.to_owned() + "\n";
    rows.iter().for_each(|(_, line)| {
        text.push_str(line);
        text.push('\n');
    });
    text
}

/// The rows that a run of the compiled job prints, sorted.
fn rows(arguments: &[&str]) -> Vec<String> {
    rows_of(library().to_str().expect("a UTF-8 path"), arguments)
}

/// The rows that a run of a job prints, sorted.
fn rows_of(job: &str, arguments: &[&str]) -> Vec<String> {
    let output = millstream(&[&["run", job, "--output", "csv"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let text = stdout(&output);
    let mut lines = text.lines().map(str::to_owned);
    assert_eq!(lines.next().as_deref(), Some(HEADER));
    let mut rows: Vec<_> = lines.collect();
    rows.sort();
    rows
}

#[test]
fn hours_are_ranked_alike_on_anything() {
    let expected = reference(&data("flights.csv.gz"), &data("weather.csv.gz"));
    assert_eq!(expected.len(), 3285);
    for arguments in [
        &["--parallelism", "1", "--processes", "2", "--transport", "tcp"][..],
        &["--parallelism", "2", "--set", "memory.segment-size=4KiB"],
        &["--parallelism", "4", "--processes", "2"],
        &["--parallelism", "2", "--set", "memory.segment-size=256KiB"],
        &["--parallelism", "2", "--state", "lsm", "--set", "memory.managed.size=6MiB"],
    ] {
        assert_eq!(rows(arguments), expected, "{arguments:?}");
    }
}

/// The same in SQL.
#[test]
fn the_script_ranks_hours_as_the_job_does() {
    build_library("millstream-sql");
    let expected = reference(&data("flights.csv.gz"), &data("weather.csv.gz"));
    let scratch = Scratch::new("hourly-sql");
    let text = fs::read_to_string(root().join("examples/flights.sql")).expect("the script");
    let examples = root().join("examples").display().to_string();
    let script =
        scratch.file("flights.sql", text.replace("'examples", &format!("'{examples}")).as_bytes());
    for arguments in [
        &["--parallelism", "1"][..],
        &["--parallelism", "2", "--processes", "2", "--state", "lsm"],
        &["--parallelism", "4", "--set", "memory.segment-size=4KiB"],
    ] {
        assert_eq!(rows_of(&script, arguments), expected, "{arguments:?}");
    }
    let input = scratch.file("shuffled.csv", shuffled(&data("flights.csv.gz")).as_bytes());
    let disorder = text.replace("examples/data/flights.csv.gz", &input);
    let disorder = disorder.replace("'examples", &format!("'{examples}"));
    let script = scratch.file("disorder.sql", disorder.as_bytes());
    assert_eq!(rows_of(&script, &["--parallelism", "2"]), expected);
}

#[test]
fn disorder_within_the_bound_changes_nothing() {
    let flights = data("flights.csv.gz");
    let expected = reference(&flights, &data("weather.csv.gz"));
    let scratch = Scratch::new("hourly");
    let input = scratch.file("shuffled.csv", shuffled(&flights).as_bytes());
    for (parallelism, processes) in [("1", "1"), ("2", "2"), ("4", "1")] {
        let arguments = ["--input", &input, "--parallelism", parallelism, "--processes", processes];
        assert_eq!(rows(&arguments), expected, "{arguments:?}");
    }
}

/// With a bound that is too small rows are late: the same ones whatever the pages.
#[test]
fn lateness_does_not_depend_on_pages() {
    let scratch = Scratch::new("hourly-late");
    let input = scratch.file("shuffled.csv", shuffled(&data("flights.csv.gz")).as_bytes());
    let run = |size: &str| {
        let size = format!("memory.segment-size={size}");
        rows(&["--input", &input, "--bound", "5 min", "--parallelism", "1", "--set", &size])
    };
    let small = run("4KiB");
    assert_ne!(small, reference(&data("flights.csv.gz"), &data("weather.csv.gz")));
    assert_eq!(small, run("32KiB"));
    assert_eq!(small, run("1MiB"));
}
