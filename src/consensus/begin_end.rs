//! How a member begins and ends: the group and the cluster are founded, the lead is handed over.

use super::core::Core;
use super::log::Disk;
use super::raft_node::Fatal;
use super::{steering, voters};
use crate::wire::consensus::{Command, Proposal};

impl<D: Disk> Core<D> {
    /// Founds the group as soon as that is safe.
    pub(super) fn found_group(&mut self) -> Result<(), Fatal> {
        if self.admission.may_found()
            && let Some(conf) = self.founds.take()
        {
            self.raft.found(conf)?;
            self.admission.founded();
        }
        Ok(())
    }

    /// The first leader says who belongs to the cluster. Others hold the same text, and a second
    /// founding is refused.
    pub(super) fn found(&mut self) {
        if self.led.is_none() || self.founding.is_none() {
            return;
        }
        if self.machine().members().founded() {
            self.founding = None;
        } else if let Some(command) = self.founding.clone() {
            let id = self.proposals.next_id();
            if self.append(&Proposal { id, command: Command::Member(command) }) {
                self.founding = None;
            }
        }
    }

    /// Whether a node that stops has nothing left to do: its session is over, and somebody else
    /// leads.
    pub fn may_end(&self) -> bool {
        let conf = self.machine().conf();
        let nodes = steering::standings(self.machine());
        let leads = self.raft.leads() && voters::successor(self.me, conf, &nodes).is_some();
        self.session_ended() && !leads
    }
}
