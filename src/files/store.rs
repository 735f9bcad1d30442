//! Puts and gets: performs what [`plan`](super::plan) decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::actor::Repairs;
use super::disk::blocking;
use super::index::Role;
use super::local::Local;
use super::locks::{BlobGuard, BlobLocks};
use super::members::Members;
use super::plan::{GetPlan, PutPlan};
use super::remote::Remote;
use super::round::Rounds;
use super::transfer::{self, Budget};
use super::{BlobError, MAX_BLOB, metrics};
use crate::id::{BlobHash, NodeId};

/// Puts under way at once; more wait. Each holds its bytes until its last copy is made.
const PUTS: usize = 64;
/// Gets from other nodes under way at once; more wait.
const FETCHES: usize = 64;

/// The blob store of one node.
pub struct Store {
    pub(super) members: Members,
    pub(super) local: Local,
    pub(super) repairs: Repairs,
    remote: Arc<dyn Remote>,
    /// One fetch at a time for a blob: those who wait find it here.
    flights: BlobLocks,
    fetches: Semaphore,
    receiving: Budget,
    puts: Arc<Semaphore>,
}

impl Store {
    /// Opens the directory and starts repair.
    pub async fn start(
        members: Members,
        dir: PathBuf,
        cache_bytes: u64,
        remote: Arc<dyn Remote>,
    ) -> Result<Arc<Self>, BlobError> {
        let local = Local::open(dir, members.clone(), cache_bytes).await?;
        let rounds =
            Rounds { local: local.clone(), members: members.clone(), remote: remote.clone() };
        Ok(Arc::new(Self {
            members,
            local,
            repairs: Repairs::start(rounds).await?,
            remote,
            flights: BlobLocks::default(),
            fetches: Semaphore::new(FETCHES),
            receiving: Budget::new(),
            puts: Arc::new(Semaphore::new(PUTS)),
        }))
    }

    /// Stores bytes on their targets; see [`Blobs::put`](super::Blobs::put).
    pub async fn put(
        self: &Arc<Self>,
        bytes: Bytes,
        deadline: Instant,
    ) -> Result<BlobHash, BlobError> {
        if bytes.len() as u64 > MAX_BLOB {
            return Err(BlobError::TooBig(bytes.len() as u64));
        }
        let late = || BlobError::TimedOut("no copy was begun: too many puts are under way".into());
        let turn = tokio::time::timeout_at(deadline.into(), self.puts.clone().acquire_owned());
        let turn = turn.await.map_err(|_| late())?.map_err(|_| late())?;
        let hashed = bytes.clone();
        let hash = blocking(move || Ok(BlobHash::of(&hashed))).await?;
        let targets = self.members.targets(&hash);
        let result = if targets == [self.members.me] {
            // Nobody else is to be asked, so the disk's own error is the clearest.
            self.write_here(hash, bytes, deadline).await
        } else {
            let (tell, told) = oneshot::channel();
            let put = Put { hash, bytes, targets, deadline, _turn: turn };
            tokio::spawn(self.clone().spread(put, tell));
            let abandoned = || BlobError::Io("the put was abandoned: see the node's log".into());
            told.await.unwrap_or_else(|_| Err(abandoned()))
        };
        let count = if result.is_ok() { metrics::PUTS } else { metrics::PUT_FAILURES };
        ::metrics::counter!(count).increment(1);
        result.map(|()| hash)
    }

    /// Reads a blob; see [`Blobs::get`](super::Blobs::get).
    pub async fn get(&self, hash: BlobHash, deadline: Instant) -> Result<Bytes, BlobError> {
        let mut plan = GetPlan::new(hash, self.members.sources(&hash));
        let got = tokio::time::timeout_at(deadline.into(), self.look(hash, deadline, &mut plan));
        let (from, result) = match got.await {
            Ok(Some(Got::Here(bytes))) => (metrics::FROM_HERE, Ok(bytes)),
            Ok(Some(Got::Fetched(bytes, _flight))) => {
                // A disk that is slow must not cost the caller what was fetched in time.
                let kept = self.keep(hash, &bytes);
                let _ = tokio::time::timeout_at(deadline.into(), kept).await;
                (metrics::FROM_PEER, Ok(bytes))
            }
            Ok(None) if Instant::now() < deadline => (metrics::FROM_NOWHERE, Err(plan.not_found())),
            Ok(None) | Err(_) => (metrics::FROM_NOWHERE, Err(plan.timed_out())),
        };
        ::metrics::counter!(metrics::READS, "from" => from).increment(1);
        result
    }

    /// Makes all copies; tells the result once it is known, and goes on with the rest. Nobody
    /// listens if the caller gave up: the copies are made all the same.
    async fn spread(self: Arc<Self>, put: Put, tell: oneshot::Sender<Result<(), BlobError>>) {
        let mut plan = PutPlan::new(&put.targets);
        let mut tell = Some(tell);
        let mut copies: FuturesUnordered<_> =
            put.targets.iter().map(|node| self.copy(&put, *node)).collect();
        while let Some((node, copy)) = copies.next().await {
            if let Err(why) = &copy {
                tracing::info!(blob = %put.hash, why, "a copy was not made");
                self.repairs.missed(node);
            }
            if let Some(result) = plan.answered(node, copy)
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(result);
            }
        }
    }

    /// Makes one copy, until the deadline at most.
    async fn copy(&self, put: &Put, node: NodeId) -> (NodeId, Result<(), String>) {
        let (hash, bytes) = (put.hash, put.bytes.clone());
        let done = if node == self.members.me {
            let written = self.write_here(hash, bytes, put.deadline).await;
            written.map_err(|error| format!("{node}: {error}"))
        } else {
            let offered = transfer::offer(&*self.remote, node, hash, &bytes, put.deadline).await;
            offered.map_err(|error| error.told(node))
        };
        (node, done)
    }

    async fn write_here(
        &self,
        hash: BlobHash,
        bytes: Bytes,
        deadline: Instant,
    ) -> Result<(), BlobError> {
        let written = self.local.write(hash, bytes, Role::Target);
        match tokio::time::timeout_at(deadline.into(), written).await {
            Ok(result) => result,
            Err(_) => Err(BlobError::TimedOut("the disk is too slow".to_owned())),
        }
    }

    async fn look(&self, hash: BlobHash, deadline: Instant, plan: &mut GetPlan) -> Option<Got> {
        if let Some(bytes) = self.read_here(&hash, plan).await {
            return Some(Got::Here(bytes));
        }
        let flight = self.flights.lock(hash).await;
        if self.local.len_of(&hash).is_some()
            && let Some(bytes) = self.read_here(&hash, plan).await
        {
            return Some(Got::Here(bytes));
        }
        let _turn = self.fetches.acquire().await.ok()?;
        while let Some(node) = plan.next() {
            match transfer::fetch(&*self.remote, node, hash, &self.receiving, deadline).await {
                Ok(bytes) => return Some(Got::Fetched(bytes, flight)),
                Err(error) => plan.failed(error.told(node)),
            }
        }
        None
    }

    async fn read_here(&self, hash: &BlobHash, plan: &mut GetPlan) -> Option<Bytes> {
        match self.local.read(hash).await {
            Ok(found) => found,
            Err(error) => {
                plan.failed(format!("{}: {error}", self.members.me));
                None
            }
        }
    }

    /// Writes a fetched blob where it belongs here: to its place if this node should have had it,
    /// else to the cache. The blob was found, so a disk that refuses it fails nothing.
    async fn keep(&self, hash: BlobHash, bytes: &Bytes) {
        let role = self.members.role(&hash);
        if let Err(error) = self.local.write(hash, bytes.clone(), role).await {
            tracing::warn!(blob = %hash, %error, "a fetched blob could not be kept");
        }
    }
}

/// Where a get found its blob.
enum Got {
    /// On this node.
    Here(Bytes),
    /// On another; whoever else wants it waits until it is kept here.
    Fetched(Bytes, BlobGuard),
}

/// A put under way.
struct Put {
    hash: BlobHash,
    bytes: Bytes,
    targets: Vec<NodeId>,
    deadline: Instant,
    _turn: OwnedSemaphorePermit,
}
