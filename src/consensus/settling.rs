//! The ends of this node's proposals: seen in an entry that is applied, or in a snapshot.

use std::time::Instant;

use super::Applied;
use super::core::{Core, Effect, Sink};
use super::log::Disk;
use super::raft_node::Fatal;
use crate::id::NodeId;
use crate::wire::consensus::{Command, Proposal, RequestId, Response};
use crate::wire::shards::StateKey;

impl<D: Disk> Core<D> {
    pub(super) fn settle(
        &mut self,
        id: RequestId,
        index: u64,
        response: Response,
        now: Instant,
        sink: Sink<'_>,
    ) -> Result<(), Fatal> {
        let Some((number, open)) = self.proposals.applied(id, now) else { return Ok(()) };
        if self.opening == Some(number) {
            self.opening = None;
            self.keeper.open_settled();
            return self.session_answered(response);
        }
        let shards = self.raft.machine().shards();
        let epoch = |key: &StateKey| shards.get(key.shard()).map_or(0, |shard| shard.epoch);
        if self.desk.settled(number, &response, epoch) {
            return Ok(());
        }
        sink(Effect::Settled(number, Applied { index, response }, open));
        Ok(())
    }

    /// A snapshot took the place of entries that were never seen here: what they settled, opened
    /// and ended is read from the state.
    pub(super) fn restored(&mut self, now: Instant, sink: Sink<'_>) -> Result<(), Fatal> {
        sink(Effect::Restored);
        let session = self.raft.machine().session(self.me).map(|session| session.id);
        if self.keeper.session() != session {
            self.desk.session_over();
            self.keeper.session().into_iter().for_each(|old| self.keeper.ended(old));
            session.into_iter().for_each(|new| self.keeper.opened(new));
        }
        for number in self.proposals.numbers() {
            let id = self.proposals.id(number);
            if let Some((index, response)) = self.raft.machine().answer(id) {
                self.settle(id, index, response, now, sink)?;
            }
        }
        self.reconcile_locks();
        self.tell(sink);
        Ok(())
    }
}

/// Whether a peer may propose this: in its own name, and the end of its own session only.
pub(super) fn may_propose(from: NodeId, proposal: &Proposal) -> bool {
    let own = match &proposal.command {
        Command::ExpireSession { session } => session.node == from,
        _ => true,
    };
    own && proposal.id.node == from
}
