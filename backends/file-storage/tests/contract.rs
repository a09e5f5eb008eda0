//! Both backends keep the contract of the core, and leave nothing behind.

use std::{path::Path, process::Command};

use millstream_file_storage::{
    Backend, FileStorage, OpenError, Options, Preference, Wakeup, choose,
};
use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;
use millstream_storage::{BlockingStorage, Cause, FileId, Request, Storage, Submit, contract};

fn memory() -> ManagedMemory {
    ManagedMemory::new(Box::new(HeapArena::new(4096, 64).unwrap()))
}

/// What this machine offers.
fn backends() -> Vec<Backend> {
    let mut backends = vec![Backend::Threads];
    match choose(Preference::Only(Backend::Uring)) {
        Ok(_) => backends.push(Backend::Uring),
        Err(error) => eprintln!("not tested: {error}"),
    }
    backends
}

/// A directory for one test, gone when the test ends.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn backends_keep_the_contract_and_leave_nothing() {
    let scratch = Scratch::new("contract");
    for backend in backends() {
        for in_flight_max in [1, 7, 64] {
            let options = Options { in_flight_max, ..Options::default() };
            contract::all(|| FileStorage::open(&scratch.0, backend, options).unwrap(), &memory());
        }
        let options = Options::default();
        let mut storage = FileStorage::open(&scratch.0, backend, options).unwrap();
        storage.submit(0, Request::Create { file: FileId(0) }).unwrap();
        storage.wait().unwrap().result.unwrap();
        assert!(is_empty(&scratch.0), "{backend}: files have no names");
    }
}

#[test]
fn storages_do_not_share_files() {
    let scratch = Scratch::new("share");
    for backend in backends() {
        let open = || FileStorage::open(&scratch.0, backend, Options::default()).unwrap();
        for mut storage in [open(), open()] {
            storage.submit(0, Request::Create { file: FileId(0) }).unwrap();
            storage.wait().unwrap().result.unwrap();
        }
    }
}

#[test]
fn a_storage_may_go_to_another_thread_with_work_in_flight() {
    let scratch = Scratch::new("threads");
    for backend in backends() {
        let memory = memory();
        let owner = memory.open("test").unwrap();
        let mut storage = FileStorage::open(&scratch.0, backend, Options::default()).unwrap();
        storage.submit(0, Request::Create { file: FileId(0) }).unwrap();
        storage.wait().unwrap().result.unwrap();
        let submitter = std::thread::spawn(move || {
            for block in 0..20 {
                let data = memory.allocate_pages(owner, 1).unwrap().remove(0).freeze(4096);
                let write = Request::Write { file: FileId(0), offset: block * 4096, data };
                storage.submit(block, write).unwrap();
            }
            (memory, storage)
        });
        let (memory, mut storage) = submitter.join().unwrap();
        let mut written = 0;
        while let Some(done) = storage.wait() {
            done.result.unwrap();
            written += 1;
        }
        assert_eq!(written, 20);
        drop(storage);
        memory.verify_empty().unwrap();
    }
}

#[test]
fn whoever_waits_is_told() {
    struct Flag(std::sync::mpsc::Sender<()>);
    impl std::task::Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let scratch = Scratch::new("notify");
    for backend in backends() {
        let mut storage = FileStorage::open(&scratch.0, backend, Options::default()).unwrap();
        let (sender, told) = std::sync::mpsc::channel();
        let waker = std::sync::Arc::new(Flag(sender)).into();
        let readable = match storage.notify(&waker) {
            Wakeup::Waker => None,
            Wakeup::Readable(file) => Some(file.try_clone_to_owned().unwrap()),
        };
        storage.submit(9, Request::Create { file: FileId(0) }).unwrap();
        match readable {
            None => told.recv().unwrap(),
            Some(bell) => {
                // The bell is not blocking; waiting for it is what an executor does.
                let mut bell = rustix::event::PollFd::new(&bell, rustix::event::PollFlags::IN);
                rustix::event::poll(std::slice::from_mut(&mut bell), None).unwrap();
            }
        }
        assert_eq!(storage.poll().unwrap().token, 9, "{backend}");
    }
}

#[test]
fn the_choice_has_a_reason() {
    let chosen = choose(Preference::Auto).unwrap();
    assert!(!chosen.reason.is_empty());
    let chosen = choose(Preference::Only(Backend::Threads)).unwrap();
    assert_eq!((chosen.backend, &*chosen.reason), (Backend::Threads, "as asked for"));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let path = Path::new("/nowhere/at/all");
    for backend in backends() {
        let error = FileStorage::open(path, backend, Options::default()).unwrap_err();
        assert!(matches!(error, OpenError::Directory { .. }));
        let text = error.to_string();
        assert!(text.contains("/nowhere/at/all") && text.contains("io.tmp.dirs"), "{text}");
    }
}

/// Set for the copy of this program that has a limit.
const LIMITED: &str = "MILLSTREAM_TEST_LIMITED";
/// Pages that fit.
const ROOM: u64 = 5;

#[test]
fn a_file_that_may_not_grow_is_an_error_not_the_end() {
    if std::env::var_os(LIMITED).is_none() {
        // The limit is the whole process's, so it gets one of its own.
        let status = Command::new("prlimit")
            .arg(format!("--fsize={}", ROOM * 4096 + 100))
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_file_that_may_not_grow_is_an_error_not_the_end"])
            .env(LIMITED, "1")
            .output();
        match status {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => eprintln!("not tested without the program prlimit: {error}"),
        }
        return;
    }
    let scratch = Scratch::new("limited");
    for backend in backends() {
        let storage = FileStorage::open(&scratch.0, backend, Options::default()).unwrap();
        contract::full(storage, &memory(), ROOM);
    }
}

#[test]
fn a_file_system_that_is_full_is_named_with_the_fix() {
    let scratch = Scratch::new("full");
    // Only root may mount; elsewhere the causes are tested without a file system.
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o"])
        .arg(format!("size={}", ROOM * 4096))
        .arg("millstream-test")
        .arg(&scratch.0)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("not tested: mounting a small file system is not allowed");
        return;
    }
    let unmount = Unmount(&scratch.0);
    for backend in backends() {
        let open = || FileStorage::open(&scratch.0, backend, Options::default()).unwrap();
        contract::full(open(), &memory(), ROOM);
        let memory = memory();
        let owner = memory.open("test").unwrap();
        let mut storage = open();
        storage.submit(0, Request::Create { file: FileId(3) }).unwrap();
        storage.wait().unwrap().result.unwrap();
        for block in 0..ROOM + 1 {
            let data = memory.allocate_pages(owner, 1).unwrap().remove(0).freeze(4096);
            let write = Request::Write { file: FileId(3), offset: block * 4096, data };
            storage.submit(block, write).unwrap();
        }
        let mut errors = std::iter::from_fn(|| storage.wait()).filter_map(|done| done.result.err());
        let error = errors.next().unwrap();
        assert!(matches!(error.cause, Cause::Full { .. }), "{backend}: {error}");
        let directory = scratch.0.canonicalize().unwrap();
        let text = error.to_string();
        let (directory, offset) = (directory.display(), error.offset);
        assert_eq!(
            text,
            format!(
                "cannot write 4096 bytes at offset {offset} of spill file 3 in {directory}: no space \
                 is left in {directory}; free space there, or set `io.tmp.dirs` to a directory that \
                 has more"
            )
        );
    }
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A file with a name can be linked, is seen by another storage, and loses its name when it is deleted.
#[test]
fn files_with_names_can_be_linked() {
    let scratch = Scratch::new("named");
    for backend in backends() {
        let memory = memory();
        let owner = memory.open("test").unwrap();
        let (first, second) = (scratch.0.join("first"), scratch.0.join("second"));
        let open = |directory: &Path, older: Option<&Path>| {
            FileStorage::open_named(directory, older, backend, Options::default()).unwrap()
        };
        let done = |storage: &mut FileStorage, request| {
            storage.submit(1, request).unwrap();
            storage.wait().unwrap().result
        };
        let file = FileId(7);
        let mut storage = open(&first, None);
        let mut segment = memory.allocate_pages(owner, 1).unwrap().remove(0);
        segment[..3].copy_from_slice(b"run");
        done(&mut storage, Request::Create { file }).unwrap();
        let write = Request::Write { file, offset: 0, data: segment.freeze(3) };
        done(&mut storage, write).unwrap();
        done(&mut storage, Request::Sync { file }).unwrap();
        assert_eq!(std::fs::read(first.join("run-0000000000000007")).unwrap(), b"run");
        let mut other = open(&second, Some(&first));
        let read = || {
            let into = memory.allocate_pages(owner, 1).unwrap().remove(0);
            Request::Read { file, offset: 0, length: 3, into }
        };
        done(&mut other, read()).unwrap();
        done(&mut storage, Request::Delete { file }).unwrap();
        assert!(is_empty(&first), "{backend}: its name is gone");
        done(&mut other, read()).unwrap();
        assert!(!is_empty(&second), "{backend}: it is linked");
        let missing = done(&mut storage, read()).unwrap_err();
        assert_eq!(missing.cause, Cause::NoSuchFile);
        drop((storage, other));
        std::fs::remove_dir_all(&second).unwrap();
    }
}
