//! Collectives that combine elements.

use std::sync::Arc;

use super::args::{apart, array, comm, counted, elements, in_place, intra, is_root, nothing, root};
use super::ops::combine;
use crate::mpi::coll::combine::Combine;
use crate::mpi::coll::{Root, Work};
use crate::mpi::comm::Comm;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Span;
use crate::mpi::error::Result;

type Prepared = Result<(Arc<Comm>, Work)>;

pub fn reduce(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    let comm = comm(cx, args, 6)?;
    let root = root(&comm, args, 5)?;
    if root == Root::Aside {
        return Ok((comm, nothing(cx)));
    }
    let (combine, datatype) = combine(cx, args.i32(4), args.i32(3))?;
    let count = args.int(2);
    let receive = match is_root(&comm, root) {
        true => Some(elements(cx, args.ptr(1), count, datatype.clone())?),
        false => None,
    };
    let in_place = receive.is_some() && root != Root::Me && in_place(&comm, args, 0)?;
    let send = match &receive {
        Some(receive) if in_place || root == Root::Me => receive.clone(),
        Some(receive) => {
            apart(args, 0, 1, receive.count)?;
            elements(cx, args.ptr(0), count, datatype)?
        }
        None => elements(cx, args.ptr(0), count, datatype)?,
    };
    Ok((comm, Work::Reduce { root, send, receive, combine }))
}

/// What all get: the elements sent, and where as many go.
fn both(cx: &mut Cx<'_>, args: &Args, comm: &Comm) -> Result<(Span, Span, Combine)> {
    let (combine, datatype) = combine(cx, args.i32(4), args.i32(3))?;
    let receive = elements(cx, args.ptr(1), args.int(2), datatype.clone())?;
    if in_place(comm, args, 0)? {
        return Ok((receive.clone(), receive, combine));
    }
    apart(args, 0, 1, receive.count)?;
    let send = elements(cx, args.ptr(0), args.int(2), datatype)?;
    Ok((send, receive, combine))
}

pub fn allreduce(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    let comm = comm(cx, args, 5)?;
    let (send, receive, combine) = both(cx, args, &comm)?;
    Ok((comm, Work::Allreduce { send, receive, combine }))
}

pub fn scan(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    scan_as(cx, args, false)
}

pub fn exscan(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    scan_as(cx, args, true)
}

fn scan_as(cx: &mut Cx<'_>, args: &Args, exclusive: bool) -> Prepared {
    let comm = intra(cx, args, 5)?;
    let (send, receive, combine) = both(cx, args, &comm)?;
    Ok((comm, Work::Scan { send, receive, combine, exclusive }))
}

pub fn reduce_scatter(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    let comm = comm(cx, args, 5)?;
    let counts = array(cx, args.ptr(2), comm.group.size(), args.large)?;
    let counts: Result<Vec<u64>> = counts.into_iter().map(counted).collect();
    pieces(cx, args, comm, counts?)
}

pub fn reduce_scatter_block(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    let comm = comm(cx, args, 5)?;
    let counts = vec![counted(args.int(2))?; comm.group.size() as usize];
    pieces(cx, args, comm, counts)
}

fn pieces(cx: &mut Cx<'_>, args: &Args, comm: Arc<Comm>, counts: Vec<u64>) -> Prepared {
    let (combine, datatype) = combine(cx, args.i32(4), args.i32(3))?;
    let own = counts.get(comm.rank as usize).copied().unwrap_or(0);
    let total = counts.iter().copied().fold(0, u64::saturating_add);
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    let (send, receive) = match in_place(&comm, args, 0)? {
        true => {
            let all = elements(cx, args.ptr(1), total, datatype)?;
            (all.clone(), Span { count: own, ..all })
        }
        false => {
            apart(args, 0, 1, own)?;
            let send = elements(cx, args.ptr(0), total, datatype.clone())?;
            (send, elements(cx, args.ptr(1), own.cast_signed(), datatype)?)
        }
    };
    Ok((comm, Work::ReduceScatter { send, receive, counts, combine }))
}
