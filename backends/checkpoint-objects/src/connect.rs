//! The way to an object store.

use std::{env, fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use millstream_checkpoint::storage::{Cause, Operation, StorageError};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
    aws::AmazonS3Builder, path::Path,
};
use tokio::runtime::Runtime;

use crate::error::{cause, words};

/// Within which a connection has to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Within which a request has to be answered. A part of a file has a few megabytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A request is repeated so often,
const RETRIES_MAX: usize = 3;
/// and not after so long.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// Objects that are removed at a time.
const REMOVALS: usize = 8;
/// The hosts to which nothing is encrypted unless somebody says so.
const LOCAL: [&str; 3] = ["http://127.0.0.1", "http://localhost", "http://[::1]"];

/// An object store, and the threads on which it is asked. Clones are the same.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    store: Box<dyn ObjectStore>,
    /// What stands in front of the name of an object in messages.
    shown: String,
    runtime: Runtime,
}

/// An object of a listing: its name, and its bytes.
pub(crate) type Listed = (Path, u64);

type Asked<T> = Result<T, object_store::Error>;

impl Objects {
    /// Asks `store`, which messages call `shown`, such as `s3://bucket`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(store: impl ObjectStore, shown: &str) -> Result<Self, StorageError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("object-store")
            .enable_all()
            .build()
            .map_err(|error| refused(shown, error.to_string()))?;
        let shown = shown.trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner { store: Box::new(store), shown, runtime })))
    }

    /// The bucket of an URL `s3://BUCKET/...`. Endpoint, region and credentials are those of the
    /// usual variables `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_SESSION_TOKEN`. Only a server on this machine is spoken to without encryption, unless
    /// `AWS_ALLOW_HTTP` is `true`. A request takes at most about half a minute, with all repetitions,
    /// beside the time that a large part needs on its way.
    ///
    /// # Errors
    /// If what they say makes no sense. Nobody is asked yet.
    pub fn connect(url: &str) -> Result<Self, StorageError> {
        let refuse = |message: String| refused(url, message);
        let (bucket, _) = split_url(url)
            .ok_or_else(|| refuse("an object store is named like s3://BUCKET/PREFIX".into()))?;
        let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
        let endpoint = endpoint.iter().find_map(|name| env::var(name).ok());
        let is_local = |endpoint: &String| LOCAL.iter().any(|local| endpoint.starts_with(local));
        let allowed = env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true");
        let allowed = allowed || endpoint.as_ref().is_some_and(is_local);
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if let Ok(region) = env::var("AWS_REGION") {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let options = ClientOptions::new().with_allow_http(allowed);
        let store = prepare(builder, options).build();
        let store = store.map_err(|error| refuse(words(&error)))?;
        Self::new(store, &format!("s3://{bucket}"))
    }

    /// The name of an object in messages.
    pub(crate) fn show(&self, path: &Path) -> String {
        format!("{}/{path}", self.0.shown)
    }

    pub(crate) fn error(
        &self,
        operation: Operation,
        path: &Path,
        error: &object_store::Error,
    ) -> StorageError {
        StorageError { operation, path: self.show(path), cause: cause(error) }
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.0.store
    }

    /// Waits for an answer.
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(answer)
    }

    /// Writes an object, as a whole.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) -> Asked<()> {
        self.wait(self.store().put(path, PutPayload::from(bytes))).map(|_| ())
    }

    /// Writes an object if there is none of this name, and otherwise says so: as one step where the store
    /// can do that.
    pub(crate) fn create(&self, path: &Path, bytes: Vec<u8>) -> Asked<()> {
        let payload = PutPayload::from(bytes);
        let put = self.store().put_opts(path, payload.clone(), PutMode::Create.into());
        match self.wait(put) {
            Err(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            ) => match self.length(path)? {
                Some(_) => Err(object_store::Error::AlreadyExists {
                    path: path.to_string(),
                    source: "it is listed".into(),
                }),
                None => self.wait(self.store().put(path, payload)).map(|_| ()),
            },
            // If the first answer was lost, the second says that it is there: whoever hears that removes it.
            answered => answered.map(|_| ()),
        }
    }

    /// Bytes of an object; `None` if there is none.
    pub(crate) fn length(&self, path: &Path) -> Asked<Option<u64>> {
        match self.wait(self.store().head(path)) {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an object, if it is there.
    pub(crate) fn remove(&self, path: &Path) -> Asked<()> {
        match self.wait(self.store().delete(path)) {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Removes objects, a few at a time, if they are there.
    pub(crate) fn remove_all(&self, paths: &[Path]) -> Result<(), (Path, object_store::Error)> {
        let removed = futures_util::stream::iter(paths).map(|path| async move {
            match self.store().delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err((path.clone(), error)),
            }
        });
        self.wait(removed.buffer_unordered(REMOVALS).try_collect())
    }

    /// Whether objects can be listed.
    pub(crate) fn look(&self, prefix: &Path) -> Asked<()> {
        self.wait(self.store().list_with_delimiter(Some(prefix))).map(|_| ())
    }

    /// All objects below a prefix.
    pub(crate) fn list(&self, prefix: &Path) -> Asked<Vec<Listed>> {
        let listed = self.store().list(Some(prefix));
        self.wait(listed.map_ok(|found| (found.location, found.size)).try_collect())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.0.shown).finish()
    }
}

/// A client of S3 that hangs nowhere, and speaks TLS: what [`Objects::connect`] makes of what the
/// environment says.
pub fn prepare(builder: AmazonS3Builder, options: ClientOptions) -> AmazonS3Builder {
    // Whoever came first has installed one, and it does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
    };
    let options = options.with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
    builder.with_client_options(options).with_retry(retry)
}

/// Bucket and prefix of an URL `s3://BUCKET/PREFIX`; `None` if it is none.
pub fn split_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://").or_else(|| url.strip_prefix("s3a://"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, prefix.trim_matches('/')))
}

fn refused(path: &str, message: String) -> StorageError {
    let cause = Cause::System { errno: None, message };
    StorageError { operation: Operation::Open, path: path.into(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_bucket_and_a_prefix() {
        assert_eq!(split_url("s3://b/a/c/"), Some(("b", "a/c")));
        assert_eq!(split_url("s3a://b"), Some(("b", "")));
        for wrong in ["s3://", "s3:///a", "/tmp", "gs://b"] {
            assert_eq!(split_url(wrong), None, "{wrong}");
        }
    }
}
