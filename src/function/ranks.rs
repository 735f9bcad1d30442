//! Ranks of MPI jobs: the seam between calls, which place and start them, and the part that serves
//! what they ask for.

use std::any::Any;
use std::sync::Arc;

use super::job::Control;
use crate::errno::CallError;
use crate::id::CallId;
use crate::wire::jobs::{Aborted, Sent};
use crate::wire::mpi::Seat;

/// Gives calls that are ranks their place in a world.
pub trait RankSpace: Send + Sync {
    /// The place of a rank that is about to run here: what [`Job::rank`](super::Job::rank) is
    /// given. Dropping it is the end of the rank. `control` ends it when the job ends.
    fn seat(
        &self,
        seat: &Seat,
        control: &Arc<Control>,
    ) -> Result<Box<dyn Any + Send + Sync>, CallError>;

    /// What a rank of this node has sent to whom in this try at a job: asked while it runs, and
    /// once when it has ended.
    fn sent(&self, _world: CallId, _epoch: u32, _rank: u32) -> Vec<Sent> {
        Vec::new()
    }

    /// In which call of MPI a rank of this node waits, if it does.
    fn waits_in(&self, _world: CallId, _epoch: u32, _rank: u32) -> Option<&'static str> {
        None
    }

    /// Why this try at a job was aborted, if it was: asked when a rank of this node has ended.
    fn aborted(&self, _world: CallId, _epoch: u32) -> Option<Aborted> {
        None
    }
}

/// What a rank tells of itself, for its job to know how it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankNews {
    /// It called `MPI_Init`.
    Begun,
    /// It called `MPI_Finalize`.
    Finalized,
    /// It handles errors itself: when another rank fails, the job goes on without that one.
    Tolerates,
}
