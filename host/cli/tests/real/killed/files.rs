//! What is written to files when a job is killed: each row once.

use super::*;

/// How many flights have each value of a field, at the end and after each of them.
fn counts(flights: &str, field: usize) -> impl Iterator<Item = (String, Vec<String>)> {
    let mut counts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in flights.lines().skip(1) {
        let value = line.split(',').nth(field).expect("a field");
        let all = counts.entry(value.into()).or_default();
        all.push(format!("{value},{}", all.len() + 1));
    }
    counts.into_iter().map(|(value, all)| (format!("{value},{}", all.len()), all))
}

#[test]
fn twenty_kills_write_each_row_to_files_once() {
    rows_are_written_once("killed-files", &[&["--state", "memory"], UNALIGNED], 2);
}

#[test]
fn twenty_kills_write_each_row_to_files_once_with_either_backend() {
    let in_files = [IN_FILES, UNALIGNED].concat();
    rows_are_written_once("killed-files-lsm", &[IN_FILES, &["--state", "memory"], &in_files], 9);
}

fn rows_are_written_once(name: &str, engine: &[&[&str]], seed: u64) {
    let flights = some_flights();
    let mut hours: BTreeMap<String, u32> = BTreeMap::new();
    let mut expected = Vec::new();
    for line in flights.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        *hours.entry(format!("{},{}:00:00", fields[4], &fields[0][..13])).or_default() += 1;
        expected.push(format!("{},{},{}", fields[0], fields[4], fields[2]));
    }
    // Twice: as they are folded, and as a function sees them that sees all flights of an hour.
    let hours = hours.iter().map(|(hour, flights)| format!("{hour},{flights}"));
    expected.extend(hours.flat_map(|hour| [hour.clone(), hour]));
    expected.extend(counts(&flights, 4).flat_map(|(_, up)| up));
    // After each flight, and once more at the end.
    expected.extend(counts(&flights, 2).flat_map(|(total, up)| up.into_iter().chain([total])));
    expected.sort();
    let scratch = Scratch::new(name);
    let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
    let to = PathBuf::from(scratch.path("out"));
    let directory = to.clone();
    let arguments = ["--input", &input, "--to", to.to_str().expect("UTF-8")];
    let case = Case {
        library: &build_library("filed"),
        arguments: arguments.map(String::from).into(),
        engine,
        shown: Box::new(move |_| {
            let of = |name| fs::read_dir(to.join(name)).into_iter().flatten().flatten();
            let all = ["hours", "listed", "flights", "counted", "numbered", "totals"];
            let files = all.into_iter().flat_map(of);
            let shown = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
            let texts = shown.map(|file| fs::read_to_string(file.path()).expect("a file"));
            texts
                .flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
                .collect()
        }),
        expected,
        reset: Box::new(move || drop(fs::remove_dir_all(&directory))),
        checkpoints: Checkpoints::local(&scratch),
    };
    survives(&case, seed);
}
