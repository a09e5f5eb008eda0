//! Copies of state that a machine keeps, beside checkpoints in an object store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    hourly::{data, library, reference, shuffled},
    killed::{IN_FILES, Run, When, kill, newest, some_flights},
    objects::{Server, fetched, rows, shared},
    program::Scratch,
};

/// A job with state in files, whose checkpoints are in an object store, and which keeps copies.
struct Job {
    server: Server,
    scratch: Scratch,
    input: String,
    expected: Vec<String>,
}

impl Job {
    fn new(name: &str) -> Self {
        let (server, scratch, flights) = (Server::start(), Scratch::new(name), some_flights());
        let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
        Self { server, scratch, input, expected: reference(&flights, &data("weather.csv.gz")) }
    }

    fn start(&self, more: &[&str]) -> Run {
        let local = format!("state.local-directory={}", self.scratch.path("local"));
        let job = ["run", library().to_str().expect("UTF-8"), "--input", &self.input];
        let checkpoints = ["--checkpoint-dir", "s3://checkpoints/jobs"];
        let interval = ["--checkpoint-interval", "5ms", "--parallelism", "2"];
        let keeps = ["--set", "state.local-recovery=true", "--set", &local];
        let all = [&job[..], &checkpoints, &interval, &keeps, IN_FILES, more].concat();
        let all: Vec<String> = all.into_iter().map(String::from).collect();
        Run::start_with(&all, &self.server.variables)
    }

    fn checkpoints(&self) -> PathBuf {
        self.server.bucket.join("jobs")
    }

    /// All copies of state that there are.
    fn copies(&self) -> Vec<PathBuf> {
        let below = |path: &Path| -> Vec<PathBuf> {
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let jobs = below(Path::new(&self.scratch.path("local")));
        let processes = jobs.iter().flat_map(|job| below(job));
        processes.flat_map(|process| below(&process.join("copies"))).collect()
    }

    /// It is done as if nothing had happened, and leaves nothing behind.
    fn ends_well(&self, run: Run) -> String {
        let (printed, said, went_well) = run.finish();
        assert!(went_well, "{said}");
        assert_eq!(rows(&printed), self.expected, "{said}");
        assert_eq!(self.copies(), [""; 0].map(PathBuf::from), "{said}");
        said
    }
}

#[test]
fn what_begins_again_on_the_same_machine_downloads_nothing() {
    let job = Job::new("local-killed");
    // A worker dies: its tasks, and those of the process that goes on, find their state here.
    let mut run = job.start(&["--processes", "2"]);
    assert!(run.wait(&When::Complete(3), &job.checkpoints()), "it is not over so soon");
    kill(run.worker().expect("a worker"));
    assert!(run.wait(&When::Says("going on from checkpoint"), &job.checkpoints()));
    let restored = newest(&job.checkpoints());
    assert!(run.wait(&When::Complete(restored + 2), &job.checkpoints()), "it is not over so soon");
    // All die, and one process goes on with what two have kept.
    kill(run.child.id() as i32);
    let (_, said, _) = run.finish();
    let (copied, downloaded) = fetched(&said);
    assert!(copied > 0 && downloaded == 0, "{said}");
    let said = job.ends_well(job.start(&[]));
    let (copied, downloaded) = fetched(&said);
    assert!(copied > 0 && downloaded == 0, "{said}");
}

#[test]
fn a_damaged_copy_is_passed_over_and_named() {
    let job = Job::new("local-damaged");
    let mut run = job.start(&[]);
    assert!(run.wait(&When::Complete(4), &job.checkpoints()), "it is not over so soon");
    kill(run.child.id() as i32);
    run.finish();
    let number = newest(&job.checkpoints());
    let checkpoint = job.checkpoints().join(format!("flights_hourly/chk-{number}"));
    let files = shared(&checkpoint);
    let copies = job.copies();
    let copy = |name: &String| copies.iter().find(|copy| copy.ends_with(name));
    assert!(
        files.len() > 1 && files.iter().all(|name| copy(name).is_some()),
        "{files:?} {copies:?}"
    );
    let damaged = copy(&files[0]).expect("a copy");
    let mut bytes = fs::read(damaged).expect("a copy");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(damaged, bytes).expect("a copy");
    let said = job.ends_well(job.start(&[]));
    let warning = format!("warning: the local copy {} is passed over: ", damaged.display());
    assert!(said.contains(&warning), "{said}");
    assert!(said.contains(&format!("going on from checkpoint {number}")), "{said}");
    let (copied, downloaded) = fetched(&said);
    assert!(copied > 0 && downloaded > 0, "{said}");
}
