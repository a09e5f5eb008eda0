//! Savepoints of the real binary: taken, stopped with, and begun from.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    hourly::{data, library, reference, shuffled},
    killed::{Run, When, newest},
    program::{Scratch, build_library, millstream, stderr, stdout},
};

fn changing() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build_library("changing"))
}

/// A job with checkpoints and savepoints in a directory of its own.
struct Bench {
    scratch: Scratch,
    library: &'static Path,
    checkpoints: PathBuf,
    savepoints: PathBuf,
    input: String,
}

impl Bench {
    fn new(name: &str, library: &'static Path) -> Self {
        let scratch = Scratch::new(&format!("savepoints-{name}"));
        let input = scratch.file("flights.csv", shuffled(&data("flights.csv.gz")).as_bytes());
        let checkpoints = PathBuf::from(scratch.path("checkpoints"));
        let savepoints = PathBuf::from(scratch.path("savepoints"));
        Self { scratch, library, checkpoints, savepoints, input }
    }

    /// The command line that goes on.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mut arguments: Vec<String> =
            ["run".into(), text(self.library), "--checkpoint-dir".into(), text(&self.checkpoints)]
                .into();
        let savepoints = ["--savepoint-dir".into(), text(&self.savepoints)];
        arguments.extend(savepoints);
        let rest = ["--checkpoint-interval", "5ms", "--input", &self.input];
        arguments.extend(rest.iter().chain(more).map(|argument| String::from(*argument)));
        arguments
    }

    /// Runs until the job has taken some checkpoints, and sends it a signal.
    fn signal(&self, signal: i32, more: &[&str]) -> Run {
        let mut run = Run::start(&self.arguments(more));
        assert!(run.wait(&When::Complete(3), &self.checkpoints), "it is not over so soon");
        // SAFETY: a plain system call; the process is a child of this one that was not waited for.
        unsafe { libc::kill(run.child.id() as i32, signal) };
        run
    }

    /// Runs a job to its end, in a directory of checkpoints that knows nothing.
    fn restored(&self, more: &[&str]) -> (Vec<String>, String, bool) {
        let _ = fs::remove_dir_all(&self.checkpoints);
        let (printed, said, went_well) = Run::start(&self.arguments(more)).finish();
        (rows(&printed), said, went_well)
    }
}

/// What is printed, in order.
fn rows(printed: &str) -> Vec<String> {
    let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

/// The path that was said.
fn path_of(said: &str, what: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix(what));
    line.unwrap_or_else(|| panic!("no `{what}` in: {said}")).trim().to_owned()
}

/// The files of a directory, with their bytes.
fn content(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut all: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, fs::read(entry.path()).expect("a file"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_savepoint_is_taken_while_the_job_runs_and_begun_from_wherever_it_is() {
    let bench = Bench::new("taken", library());
    let expected = reference(&data("flights.csv.gz"), &data("weather.csv.gz"));
    for processes in ["1", "2"] {
        let mut run = bench.signal(libc::SIGUSR1, &["--processes", processes]);
        assert!(run.wait(&When::Says("savepoint: "), &bench.checkpoints), "before its end");
        let (printed, said, went_well) = run.finish();
        assert!(went_well, "{said}");
        assert_eq!(rows(&printed), expected, "the job goes on: {said}");
        assert_eq!(newest(&bench.checkpoints), 0, "checkpoints are gone with the job");
        let savepoint = PathBuf::from(path_of(&said, "savepoint: "));
        let moved = PathBuf::from(bench.scratch.path("moved"));
        fs::rename(&savepoint, &moved).expect("it belongs to the user");
        let before = content(&moved);
        for more in
            [["--parallelism", "4", "--processes", "2"], ["--parallelism", "1", "--processes", "1"]]
        {
            let restore = ["--restore", moved.to_str().expect("UTF-8")];
            let (rows, said, went_well) = bench.restored(&[&restore[..], &more].concat());
            assert!(went_well && rows == expected, "{said}");
            assert!(said.contains("going on from savepoint"), "{said}");
        }
        assert_eq!(content(&moved), before, "nobody has touched it");
        fs::remove_dir_all(&moved).expect("it belongs to the user");
    }
}

#[test]
fn a_job_that_stops_with_a_savepoint_prints_nothing_and_goes_on_from_there() {
    let bench = Bench::new("stopped", library());
    let expected = reference(&data("flights.csv.gz"), &data("weather.csv.gz"));
    for (signal, processes) in [(libc::SIGINT, "1"), (libc::SIGTERM, "2")] {
        let _ = fs::remove_dir_all(&bench.checkpoints);
        let run = bench.signal(signal, &["--stop-with-savepoint", "--processes", processes]);
        let (printed, said, went_well) = run.finish();
        assert!(went_well && printed.is_empty(), "{printed}{said}");
        let savepoint = path_of(&said, "the job stops with savepoint: ");
        // The same command line goes on, as after a failure.
        let (printed, said, went_well) = Run::start(&bench.arguments(&[])).finish();
        assert!(went_well && rows(&printed) == expected, "{said}");
        assert!(said.contains("going on from checkpoint"), "{said}");
        let (rows, said, went_well) = bench.restored(&["--restore", &savepoint]);
        assert!(went_well && rows == expected, "{said}");
    }
}

/// Rows in the files of a directory, those that are hidden left out.
fn lines(directory: &str) -> Vec<String> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let shown = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
    let texts = shown.map(|file| fs::read_to_string(file.path()).expect("a file"));
    texts.flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn files_are_written_once_although_the_job_stopped_and_drain_lets_windows_fire() {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let bench = Bench::new("files", LIBRARY.get_or_init(|| build_library("filed")));
    let to = bench.scratch.path("out");
    let flights_in = |hours: &[String]| -> usize {
        let counts = hours.iter().filter_map(|hour| hour.rsplit(',').next()?.parse::<usize>().ok());
        counts.sum()
    };
    for drain in [false, true] {
        for directory in [&bench.checkpoints, Path::new(&to)] {
            let _ = fs::remove_dir_all(directory);
        }
        let mut more = vec!["--to", &*to, "--stop-with-savepoint"];
        // So slow that it is not over before.
        more.extend(["--set", "source.rows-per-second=100000"]);
        more.extend(drain.then_some("--drain"));
        let (_, said, went_well) = bench.signal(libc::SIGINT, &more).finish();
        assert!(went_well, "{said}");
        let savepoint = path_of(&said, "the job stops with savepoint: ");
        let (flights, hours) = (lines(&format!("{to}/flights")), lines(&format!("{to}/hours")));
        assert!(!flights.is_empty() && flights.len() < 336_776, "{} flights", flights.len());
        let totals = lines(&format!("{to}/totals"));
        if drain {
            assert_eq!(flights_in(&hours), flights.len(), "all windows have fired");
            assert_eq!(flights_in(&totals), flights.len(), "the input has ended");
            continue;
        }
        assert!(totals.is_empty(), "the input has not ended");
        assert!(flights_in(&hours) < flights.len(), "the last windows have not fired");
        // What is not in files is in the savepoint.
        let dumped = |state| -> usize {
            let output = millstream(&["savepoint", "inspect", &savepoint, "--dump", state]);
            let count = |line: &str| {
                let (front, count) = line.rsplit_once(r#""value":{"value":"#).expect("a count");
                assert!(front.starts_with(r#"{"key_group":"#), "{line}");
                count.trim_end_matches('}').parse::<usize>().expect("a number")
            };
            let dumped = stdout(&output).lines().map(count).sum();
            assert!(output.status.success(), "{}", stderr(&output));
            dumped
        };
        assert_eq!(flights_in(&hours) + dumped("hours/windows"), flights.len());
        assert_eq!(dumped("numbered/values"), flights.len());
        let (_, said, went_well) = bench.restored(&["--to", &to, "--restore", &savepoint]);
        assert!(went_well, "{said}");
        let (flights, hours) = (lines(&format!("{to}/flights")), lines(&format!("{to}/hours")));
        assert_eq!((flights.len(), flights_in(&hours)), (336_776, 336_776));
        assert_eq!(flights_in(&lines(&format!("{to}/totals"))), 336_776);
        let mut once = hours.clone();
        once.sort();
        once.sort();
        once.dedup_by(|a, b| a.rsplit_once(',').map(|a| a.0) == b.rsplit_once(',').map(|b| b.0));
        assert_eq!(once.len(), hours.len(), "no window fires twice");
    }
}

#[test]
fn a_savepoint_that_is_claimed_is_removed_and_no_other() {
    let bench = Bench::new("claimed", library());
    let (_, said, _) = bench.signal(libc::SIGINT, &["--stop-with-savepoint"]).finish();
    let savepoint = path_of(&said, "the job stops with savepoint: ");
    for (mode, is_left) in [("no-claim", true), ("claim", false)] {
        let more = ["--restore", &savepoint, "--claim-mode", mode];
        let (_, said, went_well) = bench.restored(&more);
        assert!(went_well, "{said}");
        assert_eq!(Path::new(&savepoint).exists(), is_left, "{mode}");
    }
    let (_, said, went_well) = bench.restored(&["--restore", &savepoint]);
    assert!(!went_well && said.contains("there is no checkpoint or savepoint"), "{said}");
}

#[test]
fn state_finds_the_operators_of_a_program_that_was_changed() {
    let bench = Bench::new("changed", changing());
    let (expected, said, went_well) = bench.restored(&[]);
    assert!(went_well, "{said}");
    let (_, said, _) = bench.signal(libc::SIGINT, &["--stop-with-savepoint"]).finish();
    let savepoint = path_of(&said, "the job stops with savepoint: ");
    let restore = |parts: &str, more: &[&str]| {
        bench.restored(&[&["--restore", &savepoint, "--parts", parts], more].concat())
    };
    let (rows, said, went_well) = restore("mapped", &[]);
    assert!(went_well && rows == expected, "{said}");
    let (rows, said, went_well) = restore("wider", &[]);
    assert!(went_well && rows == expected, "its values are rewritten: {said}");
    let (rows, said, went_well) = restore("named", &[]);
    assert!(!went_well && rows.is_empty(), "{said}");
    assert!(said.contains("its state `windows` cannot be restored: values: "), "{said}");
    assert!(said.contains("! value BIGINT NOT NULL  | value STRING NOT NULL"), "{said}");
    let (rows, said, went_well) = restore("hours", &[]);
    assert!(!went_well && rows.is_empty(), "{said}");
    assert!(said.contains("that the job does not have: [days]"), "{said}");
    assert!(said.contains("--allow-non-restored-state"), "{said}");
    let (rows, said, went_well) = restore("hours", &["--allow-non-restored-state"]);
    // Rows that were in the result when the job stopped are of the result.
    let hours = |rows: &[String]| -> Vec<String> {
        rows.iter().filter(|row| row.starts_with("hour")).cloned().collect()
    };
    assert!(went_well && hours(&rows) == hours(&expected), "{said}");
    assert!(rows.len() < expected.len(), "no day ends any more");
    assert!(said.contains("is left behind: days"), "{said}");
    // Without being named it is not taken for the same job.
    bench.signal(libc::SIGINT, &["--stop-with-savepoint", "--restore", "none"]).finish();
    let (_, said, went_well) = Run::start(&bench.arguments(&["--parts", "mapped"])).finish();
    assert!(!went_well && said.contains("go on from there all the same with --restore"), "{said}");
}

#[test]
fn what_is_no_savepoint_of_the_job_is_refused() {
    let bench = Bench::new("refused", changing());
    let (_, said, _) = bench.signal(libc::SIGINT, &["--stop-with-savepoint"]).finish();
    let savepoint = path_of(&said, "the job stops with savepoint: ");
    let other = |savepoint: &str| {
        let checkpoints = bench.scratch.path("other");
        let library = crate::program::flights_library().to_str().expect("UTF-8");
        let arguments = ["run", library, "--checkpoint-dir", &checkpoints, "--restore", savepoint];
        millstream(&arguments)
    };
    let output = other(&savepoint);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("no operator in common"), "{said}");
    assert!(
        said.contains("state of [days, ") && said.contains("operators [source flights"),
        "both lists: {said}"
    );
    let output = millstream(&["savepoint", "inspect", &savepoint]);
    let shown = stdout(&output);
    for part in [
        "savepoint that the job stopped with",
        "of changing, taken 20",
        "files, all of them whole",
        "operator days\n",
        "  state windows: value, ",
        "key        hash, ROW<value STRING NOT NULL>",
        "namespace  time in ms",
        "key groups 3 of 128, from 0 B to ",
        "operator source flights\n",
        "  source position: ",
    ] {
        assert!(shown.contains(part), "`{part}` in {shown}");
    }
    for (what, expected) in [
        ("days", "--dump wants an operator and a state"),
        ("days/none", "it has windows, windows-keys"),
        ("result/none", "it has no keyed state"),
        ("none/none", "has no operator `none`: it has days, "),
    ] {
        let output = millstream(&["savepoint", "inspect", &savepoint, "--dump", what]);
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
    // A file of it is damaged.
    let mut files = content(Path::new(&savepoint));
    let (name, bytes) = files.iter_mut().find(|(name, _)| name != "_metadata").expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(Path::new(&savepoint).join(&*name), bytes).expect("a file");
    let (_, said, went_well) = bench.restored(&["--restore", &savepoint]);
    assert!(!went_well && said.contains(&format!("the file {name} is damaged")), "{said}");
    let output = millstream(&["savepoint", "inspect", &savepoint]);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains(&format!("the file {name} is")), "{said}");
    let output = millstream(&["savepoint", "inspect", "/no/such"]);
    assert!(stderr(&output).contains("there is no checkpoint or savepoint"));
}

#[test]
fn a_savepoint_that_has_no_place_is_refused_and_the_job_goes_on() {
    let bench = Bench::new("nowhere", library());
    fs::write(&bench.savepoints, b"a file").expect("a file");
    let mut run = bench.signal(libc::SIGUSR1, &[]);
    run.wait(&When::Says("no savepoint was taken: "), &bench.checkpoints);
    let (printed, said, went_well) = run.finish();
    assert!(went_well && said.contains("no savepoint was taken: "), "{said}");
    assert_eq!(rows(&printed), reference(&data("flights.csv.gz"), &data("weather.csv.gz")));
}

#[test]
fn savepoints_need_a_place_and_checkpoints() {
    let run = |arguments: &[&str]| {
        let library = changing().to_str().expect("UTF-8");
        let output = millstream(&[&["run", library, "--input", "/no/such"], arguments].concat());
        assert!(!output.status.success());
        stderr(&output)
    };
    let said = run(&["--stop-with-savepoint"]);
    assert!(said.contains("add --savepoint-dir DIR"), "{said}");
    let said = run(&["--set", "checkpoint.savepoint-dir=/tmp/x"]);
    assert!(said.contains("add --checkpoint-dir DIR"), "{said}");
}
