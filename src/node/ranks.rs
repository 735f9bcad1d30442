//! The worlds of MPI jobs whose ranks are all on this node.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::errno::{CallError, Errno};
use crate::function::{Control, RankSpace};
use crate::id::{CallId, NodeId};
use crate::mpi::cx;
use crate::mpi::engine::{Endpoint, World};
use crate::wire::mpi::Seat;

/// Worlds that not all ranks have joined yet.
const MOST: usize = 1024;

/// See the top.
pub struct Worlds {
    me: NodeId,
    joining: Mutex<HashMap<(CallId, u32), (Arc<World>, usize)>>,
}

impl Worlds {
    /// Those of a node.
    pub fn new(me: NodeId) -> Self {
        Self { me, joining: Mutex::default() }
    }
}

impl RankSpace for Worlds {
    fn seat(
        &self,
        seat: &Seat,
        _control: &Arc<Control>,
    ) -> Result<Box<dyn Any + Send + Sync>, CallError> {
        if let Some(other) = seat.nodes.iter().find(|node| **node != self.me) {
            let detail = format!("a job on several nodes is not served: rank is on {other}");
            return Err(CallError::new(Errno::NoSys, detail));
        }
        let size = u32::try_from(seat.nodes.len()).unwrap_or(u32::MAX);
        let mut joining = self.joining.lock();
        if joining.len() >= MOST {
            return Err(CallError::new(Errno::Full, "too many jobs begin at once"));
        }
        let key = (seat.world, seat.epoch);
        let (world, left) =
            joining.entry(key).or_insert_with(|| (World::local(size), seat.nodes.len()));
        let world = world.clone();
        *left = left.saturating_sub(1);
        if *left == 0 {
            joining.remove(&key);
        }
        Ok(cx::seat(Endpoint::new(world, seat.rank)))
    }
}
