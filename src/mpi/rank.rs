//! One rank: what its program holds of MPI. It belongs to the instance, and ends with it.

use std::sync::Arc;

use super::api;
use super::comm::Comm;
use super::constants as c;
use super::engine::Endpoint;
use super::error::{Error, Result, error};
use super::group::Group;
use super::handles::Handles;
use super::turns::Turn;

/// Set in the contexts of `MPI_COMM_SELF`.
const SELF: u64 = 1 << 60;

/// Where a program is between `MPI_Init` and `MPI_Finalize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before `MPI_Init`.
    Before,
    /// Between both.
    Active,
    /// After `MPI_Finalize`.
    Finalized,
}

/// See the top. Each section of the standard keeps what is its own in a field of its own.
pub struct Rank {
    /// Its way to the other ranks.
    pub endpoint: Arc<Endpoint>,
    /// Where the program is.
    pub phase: Phase,
    /// What it does between its calls.
    pub turn: Turn,
    /// `MPI_COMM_WORLD`.
    pub world: Arc<Comm>,
    /// `MPI_COMM_SELF`.
    pub itself: Arc<Comm>,
    /// Communicators that the program made.
    pub comms: Handles<Arc<Comm>>,
    /// Groups.
    pub groups: Handles<Group>,
    /// Errors, information objects, sessions.
    pub env: api::env::Env,
    /// Requests and messages.
    pub p2p: api::p2p::P2p,
    /// Datatypes.
    pub types: api::types::Types,
    /// Operations, and collectives under way.
    pub coll: api::coll::Coll,
    /// Keys of attributes, topologies.
    pub comm: api::comm::Comms,
}

impl Rank {
    /// A rank that is about to begin.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        let (rank, size) = (endpoint.rank(), endpoint.size());
        let world = Comm::new(0, Group::new((0..size).collect()), rank, None);
        world.state.lock().name = b"MPI_COMM_WORLD".to_vec();
        // One for each rank: what becomes of it is none of the others' business.
        let itself = Comm::new(SELF | u64::from(rank) << 1, Group::new(vec![rank]), 0, None);
        endpoint.has_members(itself.context, &[rank]);
        itself.state.lock().name = b"MPI_COMM_SELF".to_vec();
        Self {
            endpoint,
            phase: Phase::Before,
            turn: Turn::default(),
            world: Arc::new(world),
            itself: Arc::new(itself),
            comms: Handles::new(1),
            groups: Handles::new(2),
            env: api::env::Env::default(),
            p2p: api::p2p::P2p::default(),
            types: api::types::Types::default(),
            coll: api::coll::Coll::default(),
            comm: api::comm::Comms::default(),
        }
    }

    /// The communicator of a handle.
    pub fn comm(&self, handle: i32) -> Result<Arc<Comm>> {
        match handle {
            c::MPI_COMM_WORLD => Ok(self.world.clone()),
            c::MPI_COMM_SELF => Ok(self.itself.clone()),
            c::MPI_COMM_NULL => error(c::MPI_ERR_COMM, "MPI_COMM_NULL is no communicator"),
            _ => match self.comms.get(handle) {
                Some(comm) => match &comm.becomes {
                    None => Ok(comm.clone()),
                    Some(becomes) => becomes.get().cloned().ok_or_else(|| {
                        Error::new(c::MPI_ERR_COMM, "the communicator is not complete yet")
                    }),
                },
                None => error(c::MPI_ERR_COMM, format!("{handle:#x} is no communicator")),
            },
        }
    }

    /// A handle of a communicator.
    pub fn handle_of(&self, comm: &Arc<Comm>) -> i32 {
        if Arc::ptr_eq(comm, &self.world) {
            return c::MPI_COMM_WORLD;
        }
        let found = self.comms.iter().find(|(_, known)| Arc::ptr_eq(known, comm));
        found.map_or(c::MPI_COMM_SELF, |(handle, _)| handle)
    }

    /// The group of a handle.
    pub fn group(&self, handle: i32) -> Result<Group> {
        match handle {
            c::MPI_GROUP_EMPTY => Ok(Group::new(Vec::new())),
            _ => match self.groups.get(handle) {
                Some(group) => Ok(group.clone()),
                None => error(c::MPI_ERR_GROUP, format!("{handle:#x} is no group")),
            },
        }
    }
}

impl Drop for Rank {
    fn drop(&mut self) {
        // A program that never began may end when it likes.
        let ended = match self.phase {
            Phase::Before => !self.env.sessions.any(),
            Phase::Active => false,
            Phase::Finalized => true,
        };
        self.endpoint.leave(ended);
    }
}
