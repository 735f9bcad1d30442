//! Global locks of this node's calls, as consensus grants them.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{BoxFuture, ready};

use super::global::{GlobalLocks, LockError};
use crate::consensus::{self, Consensus};
use crate::id::CallId;
use crate::wire::locks::{Mode, Proof};
use crate::wire::shards::StateKey;

/// See the top.
pub struct Grants {
    consensus: Consensus,
}

impl Grants {
    /// Of this node.
    pub fn new(consensus: Consensus) -> Self {
        Self { consensus }
    }
}

impl GlobalLocks for Grants {
    fn lock(
        &self,
        key: Arc<StateKey>,
        mode: Mode,
        call: CallId,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Proof, LockError>> {
        Box::pin(async move {
            let granted = self.consensus.lock(&key, mode, call, deadline).await;
            let grant = granted.map_err(told)?;
            Ok(Proof { token: grant.token, mode, epoch: grant.epoch })
        })
    }

    fn unlock(
        &self,
        key: Arc<StateKey>,
        mode: Mode,
        call: CallId,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(ready(self.consensus.unlock(&key, mode, call).map_err(told)))
    }

    fn stands(&self, _key: &StateKey, _call: CallId, proof: Proof) -> bool {
        // A grant is younger than the session that it ends with.
        let session = self.consensus.session().filter(|_| self.consensus.session_is_live());
        session.is_some_and(|opened| opened < proof.token)
    }
}

fn told(error: consensus::LockError) -> LockError {
    match error {
        consensus::LockError::Deadlock => LockError::Deadlock,
        consensus::LockError::NotHeld => LockError::NotHeld,
        consensus::LockError::Full => LockError::Full,
        consensus::LockError::TimedOut => LockError::TimedOut,
        consensus::LockError::Lost => LockError::Lost,
        consensus::LockError::Invalid(_) | consensus::LockError::Unavailable(_) => {
            LockError::Unavailable
        }
    }
}
