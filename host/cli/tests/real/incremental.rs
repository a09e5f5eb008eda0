//! Checkpoints that refer to files of state.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    hourly::{data, library, reference},
    killed::{IN_FILES, Run, When, kill, newest},
    program::{Scratch, millstream, stderr},
};

/// The files of state of a checkpoint, by name and inode.
fn files(checkpoint: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(checkpoint).expect("a checkpoint").flatten();
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("UTF-8");
        let is_state = name.starts_with("run-");
        is_state.then(|| (name, entry.metadata().expect("a file").ino()))
    };
    entries.filter_map(file).collect()
}

/// Two checkpoints have files in common, which are there once; the newer one is damaged, and passed over; what
/// a process that was killed worked with is removed; and what cannot be listed is said.
#[test]
fn checkpoints_share_files_and_a_damaged_one_is_passed_over() {
    let scratch = Scratch::new("incremental");
    let checkpoints = PathBuf::from(scratch.path("checkpoints"));
    let directory = checkpoints.to_str().expect("UTF-8");
    let job = ["run", library().to_str().expect("UTF-8"), "--checkpoint-dir", directory];
    let arguments = |parallelism: &str| -> Vec<String> {
        let engine = ["--checkpoint-interval", "5ms", "--parallelism", parallelism];
        job.iter().chain(&engine).chain(IN_FILES).map(|text| String::from(*text)).collect()
    };
    let checkpoint = |number: u64| checkpoints.join(format!("flights_hourly/chk-{number}"));
    let is_complete = |number: u64| checkpoint(number).join("_metadata").exists();
    // Killed again and again until its two newest checkpoints have files in common: while there is little
    // state, all of it may be merged between two of them.
    let (newest, now) = loop {
        let mut run = Run::start(&arguments("2"));
        let later = newest(&checkpoints) + 4;
        assert!(run.wait(&When::Complete(later), &checkpoints), "it is not over so soon");
        kill(run.child.id() as i32);
        run.finish();
        let number = newest(&checkpoints);
        if !is_complete(number - 1) {
            continue;
        }
        let (before, now) = (files(&checkpoint(number - 1)), files(&checkpoint(number)));
        if now.iter().any(|file| before.contains(file)) {
            break (number, now);
        }
    };

    let path = checkpoint(newest);
    let path = path.to_str().expect("UTF-8");
    let inspected = millstream(&["savepoint", "inspect", path]);
    let listed = String::from_utf8_lossy(&inspected.stdout);
    assert!(listed.contains("keyed state in files (lsm)"), "{listed}{}", stderr(&inspected));

    // Another file in its place, as the checkpoint before may have the same one.
    let (name, _) = now.last().expect("a file of state");
    let damaged = checkpoint(newest).join(name);
    let mut bytes = fs::read(&damaged).expect("a file of state");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&damaged).expect("a file of state");
    fs::write(&damaged, bytes).expect("a file of state");
    let (printed, said, went_well) = Run::start(&arguments("1")).finish();
    assert!(went_well, "{said}");
    assert!(said.contains(name.as_str()), "it names the damaged file: {said}");
    assert!(said.contains(&format!("going on from checkpoint {}", newest - 1)), "{said}");
    let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    assert_eq!(rows, reference(&data("flights.csv.gz"), &data("weather.csv.gz")));
    let left = fs::read_dir(checkpoints.join("flights_hourly")).expect("the job's directory");
    let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
