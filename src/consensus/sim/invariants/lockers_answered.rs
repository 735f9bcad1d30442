//! Whoever asks for a lock is answered once, and at the end nothing is left.

use std::collections::BTreeSet;

use crate::consensus::core::Core;
use crate::consensus::lock_ask::Told;
use crate::consensus::sim::disk::SimDisk;
use crate::id::NodeId;

/// Who waits for an answer.
#[derive(Default)]
pub struct Answered {
    open: BTreeSet<(NodeId, u64)>,
    given_up: BTreeSet<(NodeId, u64)>,
}

impl Answered {
    /// Somebody asks.
    pub fn asked(&mut self, id: NodeId, ticket: u64) {
        self.open.insert((id, ticket));
    }

    /// Somebody does not want an answer any more; it may come.
    pub fn given_up(&mut self, id: NodeId, ticket: u64) {
        self.open.remove(&(id, ticket));
        self.given_up.insert((id, ticket));
    }

    /// A node was told something.
    pub fn told(&mut self, id: NodeId, told: &Told) -> Result<(), String> {
        let Told::Answer { ticket, .. } = told else {
            if let Told::Done(ticket) = told {
                self.open.remove(&(id, *ticket));
            }
            return Ok(());
        };
        let open = self.open.remove(&(id, *ticket));
        if !open && !self.given_up.remove(&(id, *ticket)) {
            return Err(format!("request {ticket} of {id} was answered twice"));
        }
        Ok(())
    }

    /// A node's process was killed, and all who waited with it.
    pub fn killed(&mut self, id: NodeId) {
        self.open.retain(|(node, _)| *node != id);
        self.given_up.retain(|(node, _)| *node != id);
    }

    /// All calls have ended since long.
    pub fn all(&self, cores: &[&Core<SimDisk>]) -> Result<(), String> {
        if let Some((id, ticket)) = self.open.first() {
            return Err(format!("request {ticket} of {id} was never answered"));
        }
        for core in cores {
            if let Some(left) = core.machine().locks().view(1).first() {
                return Err(format!("all calls have ended, and {left:?} is left"));
            }
        }
        Ok(())
    }
}
