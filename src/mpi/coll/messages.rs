//! Collectives whose ranks all exchange messages, whatever nodes they are on.

use super::places::{pack, unpack};
use super::{Peers, Plan, Root, Work, choice, ring, tree};
use crate::mpi::engine::Span;
use crate::mpi::error::Result;

/// Runs one.
pub async fn run(plan: &Plan) -> Result<()> {
    let peers = Peers::inside(plan);
    let (me, size) = (peers.me, peers.size());
    match &plan.work {
        Work::Barrier => tree::barrier(&peers).await,
        Work::Bcast { root: Root::At(root), buffer } => {
            let mine = if me == *root { Some(pack(buffer)?) } else { None };
            let bytes = choice::bcast(&peers, *root, mine, buffer.bytes()).await?;
            if me == *root { Ok(()) } else { unpack(buffer, &bytes) }
        }
        Work::Gather { root: Root::At(root), send, receive, equal } => {
            let mine = match send.as_ref().or_else(|| receive.get(me as usize)) {
                Some(mine) => pack(mine)?,
                None => bytes::Bytes::new(),
            };
            let lens = lens(receive, *equal, size);
            let blocks = choice::gather(&peers, *root, mine, &lens, equal.is_some()).await?;
            let in_place = send.is_none().then_some(*root);
            put(receive, &blocks.unwrap_or_default(), in_place)
        }
        Work::Scatter { root: Root::At(root), send, receive, equal } => {
            let mine = match me == *root {
                true => Some(send.iter().map(pack).collect::<Result<Vec<_>>>()?),
                false => None,
            };
            let own = receive.as_ref().map_or(0, Span::bytes);
            let lens = vec![equal.unwrap_or(own); size as usize];
            let piece = choice::scatter(&peers, *root, mine, &lens, equal.is_some()).await?;
            receive.as_ref().map_or(Ok(()), |span| unpack(span, &piece))
        }
        Work::Allgather { send, receive, equal } => {
            let mine = send.as_ref().or_else(|| receive.get(me as usize));
            let Some(mine) = mine else { return Ok(()) };
            let lens = lens(receive, *equal, size);
            let blocks = choice::allgather(&peers, pack(mine)?, &lens).await?;
            put(receive, &blocks, send.is_none().then_some(me))
        }
        Work::Alltoall { send, receive, .. } => {
            let send = send.as_ref().unwrap_or(receive);
            let mine: Result<Vec<_>> = send.iter().map(pack).collect();
            let lens: Vec<_> = receive.iter().map(Span::bytes).collect();
            put(receive, &ring::alltoall(&peers, mine?, &lens).await?, None)
        }
        Work::Neighbours { send, receive } => neighbours(&peers, send, receive).await,
        _ => combine(&peers, &plan.work).await,
    }
}

async fn combine(peers: &Peers, work: &Work) -> Result<()> {
    match work {
        Work::Reduce { root: Root::At(root), send, receive, combine } => {
            match (receive, choice::reduce(peers, *root, pack(send)?, combine).await?) {
                (Some(span), Some(sum)) => unpack(span, &sum),
                _ => Ok(()),
            }
        }
        Work::Allreduce { send, receive, combine } => {
            unpack(receive, &choice::allreduce(peers, pack(send)?, combine).await?)
        }
        Work::ReduceScatter { send, receive, counts, combine } => {
            let element = combine.element();
            // Which fails if they are more than any memory has.
            let mine = pack(send)?;
            let lens: Vec<_> = counts.iter().map(|count| count.saturating_mul(element)).collect();
            unpack(receive, &ring::reduce_scatter(peers, &mine, &lens, combine).await?)
        }
        Work::Scan { send, receive, combine, exclusive } => {
            match tree::scan(peers, pack(send)?, combine, *exclusive).await? {
                Some(sum) => unpack(receive, &sum),
                None => Ok(()),
            }
        }
        // Such roots are those of intercommunicators.
        _ => Ok(()),
    }
}

/// How long the blocks of all ranks are.
fn lens(receive: &[Span], equal: Option<u64>, size: u32) -> Vec<u64> {
    match equal {
        Some(len) => vec![len; size as usize],
        None => receive.iter().map(Span::bytes).collect(),
    }
}

/// Puts blocks to where they go, but for the one that is in place.
pub fn put(receive: &[Span], blocks: &[bytes::Bytes], in_place: Option<u32>) -> Result<()> {
    for (rank, (span, bytes)) in (0..).zip(receive.iter().zip(blocks)) {
        if Some(rank) != in_place {
            unpack(span, bytes)?;
        }
    }
    Ok(())
}

async fn neighbours(peers: &Peers, send: &[(u32, Span)], receive: &[(u32, Span)]) -> Result<()> {
    let send: Result<Vec<_>> = send.iter().map(|(to, span)| Ok((*to, pack(span)?))).collect();
    let from: Vec<_> = receive.iter().map(|(from, span)| (*from, span.bytes())).collect();
    let came = peers.exchange(send?, &from).await?;
    receive.iter().zip(came).try_for_each(|((_, span), bytes)| unpack(span, &bytes))
}
