//! What the contract says of files that checkpoints share.

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::manifest::{File, Handle, Manifest, Purpose};
use crate::storage::{
    Care, Cause, CheckpointStorage, Damage, METADATA, Refusal, StateFile, StorageError,
};

use super::{content, manifest, newest, take, write};

pub(super) fn all<S: CheckpointStorage>(
    open: &impl Fn(&str) -> S,
    damage: &impl Fn(&str, u64, &str, Damage) -> bool,
) {
    what_is_shared_is_there_once(|| open("shared"));
    what_makes_no_sense_is_refused(&open("shared-refused"));
    what_nobody_refers_to_is_swept(&open("swept"), &|checkpoint, file, how| {
        damage("swept", checkpoint, file, how)
    });
    every_step_may_be_the_last(open);
    whatever_is_damaged_is_found(|| open("shared-damaged"), &|checkpoint, file, how| {
        damage("shared-damaged", checkpoint, file, how)
    });
}

/// A shared file whose content follows from its name.
fn share<S: CheckpointStorage>(storage: &S, name: &str) -> File {
    let mut file = storage.share(name).expect("a shared file can be created");
    for piece in content(0, name).chunks(300) {
        file.append(piece).expect("there is room");
    }
    assert!(!there(storage).contains(&name.to_string()), "it is not finished");
    let file = file.finish().expect("a file can be made durable");
    assert_eq!((&*file.name, file.length), (name, 1000));
    file
}

/// The shared files that are there.
fn there<S: CheckpointStorage>(storage: &S) -> Vec<String> {
    let shared = storage.shared().expect("it can be read");
    assert!(shared.values().all(|length| *length == 1000), "{shared:?}");
    shared.into_keys().collect()
}

/// A complete checkpoint with one file of its own and these that are shared.
fn refer<S: CheckpointStorage>(storage: &S, checkpoint: u64, shared: &[&File]) -> Manifest {
    storage.begin(checkpoint).expect("a checkpoint can begin");
    let own = write(storage, checkpoint, "own");
    let files = [own].into_iter().chain(shared.iter().map(|file| (*file).clone())).collect();
    let manifest = manifest(checkpoint, Purpose::Checkpoint, files);
    storage.complete(&manifest).expect("its files are there");
    manifest
}

fn what_is_shared_is_there_once<S: CheckpointStorage>(open: impl Fn() -> S) {
    let storage = open();
    assert_eq!(there(&storage), [""; 0]);
    let [a, b] = ["shared-1-a", "shared-1-b"].map(|name| share(&storage, name));
    let first = refer(&storage, 1, &[&a]);
    refer(&storage, 2, &[&a, &b]);
    drop(storage);
    let storage = open();
    assert_eq!(there(&storage), ["shared-1-a", "shared-1-b"]);
    assert_eq!((storage.list(), storage.unfinished()), (Ok(vec![1, 2]), Ok(vec![])));
    let read = |checkpoint: u64, name: &str| {
        let handle = Handle { file: name.into(), offset: 10, length: 900 };
        let mut into = [0; 700];
        storage.read(checkpoint, &handle, 100, &mut into).map(|()| into)
    };
    let expected = content(0, "shared-1-a");
    for checkpoint in [1, 2] {
        let restored = storage.restore(checkpoint).expect("it is whole");
        assert!(restored.manifest.file("shared-1-a").is_some());
        assert_eq!(read(checkpoint, "shared-1-a").expect("it is there"), expected[110..][..700]);
    }
    assert_eq!(storage.restore(1).expect("it is whole").manifest, first);
    // It stays when a checkpoint goes, and when what is unfinished is removed.
    storage.discard(1).expect("it can be removed");
    storage.begin(3).expect("a checkpoint can begin");
    assert_eq!(storage.clean(), Ok(vec![3]));
    assert_eq!(newest(&storage), Some(2));
    storage.discard(2).expect("it can be removed");
    assert_eq!(there(&storage), ["shared-1-a", "shared-1-b"]);
    let names = ["shared-1-a", "shared-9"].map(String::from);
    storage.unshare(&names).expect("it is gone, or never was");
    assert_eq!(there(&storage), ["shared-1-b"]);
    let error = read(2, "shared-1-a").expect_err("it is gone");
    assert_eq!(error.cause, Cause::NotFound);
}

fn what_makes_no_sense_is_refused<S: CheckpointStorage>(storage: &S) {
    let cause = |result: Result<S::File, StorageError>| result.err().map(|error| error.cause);
    for name in ["", "a", "shared-../a", "shared-a/b", METADATA] {
        assert!(matches!(cause(storage.share(name)), Some(Cause::Invalid { .. })), "{name}");
    }
    storage.begin(1).expect("a checkpoint can begin");
    let own = storage.create(1, "shared-1");
    assert!(matches!(cause(own), Some(Cause::Invalid { .. })), "it is no file of one checkpoint");
    let file = share(storage, "shared-1");
    assert_eq!(cause(storage.share("shared-1")), Some(Cause::Exists));
    let complete = |file: File| {
        let result = storage.complete(&manifest(1, Purpose::Checkpoint, vec![file]));
        result.err().map(|error| error.cause)
    };
    let other = |name: &str, length| File { name: name.into(), length, checksum: 0 };
    assert_eq!(complete(other("shared-2", 1000)), Some(Cause::NotFound));
    let mut torn = storage.share("shared-3").expect("a shared file can be created");
    torn.append(&[1; 10]).expect("there is room");
    assert_eq!(complete(other("shared-3", 10)), Some(Cause::NotFound), "it is not finished");
    drop(torn);
    let length = Cause::Length { expected: 999, found: 1000 };
    assert_eq!(complete(other("shared-1", 999)), Some(length));
    assert_eq!(complete(file), None);
}

/// Files that were left behind are removed, and no other, unless it may be that somebody refers to them.
fn what_nobody_refers_to_is_swept<S: CheckpointStorage>(
    storage: &S,
    damage: &impl Fn(u64, &str, Damage) -> bool,
) {
    assert_eq!(storage.sweep(), Ok(vec![]));
    let [a, b, _] = ["shared-a", "shared-b", "shared-c"].map(|name| share(storage, name));
    refer(storage, 1, &[&a]);
    refer(storage, 2, &[&a, &b]);
    assert_eq!(storage.sweep(), Ok(vec!["shared-c".into()]));
    assert_eq!(newest(storage), Some(2));
    // One whose manifest cannot be read may refer to anything.
    storage.discard(1).expect("it can be removed");
    share(storage, "shared-d");
    assert!(damage(2, METADATA, Damage::Flip(20)));
    assert_eq!(storage.sweep(), Ok(vec![]));
    storage.discard(2).expect("it can be removed");
    assert_eq!(storage.sweep().map(|names| names.len()), Ok(3));
    assert_eq!(there(storage), [""; 0]);
}

/// A process is gone after each step of a checkpoint that shares a file with the one before: that one is
/// there until the new one is, and what is left behind is found.
fn every_step_may_be_the_last<S: CheckpointStorage>(open: &impl Fn(&str) -> S) {
    for steps in 0..9 {
        let name = alloc::format!("shared-step-{steps}");
        let storage = open(&name);
        let a = share(&storage, "shared-a");
        refer(&storage, 1, &[&a]);
        run_some(&storage, steps, a);
        drop(storage);
        let storage = open(&name);
        let expected = if steps >= 5 { 2 } else { 1 };
        assert_eq!(newest(&storage), Some(expected), "after {steps} steps");
        storage.clean().expect("it can be cleaned");
        storage.sweep().expect("it can be swept");
        let left: &[&str] = match steps {
            ..5 => &["shared-a"],
            // The one before is complete until it is discarded.
            5 => &["shared-a", "shared-b"],
            _ => &["shared-b"],
        };
        assert_eq!(there(&storage), left, "after {steps} steps");
        assert_eq!(newest(&storage), Some(expected), "after {steps} steps");
    }
}

/// The first steps of a checkpoint that replaces a shared file by another, and of what follows it.
fn run_some<S: CheckpointStorage>(storage: &S, steps: usize, a: File) {
    let mut left = steps;
    let mut step = || {
        left = left.saturating_sub(1);
        left > 0
    };
    if steps == 0 {
        return;
    }
    let mut files = storage.references().expect("it can be read");
    storage.begin(2).expect("a checkpoint can begin");
    files.begun(2);
    if !step() {
        return;
    }
    let mut file = storage.share("shared-b").expect("a shared file can be created");
    file.append(&content(0, "shared-b")).expect("there is room");
    if !step() {
        return;
    }
    let file = file.finish().expect("a file can be made durable");
    if !step() {
        return;
    }
    let own = write(storage, 2, "own");
    let gone = files.acknowledged(2, crate::TaskId(0), [file.name.clone()], [a.name.clone()]);
    assert!(gone.is_empty(), "checkpoint 1 has it");
    if !step() {
        return;
    }
    storage.complete(&manifest(2, Purpose::Checkpoint, vec![own, file])).expect("they are there");
    if !step() {
        return;
    }
    storage.discard(1).expect("it can be removed");
    if !step() {
        return;
    }
    let gone = files.discarded(1);
    assert_eq!(gone, [a.name]);
    storage.unshare(&gone).expect("it can be removed");
    if !step() {
        return;
    }
    assert_eq!(storage.sweep(), Ok(vec![]), "there is nothing left to find");
}

/// Each damage of a shared file that only the newest checkpoint has: it is refused by name, and the one before
/// is found. What is missing is found without reading, too.
fn whatever_is_damaged_is_found<S: CheckpointStorage>(
    open: impl Fn() -> S,
    damage: &impl Fn(u64, &str, Damage) -> bool,
) {
    let a = share(&open(), "shared-a");
    refer(&open(), 1, &[&a]);
    let mut damages = vec![Damage::Remove];
    damages.extend([0, 1, 500, 999].map(Damage::Truncate));
    damages.extend([0, 1, 500, 999].map(Damage::Flip));
    for how in damages {
        let storage = open();
        let b = share(&storage, "shared-b");
        refer(&storage, 2, &[&a, &b]);
        drop(storage);
        assert!(damage(2, "shared-b", how), "{how:?}");
        let storage = open();
        for care in [Care::Whole, Care::Look] {
            let is_seen = care == Care::Whole || !matches!(how, Damage::Flip(_));
            let latest = storage.latest_since(0, care).expect("it can be read");
            let found = latest.restored.map(|restored| restored.manifest.checkpoint);
            assert_eq!(found, Some(if is_seen { 1 } else { 2 }), "{how:?} {care:?}");
            let names = |refused: &crate::storage::Refused| match &refused.reason {
                Refusal::Missing { file }
                | Refusal::Length { file, .. }
                | Refusal::Checksum { file, .. } => (refused.checkpoint, file.clone()),
                other => panic!("{other:?}"),
            };
            let refused: Vec<_> = latest.refused.iter().map(names).collect();
            let expected = [(2, String::from("shared-b"))];
            assert_eq!(refused, expected[usize::from(!is_seen)..], "{how:?} {care:?}");
        }
        storage.discard(2).expect("it can be removed");
        storage.unshare(&["shared-b".into()]).expect("it can be removed");
    }
    take(&open(), 3, &["a"]);
    assert_eq!(newest(&open()), Some(3));
}
