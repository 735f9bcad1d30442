//! This node's open proposals. Pure. A proposal is sent to whoever leads, again to each new
//! leader, and again when nothing came of it; it is settled when its request id is seen in an
//! entry applied here, never by its place in a queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::dedup::WINDOW;
use crate::id::{Incarnation, NodeId};
use crate::wire::consensus::{Command, MAX_PROPOSALS, Proposal, RequestId};

/// Proposals of one node that may be open; more are refused with `Full`.
pub const MAX_OPEN: usize = 512;
/// Bytes of proposals sent in one message, well below what a message may have.
pub const MAX_BATCH: usize = 256 << 10;
/// How long after it was sent an open proposal is sent again: a message or a log entry may have
/// been lost without a change of leader.
pub const RESEND: Duration = Duration::from_secs(1);

/// Too many are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Proposals to hand to a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The leader.
    pub to: NodeId,
    /// At most [`MAX_PROPOSALS`], and [`MAX_BATCH`] bytes.
    pub proposals: Vec<Proposal>,
}

#[derive(Debug)]
struct Open {
    command: Command,
    bytes: usize,
    deadline: Instant,
    since: Instant,
    sent: Option<Instant>,
}

/// The open proposals of one life of a node.
#[derive(Debug)]
pub struct Proposals {
    node: NodeId,
    incarnation: Incarnation,
    numbers: Arc<AtomicU64>,
    open: BTreeMap<u64, Open>,
    leader: Option<NodeId>,
}

impl Proposals {
    /// None are open. `numbers` holds the last number given in this life; it is shared so that a
    /// driver that is started again in the same life does not repeat them.
    pub fn new(node: NodeId, incarnation: Incarnation, numbers: Arc<AtomicU64>) -> Self {
        Self { node, incarnation, numbers, open: BTreeMap::new(), leader: None }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// A name for a proposal that is not tracked here.
    pub fn next_id(&mut self) -> RequestId {
        self.id(self.numbers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The name of an open proposal.
    pub fn id(&self, number: u64) -> RequestId {
        RequestId { node: self.node, incarnation: self.incarnation, number }
    }

    /// Opens a proposal of `bytes` bytes; gives its number.
    pub fn open(
        &mut self,
        command: Command,
        bytes: usize,
        deadline: Instant,
        now: Instant,
    ) -> Result<u64, Full> {
        let next = self.numbers.load(Ordering::Relaxed) + 1;
        let lowest = self.open.first_key_value().map_or(next, |(number, _)| *number);
        if self.open.len() >= MAX_OPEN || next - lowest >= WINDOW {
            return Err(Full);
        }
        let number = self.next_id().number;
        self.open.insert(number, Open { command, bytes, deadline, since: now, sent: None });
        Ok(number)
    }

    /// Somebody else leads now, or nobody: what is open goes to the new leader.
    pub fn leader_is(&mut self, leader: Option<NodeId>) {
        if self.leader != leader {
            self.leader = leader;
            self.open.values_mut().for_each(|open| open.sent = None);
        }
    }

    /// An entry with this request id was applied here. Gives the number and how long it was open,
    /// if it was.
    pub fn applied(&mut self, id: RequestId, now: Instant) -> Option<(u64, Duration)> {
        if id != self.id(id.number) {
            return None;
        }
        let open = self.open.remove(&id.number)?;
        Some((id.number, now.saturating_duration_since(open.since)))
    }

    /// The numbers that are open: after a snapshot each may have been applied without being seen.
    pub fn numbers(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    /// Gives up those whose deadline passed: nobody waits for them any more.
    pub fn expire(&mut self, now: Instant) -> Vec<u64> {
        let late = |open: &Open| open.deadline <= now;
        let numbers: Vec<u64> =
            self.open.iter().filter(|(_, open)| late(open)).map(|(number, _)| *number).collect();
        self.open.retain(|_, open| !late(open));
        numbers
    }

    /// Hands out what is to be sent now, in order.
    pub fn batches(&mut self, now: Instant) -> Vec<Batch> {
        let Some(to) = self.leader else { return Vec::new() };
        let (node, incarnation) = (self.node, self.incarnation);
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        for (&number, open) in &mut self.open {
            if open.sent.is_some_and(|sent| now.saturating_duration_since(sent) < RESEND) {
                continue;
            }
            open.sent = Some(now);
            let id = RequestId { node, incarnation, number };
            let proposal = Proposal { id, command: open.command.clone() };
            let room = |batch: &&mut Batch| {
                batch.proposals.len() < MAX_PROPOSALS && bytes + open.bytes <= MAX_BATCH
            };
            match batches.last_mut().filter(room) {
                Some(batch) => batch.proposals.push(proposal),
                None => {
                    bytes = 0;
                    batches.push(Batch { to, proposals: vec![proposal] });
                }
            }
            bytes += open.bytes;
        }
        batches
    }
}

#[cfg(test)]
#[path = "proposals_tests.rs"]
mod tests;
