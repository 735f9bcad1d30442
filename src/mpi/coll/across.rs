//! Collectives of intercommunicators: from the ranks of one side to those of the other. Each side
//! does its own part by its first rank.

use bytes::Bytes;

use super::places::{pack, unpack};
use super::tree::{cut, slice};
use super::{Peers, Plan, Root, Work, tree};
use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::{Result, error};

/// Runs one.
pub async fn run(plan: &Plan) -> Result<()> {
    let (inside, others) = (Peers::inside(plan), Peers::named(plan));
    match &plan.work {
        Work::Barrier => barrier(&inside, &others).await,
        Work::Bcast { root, buffer } => bcast(&inside, &others, *root, buffer).await,
        Work::Gather { root, send, receive, .. } => match (root, send) {
            (Root::At(root), Some(send)) => others.put(*root, pack(send)?).await,
            (Root::Me, _) => swap(&others, Vec::new(), receive).await,
            _ => Ok(()),
        },
        Work::Scatter { root, send, receive, .. } => match (root, receive) {
            (Root::At(root), Some(span)) => {
                let came = others.exchange(Vec::new(), &[(*root, span.bytes())]).await?;
                unpack(span, &came.concat())
            }
            (Root::Me, _) => swap(&others, packed(send)?, &[]).await,
            _ => Ok(()),
        },
        Work::Allgather { send: Some(send), receive, .. } => {
            let bytes = pack(send)?;
            swap(&others, vec![bytes; others.size() as usize], receive).await
        }
        Work::Alltoall { send: Some(send), receive, .. } => {
            swap(&others, packed(send)?, receive).await
        }
        Work::Reduce { root, send, receive, combine } => match (root, receive) {
            (Root::At(root), _) => match tree::reduce(&inside, 0, pack(send)?, combine).await? {
                Some(sum) => others.put(*root, sum).await,
                None => Ok(()),
            },
            (Root::Me, Some(span)) => unpack(span, &others.get(0, span.bytes()).await?),
            _ => Ok(()),
        },
        Work::Allreduce { send, receive, combine } => {
            let len = send.bytes();
            let sum = tree::reduce(&inside, 0, pack(send)?, combine).await?;
            let theirs = leaders(&others, sum, len).await?;
            unpack(receive, &tree::bcast(&inside, 0, theirs, len).await?)
        }
        Work::ReduceScatter { send, receive, counts, combine } => {
            let len = send.bytes();
            let sum = tree::reduce(&inside, 0, pack(send)?, combine).await?;
            let theirs = leaders(&others, sum, len).await?;
            let lens: Vec<_> = counts.iter().map(|count| count * combine.element()).collect();
            unpack(receive, &pieces(&inside, theirs, &lens).await?)
        }
        _ => error(c::MPI_ERR_COMM, "this collective is not for intercommunicators"),
    }
}

fn packed(spans: &[Span]) -> Result<Vec<Bytes>> {
    spans.iter().map(pack).collect()
}

async fn barrier(inside: &Peers, others: &Peers) -> Result<()> {
    tree::barrier(inside).await?;
    let first = leaders(others, (inside.me == 0).then(Bytes::new), 0).await?;
    tree::bcast(inside, 0, first, 0).await.map(drop)
}

async fn bcast(inside: &Peers, others: &Peers, root: Root, buffer: &Span) -> Result<()> {
    match root {
        Root::Aside => Ok(()),
        Root::Me => others.put(0, pack(buffer)?).await,
        Root::At(root) => {
            let len = buffer.bytes();
            let first = match inside.me {
                0 => Some(others.get(root, len).await?),
                _ => None,
            };
            unpack(buffer, &tree::bcast(inside, 0, first, len).await?)
        }
    }
}

/// The first ranks of both sides tell each other something.
async fn leaders(others: &Peers, mine: Option<Bytes>, len: u64) -> Result<Option<Bytes>> {
    match mine {
        Some(mine) => others.swap(0, mine, 0, len).await.map(Some),
        None => Ok(None),
    }
}

/// Each rank's piece of what the first one has.
async fn pieces(inside: &Peers, all: Option<Bytes>, lens: &[u64]) -> Result<Bytes> {
    let len = lens.get(inside.me as usize).copied().unwrap_or(0);
    let Some(all) = all else { return inside.get(0, len).await };
    let others = (0..).zip(cut(&all, lens)).skip(1).collect();
    inside.exchange(others, &[]).await?;
    Ok(slice(&all, 0, len))
}

/// Sends to all of the other side, and receives from all of it.
async fn swap(others: &Peers, send: Vec<Bytes>, receive: &[Span]) -> Result<()> {
    let from: Vec<_> = (0..).zip(receive).map(|(rank, span)| (rank, span.bytes())).collect();
    let came = others.exchange((0..).zip(send).collect(), &from).await?;
    receive.iter().zip(came).try_for_each(|(span, bytes)| unpack(span, &bytes))
}
