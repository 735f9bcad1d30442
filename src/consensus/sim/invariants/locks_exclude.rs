//! No two calls believe that they have the same lock, but for readers; of later holders the tokens
//! are higher. A call believes so from the answer until it releases the lock or ends, or its node's
//! session is over by the node's own clock. A node whose removal was asked for does not count: it is
//! out at once, whatever it believes, and owners of keys refuse its tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::consensus::lock_ask::Told;
use crate::consensus::sim::world::SimNode;
use crate::id::{CallId, NodeId};
use crate::wire::locks::{Mode, Token};
use crate::wire::shards::StateKey;

/// Who believes what.
#[derive(Default)]
pub struct Exclusion {
    held: BTreeMap<(StateKey, NodeId, CallId), (Mode, Token)>,
}

impl Exclusion {
    /// A node was told something.
    pub fn told(
        &mut self,
        id: NodeId,
        told: &Told,
        nodes: &BTreeMap<NodeId, SimNode>,
        clocks: &BTreeMap<NodeId, Instant>,
        removed: &BTreeSet<NodeId>,
    ) -> Result<(), String> {
        match told {
            Told::Answer { call, key, mode, result: Ok(grant), .. } => {
                let name = (key.clone(), id, *call);
                self.held.insert(name.clone(), (*mode, grant.token));
                let believes = |node: &NodeId| {
                    let until = nodes.get(node).and_then(|node| node.believed);
                    !removed.contains(node) && until.is_some_and(|until| until > clocks[node])
                };
                if !believes(&id) {
                    return Ok(());
                }
                for (other, (how, token)) in &self.held {
                    if other.0 != *key || *other == name || !believes(&other.1) {
                        continue;
                    }
                    if *mode == Mode::Write || *how == Mode::Write {
                        return Err(format!("{name:?} and {other:?} both have the lock"));
                    }
                    if *token == 0 || grant.token == 0 {
                        return Err(format!("{key} was granted without a token"));
                    }
                }
            }
            Told::Ended { call, key, .. } => self.released(id, *call, key),
            Told::Answer { .. } | Told::Queued(_) | Told::Done(_) => {}
        }
        Ok(())
    }

    /// A call released a lock.
    pub fn released(&mut self, id: NodeId, call: CallId, key: &StateKey) {
        self.held.remove(&(key.clone(), id, call));
    }

    /// A call has ended.
    pub fn ended(&mut self, id: NodeId, call: CallId) {
        self.held.retain(|(_, node, of), _| (*node, *of) != (id, call));
    }

    /// A node's process was killed.
    pub fn killed(&mut self, id: NodeId) {
        self.held.retain(|(_, node, _), _| *node != id);
    }
}
