//! A library with several jobs, and how they end.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
    time::SystemTime,
};

use crate::program::{Scratch, build_library, millstream, stderr, stdout};

fn library() -> &'static str {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build_library("several")).to_str().expect("a UTF-8 path")
}

#[test]
fn a_library_with_several_jobs_is_asked_for_one() {
    let said = stderr(&millstream(&["run", library()]));
    assert!(
        said.contains("endless, both, waking, outside, unsorted: say which with --job NAME"),
        "{said}"
    );
    let said = stderr(&millstream(&["run", library(), "--job", "neither"]));
    assert!(said.contains("no job `neither`"), "{said}");
    let help = stdout(&millstream(&["run", library(), "--job", "endless", "--help"]));
    assert!(help.contains("[secret; @FILE reads it from a file]"), "{help}");
    assert!(help.contains("Where files go [required]"), "{help}");
}

#[test]
fn rows_to_sinks_and_rows_of_the_result_are_told_apart() {
    let scratch = Scratch::new("both");
    let out = scratch.path("out");
    let ran = millstream(&["run", library(), "--job=both", "-p", "2", "--out", &out]);
    assert!(ran.status.success(), "{}", stderr(&ran));
    assert_eq!(stdout(&ran).lines().count(), 11);
    let said = stderr(&ran);
    assert!(said.contains("10 rows of result, 1000 rows to sinks"), "{said}");
    assert!(said.contains("map -> ") || said.contains("map (1/2)"), "{said}");
}

/// The wall clock and the wish to be woken cross the border to the library.
#[test]
fn a_timer_of_processing_time_wakes_a_job_of_a_library() {
    let wall = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        since.as_millis() as i64
    };
    let begin = wall();
    let ran = millstream(&["run", library(), "--job", "waking", "--output", "csv"]);
    assert!(ran.status.success(), "{}", stderr(&ran));
    let said = stdout(&ran);
    let rows: Vec<Vec<i64>> = said
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.parse().expect("a number")).collect())
        .collect();
    let [row] = &rows[..] else { panic!("{said}") };
    let [time, now] = row[..] else { panic!("{said}") };
    // In the end the source gives up after five seconds; and then the input has ended.
    assert!(begin + 30 <= time && time <= now && now < time + 4000, "{begin}: {said}");
}

#[test]
fn mistakes_of_a_program_are_named() {
    let said = stderr(&millstream(&["run", library(), "--job", "outside", "-p", "2"]));
    assert!(said.contains("the partitioner named subtask 2, but there are 2"), "{said}");
    assert!(said.contains("partition"), "{said}");
    let said = stderr(&millstream(&["run", library(), "--job", "unsorted"]));
    assert!(said.contains("error: sort: cannot sort by `nubmer`"), "{said}");
    let said = stderr(&millstream(&["run", library(), "--job", "endless", "--token", "@/nowhere"]));
    assert!(said.contains("--out"), "{said}");
    let out = "/nowhere/out";
    let secret = ["run", library(), "--job", "endless", "--out", out, "--token", "@/nowhere"];
    let said = stderr(&millstream(&secret));
    assert!(said.contains("--token is to be read from /nowhere"), "{said}");
}

#[test]
fn a_library_beside_itself_is_no_duplicate() {
    let directory = scratch_copy();
    let copy = directory.path("libseveral.so");
    let path = directory.path("");
    let arguments = ["run", &copy, "--job", "both", "--out", &directory.path("out")];
    let twice = ["--plugin-path", &path, "--plugin-path", &path];
    let ran = millstream(&[&arguments[..], &twice[..]].concat());
    assert!(ran.status.success(), "{}", stderr(&ran));
    assert!(!stderr(&ran).contains("warning"), "{}", stderr(&ran));
}

fn scratch_copy() -> Scratch {
    let scratch = Scratch::new("beside");
    fs::copy(library(), scratch.path("libseveral.so")).expect("a copy");
    scratch
}

/// As a terminal does: the signal goes to every process of the group.
#[test]
fn ctrl_c_cancels_all_processes_and_leaves_nothing() {
    for processes in ["1", "2"] {
        let scratch = Scratch::new(&format!("cancelled-{processes}"));
        let out = scratch.path("out");
        let mut job = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(["run", library(), "--job", "endless", "-p", "2", "--out", &out])
            .args(["--processes", processes, "--metrics", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the binary starts");
        let mut said = BufReader::new(job.stderr.take().expect("a pipe"));
        // Both subtasks write.
        let files = || fs::read_dir(&out).map_or(0, |files| files.count());
        while files() < 2 {
            assert!(job.try_wait().expect("a process").is_none(), "it ended before it was told to");
            std::thread::yield_now();
        }
        let group = format!("-{}", job.id());
        let sent = Command::new("kill").args(["-INT", "--", &group]).status();
        assert!(sent.expect("kill runs").success());
        let mut last = String::new();
        let mut line = String::new();
        while said.read_line(&mut line).expect("UTF-8") > 0 {
            last = std::mem::take(&mut line);
        }
        assert_eq!(job.wait().expect("it ends").code(), Some(130));
        assert_eq!(last, "error: the job was cancelled\n", "{processes} processes");
        assert_eq!(files(), 0, "{processes} processes left files");
    }
}
