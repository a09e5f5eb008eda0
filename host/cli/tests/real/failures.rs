//! What goes wrong is one clear error, a non-zero exit, and no partial output.

use std::process::Output;

use crate::program::{Scratch, flights, millstream, stderr, stdout};

const GOOD: &str = "carrier,origin,departure_delay_minutes\nAA,JFK,1\n";

/// Checks that it failed with one line that says all of this.
fn assert_refused(output: &Output, parts: &[&str]) {
    let said = stderr(output);
    assert!(!output.status.success(), "it succeeded: {said}");
    assert_eq!(stdout(output), "", "partial output");
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "one error: {said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` in: {said}");
    }
}

#[test]
fn a_missing_file() {
    assert_refused(&flights(&["--input", "/nowhere/f.csv"]), &["/nowhere/f.csv", "path"]);
}

#[test]
fn a_malformed_line() {
    let scratch = Scratch::new("malformed");
    let file = scratch.file("a.csv", format!("{GOOD}AA,JFK\n").as_bytes());
    assert_refused(&flights(&["--input", &file]), &["a.csv, line 3", "2 fields", "3"]);
    let file = scratch.file("b.csv", format!("{GOOD}AA,JFK,late\n").as_bytes());
    assert_refused(&flights(&["--input", &file]), &["b.csv, line 3", "`late`", "INT"]);
    let file = scratch.file("c.csv", format!("{GOOD}\"AA,JFK,1\n").as_bytes());
    assert_refused(&flights(&["--input", &file]), &["c.csv, line 3", "quoted"]);
}

#[test]
fn a_missing_column_and_an_empty_file() {
    let scratch = Scratch::new("columns");
    let file = scratch.file("a.csv", b"carrier,departure_delay_minutes\nAA,1\n");
    assert_refused(&flights(&["--input", &file]), &["a.csv", "`origin`"]);
    let file = scratch.file("b.csv", b"");
    assert_refused(&flights(&["--input", &file]), &["b.csv", "empty"]);
}

#[test]
fn a_truncated_gzip_file() {
    let whole = std::fs::read(crate::program::root().join("examples/data/flights.csv.gz"));
    let whole = whole.expect("the data");
    let scratch = Scratch::new("gzip");
    let file = scratch.file("flights.csv.gz", &whole[..whole.len() / 2]);
    assert_refused(&flights(&["--input", &file]), &["flights.csv.gz", "truncated"]);
    let mut damaged = whole;
    damaged[100_000] ^= 0xFF;
    let file = scratch.file("damaged.csv.gz", &damaged);
    assert_refused(&flights(&["--input", &file]), &["damaged.csv.gz"]);
}

#[test]
fn unknown_options() {
    let output = flights(&["--inptu", "x"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("--input"), "{}", stderr(&output));
    assert_refused(&flights(&["--set", "memory.network"]), &["key=value"]);
    let output = flights(&["--set", "memory.segmentsize=4096"]);
    assert_refused(&output, &["did you mean `memory.segment-size`"]);
    assert_refused(&flights(&["--set", "memory.segment-size=5000"]), &["5000"]);
}

#[test]
fn buffers_that_do_not_suffice() {
    let output = flights(&["--set", "memory.network=32KiB", "--parallelism", "4"]);
    assert_refused(&output, &["memory.network"]);
}

#[test]
fn a_job_that_is_none() {
    assert_refused(&millstream(&["run", "/nowhere/libjob.so"]), &["/nowhere/libjob.so"]);
    let scratch = Scratch::new("nojob");
    let file = scratch.file("libtext.so", b"no library");
    assert_refused(&millstream(&["run", &file]), &["libtext.so", "not a library"]);
}

#[test]
fn help_lists_the_options_of_the_job() {
    let library = crate::program::flights_library().to_str().expect("a UTF-8 path");
    let output = millstream(&["run", library, "--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    assert!(help.contains("--input") && help.contains("--parallelism"), "{help}");
}

#[test]
fn a_worker_process_that_is_killed() {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    // A named pipe that is never filled: the job waits for its input until the worker is gone.
    let scratch = Scratch::new("killed");
    let pipe = scratch.path("flights.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let library = crate::program::flights_library();
    let mut job = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["run", library.to_str().expect("a UTF-8 path"), "--input", &pipe])
        .args(["--processes", "2", "--parallelism", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // Opening the pipe for writing waits for its reader, so the job runs once this returns: once
    // for the header, once for the rows.
    let mut input = std::fs::OpenOptions::new().write(true).open(&pipe).expect("the pipe");
    input.write_all(GOOD.as_bytes()).expect("the job reads");
    let worker = child_of(job.id());
    let kill = Command::new("kill").args(["-9", &worker]).status().expect("kill runs");
    assert!(kill.success());
    let mut stderr_text = String::new();
    std::io::Read::read_to_string(job.stderr.as_mut().expect("a pipe"), &mut stderr_text)
        .expect("UTF-8");
    drop(input);
    let output = job.wait_with_output().expect("the job ends");
    assert!(!output.status.success());
    assert_eq!(stdout(&output), "", "partial output");
    assert!(stderr_text.contains("worker process 1: it was killed by signal 9"), "{stderr_text}");
}

/// The child process of a process.
fn child_of(parent: u32) -> String {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let read = std::fs::read_to_string(children).expect("the kernel lists children");
    read.split_whitespace().next().expect("a child").to_owned()
}
