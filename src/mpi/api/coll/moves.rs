//! Collectives that move elements.

use std::sync::Arc;

use super::args::{
    apart, blocks, blocks_v, blocks_w, comm, in_place, is_root, nothing, root, span,
};
use crate::mpi::coll::{Root, Work};
use crate::mpi::comm::Comm;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Span;
use crate::mpi::error::Result;

type Prepared = Result<(Arc<Comm>, Work)>;

/// Reads the blocks that begin at an argument.
type Blocks = fn(&mut Cx<'_>, &Args, usize, u32) -> Result<Vec<Span>>;

pub fn barrier(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    Ok((comm(cx, args, 0)?, Work::Barrier))
}

pub fn bcast(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    let comm = comm(cx, args, 4)?;
    let root = root(&comm, args, 3)?;
    let work = match root {
        Root::Aside => nothing(cx),
        _ => Work::Bcast { root, buffer: span(cx, args, 0)? },
    };
    Ok((comm, work))
}

pub fn gather(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    gather_as(cx, args, blocks, 6, true)
}

pub fn gatherv(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    gather_as(cx, args, blocks_v, 7, false)
}

fn gather_as(cx: &mut Cx<'_>, args: &Args, read: Blocks, at: usize, equal: bool) -> Prepared {
    let comm = comm(cx, args, at + 1)?;
    let root = root(&comm, args, at)?;
    if root == Root::Aside {
        return Ok((comm, nothing(cx)));
    }
    let receive = match is_root(&comm, root) {
        true => read(cx, args, 3, comm.peers().size())?,
        false => Vec::new(),
    };
    let in_place = is_root(&comm, root) && in_place(&comm, args, 0)?;
    let send = match root == Root::Me || in_place {
        true => None,
        false => Some(span(cx, args, 0)?),
    };
    if let (Some(send), false) = (&send, receive.is_empty()) {
        apart(args, 0, 3, send.count)?;
    }
    let len = equal.then(|| send.as_ref().or(receive.first()).map_or(0, Span::bytes));
    Ok((comm, Work::Gather { root, send, receive, equal: len }))
}

pub fn scatter(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    scatter_as(cx, args, blocks, [3, 6], true)
}

pub fn scatterv(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    scatter_as(cx, args, blocks_v, [4, 7], false)
}

fn scatter_as(
    cx: &mut Cx<'_>,
    args: &Args,
    read: Blocks,
    [to, at]: [usize; 2],
    equal: bool,
) -> Prepared {
    let comm = comm(cx, args, at + 1)?;
    let root = root(&comm, args, at)?;
    if root == Root::Aside {
        return Ok((comm, nothing(cx)));
    }
    let send = match is_root(&comm, root) {
        true => read(cx, args, 0, comm.peers().size())?,
        false => Vec::new(),
    };
    let in_place = is_root(&comm, root) && in_place(&comm, args, to)?;
    let receive = match root == Root::Me || in_place {
        true => None,
        false => Some(span(cx, args, to)?),
    };
    if let (Some(receive), false) = (&receive, send.is_empty()) {
        apart(args, 0, to, receive.count)?;
    }
    let len = equal.then(|| receive.as_ref().or(send.first()).map_or(0, Span::bytes));
    Ok((comm, Work::Scatter { root, send, receive, equal: len }))
}

pub fn allgather(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    allgather_as(cx, args, blocks, 6, true)
}

pub fn allgatherv(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    allgather_as(cx, args, blocks_v, 7, false)
}

fn allgather_as(cx: &mut Cx<'_>, args: &Args, read: Blocks, at: usize, equal: bool) -> Prepared {
    let comm = comm(cx, args, at)?;
    let send = match in_place(&comm, args, 0)? {
        true => None,
        false => Some(span(cx, args, 0)?),
    };
    if let Some(send) = &send {
        apart(args, 0, 3, send.count)?;
    }
    let receive = read(cx, args, 3, comm.peers().size())?;
    let len = equal.then(|| receive.first().map_or(0, Span::bytes));
    Ok((comm, Work::Allgather { send, receive, equal: len }))
}

pub fn alltoall(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    alltoall_as(cx, args, blocks, [3, 6], true)
}

pub fn alltoallv(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    alltoall_as(cx, args, blocks_v, [4, 8], false)
}

pub fn alltoallw(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    alltoall_as(cx, args, blocks_w, [4, 8], false)
}

fn alltoall_as(
    cx: &mut Cx<'_>,
    args: &Args,
    read: Blocks,
    [to, at]: [usize; 2],
    equal: bool,
) -> Prepared {
    let comm = comm(cx, args, at)?;
    let number = comm.peers().size();
    let send = match in_place(&comm, args, 0)? {
        true => None,
        false => Some(read(cx, args, 0, number)?),
    };
    if let Some(send) = &send {
        apart(args, 0, to, send.iter().map(|span| span.count).max().unwrap_or(0))?;
    }
    let receive = read(cx, args, to, number)?;
    let len = equal.then(|| receive.first().map_or(0, Span::bytes));
    Ok((comm, Work::Alltoall { send, receive, equal: len }))
}
