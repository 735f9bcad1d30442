//! The calls that this node sent to others and whose end it awaits. Pure: what comes from a peer
//! goes in, what is to be done comes out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cell::CallCell;
use super::place::PlaceHere;
use super::spec::Spec;
use crate::id::{Attempt, CallId, NodeId};

/// How long after its tree's deadline a silent node is given to report the end it must have made.
pub const GRACE: Duration = Duration::from_secs(2);

/// One call at another node.
pub struct Outgoing {
    /// The call.
    pub spec: Arc<Spec>,
    /// Where its end is awaited.
    pub cell: Arc<CallCell>,
    /// Which try this is.
    pub attempt: Attempt,
    /// Where it was sent.
    pub node: NodeId,
    /// Whether that node took it.
    pub accepted: bool,
    /// The place it may still need here, until it was taken there.
    pub place: Option<PlaceHere>,
    /// Nodes that refused it.
    pub tried: Vec<NodeId>,
}

/// What is to be done with a call whose node was lost.
pub enum Lost {
    /// Place it again, as this attempt.
    Again(Outgoing),
    /// It ends with `FAASM_EHOSTLOST`.
    End(Outgoing),
}

/// All of them.
#[derive(Default)]
pub struct Table {
    calls: HashMap<CallId, Outgoing>,
}

impl Table {
    /// A call was sent.
    pub fn sent(&mut self, outgoing: Outgoing) {
        self.calls.insert(outgoing.spec.call, outgoing);
    }

    /// A node took a call: its place here is free. `None` if that is old news.
    pub fn accepted(
        &mut self,
        from: NodeId,
        call: CallId,
        attempt: Attempt,
    ) -> Option<Option<PlaceHere>> {
        let outgoing = self.current(from, call, attempt)?;
        outgoing.accepted = true;
        Some(outgoing.place.take())
    }

    /// A node refused a call, or it ended there; `None` if it is not the current attempt's node.
    pub fn take(&mut self, from: NodeId, call: CallId, attempt: Attempt) -> Option<Outgoing> {
        self.current(from, call, attempt)?;
        self.calls.remove(&call)
    }

    /// A node was lost. Calls with a retry left get a new attempt number, so that a late result of
    /// the old one is not taken.
    pub fn lost(&mut self, node: NodeId) -> Vec<Lost> {
        let there: Vec<_> =
            self.calls.iter().filter(|(_, o)| o.node == node).map(|(call, _)| *call).collect();
        let taken = there.into_iter().filter_map(|call| self.calls.remove(&call));
        taken
            .map(|mut outgoing| {
                if outgoing.attempt.0 < outgoing.spec.function.entry.options.retries {
                    outgoing.attempt.0 += 1;
                    outgoing.accepted = false;
                    outgoing.tried.clear();
                    Lost::Again(outgoing)
                } else {
                    Lost::End(outgoing)
                }
            })
            .collect()
    }

    /// Takes out what should have ended long ago.
    pub fn overdue(&mut self, now: Instant) -> Vec<Outgoing> {
        let late: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, o)| now >= o.spec.tree.deadline + GRACE)
            .map(|(call, _)| *call)
            .collect();
        late.into_iter().filter_map(|call| self.calls.remove(&call)).collect()
    }

    /// Where a call was sent.
    pub fn node_of(&self, call: CallId) -> Option<NodeId> {
        self.calls.get(&call).map(|o| o.node)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn current(&mut self, from: NodeId, call: CallId, attempt: Attempt) -> Option<&mut Outgoing> {
        self.calls.get_mut(&call).filter(|o| o.node == from && o.attempt == attempt)
    }
}
