//! What this section takes of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mpi::api::p2p::Entry;
use crate::mpi::comm::Errhandler;
use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::engine::Request;
use crate::mpi::error::{Result, error};
use crate::mpi::group::Group;

type Hints = BTreeMap<Vec<u8>, Vec<u8>>;

/// The hints of an info object.
pub fn hints(_cx: &mut Cx<'_>, handle: i32) -> Result<Hints> {
    match handle {
        c::MPI_INFO_NULL => Ok(Hints::new()),
        _ => error(c::MPI_ERR_INFO, format!("{handle:#x} is no info object")),
    }
}

/// An info object with these hints.
pub fn insert_hints(_cx: &mut Cx<'_>, _hints: Hints) -> Result<i32> {
    Ok(c::MPI_INFO_NULL)
}

/// What an error handler does.
pub fn errhandler(_cx: &mut Cx<'_>, handle: i32) -> Result<Errhandler> {
    match handle {
        c::MPI_ERRORS_ARE_FATAL => Ok(Errhandler::Fatal),
        c::MPI_ERRORS_ABORT => Ok(Errhandler::Abort),
        c::MPI_ERRORS_RETURN => Ok(Errhandler::Return),
        _ => error(c::MPI_ERR_ERRHANDLER, format!("{handle:#x} is no error handler")),
    }
}

/// The last error code in use.
pub fn last_code(cx: &mut Cx<'_>) -> i32 {
    cx.rank().env.classes.last_used()
}

/// For each of a group a number that it shares with those of its node.
pub fn nodes(cx: &mut Cx<'_>, group: &Group) -> Vec<i32> {
    let endpoint = &cx.rank().endpoint;
    let nodes: Vec<_> = group.members().iter().map(|rank| endpoint.node_of(*rank)).collect();
    let first = |node| nodes.iter().position(|other| *other == node).unwrap_or(0);
    nodes.iter().map(|node| i32::try_from(first(*node)).unwrap_or(0)).collect()
}

/// Whether a handle is a datatype's.
pub fn is_type(_cx: &mut Cx<'_>, handle: i32) -> Result<()> {
    match handle {
        c::MPI_DATATYPE_NULL => error(c::MPI_ERR_TYPE, "MPI_DATATYPE_NULL is no datatype"),
        _ => Ok(()),
    }
}

/// A handle of a request.
pub fn request(cx: &mut Cx<'_>, request: Arc<Request>) -> Result<i32> {
    cx.rank().p2p.insert(Entry::Once(request))
}
