//! Ranks of MPI jobs: the seam between calls, which place and start them, and the part that serves
//! what they ask for.

use std::any::Any;
use std::sync::Arc;

use super::job::Control;
use crate::errno::CallError;
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
}
