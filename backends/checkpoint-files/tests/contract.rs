//! Local directories keep the contract of the core, and say what is wrong with them.

mod scratch;

use std::{fs, os::unix::fs::FileExt, path::Path, process::Command};

use millstream_checkpoint::{
    CheckpointStorage, contract,
    manifest::is_shared,
    storage::{Care, Cause, Damage, StateFile},
};
use millstream_checkpoint_files::Storage;

use scratch::{Mount, Scratch};

fn damage(path: &Path, how: Damage) -> bool {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    match how {
        Damage::Remove => fs::remove_file(path).is_ok(),
        Damage::Truncate(at) if (at as u64) < length => {
            fs::File::options().write(true).open(path).unwrap().set_len(at as u64).unwrap();
            true
        }
        Damage::Flip(at) if (at as u64) < length => {
            let file = fs::File::options().read(true).write(true).open(path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at as u64).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at as u64).unwrap();
            true
        }
        _ => false,
    }
}

#[test]
fn a_directory_keeps_the_contract() {
    let scratch = Scratch::new("contract");
    let open = |job: &str| Storage::open(&scratch.0, job).unwrap();
    contract::all(open, |job, checkpoint, file, how| {
        let shared = scratch.0.join(job).join("shared").join(file);
        let own = open(job).directory(checkpoint).join(file);
        damage(if is_shared(file) { &shared } else { &own }, how)
    });
}

#[test]
fn the_names_are_flinks() {
    let scratch = Scratch::new("names");
    let storage = Storage::open(&scratch.0, "flights").unwrap();
    storage.begin(7).unwrap();
    storage.create(7, "count-0").unwrap().finish().unwrap();
    assert!(scratch.0.join("flights/chk-7/count-0").is_file());
    // What is not ours is not looked at.
    for name in ["chk-007", "chk-x", "chk-", "chk-8.old", "other"] {
        fs::create_dir(scratch.0.join("flights").join(name)).unwrap();
    }
    fs::write(scratch.0.join("flights/chk-9"), b"a file").unwrap();
    assert_eq!((storage.unfinished().unwrap(), storage.list().unwrap()), (vec![7], vec![]));
    assert_eq!(storage.clean().unwrap(), [7]);
    assert!(scratch.0.join("flights/other").is_dir());
}

#[test]
fn what_was_on_its_way_out_is_cleaned_up() {
    let scratch = Scratch::new("discarded");
    let storage = Storage::open(&scratch.0, "flights").unwrap();
    // The process ended when the checkpoint had lost its name, and its files were still there.
    let left = scratch.0.join("flights/.discarded-3");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("_metadata"), b"").unwrap();
    storage.begin(3).unwrap();
    storage.discard(3).unwrap();
    assert!(!left.exists());
    fs::create_dir(&left).unwrap();
    assert_eq!(storage.clean().unwrap(), Vec::<u64>::new());
    assert_eq!(fs::read_dir(scratch.0.join("flights")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_with_the_fix() {
    let scratch = Scratch::new("refused");
    let refused = |directory: &Path, job: &str| Storage::open(directory, job).unwrap_err();
    let error = refused(Path::new("/nowhere/at/all"), "flights");
    assert_eq!(
        error.to_string(),
        "cannot keep checkpoints in /nowhere/at/all: there is no such directory; create it, or name \
         another"
    );
    let file = scratch.0.join("file");
    fs::write(&file, b"a file").unwrap();
    for (directory, job) in
        [(&file, "flights"), (&file.join("below"), "flights"), (&scratch.0, "file")]
    {
        let error = refused(directory, job);
        assert_eq!(error.cause, Cause::NotADirectory, "{error}");
        assert!(error.to_string().contains("use another path"), "{error}");
    }
    for job in ["", "..", "a/b", ".hidden"] {
        let error = refused(&scratch.0, job);
        assert!(matches!(error.cause, Cause::Invalid { .. }), "{error}");
    }
}

#[test]
fn a_directory_that_is_read_only_is_refused_with_the_fix() {
    let scratch = Scratch::new("read-only");
    let Some(mount) = Mount::new(&scratch.0, "ro") else { return };
    let error = Storage::open(&scratch.0, "flights").unwrap_err();
    assert_eq!(error.cause, Cause::ReadOnly);
    let text = error.to_string();
    assert!(text.contains(&*scratch.0.display().to_string()), "{text}");
    assert!(text.ends_with("use a directory that can be written, or mount it so"), "{text}");
    drop(mount);
}

#[test]
fn a_file_system_that_is_full_is_named_with_the_fix() {
    let scratch = Scratch::new("full");
    let Some(mount) = Mount::new(&scratch.0, "size=64k") else { return };
    let storage = Storage::open(&scratch.0, "flights").unwrap();
    let error = contract::full(&storage, 80 << 10);
    let directory = scratch.0.canonicalize().unwrap().join("flights/chk-1");
    assert_eq!(error.cause, Cause::Full { directory: directory.display().to_string() });
    assert!(error.to_string().contains("free space there, keep fewer checkpoints"), "{error}");
    drop(storage);
    drop(mount);
}

#[test]
fn a_manifest_that_finds_no_room_is_not_there() {
    let scratch = Scratch::new("no-room");
    let Some(mount) = Mount::new(&scratch.0, "size=64k") else { return };
    let storage = Storage::open(&scratch.0, "flights").unwrap();
    // Up to the last page, so that the manifest is what does not fit.
    let mut room = 64 << 10;
    let failed = loop {
        storage.begin(1).unwrap();
        let mut file = storage.create(1, "state").unwrap();
        let written = file.append(&vec![1; room]).and_then(|()| file.finish());
        if let Ok(file) = written {
            break storage.complete(&scratch::manifest(1, vec![file])).unwrap_err();
        }
        storage.discard(1).unwrap();
        room -= 4096;
    };
    assert!(matches!(failed.cause, Cause::Full { .. }), "{failed}");
    assert!(failed.to_string().starts_with("cannot complete the checkpoint "), "{failed}");
    assert_eq!((storage.list().unwrap(), storage.unfinished().unwrap()), (vec![], vec![1]));
    let names = fs::read_dir(storage.directory(1)).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["state"]);
    drop(storage);
    drop(mount);
}

/// Set for the copy of this program that has a limit.
const LIMITED: &str = "MILLSTREAM_TEST_LIMITED";

#[test]
fn a_file_that_may_not_grow_is_an_error() {
    const NAME: &str = "a_file_that_may_not_grow_is_an_error";
    if std::env::var_os(LIMITED).is_none() {
        // The limit is the whole process's, so it gets one of its own, which ignores the signal.
        let limited = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec prlimit --fsize=40000 \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env(LIMITED, "1")
            .output();
        match limited {
            Ok(output) if output.status.code() == Some(127) => {
                eprintln!("not tested without the program prlimit");
            }
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => eprintln!("not tested without a shell: {error}"),
        }
        return;
    }
    let scratch = Scratch::new("limited");
    let storage = Storage::open(&scratch.0, "flights").unwrap();
    let error = contract::full(&storage, 80_000);
    assert_eq!(error.cause, Cause::TooLarge);
    assert!(error.to_string().contains("chk-1/large: "), "{error}");
}

#[test]
fn a_savepoint_needs_nothing_but_its_directory() {
    let scratch = Scratch::new("savepoint");
    let path = scratch.0.join("mine");
    let storage = Storage::savepoint(&path);
    let refused = storage.restore_only(Care::Whole).unwrap_err().to_string();
    assert!(refused.starts_with("the savepoint in ") && refused.contains("not there"), "{refused}");
    storage.begin(7).unwrap();
    assert_eq!(storage.begin(8).unwrap_err().cause, Cause::Exists, "a directory has one savepoint");
    let mut file = storage.create(7, "state").unwrap();
    file.append(b"what was counted").unwrap();
    let manifest = scratch::manifest(7, vec![file.finish().unwrap()]);
    assert!(storage.restore_only(Care::Whole).is_err(), "it is not complete");
    storage.complete(&manifest).unwrap();
    assert_eq!(storage.list().unwrap(), [7]);
    // Wherever it is, and whatever it is called.
    let moved = scratch.0.join("archive");
    fs::rename(&path, &moved).unwrap();
    let storage = Storage::savepoint(&moved);
    assert_eq!(storage.restore_only(Care::Whole).unwrap().manifest, manifest);
    assert!(damage(&moved.join("state"), Damage::Flip(3)));
    let refused = storage.restore_only(Care::Whole).unwrap_err().to_string();
    assert!(refused.contains("file state ") && refused.contains("archive"), "{refused}");
    storage.discard(7).unwrap();
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}
