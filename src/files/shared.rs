//! Puts and gets over a bucket that all nodes share, with this node's disk as a cache. The bucket
//! keeps the copies, so that nothing is repaired between nodes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::bucket::Bucket;
use super::index::Role;
use super::local::Local;
use super::locks::BlobLocks;
use super::store::{self, FETCHES, PUTS, Source};
use super::{BlobError, metrics};
use crate::config::FileOptions;
use crate::id::BlobHash;

/// The blob store of one node over a bucket.
pub struct Shared {
    local: Local,
    bucket: Bucket,
    /// One fetch at a time for a blob: those who wait find it here.
    flights: BlobLocks,
    fetches: Semaphore,
    puts: Arc<Semaphore>,
}

impl Shared {
    /// Opens the cache.
    pub async fn start(
        bucket: Bucket,
        dir: PathBuf,
        options: &FileOptions,
    ) -> Result<Self, BlobError> {
        Ok(Self {
            local: Local::open(dir, Arc::new(|_| Role::Cached), options).await?,
            bucket,
            flights: BlobLocks::default(),
            fetches: Semaphore::new(FETCHES),
            puts: Arc::new(Semaphore::new(PUTS)),
        })
    }

    /// Stores bytes in the bucket; see [`Blobs::put`](super::Blobs::put).
    pub async fn put(
        self: &Arc<Self>,
        bytes: Bytes,
        deadline: Instant,
    ) -> Result<BlobHash, BlobError> {
        let (turn, hash) = store::begin_put(&self.puts, &bytes, deadline).await?;
        let shared = self.clone();
        // On its own, so that it goes on if the caller gives up.
        let work = tokio::spawn(async move {
            let _turn = turn;
            shared.bucket.put(&hash, bytes.clone()).await?;
            shared.cache(hash, bytes).await;
            Ok(())
        });
        let result = match tokio::time::timeout_at(deadline.into(), work).await {
            Ok(Ok(stored)) => stored,
            Ok(Err(_)) => Err(BlobError::Io("the put was abandoned: see the node's log".into())),
            Err(_) => Err(BlobError::TimedOut("the bucket did not take it in time".to_owned())),
        };
        store::count_put(&result);
        result.map(|()| hash)
    }

    /// Reads a blob from the cache or the bucket; see [`Blobs::get`](super::Blobs::get).
    pub async fn get(&self, hash: BlobHash, deadline: Instant) -> Result<Bytes, BlobError> {
        let late = || BlobError::TimedOut(format!("{hash}: the bucket did not send it in time"));
        let found = tokio::time::timeout_at(deadline.into(), self.look(hash)).await;
        let (from, result) = match found.unwrap_or_else(|_| Err(late())) {
            Ok((from, bytes)) => (from, Ok(bytes)),
            Err(error) => (metrics::FROM_NOWHERE, Err(error)),
        };
        ::metrics::counter!(metrics::READS, "from" => from).increment(1);
        result
    }

    async fn look(&self, hash: BlobHash) -> Result<(&'static str, Bytes), BlobError> {
        if let Some(bytes) = self.read_here(&hash).await {
            return Ok((metrics::FROM_HERE, bytes));
        }
        let _flight = self.flights.lock(hash).await;
        if let Some(bytes) = self.read_here(&hash).await {
            return Ok((metrics::FROM_HERE, bytes));
        }
        let stopping = |_| BlobError::TimedOut("the node stops".to_owned());
        let _turn = self.fetches.acquire().await.map_err(stopping)?;
        let bytes = self.bucket.get(&hash).await?;
        self.cache(hash, bytes.clone()).await;
        Ok((metrics::FROM_BUCKET, bytes))
    }

    /// The bucket has what the cache's disk cannot give.
    async fn read_here(&self, hash: &BlobHash) -> Option<Bytes> {
        match self.local.read(hash).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(blob = %hash, %error, "a cached blob could not be read");
                None
            }
        }
    }

    async fn cache(&self, hash: BlobHash, bytes: Bytes) {
        if let Err(error) = self.local.cache(hash, bytes).await {
            tracing::warn!(blob = %hash, %error, "a blob could not be cached");
        }
    }
}

impl Source for Shared {
    fn local(&self) -> &Local {
        &self.local
    }

    /// What is only cached is fetched when it is read.
    fn heal(&self, hash: BlobHash, _deadline: Instant) -> BoxFuture<'_, Result<bool, BlobError>> {
        self.local.not_lost(&hash);
        Box::pin(std::future::ready(Ok(false)))
    }
}
