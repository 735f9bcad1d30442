//! This node among the members: who keeps what.

use std::sync::Arc;

use super::index::Role;
use super::rendezvous;
use crate::id::{BlobHash, NodeId};

/// All members of the cluster, as the node knows them now.
pub type Nodes = Arc<dyn Fn() -> Vec<NodeId> + Send + Sync>;

/// Who keeps what. Cheap to clone.
#[derive(Clone)]
pub struct Members {
    /// This node.
    pub me: NodeId,
    /// Copies of a blob.
    pub copies: usize,
    /// The members.
    pub nodes: Nodes,
}

impl Members {
    /// The members, this node among them whatever the list says: a list that is not complete yet
    /// can then make this node keep more than it has to, never less.
    pub fn all(&self) -> Vec<NodeId> {
        let mut nodes = (self.nodes)();
        if !nodes.contains(&self.me) {
            nodes.push(self.me);
        }
        nodes
    }

    /// The nodes that keep a blob, the most fitting first.
    pub fn targets(&self, hash: &BlobHash) -> Vec<NodeId> {
        rendezvous::targets(hash, &self.all(), self.copies)
    }

    /// What a blob is on this node.
    pub fn role(&self, hash: &BlobHash) -> Role {
        if self.targets(hash).contains(&self.me) { Role::Target } else { Role::Cached }
    }

    /// The other nodes that may have a blob: its targets first, then the rest.
    pub fn sources(&self, hash: &BlobHash) -> Vec<NodeId> {
        let mut ranked = rendezvous::ranked(hash, &self.all());
        ranked.retain(|node| *node != self.me);
        ranked
    }
}
