//! The network between simulated nodes.

use std::collections::BTreeSet;

use raft::eraftpb::Message as RaftMessage;
use rand::Rng;
use rand::rngs::StdRng;

use crate::id::NodeId;
use crate::wire::consensus::Message;

/// What travels.
#[derive(Debug, Clone)]
pub enum Packet {
    /// Of raft-rs.
    Raft(RaftMessage),
    /// Anything else.
    Other(Message),
}

/// How bad it is.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Lost, per thousand.
    pub loss: u32,
    /// Doubled, per thousand.
    pub doubled: u32,
    /// Delayed long, and so reordered, per thousand.
    pub late: u32,
    /// Directed links that carry nothing.
    pub cut: BTreeSet<(NodeId, NodeId)>,
}

impl Network {
    /// The delays, in microseconds, after which a packet arrives: none when it is lost.
    pub fn delays(&self, from: NodeId, to: NodeId, rng: &mut StdRng) -> Vec<u64> {
        let mut chance = |per_thousand| rng.random_range(0..1000) < per_thousand;
        if self.cut.contains(&(from, to)) || chance(self.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(chance(self.doubled));
        let late = chance(self.late);
        let longest = if late { 400_000 } else { 3_000 };
        (0..copies).map(|_| rng.random_range(100..longest)).collect()
    }

    /// Cuts all links between one side and the others.
    pub fn split(&mut self, side: &[NodeId], all: &[NodeId]) {
        for (a, b) in side.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
            if !side.contains(&b) {
                self.cut.insert((a, b));
                self.cut.insert((b, a));
            }
        }
    }

    /// Cuts a node off from all, one way or both.
    pub fn isolate(&mut self, node: NodeId, all: &[NodeId], inward: bool, outward: bool) {
        for other in all.iter().filter(|other| **other != node) {
            if inward {
                self.cut.insert((*other, node));
            }
            if outward {
                self.cut.insert((node, *other));
            }
        }
    }
}
