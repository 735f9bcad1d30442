//! What this section takes of others.

use std::sync::Arc;

use crate::mpi::abi::Kind;
use crate::mpi::api::env::{handlers, info};
use crate::mpi::api::p2p::Entry;
use crate::mpi::api::types;
use crate::mpi::comm::{Comm, Errhandler};
use crate::mpi::cx::Cx;
use crate::mpi::engine::Request;
use crate::mpi::error::Result;
use crate::mpi::group::Group;

pub use info::{Hints, hints};

/// An info object with these hints.
pub fn insert_hints(cx: &mut Cx<'_>, hints: Hints) -> Result<i32> {
    info::insert(cx.rank(), hints)
}

/// What an error handler does.
pub fn errhandler(cx: &mut Cx<'_>, handle: i32) -> Result<Errhandler> {
    handlers::of(cx.rank(), handle, Kind::Comm)
}

/// For each of a group a number that it shares with those of its node: the first of them.
pub fn nodes(cx: &mut Cx<'_>, group: &Group) -> Vec<i32> {
    let endpoint = &cx.rank().endpoint;
    let nodes: Vec<_> = group.members().iter().map(|rank| endpoint.node_of(*rank)).collect();
    let mut first = std::collections::HashMap::new();
    nodes.into_iter().zip(0..).map(|(node, rank)| *first.entry(node).or_insert(rank)).collect()
}

/// Whether a handle is a datatype's.
pub fn is_type(cx: &mut Cx<'_>, handle: i32) -> Result<()> {
    types::any(cx, handle).map(drop)
}

/// A handle of a request, whose errors are those of a communicator.
pub fn request(cx: &mut Cx<'_>, comm: &Arc<Comm>, request: Arc<Request>) -> Result<i32> {
    cx.rank().p2p.insert_on(comm, Entry::Once(request))
}
