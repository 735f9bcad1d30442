//! The network between simulated nodes. Messages of a connection come in order; now and then one
//! comes by an older connection, late.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::rngs::StdRng;

use crate::id::NodeId;

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
    last: BTreeMap<(NodeId, NodeId), u64>,
}

impl Network {
    /// When a message sent now arrives, in microseconds: never when it is lost.
    pub fn arrivals(&mut self, from: NodeId, to: NodeId, now: u64, rng: &mut StdRng) -> Vec<u64> {
        if from == to {
            return vec![now + 10];
        }
        let mut chance = |per_thousand| rng.random_range(0..1000) < per_thousand;
        if self.cut.contains(&(from, to)) || chance(self.loss) {
            return Vec::new();
        }
        let (doubled, late) = (chance(self.doubled), chance(self.late));
        let last = self.last.entry((from, to)).or_default();
        let mut arrivals = Vec::new();
        if late {
            arrivals.push(now + rng.random_range(3_000..2_000_000));
        } else {
            *last = (*last + 1).max(now + rng.random_range(100..2_000));
            arrivals.push(*last);
        }
        if doubled {
            arrivals.push(now + rng.random_range(100..800_000));
        }
        arrivals
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

    /// Whether a node reaches a majority, and is reached: then it reaches Raft.
    pub fn in_majority(&self, node: NodeId, running: &[NodeId], all: usize) -> bool {
        let open = |other: &&NodeId| {
            !self.cut.contains(&(node, **other)) && !self.cut.contains(&(**other, node))
        };
        running.iter().filter(open).count() > all / 2
    }
}
