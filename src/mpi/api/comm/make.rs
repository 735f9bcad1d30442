//! What all calls that make a communicator share.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::{out, too_many};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::engine::Endpoint;
use crate::mpi::error::{Error, Result};
use crate::mpi::exchange::{self, Circle};
use crate::mpi::group::Group;

/// What a rank tells the others when they make a communicator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The context of the communicator that it leads, if it leads one.
    pub context: u64,
    /// Two numbers of the call's.
    pub numbers: (i32, i32),
    /// A group of the call's, by ranks in the world.
    pub group: Vec<u32>,
}

impl Plan {
    /// One with a context of its own.
    pub fn draw(cx: &mut Cx<'_>) -> Self {
        let world_rank = cx.rank().endpoint.rank();
        Self { context: cx.rank().comm.draw(world_rank), ..Self::default() }
    }

    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(16 + 4 * self.group.len());
        bytes.put_u64_le(self.context);
        bytes.put_i32_le(self.numbers.0);
        bytes.put_i32_le(self.numbers.1);
        self.group.iter().for_each(|member| bytes.put_u32_le(*member));
        bytes.into()
    }

    /// From bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let (context, rest) = bytes.split_first_chunk::<8>().ok_or_else(exchange::strange)?;
        let (words, rest) = rest.as_chunks::<4>();
        let (&[one, two], group) = words
            .split_first_chunk::<2>()
            .filter(|_| rest.is_empty())
            .ok_or_else(exchange::strange)?;
        Ok(Self {
            context: u64::from_le_bytes(*context),
            numbers: (i32::from_le_bytes(one), i32::from_le_bytes(two)),
            group: group.iter().map(|member| u32::from_le_bytes(*member)).collect(),
        })
    }
}

/// What everybody of a communicator plans.
#[derive(Debug, Default)]
pub struct Plans {
    /// The local group, by rank.
    pub local: Vec<Plan>,
    /// The remote group of an intercommunicator, by rank.
    pub remote: Vec<Plan>,
}

impl Plans {
    /// From what everybody told.
    pub fn decode(round: &exchange::Round) -> Result<Self> {
        let plans = |all: &[Bytes]| all.iter().map(Plan::decode).collect::<Result<Vec<_>>>();
        Ok(Self { local: plans(&round.local)?, remote: plans(&round.remote)? })
    }

    /// The context of the whole communicator's heir: of an intercommunicator both sides must find
    /// the same.
    pub fn context(&self, comm: &Comm) -> Result<u64> {
        let (local, remote) = (self.local.first(), self.remote.first());
        let first = match comm.remote.as_ref().and_then(|remote| remote.world_rank(0)) {
            Some(there) if Some(there) < comm.group.world_rank(0) => remote,
            _ => local,
        };
        first.map(|plan| plan.context).ok_or_else(exchange::strange)
    }
}

/// Tells everybody of a communicator a plan; the plans of all.
pub async fn round(cx: &mut Cx<'_>, comm: &Arc<Comm>, mine: Result<Plan>) -> Result<Plans> {
    let circle = Circle::of(&cx.rank().endpoint, comm);
    let told = mine.as_ref().map(Plan::encode).map_err(exchange::class_of);
    let round = cx.wait(exchange::round(circle, comm.clone(), told)).await;
    // The own error says more than what came back of it.
    mine?;
    Plans::decode(&round?)
}

/// Where a communicator comes from: what it takes over.
#[derive(Debug, Clone)]
pub struct Parent(pub Arc<Comm>);

impl Parent {
    /// A communicator with the parent's error handler. `None` unless this rank is in the group.
    pub fn child(
        &self,
        cx: &mut Cx<'_>,
        context: u64,
        group: Group,
        remote: Option<Group>,
    ) -> Option<Comm> {
        let rank = group.rank_of(cx.rank().endpoint.rank())?;
        let mut comm = Comm::new(context, group, rank, remote);
        comm.session = self.0.session;
        comm.state.lock().errhandler = self.0.state.lock().errhandler;
        Some(comm)
    }
}

/// Where the handle goes, which is `MPI_COMM_NULL` until there is one.
pub fn begin(cx: &mut Cx<'_>, at: u32) -> Result<()> {
    let at = out(at)?;
    cx.memory().write_i32(at, c::MPI_COMM_NULL)
}

/// Keeps a communicator: its handle.
pub fn insert(cx: &mut Cx<'_>, comm: Comm) -> Result<i32> {
    announce(&cx.rank().endpoint, &comm, comm.context);
    keep(cx, comm)
}

/// Keeps one that is not known to the engine yet.
pub fn keep(cx: &mut Cx<'_>, comm: Comm) -> Result<i32> {
    cx.rank().comms.insert(comm.into()).ok_or_else(too_many)
}

/// Tells the engine of a communicator like this one, in its own context.
pub fn announce(endpoint: &Endpoint, comm: &Comm, context: u64) {
    let remote = comm.remote.as_ref().map_or(&[][..], Group::members);
    // Of one with all ranks there is nothing to tell.
    if comm.group.members().len() + remote.len() < endpoint.size() as usize {
        endpoint.has_members(context, &[comm.group.members(), remote].concat());
    }
}

/// Gives the program the handle of what was made.
pub fn give(cx: &mut Cx<'_>, at: u32, comm: Option<Comm>) -> Result<()> {
    let handle = match comm {
        Some(comm) => insert(cx, comm)?,
        None => c::MPI_COMM_NULL,
    };
    cx.memory().write_i32(at, handle)
}

/// A communicator that is no intercommunicator.
pub fn intra(cx: &mut Cx<'_>, handle: i32) -> Result<Arc<Comm>> {
    let comm = cx.rank().comm(handle)?;
    match comm.remote {
        None => Ok(comm),
        Some(_) => Err(Error::new(c::MPI_ERR_COMM, "the call takes no intercommunicator")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_as_they_were_written() {
        let plan = Plan { context: 1 << 41, numbers: (-1, 7), group: vec![3, 0, u32::MAX] };
        assert_eq!(Plan::decode(&plan.encode()).unwrap(), plan);
        for len in [0, 7, 15, 17, 27] {
            assert!(Plan::decode(&plan.encode().slice(..len)).is_err());
        }
    }
}
