//! Groups: ordered sets of processes. A process is known by its rank in the world.

use std::sync::Arc;

/// An ordered set of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(Arc<[u32]>);

impl Group {
    /// Of these ranks of the world, in this order.
    pub fn new(members: Vec<u32>) -> Self {
        Self(members.into())
    }

    /// Its size.
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The world's rank of the one that has this rank in the group.
    pub fn world_rank(&self, rank: u32) -> Option<u32> {
        self.0.get(rank as usize).copied()
    }

    /// The rank in the group of one of the world.
    pub fn rank_of(&self, world_rank: u32) -> Option<u32> {
        // In most groups everybody is at the place of its number.
        if self.0.get(world_rank as usize) == Some(&world_rank) {
            return Some(world_rank);
        }
        let at = self.0.iter().position(|member| *member == world_rank)?;
        u32::try_from(at).ok()
    }

    /// All, in order.
    pub fn members(&self) -> &[u32] {
        &self.0
    }
}
