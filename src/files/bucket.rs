//! A bucket of an S3 service that all nodes share. An object has the bytes of a blob's file, as
//! [`format`](super::format) has them, and is checked like one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};

use super::disk::blocking;
use super::format;
use super::transfer::{self, Budget};
use super::{BlobError, MAX_BLOB};
use crate::config::S3Options;
use crate::id::BlobHash;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest silence of the service in an answer.
const SILENCE: Duration = Duration::from_secs(10);
/// Tries of a request after the first; only where the service had a problem of its own.
const RETRIES: usize = 3;
/// No try begins later than this after the first.
const RETRY_TIME: Duration = Duration::from_secs(10);
/// How long a request of no bytes may take, all tries together.
const REQUEST: Duration = Duration::from_secs(20);
/// How long a node waits at its start to hear whether the bucket can be used.
const PROBE: Duration = Duration::from_secs(5);
/// Longest part of a service's own error text that is told.
const MAX_TEXT: usize = 600;

/// What requests are signed with.
pub struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Keys {
    /// From the environment, under the names that all tools use.
    pub fn from_env() -> Result<Self, BlobError> {
        Self::from(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// These.
    #[cfg(test)]
    pub fn of(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), token: None }
    }

    fn from(get: impl Fn(&str) -> Option<String>) -> Result<Self, BlobError> {
        let need = |name| {
            get(name).ok_or_else(|| {
                let why = "is not set in this node's environment: the bucket of options [files.s3] \
                           needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
                BlobError::Bucket(format!("{name} {why}"))
            })
        };
        let (id, secret) = (need("AWS_ACCESS_KEY_ID")?, need("AWS_SECRET_ACCESS_KEY")?);
        Ok(Self { id, secret, token: get("AWS_SESSION_TOKEN") })
    }
}

/// The bucket. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// For errors: the bucket's name and where it is.
    name: String,
    prefix: Path,
    receiving: Arc<Budget>,
}

impl Bucket {
    /// Prepares requests; makes none.
    pub fn open(options: &S3Options, keys: &Keys) -> Result<Self, BlobError> {
        // The process's default, which the client takes. It is an error if there is one already,
        // and then that one is taken.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_allow_http(options.allow_http)
            .with_connect_timeout(CONNECT)
            .with_read_timeout(SILENCE)
            .with_timeout(REQUEST + transfer::time_for(MAX_BLOB));
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        };
        let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIME };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&options.bucket)
            .with_region(&options.region)
            .with_access_key_id(&keys.id)
            .with_secret_access_key(&keys.secret)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(token) = &keys.token {
            builder = builder.with_token(token);
        }
        let mut name = format!("bucket `{}`", options.bucket);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
            name = format!("{name} at {endpoint}");
        }
        let store = builder.build().map_err(|e| BlobError::Bucket(format!("{name}: {e}")))?;
        Ok(Self::over(Arc::new(store), name, &options.prefix))
    }

    /// Over any store of objects.
    pub fn over(store: Arc<dyn ObjectStore>, name: String, prefix: &str) -> Self {
        let receiving = Arc::new(Budget::new());
        Self { store, name, prefix: Path::from(prefix), receiving }
    }

    /// Looks whether the bucket can be used. A service that cannot be reached now is no error: it
    /// may be back when it is needed.
    pub async fn probe(&self) -> Result<(), BlobError> {
        let object = self.object(&BlobHash([0; 32]));
        let head = self.within(PROBE, self.store.get_range(&object, 0..1)).await;
        match head {
            Ok(_) | Err(Failure::NoObject) => Ok(()),
            Err(Failure::Is(BlobError::Unavailable(why))) => {
                tracing::warn!(why, "the blobs cannot be reached now");
                Ok(())
            }
            Err(Failure::Is(error)) => Err(error),
        }
    }

    /// Stores a blob, whose hash the caller has checked.
    pub async fn put(&self, hash: &BlobHash, bytes: Bytes) -> Result<(), BlobError> {
        let len = bytes.len() as u64;
        let header = Bytes::copy_from_slice(&format::header(len));
        let object = self.object(hash);
        let put = self.store.put(&object, PutPayload::from_iter([header, bytes]));
        match self.within(REQUEST + transfer::time_for(len), put).await {
            Ok(_) => Ok(()),
            Err(Failure::NoObject) => Err(self.error("it refused an object as not found")),
            Err(Failure::Is(error)) => Err(error),
        }
    }

    /// Fetches a blob, checked.
    pub async fn get(&self, hash: &BlobHash) -> Result<Bytes, BlobError> {
        let object = self.object(hash);
        let found = match self.within(REQUEST, self.store.get(&object)).await {
            Ok(found) => found,
            Err(Failure::NoObject) => {
                return Err(BlobError::NotFound(*hash, format!("{} has no {object}", self.name)));
            }
            Err(Failure::Is(error)) => return Err(error),
        };
        let damaged = |why: &str| {
            self.error(&format!("object {object} is damaged: {why}; upload the same bytes again"))
        };
        let size = found.meta.size;
        let Some(len) = format::blob_len(size) else {
            return Err(damaged(&format!("no blob's object has {size} bytes")));
        };
        let room = self.receiving.take(len).await;
        let _room = room.map_err(|error| BlobError::TimedOut(error.to_string()))?;
        let file = match self.within(REQUEST + transfer::time_for(len), found.bytes()).await {
            Ok(file) => file,
            Err(Failure::NoObject) => return Err(damaged("it went away")),
            Err(Failure::Is(error)) => return Err(error),
        };
        let of = *hash;
        let opened = blocking(move || Ok(format::open(&of, &file))).await?;
        opened.map_err(|why| damaged(&why.to_string()))
    }

    fn object(&self, hash: &BlobHash) -> Path {
        let name = hash.to_string();
        self.prefix.clone().join(&name[..1]).join(name)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + limit;
        match tokio::time::timeout_at(deadline.into(), request).await {
            Ok(done) => done.map_err(|error| self.failure(&error)),
            Err(_) => {
                let text = format!("{}: it did not answer within {limit:?}", self.name);
                Err(Failure::Is(BlobError::Unavailable(text)))
            }
        }
    }

    fn failure(&self, error: &Error) -> Failure {
        let text = short(&error.to_string());
        Failure::Is(match error {
            Error::NotFound { .. } if text.contains("NoSuchBucket") => {
                self.error("there is no such bucket: make it, or correct files.s3.bucket")
            }
            Error::NotFound { .. } => return Failure::NoObject,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => self.error(&format!(
                "it refuses the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: {text}"
            )),
            _ => BlobError::Unavailable(format!("{}: {text}", self.name)),
        })
    }

    fn error(&self, why: &str) -> BlobError {
        BlobError::Bucket(format!("{}: {why}", self.name))
    }
}

/// Why a request came to nothing.
enum Failure {
    NoObject,
    Is(BlobError),
}

/// An error's text as one line of bounded length.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_the_environment_and_a_missing_one_is_named() {
        let all = |name: &str| Some(format!("the {name}"));
        assert!(Keys::from(all).is_ok_and(|keys| keys.token.is_some()));
        for missing in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let Err(error) = Keys::from(|name| all(name).filter(|_| name != missing)) else {
                panic!("{missing} is not needed");
            };
            // What is wrong comes first, and it is no disk.
            assert!(error.to_string().starts_with(missing), "{error}");
        }
    }

    #[test]
    fn texts_of_the_service_become_one_short_line() {
        assert_eq!(short("a\n  b\tc"), "a b c");
        assert_eq!(short(&"ä".repeat(5000)).chars().count(), MAX_TEXT);
    }
}
