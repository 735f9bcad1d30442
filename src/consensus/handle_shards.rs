//! What the handle says of shards.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::timeout_at;

use super::handle::Consensus;
use super::shards::Shards;
use super::{Applied, ProposeError};
use crate::wire::consensus::{Command, SessionId};
use crate::wire::shards::{Shard, ShardCommand, ShardId};

impl Consensus {
    /// Who holds a shard, as far as this node has heard; `None` before the shards are founded.
    pub fn shard(&self, id: ShardId) -> Option<Arc<Shard>> {
        self.inner.shared.shard(id)
    }

    /// Whether this node may answer as the owner of a shard in this epoch: its session is live, and
    /// what it had heard by then names it. A session that was opened anew says nothing about a shard
    /// that the node owned under the one before.
    pub fn owns(&self, id: ShardId, epoch: u64) -> bool {
        // In this order: a session is live only after all that came before it is published.
        self.session_is_live()
            && self
                .shard(id)
                .is_some_and(|shard| shard.owner == self.inner.me && shard.epoch == epoch)
    }

    /// All shards, as far as this node has heard.
    pub fn shards(&self) -> Arc<Shards> {
        self.inner.shared.shards().borrow().clone()
    }

    /// All shards, as they change. [`Shards::changed_since`] tells which.
    pub fn watch_shards(&self) -> watch::Receiver<Arc<Shards>> {
        self.inner.shared.shards()
    }

    /// Changes shards; see [`Consensus::propose`]. Refused, with the first reason, when any of the
    /// changes was; the others are made.
    pub async fn change_shards(
        &self,
        command: ShardCommand,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        self.propose(Command::Shards(Box::new(command)), deadline).await
    }

    /// This node's own session, as far as it has heard; it may have lapsed.
    pub fn own_session(&self) -> Option<SessionId> {
        self.inner.shared.sessions().get(&self.inner.me).map(|session| session.id)
    }

    /// The log index that this node has applied. Cheap: on the way of every operation under a lock.
    pub fn applied_index(&self) -> u64 {
        self.inner.shared.applied_index()
    }

    /// Waits until this node has applied a log index; false if it has not in time.
    pub async fn wait_applied(&self, index: u64, deadline: Instant) -> bool {
        let mut applied = self.applied();
        let wait = applied.wait_for(|now| *now >= index);
        matches!(timeout_at(deadline.into(), wait).await, Ok(Ok(_)))
    }
}
