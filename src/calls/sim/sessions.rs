//! Sessions as consensus gives them, without its inside: a node has one while it reaches a
//! majority, believes in it for 3 s, and the others hear of its end later than that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::life::Life;
use super::now;
use crate::id::{Incarnation, NodeId};

const LEASE: Duration = Duration::from_secs(3);
/// How much later than its node the cluster ends a session.
const LATER: Duration = Duration::from_millis(400);

/// All of them.
pub struct Sessions {
    nodes: usize,
    granted: BTreeMap<NodeId, (Incarnation, Instant)>,
    open: BTreeMap<NodeId, (Incarnation, u64)>,
    /// What each node has heard: the last session that was opened, and those that are open.
    known: BTreeMap<NodeId, (u64, Open)>,
    /// The last session that was opened.
    newest: u64,
    /// Who grants them.
    leader: Option<NodeId>,
}

type Open = BTreeMap<NodeId, (Incarnation, u64)>;

impl Sessions {
    pub fn new(nodes: usize) -> Self {
        let (granted, open, known) = Default::default();
        Self { nodes, granted, open, known, newest: 0, leader: None }
    }

    /// Whether a process may start calls.
    pub fn is_live(&self, life: &Life) -> bool {
        let granted = self.granted.get(&life.node);
        granted.is_some_and(|(of, at)| {
            // By its own clock.
            let since = now().saturating_duration_since(*at) * life.rate() / 100;
            *of == life.incarnation && since < LEASE
        })
    }

    /// The sessions that a node has heard of.
    pub fn known(&self, node: NodeId) -> BTreeMap<NodeId, Incarnation> {
        let open = self.known.get(&node).map(|(_, open)| open.iter());
        open.into_iter().flatten().map(|(node, (life, _))| (*node, *life)).collect()
    }

    /// The number of a node's open session; 0 when there is none.
    pub fn opened(&self, node: NodeId) -> u64 {
        self.open.get(&node).map_or(0, |(_, opened)| *opened)
    }

    /// The session of `node` that `reader` has heard of.
    pub fn heard_of(&self, reader: NodeId, node: NodeId) -> Option<u64> {
        let (_, open) = self.known.get(&reader)?;
        open.get(&node).map(|(_, opened)| *opened)
    }

    /// Whether `reader` has heard that this session of `node` is over.
    pub fn is_over(&self, reader: NodeId, node: NodeId, opened: u64) -> bool {
        self.known.get(&reader).is_some_and(|(newest, open)| {
            *newest >= opened && open.get(&node).map(|(_, now)| *now) != Some(opened)
        })
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
        let in_majority = |life: &Arc<Life>| {
            running.iter().filter(|other| open(life.node, other.node)).count() > self.nodes / 2
        };
        let mut leaders: Vec<_> = running.iter().filter(|life| in_majority(life)).collect();
        leaders.sort_by_key(|life| (Some(life.node) != self.leader, life.node));
        self.leader = leaders.first().map(|leader| leader.node);
        // The leader serves all that it reaches.
        let reached = |life: &&&Arc<Life>| self.leader.is_some_and(|at| open(at, life.node));
        let served: Vec<_> = running.iter().filter(reached).copied().cloned().collect();
        for life in &served {
            self.granted.insert(life.node, (life.incarnation, now));
            let (incarnation, newest) = (life.incarnation, &mut self.newest);
            let session = self.open.entry(life.node).or_insert((Incarnation(0), 0));
            if session.0 != incarnation {
                *newest += 1;
                *session = (incarnation, *newest);
            }
        }
        if !served.is_empty() {
            let granted = &self.granted;
            self.open.retain(|node, _| {
                granted.get(node).is_some_and(|(_, at)| now < *at + LEASE + LATER)
            });
        }
        for life in &served {
            // What was agreed is heard of a little later.
            if rng.random_bool(0.7) {
                self.known.insert(life.node, (self.newest, self.open.clone()));
            }
        }
    }
}
