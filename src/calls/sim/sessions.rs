//! Sessions as consensus gives them, without its inside: a node has one while it reaches a
//! majority, believes in it for 3 s, and the others hear of its end later than that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::life::Life;
use crate::clock;
use crate::id::{Incarnation, NodeId};

const LEASE: Duration = Duration::from_secs(3);
/// How much later than its node the cluster ends a session.
const LATER: Duration = Duration::from_millis(400);

/// All of them.
pub struct Sessions {
    nodes: usize,
    live_until: BTreeMap<NodeId, (Incarnation, Instant)>,
    open: BTreeMap<NodeId, Incarnation>,
    known: BTreeMap<NodeId, BTreeMap<NodeId, Incarnation>>,
}

impl Sessions {
    pub fn new(nodes: usize) -> Self {
        let (live_until, open, known) = Default::default();
        Self { nodes, live_until, open, known }
    }

    /// Whether a process may start calls.
    pub fn is_live(&self, life: &Life) -> bool {
        let until = self.live_until.get(&life.node);
        until.is_some_and(|(of, until)| *of == life.incarnation && clock::now() < *until)
    }

    /// The sessions that a node has heard of.
    pub fn known(&self, node: NodeId) -> BTreeMap<NodeId, Incarnation> {
        self.known.get(&node).cloned().unwrap_or_default()
    }

    /// Renews and ends them.
    pub fn pulse(
        &mut self,
        now: Instant,
        lives: &BTreeMap<NodeId, Arc<Life>>,
        cut: &BTreeSet<(NodeId, NodeId)>,
        rng: &mut StdRng,
    ) {
        let running: Vec<_> = lives.values().filter(|life| life.runs()).collect();
        let open = |a: NodeId, b: NodeId| !cut.contains(&(a, b)) && !cut.contains(&(b, a));
        let in_majority = |life: &&&Arc<Life>| {
            running.iter().filter(|other| open(life.node, other.node)).count() > self.nodes / 2
        };
        let served: Vec<_> = running.iter().filter(in_majority).copied().cloned().collect();
        for life in &served {
            self.live_until.insert(life.node, (life.incarnation, now + LEASE));
            self.open.insert(life.node, life.incarnation);
        }
        if !served.is_empty() {
            let live_until = &self.live_until;
            self.open.retain(|node, _| {
                live_until.get(node).is_some_and(|(_, until)| now < *until + LATER)
            });
        }
        for life in &served {
            // What was agreed is heard of a little later.
            if rng.random_bool(0.7) {
                self.known.insert(life.node, self.open.clone());
            }
        }
    }
}
