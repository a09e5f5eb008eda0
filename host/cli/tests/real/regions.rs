//! Pipelines side by side of which one fails: it begins anew by itself, in whichever process it is.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::program::{Scratch, build_library, millstream, stderr};

const LINES: usize = 100_000;

/// Runs the job, of which a task fails in such a process; gives what it said, when each line is there once.
fn fails_in(place: &str, processes: &str, more: &[&str]) -> String {
    let scratch = Scratch::new(&format!("regions-{place}-{processes}{}", more.len()));
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| build_library("regions"));
    let text: String = (0..LINES).map(|number| format!("{number}\n")).collect();
    let input = scratch.file("lines.csv", format!("number\n{text}").as_bytes());
    let (out, checkpoints) = (scratch.path("out"), scratch.path("checkpoints"));
    let library = library.to_str().expect("a UTF-8 path");
    let mut arguments = vec!["run", library, "-p", "4", "--processes", processes];
    arguments.extend(["--input", &input, "--out", &out, "--watched", &checkpoints]);
    let failed = scratch.path("failed");
    arguments.extend(["--failed", &failed, "--fails-in", place]);
    arguments.extend(["--checkpoint-dir", &checkpoints, "--checkpoint-interval", "20ms"]);
    arguments.extend(more);
    let ran = millstream(&arguments);
    let said = stderr(&ran);
    assert!(ran.status.success(), "{said}");
    let mut lines = shown(Path::new(&out));
    lines.sort_unstable();
    let numbers: Vec<usize> = lines.iter().map(|line| line.0).collect();
    assert_eq!(numbers, (0..LINES).collect::<Vec<_>>(), "each once");
    // Each pipeline has numbered its own rows without a gap.
    let mut counts = vec![0; LINES + 2];
    lines.iter().for_each(|line| counts[line.1] += 1);
    assert_eq!(counts[1], 4, "{said}");
    assert!(counts[1..].is_sorted_by(|a, b| a >= b), "{said}");
    said
}

/// One of four pipelines has begun anew, and nothing else.
fn check_alone(said: &str) {
    assert!(said.contains("of 4 failed and begins anew in 1s: "), "{said}");
    assert!(said.contains("of 4 goes on from checkpoint "), "{said}");
    assert!(said.contains("of 4 began anew from checkpoint "), "{said}");
    assert!(!said.contains("the job failed"), "{said}");
}

/// The lines of the files that are shown.
fn shown(directory: &Path) -> Vec<(usize, usize)> {
    let mut lines = Vec::new();
    for file in fs::read_dir(directory).expect("a directory").flatten() {
        if file.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let text = fs::read_to_string(file.path()).expect("a file");
        lines.extend(text.lines().skip(1).map(|line| {
            let (number, position) = line.split_once(',').expect("two columns");
            (number.parse().expect("a number"), position.parse().expect("a number"))
        }));
    }
    lines
}

#[test]
fn a_pipeline_begins_anew_by_itself() {
    check_alone(&fails_in("coordinator", "1", &[]));
}

#[test]
fn a_pipeline_of_the_coordinating_process_begins_anew_by_itself() {
    check_alone(&fails_in("coordinator", "2", &[]));
}

#[test]
fn a_pipeline_of_a_worker_process_begins_anew_by_itself() {
    check_alone(&fails_in("worker", "2", &[]));
}

#[test]
fn so_it_does_with_state_in_files_and_barriers_that_overtake() {
    let more = ["--state", "lsm", "--set", "checkpoint.unaligned=true"];
    check_alone(&fails_in("worker", "2", &more));
}

#[test]
fn what_reaches_over_processes_begins_anew_with_the_job() {
    for place in ["coordinator", "worker"] {
        // A barrier has much in front of it where rows go to all.
        let more = ["--set", "checkpoint.unaligned=true", "--fails-behind", "0"];
        let said = fails_in(place, "2", &[&["--lines-go", "to all"], &more[..]].concat());
        let failed = said.lines().find(|line| line.starts_with("the job failed and begins anew"));
        let failed = failed.unwrap_or_else(|| panic!("{said}"));
        // Of a worker's task it may be the connection that is heard of first.
        assert!(place == "worker" || failed.contains("it was to fail"), "{said}");
        assert!(!said.contains("region "), "{said}");
    }
}
