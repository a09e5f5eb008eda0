//! A real server that speaks S3, on a free port of this machine: s3s-fs, in a thread of the test.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
use millstream_checkpoint_objects::Objects;
use object_store::{
    ClientOptions,
    aws::{AmazonS3, AmazonS3Builder},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

pub(crate) const BUCKET: &str = "checkpoints";
pub(crate) const KEY: &str = "a-key";
pub(crate) const SECRET: &str = "a-secret";

/// The server, gone when it is dropped, with what it kept.
pub(crate) struct Server {
    root: PathBuf,
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("millstream-s3-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join(BUCKET)).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (sender, receiver) = mpsc::channel();
        let files = s3s_fs::FileSystem::new(&root).unwrap();
        let thread = thread::spawn(move || {
            let mut service = S3ServiceBuilder::new(files);
            service.set_auth(SimpleAuth::from_single(KEY, SECRET));
            let service = service.build();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let serve = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        let service = service.clone();
                        tokio::spawn(async move {
                            let server = Builder::new(hyper_util::rt::TokioExecutor::new());
                            // A client that goes away is no failure.
                            let _ = server.serve_connection(TokioIo::new(stream), service).await;
                        });
                    }
                };
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            });
        });
        let address = receiver.recv().unwrap();
        Self { root, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Its address.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The directory where it keeps the bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.root.join(BUCKET)
    }

    /// The bucket that there is, with the right credentials.
    pub(crate) fn objects(&self) -> Objects {
        self.objects_of(BUCKET, SECRET)
    }

    pub(crate) fn objects_of(&self, bucket: &str, secret: &str) -> Objects {
        objects(&self.endpoint(), bucket, secret)
    }

    /// Replaces the bytes of an object past the server, or removes it; whether it was there, and `how` says
    /// anything.
    pub(crate) fn damage(
        &self,
        path: &str,
        how: impl FnOnce(&[u8]) -> Option<Option<Vec<u8>>>,
    ) -> bool {
        let path = self.bucket().join(path);
        let Ok(bytes) = fs::read(&path) else { return false };
        match how(&bytes) {
            Some(Some(damaged)) => fs::write(path, damaged).is_ok(),
            Some(None) => fs::remove_file(path).is_ok(),
            None => false,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A bucket at an endpoint.
pub(crate) fn objects(endpoint: &str, bucket: &str, secret: &str) -> Objects {
    Objects::new(client(endpoint, bucket, secret), &format!("s3://{bucket}")).unwrap()
}

fn client(endpoint: &str, bucket: &str, secret: &str) -> AmazonS3 {
    millstream_checkpoint_objects::prepare(
        AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_access_key_id(KEY)
            .with_secret_access_key(secret)
            .with_bucket_name(bucket),
        ClientOptions::new().with_allow_http(true),
    )
    .build()
    .unwrap()
}
