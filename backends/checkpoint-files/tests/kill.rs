//! A process that takes checkpoints is killed again and again, wherever it happens to be.

mod scratch;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use millstream_checkpoint::{CheckpointStorage, storage::StateFile};
use millstream_checkpoint_files::Storage;

use scratch::{Scratch, manifest};

/// The directory, for the copy of this program that is killed.
const DIRECTORY: &str = "MILLSTREAM_TEST_DIRECTORY";
const NAME: &str = "who_is_killed_leaves_a_checkpoint_that_is_whole";

#[test]
fn who_is_killed_leaves_a_checkpoint_that_is_whole() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        take_checkpoints(Path::new(&directory));
    }
    let scratch = Scratch::new("kill");
    let mut newest = 0;
    for round in 0..20 {
        let told = run_and_kill(&scratch.0, 3 + round * 7);
        let storage = Storage::open(&scratch.0, "killed").unwrap();
        let latest = storage.latest().unwrap();
        assert!(latest.refused.is_empty(), "{:?}", latest.refused);
        let found = latest.restored.map_or(0, |restored| restored.manifest.checkpoint);
        // The one of which it was told is there; one more may be, of which it was not.
        assert!(found >= newest.max(told), "{found} is there, {told} was complete");
        newest = found;
    }
    assert!(newest > 20, "only {newest} checkpoints");
}

/// Lets the copy go on until it has done so many steps, and gives the last checkpoint that was complete
/// before.
fn run_and_kill(directory: &Path, steps: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut complete = 0;
    let lines = output.lines().map(Result::unwrap);
    for line in lines.filter(|line| line.starts_with("step ")).take(steps) {
        if let Some(id) = line.strip_prefix("step complete ") {
            complete = id.parse().unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    complete
}

/// Takes checkpoints until it is killed, and says how far it is.
fn take_checkpoints(directory: &Path) -> ! {
    let say = |what: &str| {
        // The test's own output does not end with a line.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "\nstep {what}").and_then(|()| out.flush());
    };
    let storage = Storage::open(directory, "killed").unwrap();
    storage.clean().unwrap();
    for checkpoint in storage.next_id().unwrap().. {
        storage.begin(checkpoint).unwrap();
        let mut files = Vec::new();
        for name in ["a", "b"] {
            let mut file = storage.create(checkpoint, name).unwrap();
            file.append(&vec![checkpoint as u8; 100_000]).unwrap();
            say("written");
            files.push(file.finish().unwrap());
        }
        say("finished");
        storage.complete(&manifest(checkpoint, files)).unwrap();
        say(&format!("complete {checkpoint}"));
        storage.retain(2).unwrap();
    }
    unreachable!("it is killed")
}
