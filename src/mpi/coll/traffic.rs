//! What a collective in memory counts for in the traffic of the job. Pure.
//!
//! What a rank takes of another counts as one message of its bytes, as if it had been sent straight:
//! a broadcast goes from the root to each rank, an exchange from each to each. What is combined goes
//! to the root; where all get it, to the *hub* and back from there. The hub is the first rank of the
//! communicator, or on each of several nodes the leader: there all goes to the leader, and back.

use super::{Root, Work};
use crate::mpi::engine::Span;

/// What moves for one of so many ranks that are all on one node: `moved` is told from whom to whom,
/// and how many bytes.
pub fn on_one_node(work: &Work, me: u32, size: u32, mut moved: impl FnMut(u32, u32, u64)) {
    let hub = 0;
    let mut one = |from: u32, to: u32, bytes: u64| {
        if from != to {
            moved(from, to, bytes);
        }
    };
    match work {
        Work::Barrier => {
            one(me, hub, 0);
            one(hub, me, 0);
        }
        Work::Bcast { root: Root::At(root), buffer } => one(*root, me, buffer.bytes()),
        Work::Scatter { root: Root::At(root), receive, .. } => {
            one(*root, me, receive.as_ref().map_or(0, Span::bytes));
        }
        Work::Gather { receive, .. }
        | Work::Allgather { receive, .. }
        | Work::Alltoall { receive, .. } => {
            (0..).zip(receive).for_each(|(from, span)| one(from, me, span.bytes()));
        }
        Work::Neighbours { receive, .. } => {
            receive.iter().for_each(|(from, span)| one(*from, me, span.bytes()));
        }
        Work::Reduce { root: Root::At(root), send, .. } => one(me, *root, send.bytes()),
        Work::Allreduce { send, receive, .. } | Work::ReduceScatter { send, receive, .. } => {
            one(me, hub, send.bytes());
            one(hub, me, receive.bytes());
        }
        Work::Scan { send, .. } if me + 1 < size => one(me, me + 1, send.bytes()),
        _ => {}
    }
}

/// What moves between one rank and the leader of its node: all that it gives, and all that it gets.
pub fn with_leader(work: &Work, me: u32, leader: u32, mut moved: impl FnMut(u32, u32, u64)) {
    if me == leader {
        return;
    }
    let sum = |spans: &[Span]| spans.iter().map(Span::bytes).fold(0, u64::saturating_add);
    let of = |span: &Option<Span>| span.as_ref().map(Span::bytes);
    let (up, down) = match work {
        Work::Barrier => (Some(0), Some(0)),
        Work::Bcast { buffer, .. } => (None, Some(buffer.bytes())),
        Work::Gather { send, .. } => (of(send), None),
        Work::Scatter { receive, .. } => (None, of(receive)),
        Work::Allgather { send, receive, .. } => {
            let own = receive.get(me as usize).map_or(0, Span::bytes);
            (Some(of(send).unwrap_or(own)), Some(sum(receive).saturating_sub(own)))
        }
        Work::Alltoall { send, receive, .. } => {
            (Some(sum(send.as_ref().unwrap_or(receive))), Some(sum(receive)))
        }
        Work::Reduce { send, .. } => (Some(send.bytes()), None),
        Work::Allreduce { send, receive, .. } | Work::ReduceScatter { send, receive, .. } => {
            (Some(send.bytes()), Some(receive.bytes()))
        }
        Work::Neighbours { .. } | Work::Scan { .. } => (None, None),
    };
    if let Some(bytes) = up {
        moved(me, leader, bytes);
    }
    if let Some(bytes) = down {
        moved(leader, me, bytes);
    }
}
