//! The contract of [`CheckpointStorage`], as a suite that an implementation runs against itself.
//! Everything panics where the contract is broken.

use alloc::{string::String, vec, vec::Vec};

use millstream_data::hash;

use crate::manifest::{File, Handle, Kind, Manifest, Operator, Place, Purpose, State, Subtask};
use crate::storage::{
    Care, Cause, CheckpointStorage, Damage, METADATA, Refusal, StateFile, StorageError,
};

mod shared;

/// Runs the whole suite, each part in a storage of its own.
///
/// `open` gives the storage of a name, the same one whenever it is asked for the same name, and an empty
/// one the first time. `damage` damages a file of a checkpoint in the storage of a name, and says whether
/// it was there, and long enough; the file may be one that checkpoints
/// [share](crate::manifest::is_shared).
///
/// # Panics
/// Where the contract is broken.
pub fn all<S: CheckpointStorage>(
    open: impl Fn(&str) -> S,
    damage: impl Fn(&str, u64, &str, Damage) -> bool,
) {
    what_is_written_is_read(|| open("written"));
    what_is_not_completed_is_no_checkpoint(|| open("unfinished"));
    what_makes_no_sense_is_refused(&open("refused"));
    what_is_discarded_is_gone(|| open("discarded"));
    savepoints_are_not_looked_for(&open("savepoints"));
    as_many_as_told_are_kept(&open("retained"));
    every_step_may_be_the_last(|name| open(name));
    shared::all(&open, &damage);
    whatever_is_damaged_is_found(
        || open("damaged"),
        |id, file, how| damage("damaged", id, file, how),
    );
}

/// A storage that is full says so, and has no checkpoint that can be taken for a complete one.
///
/// `room` is more bytes than the storage has.
///
/// # Panics
/// Where the contract is broken.
pub fn full<S: CheckpointStorage>(storage: &S, room: usize) -> StorageError {
    let fill = || {
        storage.begin(1)?;
        let mut file = storage.create(1, "large")?;
        for _ in 0..=room / 4096 {
            file.append(&[7; 4096])?;
        }
        let files = vec![file.finish()?];
        storage.complete(&manifest(1, Purpose::Checkpoint, files))
    };
    let error = fill().expect_err("there is not so much room");
    assert!(matches!(error.cause, Cause::Full { .. } | Cause::TooLarge), "{error}");
    assert_eq!(storage.list(), Ok(vec![]));
    assert!(storage.latest().expect("it can be read").restored.is_none());
    // There is room again when the rest is gone.
    storage.discard(1).expect("what is unfinished can be removed");
    take(storage, 2, &["small"]);
    assert_eq!(storage.list(), Ok(vec![2]));
    error
}

/// Bytes that differ from file to file.
fn content(checkpoint: u64, name: &str) -> Vec<u8> {
    let mut state = hash::bytes(checkpoint, name.as_bytes());
    let bytes = (0..1000).map(|at| {
        state = hash::word(state, at);
        state as u8
    });
    bytes.collect()
}

fn write<S: CheckpointStorage>(storage: &S, checkpoint: u64, name: &str) -> File {
    let mut file = storage.create(checkpoint, name).expect("a file can be created");
    for piece in content(checkpoint, name).chunks(300) {
        file.append(piece).expect("there is room");
    }
    assert_eq!(file.length(), 1000);
    file.finish().expect("a file can be made durable")
}

fn manifest(checkpoint: u64, purpose: Purpose, files: Vec<File>) -> Manifest {
    let state = |file: &File| State {
        kind: Kind::Operator,
        place: Place::File(Handle { file: file.name.clone(), offset: 0, length: file.length }),
    };
    let states = files.iter().map(state).collect();
    let subtasks = vec![Subtask { finished: false, states }];
    Manifest {
        checkpoint,
        timestamp_ms: 5,
        purpose,
        job: "contract".into(),
        graph_hash: 9,
        operators: vec![Operator { id: "state".into(), max_parallelism: 128, subtasks }],
        files,
    }
}

/// A complete checkpoint with these files.
fn take<S: CheckpointStorage>(storage: &S, checkpoint: u64, names: &[&str]) -> Manifest {
    storage.begin(checkpoint).expect("a checkpoint can begin");
    let files = names.iter().map(|name| write(storage, checkpoint, name)).collect();
    let manifest = manifest(checkpoint, Purpose::Checkpoint, files);
    storage.complete(&manifest).expect("its files are there");
    manifest
}

/// The newest that can be restored.
fn newest<S: CheckpointStorage>(storage: &S) -> Option<u64> {
    let latest = storage.latest().expect("it can be read");
    latest.restored.map(|restored| restored.manifest.checkpoint)
}

fn what_is_written_is_read<S: CheckpointStorage>(open: impl Fn() -> S) {
    let storage = open();
    assert_eq!((storage.list(), storage.next_id()), (Ok(vec![]), Ok(1)));
    assert_eq!(newest(&storage), None);
    let written = take(&storage, 3, &["a", "b-1.state"]);
    let bytes = content(3, "a");
    let checksum = hash::bytes(hash::SEED, &bytes);
    assert_eq!(written.files[0], File { name: "a".into(), length: 1000, checksum });
    take(&storage, 20, &[]);
    take(&storage, 100, &["a"]);
    drop(storage);
    let storage = open();
    assert_eq!((storage.list(), storage.next_id()), (Ok(vec![3, 20, 100]), Ok(101)));
    for (since, found) in [(0, Some(100)), (100, Some(100)), (101, None)] {
        let latest = storage.latest_since(since, Care::Whole).expect("it can be read");
        assert_eq!(latest.restored.map(|restored| restored.manifest.checkpoint), found);
    }
    let restored = storage.restore(3).expect("it is whole");
    assert_eq!((&restored.manifest, restored.permit.checkpoint()), (&written, 3));
    assert_eq!(newest(&storage), Some(100));
    // A state in the middle of the file, read in pieces.
    let handle = Handle { file: "a".into(), offset: 100, length: 500 };
    for (offset, length) in [(0, 500), (0, 1), (499, 1), (17, 300), (500, 0)] {
        let mut into = vec![0; length];
        storage.read(3, &handle, offset as u64, &mut into).expect("it is there");
        assert_eq!(into, bytes[100 + offset..][..length]);
    }
    let error = storage.read(3, &handle, 499, &mut [0; 2]).expect_err("the state ends before");
    assert_eq!(error.cause, Cause::Length { expected: 501, found: 500 });
    let beyond = Handle { file: "a".into(), offset: 999, length: 500 };
    let error = storage.read(3, &beyond, 0, &mut [0; 2]).expect_err("the file ends before");
    assert_eq!(error.cause, Cause::Length { expected: 1001, found: 1000 });
    let nothing = Handle { file: "c".into(), offset: 0, length: 1 };
    let error = storage.read(3, &nothing, 0, &mut [0]).expect_err("there is no such file");
    assert_eq!(error.cause, Cause::NotFound);
}

fn what_is_not_completed_is_no_checkpoint<S: CheckpointStorage>(open: impl Fn() -> S) {
    let storage = open();
    take(&storage, 1, &["a"]);
    storage.begin(2).expect("a checkpoint can begin");
    write(&storage, 2, "a");
    let mut torn = storage.create(2, "b").expect("a file can be created");
    torn.append(&[1; 10]).expect("there is room");
    drop(torn);
    drop(storage);
    let storage = open();
    assert_eq!((storage.list(), storage.unfinished()), (Ok(vec![1]), Ok(vec![2])));
    assert_eq!((newest(&storage), storage.next_id()), (Some(1), Ok(3)));
    let refused = storage.restore(2).expect_err("it is not complete");
    assert!(matches!(refused.reason, Refusal::Storage(_)), "{refused}");
    assert_eq!(storage.clean(), Ok(vec![2]));
    assert_eq!((storage.unfinished(), storage.list()), (Ok(vec![]), Ok(vec![1])));
    take(&storage, 2, &["a"]);
    assert_eq!(newest(&storage), Some(2));
}

fn what_makes_no_sense_is_refused<S: CheckpointStorage>(storage: &S) {
    let cause = |result: Result<S::File, StorageError>| result.err().map(|error| error.cause);
    assert_eq!(cause(storage.create(1, "a")), Some(Cause::NotFound), "it was not begun");
    storage.begin(1).expect("a checkpoint can begin");
    let again = storage.begin(1).expect_err("it was begun");
    assert_eq!(again.cause, Cause::Exists);
    let file = write(storage, 1, "a");
    assert_eq!(cause(storage.create(1, "a")), Some(Cause::Exists));
    for name in ["", "..", "a/b", METADATA, ".a"] {
        assert!(matches!(cause(storage.create(1, name)), Some(Cause::Invalid { .. })), "{name}");
    }
    let complete = |checkpoint, files| {
        let result = storage.complete(&manifest(checkpoint, Purpose::Checkpoint, files));
        result.err().map(|error| error.cause)
    };
    let other = |name: &str, length| File { name: name.into(), length, checksum: 0 };
    assert_eq!(complete(2, vec![]), Some(Cause::NotFound), "it was not begun");
    assert_eq!(complete(1, vec![file.clone(), other("b", 1)]), Some(Cause::NotFound));
    let length = Cause::Length { expected: 999, found: 1000 };
    assert_eq!(complete(1, vec![other("a", 999)]), Some(length));
    let twice = complete(1, vec![file.clone(), file.clone()]);
    assert!(matches!(twice, Some(Cause::Invalid { .. })), "{twice:?}");
    assert_eq!(storage.list(), Ok(vec![]));
    assert_eq!(complete(1, vec![file.clone()]), None);
    assert_eq!(complete(1, vec![file]), Some(Cause::Exists));
    assert_eq!(newest(storage), Some(1));
}

fn what_is_discarded_is_gone<S: CheckpointStorage>(open: impl Fn() -> S) {
    let storage = open();
    take(&storage, 1, &["a"]);
    take(&storage, 2, &["a"]);
    storage.begin(3).expect("a checkpoint can begin");
    let mut late = storage.create(3, "late").expect("a file can be created");
    for checkpoint in [2, 2, 3, 99] {
        storage.discard(checkpoint).expect("it is gone, or never was");
    }
    // Whether a task that writes on is told or not, nothing comes of it.
    let _ = late.append(&[1]).and_then(|()| late.finish());
    let error = storage.create(3, "later").err().expect("the checkpoint is gone");
    assert_eq!(error.cause, Cause::NotFound);
    drop(storage);
    let storage = open();
    assert_eq!((storage.list(), storage.unfinished()), (Ok(vec![1]), Ok(vec![])));
    assert_eq!(newest(&storage), Some(1));
}

fn savepoints_are_not_looked_for<S: CheckpointStorage>(storage: &S) {
    take(storage, 1, &["a"]);
    for (checkpoint, purpose) in [(2, Purpose::Savepoint), (3, Purpose::StopWithSavepoint)] {
        storage.begin(checkpoint).expect("a checkpoint can begin");
        storage.complete(&manifest(checkpoint, purpose, vec![])).expect("it has no files");
        let expected = if purpose == Purpose::Savepoint { 1 } else { 3 };
        assert_eq!(newest(storage), Some(expected));
        assert!(storage.restore(checkpoint).is_ok(), "who asks for it gets it");
    }
}

fn as_many_as_told_are_kept<S: CheckpointStorage>(storage: &S) {
    for checkpoint in 1..5 {
        take(storage, checkpoint, &["a"]);
    }
    storage.begin(5).expect("a checkpoint can begin");
    storage.complete(&manifest(5, Purpose::Savepoint, vec![])).expect("it has no files");
    storage.begin(6).expect("a checkpoint can begin");
    let history = storage.history(Some(3)).expect("it can be read");
    assert_eq!((history.next, history.newest), (7, Some(3)));
    assert_eq!(history.retained, [1, 2, 3]);
    assert_eq!(storage.history(None).expect("it can be read").retained, []);
    assert_eq!(storage.retain(2), Ok(vec![1, 2]));
    assert_eq!(storage.retain(2), Ok(vec![]));
    assert_eq!((storage.list(), storage.unfinished()), (Ok(vec![3, 4, 5]), Ok(vec![6])));
    assert_eq!(storage.retain(0), Ok(vec![3, 4]));
}

/// A process is gone after each step of a checkpoint: the one before is there until the new one is.
fn every_step_may_be_the_last<S: CheckpointStorage>(open: impl Fn(&str) -> S) {
    for steps in 0..7 {
        let name = alloc::format!("step-{steps}");
        let storage = open(&name);
        take(&storage, 1, &["a"]);
        run_some(&storage, steps);
        drop(storage);
        let storage = open(&name);
        let expected = if steps == 6 { 2 } else { 1 };
        assert_eq!(newest(&storage), Some(expected), "after {steps} steps");
        storage.clean().expect("it can be cleaned");
        let next = storage.next_id().expect("it can be read");
        assert_eq!(next, expected + 1);
        take(&storage, next, &["a", "b"]);
        assert_eq!(newest(&storage), Some(next));
    }
}

/// The first steps of a checkpoint with two files.
fn run_some<S: CheckpointStorage>(storage: &S, steps: u32) {
    let mut left = steps;
    let mut step = || {
        let is_left = left > 0;
        left = left.saturating_sub(1);
        is_left
    };
    if !step() {
        return;
    }
    storage.begin(2).expect("a checkpoint can begin");
    let mut files = Vec::new();
    for name in ["a", "b"] {
        if !step() {
            return;
        }
        let mut file = storage.create(2, name).expect("a file can be created");
        file.append(&content(2, name)).expect("there is room");
        if !step() {
            return;
        }
        files.push(file.finish().expect("a file can be made durable"));
    }
    if step() {
        storage.complete(&manifest(2, Purpose::Checkpoint, files)).expect("its files are there");
    }
}

/// Each damage of each file of the newest checkpoint: it is refused by name, and the one before is found.
fn whatever_is_damaged_is_found<S: CheckpointStorage>(
    open: impl Fn() -> S,
    damage: impl Fn(u64, &str, Damage) -> bool,
) {
    let mut damages = vec![Damage::Remove];
    damages.extend([0, 1, 500, 999].map(Damage::Truncate));
    damages.extend([0, 1, 8, 16, 40, 99, 500, 999].map(Damage::Flip));
    take(&open(), 1, &["a", "b"]);
    for file in ["a", "b", METADATA] {
        for how in &damages {
            let storage = open();
            let manifest = take(&storage, 2, &["a", "b"]);
            drop(storage);
            let was_there = damage(2, file, *how);
            let storage = open();
            let latest = storage.latest().expect("it can be read");
            let found = latest.restored.map(|restored| restored.manifest.checkpoint);
            if was_there {
                assert_eq!(found, Some(1), "{how:?} of {file}");
                let is_listed = !(file == METADATA && *how == Damage::Remove);
                let refused: Vec<u64> = latest.refused.iter().map(|r| r.checkpoint).collect();
                assert_eq!(refused, if is_listed { vec![2] } else { vec![] });
                let text: String =
                    latest.refused.iter().map(alloc::string::ToString::to_string).collect();
                assert!(!is_listed || text.starts_with("checkpoint 2 in "), "{text}");
                assert!(
                    file == METADATA || text.contains(&alloc::format!("file {file} ")),
                    "{text}"
                );
            } else {
                assert_eq!(file, METADATA, "{how:?}: files have 1000 bytes");
                assert!(manifest.encode().len() < 1000);
                assert_eq!(found, Some(2));
            }
            storage.discard(2).expect("it can be removed");
        }
    }
}
