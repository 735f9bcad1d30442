//! The blob store: bytes named by their hash, kept on the nodes that rendezvous hashing names, or in
//! a bucket.
//!
//! A put succeeds when a majority of a blob's targets have it durably; the other copies are made
//! in the background, or by repair when their node comes back. A get reads the local copy, or
//! fetches one from the targets or, failing those, from anybody, and keeps it: for good where this
//! node is a target, else in a bounded cache. Whatever comes from a disk, a peer or a bucket is
//! checked against the hash first; what fails the check is taken for missing, and replaced by
//! another copy. All blobs are read in the background to find damage that nobody has met yet.
//!
//! When the members change, each node sorts its blobs anew. A blob that others should have is kept
//! until they do; then it is only cached.
//!
//! | file | what |
//! |---|---|
//! | `store`, `plan` | puts and gets over the nodes' disks |
//! | `bucket`, `shared` | puts and gets over a bucket |
//! | `local`: `disk`, `format`, `space`, `index`, `locks` | this node's disk |
//! | `transfer`, `serve`, `remote` | blobs between nodes |
//! | `actor`: `repair`, `round`; `members`, `rendezvous` | repair, and who keeps what |
//! | `scrub` | looking for damage |

mod actor;
mod bucket;
mod disk;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod local;
mod locks;
mod members;
pub mod metrics;
mod plan;
mod remote;
mod rendezvous;
mod repair;
mod round;
mod scrub;
mod serve;
mod shared;
mod space;
mod store;
mod transfer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use members::Nodes;
pub use round::Wanting;

use crate::config::FileOptions;
use crate::id::{BlobHash, NodeId};
use crate::net::{Net, ServiceId};
use bucket::{Bucket, Keys};
use members::Members;
use scrub::Scrub;
use serve::Server;
use shared::Shared;
use store::Store;

/// Why a blob could not be stored or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Nobody has it.
    #[error("blob {0} is on none of the nodes that can be reached: {1}")]
    NotFound(BlobHash, String),
    /// Too few copies could be made.
    #[error("only {have} of the {need} copies needed could be stored: {why}")]
    TooFewCopies {
        /// Copies made durable.
        have: usize,
        /// Copies needed.
        need: usize,
        /// The errors of the others.
        why: String,
    },
    /// Larger than [`MAX_BLOB`].
    #[error("{0} bytes are more than a blob may have ({MAX_BLOB})")]
    TooBig(u64),
    /// The disk, or the disks of too many nodes, are full.
    #[error("the blob store is full: {0}; free some of the disk, or add nodes or larger disks")]
    Full(String),
    /// Too many nodes lack blobs of this one, so that it must not leave.
    #[error("{blobs} blobs are not on all nodes that should have them: {why}")]
    NotElsewhere {
        /// How many.
        blobs: usize,
        /// What is known of the reasons.
        why: String,
    },
    /// The bucket's service cannot be reached, or has a problem of its own.
    #[error("{0}")]
    Unavailable(String),
    /// The bucket refuses, or what it takes to use it is missing.
    #[error("{0}")]
    Bucket(String),
    /// The disk refused.
    #[error("the blob store's disk refused: {0}")]
    Io(String),
    /// The deadline passed.
    #[error("the blob could not be moved in time: {0}")]
    TimedOut(String),
}

/// Largest blob, in bytes.
pub const MAX_BLOB: u64 = 256 << 20;

/// What the blob store of a node is started with.
pub struct BlobSetup {
    /// This node.
    pub me: NodeId,
    /// Where its blobs are; made when missing.
    pub dir: PathBuf,
    /// Copies and cache.
    pub options: FileOptions,
    /// The connections, not opened yet.
    pub net: Net,
    /// The members of the cluster that keep blobs; looked at all the time.
    pub nodes: Nodes,
}

/// Time between two looks whether the other nodes have the blobs of one that leaves.
const LEAVE_LOOK: Duration = Duration::from_millis(100);

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    place: Place,
    scrub: Scrub,
}

/// Where blobs are kept.
#[derive(Clone)]
enum Place {
    Nodes(Arc<Store>, Server),
    Bucket(Arc<Shared>),
}

impl Blobs {
    /// Opens the directory, lists what is in it, serves it to the other nodes, and begins to
    /// repair; or opens the bucket, with the directory as its cache. [`BlobError::Io`] when the
    /// directory cannot be used, [`BlobError::Bucket`] when the bucket cannot.
    pub async fn start(setup: BlobSetup) -> Result<Self, BlobError> {
        let BlobSetup { me, dir, options, net, nodes } = setup;
        if let Some(s3) = &options.s3 {
            let bucket = Bucket::open(s3, &Keys::from_env()?)?;
            bucket.probe().await?;
            let shared = Arc::new(Shared::start(bucket, dir, &options).await?);
            let scrub = Scrub::start(shared.clone(), &options).await?;
            return Ok(Self { place: Place::Bucket(shared), scrub });
        }
        let members = Members::new(me, options.copies, nodes);
        let store = Store::start(members, dir, &options, Arc::new(net.clone())).await?;
        let server = Server::new(store.local.clone(), transfer::REPLY_WAIT);
        net.register(ServiceId::Blobs, Arc::new(server.clone()));
        Self::over(store, server, &options).await
    }

    async fn over(
        store: Arc<Store>,
        server: Server,
        options: &FileOptions,
    ) -> Result<Self, BlobError> {
        let scrub = Scrub::start(store.clone(), options).await?;
        Ok(Self { place: Place::Nodes(store, server), scrub })
    }

    /// Stores bytes, at most [`MAX_BLOB`]; returns when a majority of their target copies is
    /// durable, and goes on with the rest. It goes on, too, when the future is dropped.
    pub async fn put(&self, bytes: Bytes, deadline: Instant) -> Result<BlobHash, BlobError> {
        match &self.place {
            Place::Nodes(store, _) => store.put(bytes, deadline).await,
            Place::Bucket(shared) => shared.put(bytes, deadline).await,
        }
    }

    /// Reads a blob from here or from where it is kept; verified by its hash.
    pub async fn get(&self, hash: BlobHash, deadline: Instant) -> Result<Bytes, BlobError> {
        match &self.place {
            Place::Nodes(store, _) => store.get(hash, deadline).await,
            Place::Bucket(shared) => shared.get(hash, deadline).await,
        }
    }

    /// The nodes that should keep it; none if a bucket does.
    pub fn targets(&self, hash: &BlobHash) -> Vec<NodeId> {
        match &self.place {
            Place::Nodes(store, _) => store.members.targets(hash),
            Place::Bucket(_) => Vec::new(),
        }
    }

    /// Asks the nodes that should have the blobs of this one whether they do.
    pub async fn under_replicated(&self, deadline: Instant) -> Result<Wanting, BlobError> {
        let Place::Nodes(store, _) = &self.place else { return Ok(Wanting::default()) };
        let asking = tokio::time::timeout_at(deadline.into(), store.rounds.wanting());
        asking.await.map_err(|_| BlobError::TimedOut("the nodes did not answer in time".to_owned()))
    }

    /// Gives all blobs of this node to others, to be called before it leaves the cluster, when
    /// [`BlobSetup::nodes`] names it no more. When it returns, the others have all, durably, and
    /// this node takes none from them any more. [`BlobError::NotElsewhere`] at the deadline: the
    /// node must not be removed then; [`stay`](Self::stay), or try again.
    pub async fn leave(&self, deadline: Instant) -> Result<(), BlobError> {
        let Place::Nodes(store, server) = &self.place else { return Ok(()) };
        store.members.set_leaving(true);
        let mut wanting = Wanting::default();
        let mut closed = false;
        while Instant::now() < deadline {
            store.repairs.look();
            wanting = self.under_replicated(deadline).await?;
            if store.members.all() == [store.members.me] {
                wanting.blobs = store.local.len();
                wanting.why = vec!["there is no other node to keep blobs".to_owned()];
            }
            if wanting.blobs == 0 && closed {
                return Ok(());
            }
            // What came while the others were asked is looked for once more.
            server.set_closed(wanting.blobs == 0);
            closed = wanting.blobs == 0 && server.is_idle() && store.is_idle();
            if !closed {
                tokio::time::sleep(LEAVE_LOOK).await;
            }
        }
        server.set_closed(false);
        let why = match wanting.why.is_empty() {
            true => "the copies could not be made in time".to_owned(),
            false => wanting.why.join("; "),
        };
        Err(BlobError::NotElsewhere { blobs: wanting.blobs, why })
    }

    /// Takes back [`leave`](Self::leave).
    pub fn stay(&self) {
        if let Place::Nodes(store, server) = &self.place {
            store.members.set_leaving(false);
            server.set_closed(false);
            store.repairs.look();
        }
    }

    /// Ends repair; transfers under way are left to the end of the connections. Bounded by
    /// `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.scrub.stop();
        if let Place::Nodes(store, _) = &self.place {
            store.repairs.stop(grace).await;
        }
    }
}
