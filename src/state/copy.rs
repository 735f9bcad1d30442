//! One copy of a shard in the driver: what decides, and who waits for it.

use std::time::Instant;

use super::jobs::Jobs;
use super::replica::Replica;
use crate::wire::replicas::Term;

/// See the top.
pub struct Copy {
    /// Decides.
    pub replica: Replica,
    /// The reign for which what is logged was noted.
    pub noted: Option<Term>,
    /// Operations that wait.
    pub jobs: Jobs,
    /// Something was told that may have effects.
    pub dirty: bool,
    /// It failed for want of room, and is tried again then.
    pub retry_at: Option<Instant>,
}

impl Copy {
    /// A copy that nobody waits for.
    pub fn new(replica: Replica) -> Self {
        Self { replica, noted: None, jobs: Jobs::default(), dirty: true, retry_at: None }
    }
}
