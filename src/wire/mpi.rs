//! MPI jobs between nodes.

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::{CallId, NodeId};

/// Most ranks of a world.
pub const MAX_RANKS: u32 = 4096;

/// What a call is in an MPI job.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    /// The job, by its root call.
    pub world: CallId,
    /// Which try at the job this is.
    pub epoch: u32,
    /// The rank of the call.
    pub rank: u32,
    /// The node of each rank.
    pub nodes: Vec<NodeId>,
}
