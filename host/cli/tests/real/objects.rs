//! Checkpoints and savepoints of the real binary in an object store: a server that speaks S3.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    hourly::{data, library, reference, shuffled},
    killed::{IN_FILES, Run, When, kill, newest},
    program::{Scratch, root},
};

/// The server, a process of its own.
pub(crate) struct Server {
    child: Child,
    /// What a client of it has to know.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Where it keeps the bucket `checkpoints`.
    pub(crate) bucket: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = Path::new(env!("CARGO_BIN_EXE_millstream")).parent().expect("a directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "millstream-checkpoint-objects"]);
        cargo.args(["--example", "s3_server"]).current_dir(root());
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the server is built");
        let mut command = Command::new(directory.join("examples/s3_server"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a server");
        let mut line = String::new();
        let output = child.stdout.take().expect("standard output");
        BufReader::new(output).read_line(&mut line).expect("its address");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [endpoint, bucket, key, secret] = words[..] else { panic!("{line}") };
        let variables = vec![
            ("AWS_ENDPOINT_URL", endpoint.into()),
            ("AWS_ACCESS_KEY_ID", key.into()),
            ("AWS_SECRET_ACCESS_KEY", secret.into()),
            ("AWS_REGION", "us-east-1".into()),
        ];
        Self { child, variables, bucket: bucket.into() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // With its standard input it ends, and removes what it kept.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

pub(crate) fn rows(printed: &str) -> Vec<String> {
    let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

#[test]
fn a_job_goes_on_from_an_object_store() {
    let server = Server::start();
    let scratch = Scratch::new("objects");
    let flights = data("flights.csv.gz");
    let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
    let expected = reference(&flights, &data("weather.csv.gz"));
    let arguments = |more: &[&str]| -> Vec<String> {
        let library = library().to_str().expect("UTF-8");
        let checkpoints = ["--checkpoint-dir", "s3://checkpoints/jobs", "--input", &input];
        let interval = ["--checkpoint-interval", "20ms"];
        let savepoints = ["--savepoint-dir", "s3://checkpoints/savepoints"];
        let all = [&["run", library], &checkpoints[..], &interval, &savepoints, more].concat();
        all.into_iter().map(String::from).collect()
    };
    let start = |more: &[&str]| Run::start_with(&arguments(more), &server.variables);
    let checkpoints = server.bucket.join("jobs");
    // Killed, and gone on with.
    let mut run = start(&["--processes", "2"]);
    assert!(run.wait(&When::Complete(2), &checkpoints), "it is not over so soon");
    kill(run.child.id() as i32);
    run.finish();
    // Stopped with a savepoint, which is an object store's, too.
    let mut run = start(&["--stop-with-savepoint"]);
    assert!(run.wait(&When::Says("going on from checkpoint"), &checkpoints));
    assert!(run.wait(&When::Complete(newest(&checkpoints) + 1), &checkpoints));
    // SAFETY: a plain system call; the process is a child of this one that was not waited for.
    unsafe { libc::kill(run.child.id() as i32, libc::SIGINT) };
    let (printed, said, went_well) = run.finish();
    assert!(went_well && printed.is_empty(), "{said}");
    let savepoint =
        said.lines().find_map(|line| line.strip_prefix("the job stops with savepoint: "));
    let savepoint = savepoint.unwrap_or_else(|| panic!("{said}")).to_owned();
    assert!(savepoint.starts_with("s3://checkpoints/savepoints/savepoint-flights_hourly-"));
    let inspect = ["savepoint", "inspect", &savepoint].map(String::from);
    let (shown, said, went_well) = Run::start_with(&inspect, &server.variables).finish();
    assert!(went_well && shown.contains("files, all of them whole"), "{said}");
    // Processes that share nothing but the store begin from it.
    let (printed, said, went_well) =
        start(&["--restore", &savepoint, "--processes", "2", "--parallelism", "4"]).finish();
    assert!(went_well && rows(&printed) == expected, "{said}");
    assert!(said.contains(&format!("going on from savepoint {savepoint}")), "{said}");
    assert_eq!(newest(&checkpoints), 0, "checkpoints are gone with the job");
}

/// The names of shared files, sorted, in the manifest of a checkpoint.
pub(crate) fn shared(checkpoint: &Path) -> Vec<String> {
    let manifest = fs::read(checkpoint.join("_metadata")).expect("a manifest");
    let text = String::from_utf8_lossy(&manifest);
    let is_name = |c: char| c.is_ascii_hexdigit() || c == '-' || "shared run".contains(c);
    let names = text.split(|c| !is_name(c)).filter(|name| name.contains("-run-"));
    let whole = names.filter_map(|name| name.find("shared-").and_then(|at| name.get(at..)));
    // Behind the name come other bytes.
    let end = |name: &str| name.find("-run-").map(|at| at + "-run-".len() + 16);
    let mut names: Vec<String> =
        whole.filter_map(|name| Some(name.get(..end(name)?)?.to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

/// How many bytes checkpoints refer to, and how many of them were written anew.
fn in_files(said: &str) -> (u64, u64) {
    let line = said.lines().find(|line| line.contains(" checkpoints refer to "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok()).skip(1);
    (numbers.next().expect("all"), numbers.next().expect("new"))
}

/// Bytes of state that were taken from local copies, and those that were downloaded.
pub(crate) fn fetched(said: &str) -> (u64, u64) {
    let lines = said.lines().filter_map(|line| line.strip_prefix("state in files: "));
    let numbers = lines
        .map(|line| -> Vec<u64> { line.split(' ').filter_map(|word| word.parse().ok()).collect() });
    numbers.fold((0, 0), |sum, line| (sum.0 + line[1], sum.1 + line[3]))
}

/// State that stays is written once, however many checkpoints have it.
#[test]
fn later_checkpoints_write_little_to_an_object_store() {
    let server = Server::start();
    let scratch = Scratch::new("objects-counted");
    let flights = data("flights.csv.gz");
    let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
    let local = format!("state.local-directory={}", scratch.path("local"));
    // Nothing is late, and no window ends before the input does.
    let job =
        ["run", library().to_str().expect("UTF-8"), "--input", &input, "--bound", "1200000 min"];
    let checkpoints = ["--checkpoint-dir", "s3://checkpoints/jobs", "--checkpoint-interval", "5ms"];
    let arguments = [&job[..], &checkpoints, &["--set", &local], IN_FILES].concat();
    let arguments: Vec<String> = arguments.into_iter().map(String::from).collect();
    let (printed, said, went_well) = Run::start_with(&arguments, &server.variables).finish();
    assert!(went_well && rows(&printed) == reference(&flights, &data("weather.csv.gz")), "{said}");
    let (all, new) = in_files(&said);
    assert!(new > 0 && new * 2 < all, "{said}");
}

/// Files of state are in the store once, checkpoints refer to them; a damaged one is passed over by name; what
/// was left behind is removed, and nothing else; and what somebody has put aside is his.
#[test]
fn checkpoints_in_an_object_store_share_files() {
    let server = Server::start();
    let scratch = Scratch::new("objects-shared");
    let flights = data("flights.csv.gz");
    let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
    let expected = reference(&flights, &data("weather.csv.gz"));
    let local = format!("state.local-directory={}", scratch.path("local"));
    let start = |directory: &str, more: &[&str]| {
        let library = library().to_str().expect("UTF-8");
        let engine = ["--checkpoint-dir", directory, "--checkpoint-interval", "5ms"];
        let options = ["--input", &input, "--set", &local];
        let all = [&["run", library], &engine[..], &options, more].concat();
        let all: Vec<String> = all.into_iter().map(String::from).collect();
        Run::start_with(&all, &server.variables)
    };
    let jobs = server.bucket.join("jobs");
    fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [IN_FILES, more].concat()
    }
    let checkpoint = |number: u64| jobs.join(format!("flights_hourly/chk-{number}"));
    let there = |name: &str| jobs.join("flights_hourly/shared").join(name).exists();
    // Killed again and again until its two newest checkpoints share files and the last one has some that
    // are new: on a slow disk nothing may happen between two of them.
    let mut early_files = Vec::new();
    let (number, before, now) = loop {
        let mut run = start("s3://checkpoints/jobs", &with(&["--parallelism", "2"]));
        assert!(run.wait(&When::Complete(newest(&jobs) + 2), &jobs), "it is not over so soon");
        while early_files.is_empty() {
            assert!(run.wait(&When::Complete(newest(&jobs) + 1), &jobs), "it is not over so soon");
            early_files = shared(&checkpoint(newest(&jobs)));
        }
        // What the early one had is not all kept for ever.
        while early_files.iter().all(|name| there(name)) {
            assert!(run.wait(&When::Complete(newest(&jobs) + 1), &jobs), "it is not over so soon");
        }
        kill(run.child.id() as i32);
        run.finish();
        let number = newest(&jobs);
        if !checkpoint(number - 1).join("_metadata").exists() {
            continue;
        }
        let (before, now) = (shared(&checkpoint(number - 1)), shared(&checkpoint(number)));
        let old = now.iter().filter(|name| before.contains(name)).count();
        if 0 < old && old < now.len() {
            break (number, before, now);
        }
    };
    assert!(before.iter().chain(&now).all(|name| there(name)), "{before:?} {now:?}");

    // Begun from elsewhere, in memory, with nothing of it touched.
    let path = format!("s3://checkpoints/jobs/flights_hourly/chk-{number}");
    let memory = ["--restore", &path, "--state", "memory", "--parallelism", "4"];
    let (printed, said, went_well) = start("s3://checkpoints/other", &memory).finish();
    assert!(went_well && rows(&printed) == expected, "{said}");
    assert!(fetched(&said).1 > 0, "{said}");
    assert!(now.iter().all(|name| there(name)), "it claims nothing");
    // In files, written to its own place, with another parallelism and two processes.
    let other = with(&["--restore", &path, "--parallelism", "3", "--processes", "2"]);
    let (printed, said, went_well) = start("s3://checkpoints/other", &other).finish();
    assert!(went_well && rows(&printed) == expected, "{said}");
    assert!(now.iter().all(|name| there(name)), "it claims nothing");
    let inspect = ["savepoint", "inspect", &path].map(String::from);
    let (shown, said, went_well) = Run::start_with(&inspect, &server.variables).finish();
    assert!(went_well && shown.contains("files, all of them whole"), "{said}");
    assert!(shown.contains("keyed state in files (lsm)"), "{shown}");

    // A damaged file, and one that nobody refers to.
    let only = now.iter().find(|name| !before.contains(name)).expect("something is new").clone();
    let damaged = jobs.join("flights_hourly/shared").join(&only);
    let mut bytes = fs::read(&damaged).expect("a shared file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).expect("a shared file");
    let orphan = jobs.join("flights_hourly/shared/shared-0-run-0000000000000001");
    fs::write(&orphan, b"left behind").expect("a file");
    let mut run = start("s3://checkpoints/jobs", &with(&["--processes", "2"]));
    assert!(run.wait(&When::Complete(number + 2), &jobs), "it is not over so soon");
    assert!(!orphan.exists(), "nobody refers to it");
    kill(run.child.id() as i32);
    let (_, said, _) = run.finish();
    assert!(said.contains(&format!("checkpoint {number} in ")), "{said}");
    assert!(said.contains(&format!("the file {only} is damaged")), "{said}");
    assert!(said.contains(&format!("going on from checkpoint {}", number - 1)), "{said}");

    // Claimed from elsewhere: at the end it is gone, with all that only it has.
    let number = newest(&jobs);
    let path = format!("s3://checkpoints/jobs/flights_hourly/chk-{number}");
    let (before, now) = (shared(&checkpoint(number - 1)), shared(&checkpoint(number)));
    let claim =
        with(&["--restore", &path, "--set", "checkpoint.claim-mode=claim", "--parallelism", "2"]);
    let (printed, said, went_well) = start("s3://checkpoints/other", &claim).finish();
    assert!(went_well && rows(&printed) == expected, "{said}");
    assert!(!checkpoint(number).join("_metadata").exists(), "{said}");
    let kept = now.iter().filter(|name| before.contains(name));
    assert!(kept.chain(&before).all(|name| there(name)), "checkpoint {} has them", number - 1);
    // What the server had heard of when the run was killed may have made one more complete.
    let others =
        fs::read_dir(jobs.join("flights_hourly")).expect("the job's checkpoints").flatten();
    let others = others.map(|entry| entry.path()).filter(|path| path.join("_metadata").exists());
    let referred: Vec<String> = others.flat_map(|path| shared(&path)).collect();
    let left: Vec<_> = now.iter().filter(|name| there(name) && !referred.contains(name)).collect();
    assert!(left.is_empty(), "only it had {left:?}: {said}");
    // The job goes on from the one before, and takes all away when it is done.
    let (printed, said, went_well) = start("s3://checkpoints/jobs", &with(&[])).finish();
    assert!(went_well && rows(&printed) == expected, "{said}");
    let left = fs::read_dir(jobs.join("flights_hourly/shared")).map_or(0, Iterator::count);
    assert_eq!((left, newest(&jobs)), (0, 0), "{said}");
    assert_eq!(fs::read_dir(scratch.path("local")).map_or(0, Iterator::count), 0);
}

#[test]
fn an_object_store_that_refuses_ends_the_job_with_one_error() {
    let server = Server::start();
    let run = |directory: &str, variable: &'static str, value: &str| {
        let library = crate::program::flights_library().to_str().expect("UTF-8");
        let arguments = ["run", library, "--checkpoint-dir", directory].map(String::from);
        let mut variables = server.variables.clone();
        variables.push((variable, value.into()));
        let (printed, said, went_well) = Run::start_with(&arguments, &variables).finish();
        assert!(!went_well && printed.is_empty(), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let said = run("s3://checkpoints/jobs", "AWS_SECRET_ACCESS_KEY", "another");
    assert!(said.contains("refuses the credentials"), "{said}");
    let said = run("s3://no-such-bucket/jobs", "AWS_REGION", "us-east-1");
    assert!(said.contains("no such bucket: create it"), "{said}");
    let said = run("s3://checkpoints/jobs", "AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    assert!(said.contains("cannot be reached"), "{said}");
    let said = run("gs://checkpoints/jobs", "AWS_REGION", "us-east-1");
    assert!(said.contains("s3://BUCKET/PREFIX"), "{said}");
}
