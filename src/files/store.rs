//! Puts and gets on the nodes' own disks: performs what [`plan`](super::plan) decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::actor::Repairs;
use super::disk::blocking;
use super::index::Role;
use super::local::Local;
use super::locks::{BlobGuard, BlobLocks};
use super::members::Members;
use super::plan::{GetPlan, NoCopy, PutPlan};
use super::remote::Remote;
use super::round::Rounds;
use super::transfer::{self, Budget, TransferError};
use super::{BlobError, MAX_BLOB, metrics};
use crate::config::FileOptions;
use crate::id::{BlobHash, NodeId};

/// Puts under way at once; more wait. Each holds its bytes until its last copy is made.
pub const PUTS: usize = 64;
/// Gets from elsewhere under way at once; more wait.
pub const FETCHES: usize = 64;

/// Where blobs on this node's disk come from.
pub trait Source: Send + Sync + 'static {
    /// This node's disk.
    fn local(&self) -> &Local;

    /// Replaces a blob that this node should keep, and that is damaged or missing; false when it
    /// need not be replaced.
    fn heal(&self, hash: BlobHash, deadline: Instant) -> BoxFuture<'_, Result<bool, BlobError>>;
}

/// The blob store of one node.
pub struct Store {
    pub(super) members: Members,
    pub(super) local: Local,
    pub(super) repairs: Repairs,
    pub(super) rounds: Rounds,
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
        options: &FileOptions,
        remote: Arc<dyn Remote>,
    ) -> Result<Arc<Self>, BlobError> {
        let roles = members.clone();
        let local = Local::open(dir, Arc::new(move |hash| roles.role(hash)), options).await?;
        let rounds =
            Rounds { local: local.clone(), members: members.clone(), remote: remote.clone() };
        Ok(Arc::new(Self {
            members,
            local,
            repairs: Repairs::start(rounds.clone()).await?,
            rounds,
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
        let (turn, hash) = begin_put(&self.puts, &bytes, deadline).await?;
        let turn = Arc::new(turn);
        let mut targets = self.members.targets(&hash);
        let result = loop {
            let result = self.put_on(hash, bytes.clone(), &targets, deadline, turn.clone()).await;
            // A target that leaves refuses: who took its place is asked instead.
            let now = self.members.targets(&hash);
            if result.is_ok() || now == targets || Instant::now() >= deadline {
                break result;
            }
            targets = now;
        };
        count_put(&result);
        result.map(|()| hash)
    }

    /// Whether no put is under way.
    pub fn is_idle(&self) -> bool {
        self.puts.available_permits() == PUTS
    }

    async fn put_on(
        self: &Arc<Self>,
        hash: BlobHash,
        bytes: Bytes,
        targets: &[NodeId],
        deadline: Instant,
        turn: Arc<OwnedSemaphorePermit>,
    ) -> Result<(), BlobError> {
        if targets == [self.members.me] {
            // Nobody else is to be asked, so the disk's own error is the clearest.
            return self.write_here(hash, bytes, deadline).await;
        }
        let (tell, told) = oneshot::channel();
        let put = Put { hash, bytes, targets: targets.to_vec(), deadline, _turn: turn };
        tokio::spawn(self.clone().spread(put, tell));
        let abandoned = || BlobError::Io("the put was abandoned: see the node's log".into());
        told.await.unwrap_or_else(|_| Err(abandoned()))
    }

    /// Reads a blob; see [`Blobs::get`](super::Blobs::get).
    pub async fn get(&self, hash: BlobHash, deadline: Instant) -> Result<Bytes, BlobError> {
        let mut plan = GetPlan::new(hash, self.sources(&hash));
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
        let (mut tell, mut missed) = (Some(tell), Vec::new());
        let mut copies: FuturesUnordered<_> =
            put.targets.iter().map(|node| self.copy(&put, *node)).collect();
        while let Some((node, copy)) = copies.next().await {
            if let Err(NoCopy { why, .. }) = &copy {
                tracing::info!(blob = %put.hash, why, "a copy was not made");
                missed.push(node);
            }
            if let Some(result) = plan.answered(node, copy)
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(result);
            }
        }
        // What nobody has cannot be given to those that lack it.
        for node in missed.into_iter().filter(|_| plan.is_somewhere()) {
            if node == self.members.me {
                self.local.lost(put.hash);
            } else {
                self.repairs.missed(node);
            }
        }
    }

    /// Makes one copy, until the deadline at most.
    async fn copy(&self, put: &Put, node: NodeId) -> (NodeId, Result<(), NoCopy>) {
        let (hash, bytes) = (put.hash, put.bytes.clone());
        let done = if node == self.members.me {
            let written = self.write_here(hash, bytes, put.deadline).await;
            written.map_err(|error| match error {
                BlobError::Full(why) => NoCopy { why: format!("{node}: {why}"), full: true },
                error => NoCopy { why: format!("{node}: {error}"), full: false },
            })
        } else {
            let offered = transfer::offer(&*self.remote, node, hash, &bytes, put.deadline).await;
            offered.map_err(|error| {
                let full = matches!(error, TransferError::Full(_));
                NoCopy { why: error.told(node), full }
            })
        };
        (node, done)
    }

    async fn write_here(
        &self,
        hash: BlobHash,
        bytes: Bytes,
        deadline: Instant,
    ) -> Result<(), BlobError> {
        let written = async {
            let room = self.local.room(bytes.len() as u64).await?;
            self.local.keep(hash, bytes, room).await
        };
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
        if let Some(bytes) = self.fetch(hash, deadline, plan).await {
            return Some(Got::Fetched(bytes, flight));
        }
        // It may have come here while the others were asked.
        self.local.len_of(&hash)?;
        self.read_here(&hash, plan).await.map(Got::Here)
    }

    async fn fetch(&self, hash: BlobHash, deadline: Instant, plan: &mut GetPlan) -> Option<Bytes> {
        let _turn = self.fetches.acquire().await.ok()?;
        while let Some(node) = plan.next() {
            match transfer::fetch(&*self.remote, node, hash, &self.receiving, deadline).await {
                Ok(bytes) => return Some(bytes),
                Err(error @ TransferError::NotFound) => plan.lacks(error.told(node)),
                Err(error) => plan.failed(error.told(node)),
            }
        }
        None
    }

    /// The other nodes that may have a blob.
    fn sources(&self, hash: &BlobHash) -> Vec<NodeId> {
        let peers = self.remote.peers();
        let connected: Vec<NodeId> =
            peers.borrow().iter().filter(|(_, s)| s.up.is_some()).map(|(node, _)| *node).collect();
        self.members.sources(hash, &connected)
    }

    async fn replace(&self, hash: BlobHash, deadline: Instant) -> Result<bool, BlobError> {
        let _flight = self.flights.lock(hash).await;
        if self.members.role(&hash) != Role::Target
            || matches!(self.local.read(&hash).await, Ok(Some(_)))
        {
            self.local.not_lost(&hash);
            return Ok(false);
        }
        // With a full disk nothing need be fetched.
        drop(self.local.room(0).await?);
        let mut plan = GetPlan::new(hash, self.sources(&hash));
        let Some(bytes) = self.fetch(hash, deadline, &mut plan).await else {
            if plan.is_nowhere() {
                tracing::error!(blob = %hash, "the last copy of a blob is lost: no node has it");
                self.local.not_lost(&hash);
            }
            return Err(plan.not_found());
        };
        let room = self.local.room(bytes.len() as u64).await?;
        self.local.keep(hash, bytes, room).await?;
        Ok(true)
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
        let bytes = bytes.clone();
        let kept = match self.members.role(&hash) {
            Role::Target => match self.local.room(bytes.len() as u64).await {
                Ok(room) => self.local.keep(hash, bytes, room).await,
                Err(error) => Err(error),
            },
            Role::Surplus | Role::Cached => self.local.cache(hash, bytes).await,
        };
        if let Err(error) = kept {
            tracing::warn!(blob = %hash, %error, "a fetched blob could not be kept");
        }
    }
}

impl Source for Store {
    fn local(&self) -> &Local {
        &self.local
    }

    fn heal(&self, hash: BlobHash, deadline: Instant) -> BoxFuture<'_, Result<bool, BlobError>> {
        Box::pin(async move {
            let late = || BlobError::TimedOut(format!("{hash}: no copy came in time"));
            let replaced = tokio::time::timeout_at(deadline.into(), self.replace(hash, deadline));
            replaced.await.unwrap_or_else(|_| Err(late()))
        })
    }
}

/// Waits for a put's turn, and hashes its bytes.
pub async fn begin_put(
    puts: &Arc<Semaphore>,
    bytes: &Bytes,
    deadline: Instant,
) -> Result<(OwnedSemaphorePermit, BlobHash), BlobError> {
    if bytes.len() as u64 > MAX_BLOB {
        return Err(BlobError::TooBig(bytes.len() as u64));
    }
    let late = || BlobError::TimedOut("no copy was begun: too many puts are under way".into());
    let turn = tokio::time::timeout_at(deadline.into(), puts.clone().acquire_owned());
    let turn = turn.await.map_err(|_| late())?.map_err(|_| late())?;
    let bytes = bytes.clone();
    let hash = blocking(move || Ok(BlobHash::of(&bytes))).await?;
    Ok((turn, hash))
}

/// Counts a put.
pub fn count_put(result: &Result<(), BlobError>) {
    let count = if result.is_ok() { metrics::PUTS } else { metrics::PUT_FAILURES };
    ::metrics::counter!(count).increment(1);
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
    _turn: Arc<OwnedSemaphorePermit>,
}
