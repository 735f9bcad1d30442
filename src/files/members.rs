//! This node among the members: who keeps what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::index::Role;
use super::rendezvous;
use crate::id::{BlobHash, NodeId};

/// The members of the cluster that are to keep blobs, as the node knows them now: without those
/// that leave. It may change at any time.
pub type Nodes = Arc<dyn Fn() -> Vec<NodeId> + Send + Sync>;

/// Who keeps what. Cheap to clone.
#[derive(Clone)]
pub struct Members {
    /// This node.
    pub me: NodeId,
    /// Copies of a blob.
    pub copies: usize,
    nodes: Nodes,
    leaving: Arc<AtomicBool>,
}

impl Members {
    /// This node among `nodes`, each blob in so many copies.
    pub fn new(me: NodeId, copies: usize, nodes: Nodes) -> Self {
        Self { me, copies, nodes, leaving: Arc::default() }
    }

    /// The members. This node is among them unless it leaves, whatever the list says: a list that
    /// is not complete yet can then make this node keep more than it has to, never less.
    pub fn all(&self) -> Vec<NodeId> {
        let mut nodes = (self.nodes)();
        nodes.retain(|node| *node != self.me);
        if !self.leaving.load(Ordering::SeqCst) || nodes.is_empty() {
            nodes.push(self.me);
        }
        nodes.sort_unstable();
        nodes
    }

    /// Whether this node leaves: then it is named for no blob.
    pub fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::SeqCst);
    }

    /// The nodes that keep a blob, the most fitting first.
    pub fn targets(&self, hash: &BlobHash) -> Vec<NodeId> {
        rendezvous::targets(hash, &self.all(), self.copies)
    }

    /// What a blob is on this node that was not read into the cache.
    pub fn role(&self, hash: &BlobHash) -> Role {
        if self.targets(hash).contains(&self.me) { Role::Target } else { Role::Surplus }
    }

    /// The other nodes that may have a blob: its targets first, then the rest, then those that are
    /// no members any more, or not yet, but connected.
    pub fn sources(&self, hash: &BlobHash, connected: &[NodeId]) -> Vec<NodeId> {
        let mut ranked = rendezvous::ranked(hash, &self.all());
        let others = connected.iter().filter(|node| !ranked.contains(node));
        let others: Vec<NodeId> = others.copied().collect();
        ranked.extend(others);
        ranked.retain(|node| *node != self.me);
        ranked
    }
}
