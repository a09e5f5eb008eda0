use std::sync::{Arc, atomic::AtomicUsize};

use millstream_checkpoint::{
    Manifest,
    manifest::{File as ManifestFile, Purpose},
};
use millstream_checkpoint_objects as objects;
use millstream_dataflow::StreamGraph;
use object_store::memory::InMemory;

use super::*;

const TASK: TaskId = TaskId(3);

/// A job whose checkpoints are in a store in memory, in a directory that is gone at the end.
struct Job {
    directory: PathBuf,
    store: Arc<Storage>,
    is_over: AtomicBool,
}

impl Job {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        let objects = objects::Objects::new(InMemory::new(), "memory://").unwrap();
        let store = objects::Storage::open(&objects, "checkpoints", "job").unwrap();
        Self { directory, store: Arc::new(Storage::Objects(store)), is_over: AtomicBool::default() }
    }

    fn local(&self, keeps: bool) -> Local {
        Local::open(&self.directory, "job", "s3://checkpoints", keeps).unwrap()
    }

    fn to<'a>(&'a self, local: &'a Local, checkpoint: u64) -> To<'a> {
        To { store: &self.store, local, checkpoint, is_over: &self.is_over }
    }

    /// A complete checkpoint of these files, from which a job begins.
    fn complete(&self, checkpoint: u64, named: &[NamedFile]) -> Restore {
        let file = |file: &NamedFile| ManifestFile {
            name: file.name.clone(),
            length: file.length,
            checksum: file.checksum,
        };
        let manifest = Manifest {
            checkpoint,
            timestamp_ms: 0,
            purpose: Purpose::Checkpoint,
            job: "job".into(),
            graph_hash: StreamGraph::default().fingerprint(),
            files: named.iter().map(file).collect(),
            operators: Vec::new(),
        };
        self.store.begin(checkpoint).unwrap();
        self.store.complete(&manifest).unwrap();
        Restore::new(Arc::clone(&self.store), manifest, &StreamGraph::default()).unwrap()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A file of a task's state, whose content follows from its number.
fn run(directory: &Path, number: u64) -> StateFile {
    let bytes: Vec<u8> = (0..5000u64).map(|at| (at * (number + 1) / 3) as u8).collect();
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join(file_name(FileId(number))), &bytes).unwrap();
    let mut checksum = Checksum::new();
    checksum.update(&bytes);
    StateFile { number, length: 5000, checksum: checksum.value() }
}

fn is_new(named: &Named) -> Vec<bool> {
    named.files.iter().map(|file| file.is_new).collect()
}

#[test]
fn a_file_is_written_once_and_known_to_the_attempt_that_begins_from_it() {
    let job = Job::new("uploads");
    let (local, uploads) = (job.local(false), Uploads::new(None));
    let directory = local.path().join("task-3");
    let runs: Vec<StateFile> = (0..4).map(|number| run(&directory, number)).collect();
    let name = |uploads: &Uploads, checkpoint, files: &[StateFile]| {
        uploads.name(&job.to(&local, checkpoint), TASK, files.to_vec(), &directory)
    };
    let first = name(&uploads, 1, &runs[..2]).unwrap();
    assert_eq!((is_new(&first), first.gone.len()), (vec![true; 2], 0));
    // Two are merged into one, which is all that is written.
    fs::remove_file(directory.join(file_name(FileId(0)))).unwrap();
    fs::remove_file(directory.join(file_name(FileId(1)))).unwrap();
    let second = name(&uploads, 2, &[runs[1], runs[2]]).unwrap();
    assert_eq!((is_new(&second), &second.files[0].name), (vec![false, true], &first.files[1].name));
    assert_eq!(second.gone, [first.files[0].name.clone()]);
    assert_eq!(job.store.shared().unwrap().len(), 3, "who removes them keeps account of them");
    // An attempt that begins from there refers to them; one of somebody else's begins anew.
    let restore = job.complete(2, &second.files);
    let again = Uploads::new(Some(&restore));
    let third = name(&again, 3, &[runs[2], runs[3]]).unwrap();
    assert_eq!((is_new(&third), &third.files[0].name), (vec![false, true], &second.files[1].name));
    assert!(third.gone.is_empty(), "the checkpoint before has it");
    let path = job.store.directory(2);
    assert!(path.ends_with("chk-2"), "{}", path.display());
    let told = Uploads::new(None);
    let other = name(&told, 3, &[runs[2]]).unwrap();
    assert_ne!(other.files[0].name, third.files[0].name, "nobody writes two files of one name");
}

#[test]
fn what_could_not_be_written_is_tried_under_another_name_and_told() {
    let job = Job::new("failed");
    let (local, uploads) = (job.local(false), Uploads::new(None));
    let directory = local.path().join("task-3");
    let (good, damaged) = (run(&directory, 0), run(&directory, 1));
    let name = |checkpoint, file| {
        uploads.name(&job.to(&local, checkpoint), TASK, vec![file, good], &directory)
    };
    let other = StateFile { checksum: damaged.checksum ^ 1, ..damaged };
    let refused = name(1, other).unwrap_err();
    assert!(refused.contains("was damaged before it was copied"), "{refused}");
    let written = job.store.shared().unwrap();
    let named = name(2, damaged).unwrap();
    let of_damaged = |name: &&String| number(name) == Some(FileId(1));
    let failed: Vec<&String> = written.keys().filter(of_damaged).collect();
    assert_eq!(named.gone.iter().collect::<Vec<_>>(), failed);
    assert!(!named.gone.contains(&named.files[0].name));
    job.is_over.store(true, Ordering::Release);
    assert_eq!(name(3, run(&directory, 2)).unwrap_err(), "the run is over");
    let missing = StateFile { number: 9, ..good };
    let refused = name(3, missing).unwrap_err();
    assert!(refused.contains("run-0000000000000009"), "{refused}");
}

#[test]
fn files_are_fetched_once_from_copies_or_the_store_and_verified() {
    let job = Job::new("downloads");
    let (local, uploads) = (job.local(true), Uploads::new(None));
    let directory = local.path().join("task-3");
    let runs: Vec<StateFile> = (0..9).map(|number| run(&directory, number)).collect();
    let named = uploads.name(&job.to(&local, 1), TASK, runs, &directory).unwrap();
    let restore = job.complete(1, &named.files);
    let files = || restore.manifest().files.clone();
    let to = job.directory.join("fetched");
    let amounts = |downloads: &Downloads| {
        let done = downloads.done();
        [done.copied, done.downloaded].map(|amount| (amount.files, amount.bytes))
    };
    // Without copies all come from the store, each once.
    let downloads = Downloads::new(to.clone(), true);
    downloads.fetch(&restore, None, files()[..4].to_vec()).unwrap();
    downloads.fetch(&restore, None, files()).unwrap();
    assert_eq!(amounts(&downloads), [(0, 0), (9, 45_000)]);
    for number in 0..9 {
        let file = file_name(FileId(number));
        assert_eq!(fs::read(to.join(&file)).unwrap(), fs::read(directory.join(&file)).unwrap());
    }
    downloads.release();
    assert!(!to.exists());
    // With copies none does, but for one that is damaged.
    let copy = local.copies(&named.files[2].name).pop().unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    bytes[77] ^= 1;
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, bytes).unwrap();
    let downloads = Downloads::new(to.clone(), false);
    downloads.fetch(&restore, Some(&local), files()).unwrap();
    assert_eq!(amounts(&downloads), [(8, 40_000), (1, 5000)]);
    // What the store has not is the refusal of the checkpoint, by name.
    downloads.release();
    job.store.unshare(std::slice::from_ref(&named.files[2].name)).unwrap();
    let refused = downloads.fetch(&restore, Some(&local), files()).unwrap_err().to_string();
    assert!(refused.contains(&named.files[2].name), "{refused}");
    // So is what has other bytes there.
    let mut file = job.store.share(&named.files[2].name).unwrap();
    file.append(&[7; 5000]).unwrap();
    file.finish().unwrap();
    let refused = downloads.fetch(&restore, Some(&local), files()).unwrap_err().to_string();
    let expected = format!("is refused: the file {} is damaged", named.files[2].name);
    assert!(refused.starts_with("checkpoint 1 in ") && refused.contains(&expected), "{refused}");
}

#[test]
fn a_few_are_done_at_a_time_and_none_begins_behind_one_that_failed() {
    let items: Vec<usize> = (0..100).collect();
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = at_a_time(&items, |item| {
        let at = now.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(at, Ordering::SeqCst);
        thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
        if *item == 1000 { Err(()) } else { Ok(()) }
    });
    assert!(done.iter().all(|done| *done == Some(Ok(()))));
    assert!((1..=AT_A_TIME).contains(&most.into_inner()));
    // One after the other is begun, so that all in front of it were.
    let begun = AtomicUsize::new(0);
    let done = at_a_time(&items, |item| {
        begun.fetch_add(1, Ordering::SeqCst);
        match *item {
            ..50 => Ok(()),
            50 => Err("full"),
            // Those that are begun beside it.
            _ => Err("behind"),
        }
    });
    let begun = begun.into_inner();
    assert!((51..51 + AT_A_TIME).contains(&begun), "{begun}");
    assert!(done[..50].iter().all(|done| *done == Some(Ok(()))));
    assert_eq!(done.iter().filter(|done| done.is_some()).count(), begun);
    assert!(at_a_time::<u8, ()>(&[], |_| Ok(())).is_empty());
}
