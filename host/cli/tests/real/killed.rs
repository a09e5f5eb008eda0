//! Processes that are killed: the job goes on as if nothing had happened.

mod files;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use crate::{
    hourly::{data, library, reference, shuffled},
    objects::Server,
    program::{Scratch, build_library, root},
};

/// Kills of one job.
const KILLS: u32 = 20;
/// Flights that it reads: enough for some hundred checkpoints.
const FLIGHTS: usize = 30_000;

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The newest complete checkpoint in a directory.
pub(crate) fn newest(checkpoints: &Path) -> u64 {
    newest_with(checkpoints, "_metadata")
}

/// The newest checkpoint in a directory that has a file of this name.
fn newest_with(checkpoints: &Path, file: &str) -> u64 {
    let jobs = fs::read_dir(checkpoints).into_iter().flatten().flatten();
    let all = jobs.flat_map(|job| fs::read_dir(job.path()).into_iter().flatten().flatten());
    let complete = all.filter(|checkpoint| checkpoint.path().join(file).exists());
    let number = |name: &str| name.strip_prefix("chk-")?.parse().ok();
    complete.filter_map(|checkpoint| number(checkpoint.file_name().to_str()?)).max().unwrap_or(0)
}

/// When a process is killed.
pub(crate) enum When {
    /// When this checkpoint is complete.
    Complete(u64),
    /// A while after this checkpoint has begun: so many looks later.
    Begun(u64, u64),
    /// As soon as it says that it goes on from a checkpoint.
    Restores,
    /// When it has said a line that begins so.
    Says(&'static str),
}

/// A run that writes what it says into a thread's hands.
pub(crate) struct Run {
    pub(crate) child: Child,
    printed: thread::JoinHandle<String>,
    said: thread::JoinHandle<String>,
    lines: std::sync::mpsc::Receiver<String>,
    /// What it has said so far, as far as somebody waited for it.
    heard: Vec<String>,
}

impl Run {
    pub(crate) fn start(arguments: &[String]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// With these variables of the environment.
    pub(crate) fn start_with(arguments: &[String], variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let errors = child.stderr.take().expect("standard error");
        let mut output = child.stdout.take().expect("standard output");
        // Both are read all the time: a pipe that is full would stop the run.
        let printed = thread::spawn(move || {
            let mut printed = String::new();
            output.read_to_string(&mut printed).expect("text");
            printed
        });
        let (sender, lines) = std::sync::mpsc::channel();
        let said = thread::spawn(move || {
            let mut said = String::new();
            for line in BufReader::new(errors).lines() {
                let Ok(line) = line else { break };
                let _ = sender.send(line.clone());
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        Self { child, printed, said, lines, heard: Vec::new() }
    }

    /// Waits until the time has come, or the run is over; whether the time has come.
    pub(crate) fn wait(&mut self, when: &When, checkpoints: &Path) -> bool {
        let mut looks = 0;
        loop {
            let now = match when {
                When::Begun(checkpoint, later) => {
                    looks += u64::from(newest_with(checkpoints, "") >= *checkpoint);
                    looks > *later
                }
                When::Complete(checkpoint) => newest(checkpoints) >= *checkpoint,
                When::Restores => self.has_said("going on from checkpoint"),
                When::Says(beginning) => self.has_said(beginning),
            };
            if now {
                return true;
            }
            if self.child.try_wait().expect("a status").is_some() {
                return false;
            }
            thread::yield_now();
        }
    }

    /// Whether it has said a line that begins so.
    fn has_said(&mut self, beginning: &str) -> bool {
        self.heard.extend(self.lines.try_iter());
        self.heard.iter().any(|line| line.starts_with(beginning))
    }

    /// A worker process of the run, if there is one.
    pub(crate) fn worker(&self) -> Option<i32> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        fs::read_to_string(children).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// The end of the run: what it printed and said, and whether it went well.
    pub(crate) fn finish(mut self) -> (String, String, bool) {
        let status = self.child.wait().expect("a status");
        let printed = self.printed.join().expect("what it printed");
        (printed, self.said.join().expect("what it said"), status.success())
    }
}

/// Kills a script when its third checkpoint is complete, and lets it go on with another parallelism.
pub(crate) fn kill_and_rescale(what: &str, script: &str, checkpoints: &str, more: &[&str]) {
    kill_one_that_is(what, script, checkpoints, (&["--checkpoint-interval", "5ms"], more), 3);
}

/// [`kill_and_rescale`] for a script whose tables have 10,000 rows: slow enough that many of them are read when
/// it is killed, and many are not.
pub(crate) fn kill_in_the_middle(what: &str, script: &str, checkpoints: &str, more: &[&str]) {
    let slow = ["--checkpoint-interval", "100ms", "--set", "source.rows-per-second=5000"];
    kill_one_that_is(what, script, checkpoints, (&slow, more), 3);
}

/// The same when so many checkpoints are complete.
pub(crate) fn kill_behind(
    complete: u64,
    what: &str,
    script: &str,
    checkpoints: &str,
    more: &[&str],
) {
    let slow = ["--checkpoint-interval", "50ms", "--set", "source.rows-per-second=1500"];
    kill_one_that_is(what, script, checkpoints, (&slow, more), complete);
}

/// Kills a script that is run with `paced` options, and lets it go on without.
fn kill_one_that_is(
    what: &str,
    script: &str,
    checkpoints: &str,
    (paced, more): (&[&str], &[&str]),
    complete: u64,
) {
    let arguments = |parallelism: &str, paced: &[&str]| {
        let all = ["run", script, "--parallelism", parallelism, "--checkpoint-dir", checkpoints];
        let all = [&all[..], paced, more].concat();
        all.into_iter().map(String::from).collect::<Vec<_>>()
    };
    let mut run = Run::start(&arguments("2", paced));
    assert!(run.wait(&When::Complete(complete), Path::new(checkpoints)), "it is not over so soon");
    kill(run.child.id() as i32);
    run.finish();
    let (_, said, went_well) = Run::start(&arguments("3", &[])).finish();
    assert!(went_well && said.contains("going on from checkpoint"), "{what}: {said}");
}

pub(crate) fn kill(process: i32) {
    // SAFETY: a plain system call; the process is a child of this one, or a child's, and not waited for.
    unsafe { libc::kill(process, libc::SIGKILL) };
}

/// The rows that a run has shown, of what it printed.
type Shown = dyn Fn(&str) -> Vec<String>;

/// A job that is killed, and what it must come to.
struct Case<'a> {
    library: &'a Path,
    /// Its own arguments.
    arguments: Vec<String>,
    /// Of these one is chosen for each run, beside parallelism and processes.
    engine: &'a [&'a [&'a str]],
    /// The rows that it has shown, of what it printed.
    shown: Box<Shown>,
    expected: Vec<String>,
    /// Takes back what it has shown.
    reset: Box<dyn Fn()>,
    /// Where its checkpoints are.
    checkpoints: Checkpoints,
}

/// Where checkpoints are kept.
struct Checkpoints {
    /// What a run is told.
    place: String,
    /// Where their files are.
    path: PathBuf,
    /// Variables of the environment that a run needs.
    variables: Vec<(&'static str, String)>,
}

impl Checkpoints {
    fn local(scratch: &Scratch) -> Self {
        let place = scratch.path("checkpoints");
        Self { path: PathBuf::from(&place), place, variables: Vec::new() }
    }
}

/// Runs a job until it ends, with [`KILLS`] kills on the way: of the coordinating process and of
/// workers, with other parallelism and other processes each time.
fn survives(case: &Case<'_>, seed: u64) {
    let Checkpoints { place, path: checkpoints, variables } = &case.checkpoints;
    let mut dice = Dice(seed);
    let (mut kills, mut restored, mut is_done) = (0, 0, false);
    while kills < KILLS || !is_done {
        let parallelism = [1, 2, 4][dice.below(3) as usize].to_string();
        let processes = [1, 2][dice.below(2) as usize].to_string();
        let engine = [
            "--checkpoint-dir",
            place,
            "--checkpoint-interval",
            "5ms",
            "--parallelism",
            &parallelism,
            "--processes",
            &processes,
        ];
        let job = ["run", case.library.to_str().expect("UTF-8")];
        let mut arguments: Vec<String> = job.into_iter().chain(engine).map(String::from).collect();
        arguments.extend(case.arguments.iter().cloned());
        let engine = case.engine.get(dice.below(case.engine.len().max(1) as u64) as usize);
        arguments.extend(engine.copied().unwrap_or(&[]).iter().map(|&text| text.to_owned()));
        let mut run = Run::start_with(&arguments, variables);
        if kills < KILLS {
            let before = newest(checkpoints);
            let when = match dice.below(5) {
                0 if before > 0 => When::Restores,
                1 | 2 => When::Begun(before + 1 + dice.below(12), dice.below(300)),
                _ => When::Complete(before + 1 + dice.below(12)),
            };
            if run.wait(&when, checkpoints) {
                kills += 1;
                let worker = run.worker().filter(|_| dice.below(2) == 0);
                kill(worker.unwrap_or(run.child.id() as i32));
            }
        }
        let (printed, said, went_well) = run.finish();
        is_done = went_well;
        restored += u32::from(said.contains("going on from checkpoint"));
        let mut rows = (case.shown)(&printed);
        rows.sort();
        // A run that is killed when all is done has left no checkpoint to go on from.
        if went_well || (rows == case.expected && newest(checkpoints) == 0) {
            assert_eq!(rows, case.expected, "{arguments:?}: {said}");
            (case.reset)();
        }
    }
    assert!(restored >= KILLS / 2, "{restored} of {kills} kills were followed by a restore");
}

/// Some flights, in some disorder.
pub(crate) fn some_flights() -> String {
    let all = data("flights.csv.gz");
    let flights: Vec<&str> = all.lines().take(FLIGHTS + 1).collect();
    flights.join("\n") + "\n"
}

/// State in files, and so little memory that much of it is there.
pub(crate) const IN_FILES: &[&str] =
    &["--state", "lsm", "--set", "memory.segment-size=8KiB", "--set", "memory.managed.size=4MiB"];

/// Barriers that overtake: at once, or when they have waited a little.
const UNALIGNED: &[&str] = &["--set", "checkpoint.unaligned=true"];
const WITH_TIMEOUT: &[&str] =
    &["--set", "checkpoint.unaligned=true", "--set", "checkpoint.aligned-timeout=2ms"];

#[test]
fn twenty_kills_change_nothing_with_unaligned_barriers() {
    hours_survive("killed-unaligned", &[UNALIGNED], 5);
}

#[test]
fn twenty_kills_change_nothing_with_barriers_that_wait_a_while() {
    let in_files = [IN_FILES, WITH_TIMEOUT].concat();
    hours_survive("killed-timeout", &[WITH_TIMEOUT, &in_files], 6);
}

#[test]
fn twenty_kills_change_nothing() {
    hours_survive("killed", &[], 1);
}

#[test]
fn twenty_kills_change_nothing_with_state_in_files() {
    hours_survive("killed-lsm", &[IN_FILES], 3);
}

/// Files of state are compressed in another way each time, and read however they are.
#[test]
fn twenty_kills_change_nothing_with_files_that_are_compressed() {
    let all = [IN_FILES, &["--set", "state.lsm.compression=lz4"]].concat();
    let bottom = [IN_FILES, &["--set", "state.lsm.compression=none,lz4"]].concat();
    hours_survive("killed-compressed", &[&all, IN_FILES, &bottom], 8);
}

/// What one backend has written the other reads.
#[test]
fn twenty_kills_change_nothing_with_another_backend_each_time() {
    hours_survive("killed-either", &[IN_FILES, &["--state", "memory"]], 4);
}

/// Files of state are written to an object store once, and fetched from there, or kept locally, too.
#[test]
fn twenty_kills_change_nothing_with_state_in_an_object_store() {
    let server = Server::start();
    let scratch = Scratch::new("killed-objects");
    let keeps = [IN_FILES, &["--set", "state.local-recovery=true"]].concat();
    let engine = [IN_FILES, &keeps, &["--state", "memory"]];
    let path = server.bucket.join("jobs");
    let checkpoints = Checkpoints {
        place: "s3://checkpoints/jobs".into(),
        path: path.clone(),
        variables: server.variables.clone(),
    };
    let local = scratch.path("local");
    let local = format!("state.local-directory={local}");
    hours_survive_in(&scratch, checkpoints, &engine, &["--set", &local], 7);
    // Nothing is left, neither there nor here.
    let left = fs::read_dir(path.join("flights_hourly/shared")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "shared files");
    let left = fs::read_dir(scratch.path("local")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "local files");
}

fn hours_survive(name: &str, engine: &[&[&str]], seed: u64) {
    let scratch = Scratch::new(name);
    hours_survive_in(&scratch, Checkpoints::local(&scratch), engine, &[], seed);
}

fn hours_survive_in(
    scratch: &Scratch,
    checkpoints: Checkpoints,
    engine: &[&[&str]],
    more: &[&str],
    seed: u64,
) {
    let flights = some_flights();
    let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
    let case = Case {
        library: library(),
        arguments: [&["--output", "csv", "--input", &input], more]
            .concat()
            .into_iter()
            .map(String::from)
            .collect(),
        shown: Box::new(|printed| printed.lines().skip(1).map(str::to_owned).collect()),
        engine,
        expected: reference(&flights, &data("weather.csv.gz")),
        reset: Box::new(|| ()),
        checkpoints,
    };
    survives(&case, seed);
}

/// The same in SQL, with another backend each time.
#[test]
fn twenty_kills_change_nothing_in_sql() {
    build_library("millstream-sql");
    let flights = some_flights();
    let scratch = Scratch::new("killed-sql");
    let input = scratch.file("flights.csv", shuffled(&flights).as_bytes());
    let text = fs::read_to_string(root().join("examples/flights.sql")).expect("the script");
    let text = text.replace("examples/data/flights.csv.gz", &input);
    let text = text.replace("'examples", &format!("'{}", root().join("examples").display()));
    let script = scratch.file("flights.sql", text.as_bytes());
    let unaligned = [&["--state", "lsm"], UNALIGNED].concat();
    let case = Case {
        library: Path::new(&script),
        arguments: ["--output", "csv"].map(String::from).into(),
        engine: &[&["--state", "memory"], &["--state", "lsm"], &unaligned],
        shown: Box::new(|printed| printed.lines().skip(1).map(str::to_owned).collect()),
        expected: reference(&flights, &data("weather.csv.gz")),
        reset: Box::new(|| ()),
        checkpoints: Checkpoints::local(&scratch),
    };
    survives(&case, 10);
}

/// A worker that is stopped, not killed: its pipes and connections stay open, and it says nothing.
#[test]
fn a_worker_that_is_not_heard_of_is_taken_for_dead() {
    let scratch = Scratch::new("silent");
    let checkpoints = PathBuf::from(scratch.path("checkpoints"));
    let arguments: Vec<String> = [
        "run",
        library().to_str().expect("UTF-8"),
        "--checkpoint-dir",
        checkpoints.to_str().expect("UTF-8"),
        "--checkpoint-interval",
        "5ms",
        "--processes",
        "2",
        "--set",
        "heartbeat.timeout=700ms",
    ]
    .map(String::from)
    .into();
    let mut run = Run::start(&arguments);
    assert!(run.wait(&When::Complete(2), &checkpoints), "it is not over so soon");
    let worker = run.worker().expect("a worker");
    // SAFETY: a plain system call; the process is a child's child, and not waited for.
    unsafe { libc::kill(worker, libc::SIGSTOP) };
    let (printed, said, went_well) = run.finish();
    assert!(went_well, "{said}");
    assert!(said.contains("it was not heard of for"), "{said}");
    assert!(said.contains("going on from checkpoint"), "{said}");
    let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    assert_eq!(rows, reference(&data("flights.csv.gz"), &data("weather.csv.gz")));
}

#[test]
fn a_job_that_is_done_leaves_no_checkpoints() {
    let scratch = Scratch::new("done");
    let checkpoints = scratch.path("checkpoints");
    let library = library().to_str().expect("UTF-8");
    let output = crate::program::millstream(&[
        "run",
        library,
        "--checkpoint-dir",
        &checkpoints,
        "--checkpoint-interval",
        "5ms",
    ]);
    assert!(output.status.success(), "{}", crate::program::stderr(&output));
    assert_eq!(newest(Path::new(&checkpoints)), 0);
}

/// Damages the newest checkpoint of a killed run: the one before is gone on from, and said so.
#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let scratch = Scratch::new("damaged");
    let checkpoints = PathBuf::from(scratch.path("checkpoints"));
    let library = library().to_str().expect("UTF-8");
    let arguments: Vec<String> = [
        "run",
        library,
        "--checkpoint-dir",
        checkpoints.to_str().expect("UTF-8"),
        "--checkpoint-interval",
        "5ms",
    ]
    .map(String::from)
    .into();
    let mut run = Run::start(&arguments);
    assert!(run.wait(&When::Complete(4), &checkpoints), "it is not over so soon");
    kill(run.child.id() as i32);
    run.finish();
    let newest = newest(&checkpoints);
    let manifest = checkpoints.join(format!("flights_hourly/chk-{newest}/_metadata"));
    let mut bytes = fs::read(&manifest).expect("a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&manifest, bytes).expect("a manifest");
    let (printed, said, went_well) = Run::start(&arguments).finish();
    assert!(went_well, "{said}");
    assert!(said.contains(&format!("checkpoint {newest}")), "it names the damaged one: {said}");
    assert!(said.contains(&format!("going on from checkpoint {}", newest - 1)), "{said}");
    let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    assert_eq!(rows, reference(&data("flights.csv.gz"), &data("weather.csv.gz")));
}

/// A checkpoint that was put aside is begun from where it lies, and one's own are left behind.
#[test]
fn a_job_begins_from_what_it_is_told() {
    let scratch = Scratch::new("told");
    let checkpoints = PathBuf::from(scratch.path("checkpoints"));
    let arguments = |directory: &str, restore: &str| -> Vec<String> {
        let library = library().to_str().expect("UTF-8");
        let interval = ["--checkpoint-interval", "5ms", "--restore", restore];
        let run = ["run", library, "--checkpoint-dir", directory];
        run.into_iter().chain(interval).map(String::from).collect()
    };
    let own = checkpoints.to_str().expect("UTF-8");
    let mut run = Run::start(&arguments(own, "latest"));
    assert!(run.wait(&When::Complete(3), &checkpoints), "it is not over so soon");
    kill(run.child.id() as i32);
    run.finish();
    let number = newest(&checkpoints);
    let checkpoint = checkpoints.join(format!("flights_hourly/chk-{number}"));
    let expected = reference(&data("flights.csv.gz"), &data("weather.csv.gz"));
    let elsewhere = scratch.path("elsewhere");
    let from = checkpoint.to_str().expect("UTF-8");
    for (directory, restore, goes_on) in [(&*elsewhere, from, true), (own, "none", false)] {
        let (printed, said, went_well) = Run::start(&arguments(directory, restore)).finish();
        assert!(went_well, "{said}");
        let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        assert_eq!(rows, expected, "{said}");
        assert_eq!(said.contains(&format!("going on from checkpoint {number}")), goes_on, "{said}");
    }
    let (_, said, went_well) = Run::start(&arguments(own, "/no/such/chk-1")).finish();
    assert!(!went_well && said.contains("/no/such"), "{said}");
}

/// Neither a directory that cannot be written to nor the checkpoints of another job are begun with.
#[test]
fn what_cannot_be_used_is_refused() {
    let scratch = Scratch::new("refused");
    let library = library().to_str().expect("UTF-8");
    let file = scratch.file("file", b"not a directory");
    let output = crate::program::millstream(&["run", library, "--checkpoint-dir", &file]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(crate::program::stderr(&output).contains(&file), "{}", crate::program::stderr(&output));

    let checkpoints = PathBuf::from(scratch.path("checkpoints"));
    let interval = ["--checkpoint-interval", "5ms"];
    let run = |bound: &str| -> Vec<String> {
        let directory = checkpoints.to_str().expect("UTF-8");
        ["run", library, "--checkpoint-dir", directory, "--bound", bound]
            .iter()
            .chain(&interval)
            .map(|argument| String::from(*argument))
            .collect()
    };
    let mut killed = Run::start(&run("30 min"));
    assert!(killed.wait(&When::Complete(2), &checkpoints), "it is not over so soon");
    kill(killed.child.id() as i32);
    killed.finish();
    // Another bound is in the closures, not in the graph: it goes on. Another input is another graph.
    let mut other = run("30 min");
    other.extend([
        "--weather".into(),
        scratch.file("weather.csv", b"observed_at,origin,temperature_f,wind_speed_mph\n"),
    ]);
    let (printed, said, went_well) = Run::start(&other).finish();
    assert!(!went_well && printed.is_empty(), "{said}");
    assert!(said.contains("is of the job flights_hourly as it was"), "{said}");
}

/// A checkpoint that finds no room is given up, and after as many as may be the job: one error, no result.
#[test]
fn a_full_disk_ends_the_job_with_one_error() {
    let scratch = Scratch::new("full");
    let directory = scratch.path("");
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {directory} && exec {} run {} --checkpoint-dir {directory} \
         --checkpoint-interval 5ms --set restart.attempts=0",
        env!("CARGO_BIN_EXE_millstream"),
        library().display()
    );
    let Some(mut command) = crate::sorted::shell_with_mounts(&script) else {
        return eprintln!("not tested: the system lets nobody mount a small file system");
    };
    let output = command.output().expect("a shell");
    let said = crate::program::stderr(&output);
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("no space is left in"), "{said}");
    assert!(said.contains("error: a checkpoint failed"), "{said}");
}
