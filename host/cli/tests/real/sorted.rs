//! Sorting with spill, and a disk that has no more room.

#![expect(unsafe_code, reason = "the size of files is limited with setrlimit")]

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use crate::program::{Scratch, build_library, stderr, stdout};

fn library() -> &'static Path {
    static LIBRARY: OnceLock<std::path::PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build_library("sorted"))
}

/// Sorts the flights within a megabyte.
fn sorted(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.args(["run", "--set", "memory.managed.size=1 MiB"]).args(arguments).arg(library());
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the binary starts")
}

/// What the rows are sorted by: the delay, largest first and NULL last, then carrier and origin.
fn key(row: &str) -> (i64, String) {
    let (route, delay) = row.rsplit_once(',').expect("three columns");
    (delay.parse().map_or(i64::MAX, |delay: i64| -delay), route.to_owned())
}

#[test]
fn flights_are_sorted_within_a_megabyte() {
    let scratch = Scratch::new("sorted");
    let directory = format!("io.tmp.dirs={}", scratch.path(""));
    for storage in ["auto", "threads"] {
        let storage = format!("io.tmp.storage={storage}");
        let output = run(sorted(&["--set", &directory, "--set", &storage]));
        assert!(output.status.success(), "{}", stderr(&output));
        let printed = stdout(&output);
        let mut rows = printed.lines();
        assert_eq!(rows.next(), Some("carrier,origin,departure_delay_minutes"));
        let keys: Vec<(i64, String)> = rows.map(key).collect();
        assert_eq!(keys.len(), 336_776);
        assert!(keys.is_sorted(), "out of order");
    }
    let left = std::fs::read_dir(scratch.path("")).expect("a directory").count();
    assert_eq!(left, 0, "spill files are left behind");
}

/// Files may have 100 KiB from now on.
fn limit_files() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: 100 << 10, rlim_max: 100 << 10 };
    // SAFETY: the limit outlives the call.
    let refused = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } != 0;
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn a_disk_without_room_is_one_error_and_no_result() {
    let scratch = Scratch::new("full");
    let directory = format!("io.tmp.dirs={}", scratch.path(""));
    for storage in ["auto", "threads"] {
        let storage = format!("io.tmp.storage={storage}");
        let mut command = sorted(&["--set", &directory, "--set", &storage]);
        // SAFETY: between fork and exec only setrlimit is called, which is a plain system call.
        unsafe { command.pre_exec(limit_files) };
        assert_one_error(&run(command), &["sort (1/", "millstream-full", "io.tmp.dirs"]);
    }
}

/// A failure, with one error that has these words in it, and without a result.
fn assert_one_error(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert!(!output.status.success(), "{said}");
    assert_eq!(stdout(output), "", "no partial result");
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("error")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    for word in words {
        assert!(errors[0].contains(word), "{word} is missing: {said}");
    }
}

/// A shell with root's rights over mounts that only it sees; `None` where the system forbids that.
pub(crate) fn shell_with_mounts(script: &str) -> Option<Command> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command
    };
    let allowed = unshare("mount -t tmpfs tmpfs /mnt").output().is_ok_and(|o| o.status.success());
    allowed.then(|| unshare(script))
}

#[test]
fn a_file_system_that_is_full_is_one_error_and_no_result() {
    let scratch = Scratch::new("small");
    let directory = scratch.path("");
    let script = format!(
        "mount -t tmpfs -o size=200k tmpfs {directory} && exec {} run --set memory.managed.size=1MiB \
         --set io.tmp.dirs={directory} {}",
        env!("CARGO_BIN_EXE_millstream"),
        library().display()
    );
    match shell_with_mounts(&script) {
        Some(command) => {
            assert_one_error(&run(command), &["sort (1/", "millstream-small", "no space is left"]);
        }
        None => eprintln!("not tested: the system lets nobody mount a small file system"),
    }
}

#[test]
fn a_missing_spill_directory_is_refused_before_the_job_begins() {
    let output = run(sorted(&["--set", "io.tmp.dirs=/no/such/directory"]));
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("/no/such/directory"), "{said}");
    assert!(said.contains("io.tmp.dirs"), "{said}");
}
