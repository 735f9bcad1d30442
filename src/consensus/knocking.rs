//! Nodes that knock, and what they are told.

use super::core::{Core, Effect, Sink};
use super::log::Disk;
use super::raft_node::Fatal;
use crate::id::NodeId;
use crate::wire::consensus::{Message, Response, Verdict};

impl<D: Disk> Core<D> {
    /// Whether the Raft messages of a node are taken. One that was removed and is out of the group
    /// is told so.
    pub(super) fn may_speak(&mut self, from: NodeId) -> bool {
        if let Some(leader) = self.admission.heard(from) {
            let birth = self.admission.birth();
            self.knocks.insert(leader, Message::Knock { birth, founds: false });
        }
        if self.is_out(from) {
            self.knocks.insert(from, Message::Knocked(Verdict::Removed));
            return false;
        }
        self.admission.admitted()
    }

    fn is_out(&self, node: NodeId) -> bool {
        let machine = self.raft.machine();
        machine.members().was_removed(node) && !machine.conf().contains(node)
    }

    /// At each tick.
    pub(super) fn knock(&mut self) {
        let machine = self.raft.machine();
        let known = machine.conf().all().chain(machine.members().all().keys().copied());
        let whom = self.admission.tick(self.raft.hears_leader(), known);
        let (birth, founds) = (self.admission.birth(), self.admission.founds());
        if founds && !whom.is_empty() {
            tracing::debug!(missing = ?whom, "the first start waits for the other voters");
        }
        for node in whom {
            self.knocks.insert(node, Message::Knock { birth, founds });
        }
    }

    /// A node knocks.
    pub(super) fn knocked_by(&mut self, from: NodeId, birth: u64, founds: bool) {
        let recorded = self.raft.machine().birth(from);
        let verdict = if self.is_out(from) {
            Verdict::Removed
        } else if self.admission.contradicts(from, birth, recorded) {
            Verdict::Lost
        } else if founds {
            if let Some(births) = self.admission.note(from, birth)
                && let Err(fatal) = self.raft.witness(births)
            {
                self.fatal = Some(fatal);
                return;
            }
            if !self.admission.noted(from, birth) {
                return;
            }
            Verdict::Noted
        } else if self.raft.leads_firmly() {
            Verdict::Noted
        } else {
            return;
        };
        self.knocks.insert(from, Message::Knocked(verdict));
    }

    /// A node answers a knock.
    pub(super) fn answered(&mut self, from: NodeId, verdict: Verdict) {
        if let Err(fatal) = self.admission.answered(from, verdict) {
            self.fatal = Some(fatal);
        }
    }

    /// The answer to the proposal that opens this node's session. One that was removed is needed
    /// for as long as its vote counts.
    pub(super) fn session_answered(&self, answer: Response) -> Result<(), Fatal> {
        match answer {
            Response::Refused(why) if !self.raft.machine().members().was_removed(self.me) => {
                Err(Fatal::Refused(why))
            }
            _ => Ok(()),
        }
    }

    /// Sends what is to be said; an error means that this member is out.
    pub(super) fn still_in(&mut self, sink: Sink<'_>) -> Result<(), Fatal> {
        for (node, message) in std::mem::take(&mut self.knocks) {
            sink(Effect::Send(node, message));
        }
        if let Some(fatal) = self.fatal.take() {
            return Err(fatal);
        }
        // One whose vote counts takes part until the change that takes it out.
        let machine = self.raft.machine();
        if machine.members().was_removed(self.me) && !machine.conf().votes(self.me) {
            return Err(Fatal::Removed(self.me));
        }
        Ok(())
    }
}
