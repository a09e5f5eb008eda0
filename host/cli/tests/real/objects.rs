//! Checkpoints and savepoints of the real binary in an object store: a server that speaks S3.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    hourly::{data, library, reference, shuffled},
    killed::{Run, When, kill, newest},
    program::{Scratch, root},
};

/// The server, a process of its own.
struct Server {
    child: Child,
    /// What a client of it has to know.
    variables: Vec<(&'static str, String)>,
    /// Where it keeps the bucket `checkpoints`.
    bucket: PathBuf,
}

impl Server {
    fn start() -> Self {
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

fn rows(printed: &str) -> Vec<String> {
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
