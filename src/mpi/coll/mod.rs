//! Collectives: what the ranks of a communicator do together.
//!
//! A call becomes a [`Work`], which knows where elements lie; it runs as a future, awaited by the
//! call or by a task of its own. Who does what depends on where the ranks are:
//!
//! | ranks | part | how |
//! |---|---|---|
//! | all on one node | [`local`], [`reducing`] | they meet in memory ([`meeting`]) and copy from each other |
//! | on several nodes | [`nodes`] | those of a node meet in memory; their leaders exchange messages |
//! | the same, where that does not pay or would break the order of ranks | [`messages`] | all exchange messages |
//! | two groups | [`across`] | messages |
//!
//! Messages go by trees and by doubling ([`tree`]) where they are short, else in rings and by pieces
//! ([`ring`]); [`choice`] picks by size and count. Every result is computed once, or in the same way by all who
//! need it, so all ranks see the same bits. [`traffic`] says what a collective in memory counts for.

mod across;
mod bundle;
mod choice;
pub mod combine;
pub mod layout;
mod local;
pub mod meeting;
mod messages;
mod nodes;
pub mod places;
pub mod queue;
mod reducing;
pub mod ring;
mod run;
mod traffic;
pub mod tree;

#[cfg(test)]
mod stress;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use super::comm::Comm;
use super::constants as c;
use super::engine::{Endpoint, Envelope, Mode, Pattern, Payload, Request, Span, Status, Target};
use super::error::{Error, Result};
use super::group::Group;
use combine::Combine;

/// Longest vector whose elements go through one place, in bytes.
const SMALL: u64 = 16 << 10;
/// The bit of tags of what the ranks of one side of an intercommunicator tell each other.
const INSIDE: i32 = 1 << 30;

/// The root of a collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The rank in the group, or in the remote group of an intercommunicator.
    At(u32),
    /// This rank, whose data is for the remote group, or comes from it.
    Me,
    /// Another one of this side of an intercommunicator.
    Aside,
}

/// What a collective does.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the standard's names; spans by the ranks they are for")]
pub enum Work {
    Barrier,
    Bcast {
        root: Root,
        buffer: Span,
    },
    /// `send` is none where the root's own is in place. `equal` is the bytes of a block when all
    /// have as many.
    Gather {
        root: Root,
        send: Option<Span>,
        receive: Vec<Span>,
        equal: Option<u64>,
    },
    Scatter {
        root: Root,
        send: Vec<Span>,
        receive: Option<Span>,
        equal: Option<u64>,
    },
    Allgather {
        send: Option<Span>,
        receive: Vec<Span>,
        equal: Option<u64>,
    },
    /// `send` is none when what is received replaces it.
    Alltoall {
        send: Option<Vec<Span>>,
        receive: Vec<Span>,
        equal: Option<u64>,
    },
    /// With the ranks, in the order in which messages of one pair match.
    Neighbours {
        send: Vec<(u32, Span)>,
        receive: Vec<(u32, Span)>,
    },
    Reduce {
        root: Root,
        send: Span,
        receive: Option<Span>,
        combine: Combine,
    },
    Allreduce {
        send: Span,
        receive: Span,
        combine: Combine,
    },
    /// With the elements of each rank.
    ReduceScatter {
        send: Span,
        receive: Span,
        counts: Vec<u64>,
        combine: Combine,
    },
    Scan {
        send: Span,
        receive: Span,
        combine: Combine,
        exclusive: bool,
    },
}

/// A collective that can be run, by one rank.
#[derive(Debug)]
pub struct Plan {
    /// The rank's way to the others.
    pub endpoint: Arc<Endpoint>,
    /// Among whom.
    pub comm: Arc<Comm>,
    /// What tells it from the others of the communicator.
    pub tag: i32,
    /// What to do.
    pub work: Work,
}

/// A group whose ranks exchange the messages of one collective.
#[derive(Debug, Clone)]
pub struct Peers {
    endpoint: Arc<Endpoint>,
    context: u64,
    tag: i32,
    /// This rank, as the others see it.
    pub me: u32,
    to: Group,
}

impl Peers {
    /// Those of this side.
    pub fn inside(plan: &Plan) -> Self {
        let bit = if plan.comm.remote.is_some() { INSIDE } else { 0 };
        Self::new(&plan.endpoint, &plan.comm, plan.tag | bit, plan.comm.group.clone())
    }

    /// Those that ranks of calls name.
    pub fn named(plan: &Plan) -> Self {
        Self::new(&plan.endpoint, &plan.comm, plan.tag, plan.comm.peers().clone())
    }

    /// The leaders of the nodes, if this rank is one: as ranks of those.
    pub fn leaders(plan: &Plan, leaders: &[u32]) -> Option<Self> {
        let me = leaders.iter().position(|leader| *leader == plan.comm.rank)?;
        let world = leaders.iter().filter_map(|rank| plan.comm.group.world_rank(*rank)).collect();
        let me = u32::try_from(me).ok()?;
        Some(Self { me, ..Self::new(&plan.endpoint, &plan.comm, plan.tag, Group::new(world)) })
    }

    /// Of this group.
    pub fn new(endpoint: &Arc<Endpoint>, comm: &Comm, tag: i32, to: Group) -> Self {
        let (endpoint, context) = (endpoint.clone(), comm.collective());
        Self { endpoint, context, tag, me: comm.rank, to }
    }

    /// How many they are.
    pub fn size(&self) -> u32 {
        self.to.size()
    }

    /// Begins to send.
    pub fn send(&self, to: u32, bytes: Bytes) -> Arc<Request> {
        let Some(world) = self.to.world_rank(to) else {
            return Request::completed(Status::failed(c::MPI_ERR_RANK));
        };
        let envelope = Envelope { context: self.context, source: self.me, tag: self.tag };
        self.endpoint.send(world, envelope, Payload::Host(bytes), Mode::Standard)
    }

    /// Begins to receive at most so many bytes.
    pub fn receive(&self, from: u32, most: u64) -> Arc<Request> {
        let pattern = Pattern {
            context: self.context,
            source: Some(from),
            world_source: self.to.world_rank(from),
            tag: Some(self.tag),
        };
        self.endpoint.receive(pattern, Target::Host(most))
    }

    /// Sends.
    pub async fn put(&self, to: u32, bytes: Bytes) -> Result<()> {
        done(&self.send(to, bytes)).await.map(drop)
    }

    /// Receives exactly so many bytes.
    pub async fn get(&self, from: u32, len: u64) -> Result<Bytes> {
        exactly(done(&self.receive(from, len)).await?, len)
    }

    /// Receives as many bytes as come.
    pub async fn get_any(&self, from: u32) -> Result<Bytes> {
        done(&self.receive(from, places::MOST)).await
    }

    /// Sends to one and receives from another, at the same time.
    pub async fn swap(&self, to: u32, bytes: Bytes, from: u32, len: u64) -> Result<Bytes> {
        let (receive, send) = (self.receive(from, len), self.send(to, bytes));
        let came = exactly(done(&receive).await?, len)?;
        done(&send).await?;
        Ok(came)
    }

    /// Sends and receives many at once; messages of one pair match in order. They may be shorter
    /// than what is said.
    pub async fn exchange(
        &self,
        send: Vec<(u32, Bytes)>,
        receive: &[(u32, u64)],
    ) -> Result<Vec<Bytes>> {
        let receives: Vec<_> =
            receive.iter().map(|(from, most)| self.receive(*from, *most)).collect();
        let sends: Vec<_> = send.into_iter().map(|(to, bytes)| self.send(to, bytes)).collect();
        let mut came = Vec::with_capacity(receives.len());
        for request in &receives {
            came.push(done(request).await?);
        }
        for request in &sends {
            done(request).await?;
        }
        Ok(came)
    }
}

async fn done(request: &Request) -> Result<Bytes> {
    match request.done().await.error {
        c::MPI_SUCCESS => Ok(request.take_bytes().unwrap_or_default()),
        class => Err(failed(class)),
    }
}

fn failed(class: i32) -> Error {
    Error::new(
        class,
        "a message of a collective failed: the ranks differ in what they ask, or ended",
    )
}

fn exactly(bytes: Bytes, len: u64) -> Result<Bytes> {
    due(bytes.len() as u64, len).map(|()| bytes)
}

/// Whether a rank gave as many bytes as the others wait for.
fn due(came: u64, len: u64) -> Result<()> {
    match came == len {
        true => Ok(()),
        false => Err(Error::new(
            c::MPI_ERR_TRUNCATE,
            format!("a rank gave {came} bytes to a collective where {len} are due"),
        )),
    }
}
