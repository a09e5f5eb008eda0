//! Object stores keep the contract of the core: one in memory, and a real server that speaks S3.

mod server;

use std::sync::Arc;

use millstream_checkpoint::{
    CheckpointStorage, Manifest, contract,
    manifest::{Purpose, is_shared},
    storage::{Care, Cause, Damage, METADATA, StateFile as _},
};
use millstream_checkpoint_objects::{Objects, Storage};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, memory::InMemory, path::Path};

use server::{BUCKET, Server};

/// A store in memory that outlives who asks it.
fn memory() -> (Arc<InMemory>, Objects) {
    let store = Arc::new(InMemory::new());
    let objects = Objects::new(Arc::clone(&store), "memory://").unwrap();
    (store, objects)
}

/// Damages an object, past everybody.
fn damage(store: &dyn ObjectStore, path: &str, how: Damage) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let path = Path::from(path);
        let Ok(found) = store.get(&path).await else { return false };
        let mut bytes = Vec::from(found.bytes().await.unwrap());
        match how {
            Damage::Remove => {
                store.delete(&path).await.unwrap();
                return true;
            }
            Damage::Truncate(at) if at < bytes.len() => bytes.truncate(at),
            Damage::Flip(at) if at < bytes.len() => bytes[at] ^= 1,
            _ => return false,
        }
        store.put(&path, PutPayload::from(bytes)).await.unwrap();
        true
    })
}

/// What a file is called below the prefix.
fn object(job: &str, checkpoint: u64, file: &str) -> String {
    match is_shared(file) {
        true => format!("{job}/shared/{file}"),
        false => format!("{job}/chk-{checkpoint}/{file}"),
    }
}

#[test]
fn a_store_in_memory_keeps_the_contract() {
    let (store, objects) = memory();
    let open = |job: &str| Storage::open(&objects, "checkpoints", job).unwrap();
    contract::all(open, |job, checkpoint, file, how| {
        damage(&store, &format!("checkpoints/{}", object(job, checkpoint, file)), how)
    });
}

#[test]
fn a_server_that_speaks_s3_keeps_the_contract() {
    let server = Server::start();
    let objects = server.objects();
    let open = |job: &str| Storage::open(&objects, "some/checkpoints", job).unwrap();
    contract::all(open, |job, checkpoint, file, how| {
        let path = format!("some/checkpoints/{}", object(job, checkpoint, file));
        server.damage(&path, |bytes| match how {
            Damage::Remove => Some(None),
            Damage::Truncate(at) if at >= bytes.len() => None,
            Damage::Truncate(at) => Some(bytes.get(..at).map(<[u8]>::to_vec)),
            Damage::Flip(at) => {
                let mut bytes = bytes.to_vec();
                *bytes.get_mut(at)? ^= 1;
                Some(Some(bytes))
            }
        })
    });
}

fn manifest(checkpoint: u64, files: Vec<millstream_checkpoint::manifest::File>) -> Manifest {
    Manifest {
        checkpoint,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "flights".into(),
        graph_hash: 0,
        files,
        operators: vec![],
    }
}

/// More than one part, written in pieces that do not end where parts do.
#[test]
fn large_files_are_sent_in_parts() {
    let server = Server::start();
    let storage = Storage::open(&server.objects(), "", "flights").unwrap();
    storage.begin(1).unwrap();
    let bytes: Vec<u8> = (0..(9 << 20)).map(|at: u32| (at / 7) as u8).collect();
    let mut file = storage.create(1, "large").unwrap();
    for piece in bytes.chunks(700_001) {
        file.append(piece).unwrap();
    }
    let mut given_up = storage.create(1, "given-up").unwrap();
    given_up.append(&bytes).unwrap();
    drop(given_up);
    let file = file.finish().unwrap();
    assert_eq!(file.length, bytes.len() as u64);
    storage.complete(&manifest(1, vec![file])).unwrap();
    let restored = storage.restore(1).unwrap();
    let handle = millstream_checkpoint::manifest::Handle {
        file: "large".into(),
        offset: 1000,
        length: 8 << 20,
    };
    let mut into = vec![0; 1 << 20];
    storage.read(1, &handle, 7 << 20, &mut into).unwrap();
    assert_eq!(into, bytes[1000 + (7 << 20)..][..1 << 20]);
    assert_eq!(restored.manifest.files.len(), 1);
}

/// Of two coordinators of one job, one is told.
#[test]
fn a_manifest_is_written_once() {
    let (_, objects) = memory();
    let storage = Storage::open(&objects, "", "flights").unwrap();
    storage.begin(1).unwrap();
    let both = std::thread::scope(|scope| {
        let complete = || storage.complete(&manifest(1, vec![])).map_err(|error| error.cause);
        let threads = [scope.spawn(complete), scope.spawn(complete)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(both.iter().filter(|done| done.is_ok()).count(), 1, "{both:?}");
    assert!(both.contains(&Err(Cause::Exists)), "{both:?}");
    // The server of the tests looks first and writes then, so that only one after the other is told.
    let server = Server::start();
    let storage = Storage::open(&server.objects(), "", "flights").unwrap();
    storage.begin(1).unwrap();
    assert_eq!(storage.begin(1).unwrap_err().cause, Cause::Exists);
}

#[test]
fn what_a_late_task_wrote_is_in_nobodys_way() {
    let (store, objects) = memory();
    let storage = Storage::open(&objects, "", "flights").unwrap();
    let late = |name: &str| {
        let path = Path::from(format!("flights/chk-1/{name}"));
        objects_put(&store, &path);
    };
    storage.begin(1).unwrap();
    storage.discard(1).unwrap();
    late("task-0");
    assert_eq!(storage.next_id().unwrap(), 1);
    storage.begin(1).unwrap();
    assert!(storage.create(1, "task-0").is_ok(), "what was left is gone");
    storage.discard(1).unwrap();
    late("task-0");
    assert_eq!(storage.clean().unwrap(), Vec::<u64>::new());
    let left = futures_util::TryStreamExt::try_collect::<Vec<_>>(store.list(None));
    assert_eq!(block_on(left).unwrap().len(), 0);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn objects_put(store: &InMemory, path: &Path) {
    block_on(store.put(path, PutPayload::from_static(b"late"))).unwrap();
}

#[test]
fn a_savepoint_is_read_wherever_it_is() {
    let (store, objects) = memory();
    let storage = Storage::savepoint(&objects, "mine/savepoint-1");
    assert!(
        storage
            .restore_only(Care::Whole)
            .unwrap_err()
            .to_string()
            .starts_with("the savepoint in memory:")
    );
    storage.begin(7).unwrap();
    let mut file = storage.create(7, "state").unwrap();
    file.append(b"what was counted").unwrap();
    let manifest = manifest(7, vec![file.finish().unwrap()]);
    assert_eq!(storage.list().unwrap(), Vec::<u64>::new());
    storage.complete(&manifest).unwrap();
    assert_eq!(storage.list().unwrap(), [7]);
    assert_eq!(storage.restore_only(Care::Whole).unwrap().manifest, manifest);
    assert!(damage(&store, "mine/savepoint-1/state", Damage::Flip(3)));
    let refused = storage.restore_only(Care::Whole).unwrap_err().to_string();
    assert!(refused.contains("the file state is damaged"), "{refused}");
    storage.discard(7).unwrap();
    assert!(!damage(&store, &format!("mine/savepoint-1/{METADATA}"), Damage::Remove));
}

/// A checkpoint that is read wherever it is finds the files that it shares; who claims it removes those that
/// only it has, and who does not can remove none.
#[test]
fn a_checkpoint_that_is_claimed_takes_its_shared_files_along() {
    let (_, objects) = memory();
    let storage = Storage::open(&objects, "", "flights").unwrap();
    let share = |name: &str| {
        let mut file = storage.share(name).unwrap();
        file.append(name.as_bytes()).unwrap();
        file.finish().unwrap()
    };
    let [a, b, c] = ["shared-a", "shared-b", "shared-c"].map(share);
    for (checkpoint, files) in [(1, vec![a.clone(), b.clone()]), (2, vec![b, c])] {
        storage.begin(checkpoint).unwrap();
        storage.complete(&manifest(checkpoint, files)).unwrap();
    }
    let there = || storage.shared().unwrap().into_keys().collect::<Vec<_>>();
    let single = Storage::savepoint(&objects, "flights/chk-2");
    let restored = single.restore_only(Care::Whole).unwrap();
    let cause = single.share("shared-d").unwrap_err().cause;
    assert!(matches!(cause, Cause::Invalid { .. }), "{cause}");
    single.unshare(&["shared-c".into()]).unwrap();
    assert_eq!(there(), ["shared-a", "shared-b", "shared-c"]);
    single.discard_claimed(&restored.manifest).unwrap();
    assert_eq!(
        (there(), storage.list()),
        (vec!["shared-a".into(), "shared-b".into()], Ok(vec![1]))
    );
    assert_eq!(storage.restore(1).unwrap().manifest.files.len(), 2);
}

/// What a store refuses is one clear sentence with what helps, and soon.
#[test]
fn a_store_that_refuses_is_an_error_with_the_fix() {
    let server = Server::start();
    let refused = |objects: &Objects| {
        let error = Storage::open(objects, "", "flights").unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let begin = std::time::Instant::now();
    let error = refused(&server.objects_of(BUCKET, "a wrong secret"));
    assert!(error.starts_with("cannot keep checkpoints in s3://checkpoints/flights: "), "{error}");
    assert!(error.contains("refuses the credentials: look at AWS_ACCESS_KEY_ID"), "{error}");
    let error = refused(&server.objects_of("no-such-bucket", server::SECRET));
    assert!(error.contains("no such bucket: create it, or name another"), "{error}");
    let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "https"] {
        let endpoint = format!("{scheme}://{unbound}");
        let error = refused(&server::objects(&endpoint, BUCKET, server::SECRET));
        assert!(error.contains("cannot be reached"), "{error}");
        assert!(error.contains("look at AWS_ENDPOINT_URL"), "{error}");
    }
    assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", begin.elapsed());
    for url in ["/tmp/x", "s3://"] {
        let error = Objects::connect(url).unwrap_err().to_string();
        assert!(error.contains("s3://BUCKET/PREFIX"), "{error}");
    }
}
