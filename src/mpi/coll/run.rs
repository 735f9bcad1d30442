//! Runs a collective: in memory where all ranks are on one node, by messages elsewhere.

use bytes::Bytes;

use super::combine::Combine;
use super::places::{pack, unpack};
use super::reducing::{Reduction, Share};
use super::tree::{cut, slice};
use super::{Peers, Plan, Root, SMALL, Work, across, local, reducing, ring, tree};
use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::Result;

/// Longest block that goes through other ranks, in bytes.
const BLOCK: u64 = 4 << 10;

impl Plan {
    /// Runs it; `start` counts the starts of a persistent one.
    pub async fn run(&self, start: u32) -> Result<()> {
        if self.comm.remote.is_some() && !matches!(self.work, Work::Neighbours { .. }) {
            return across::run(self).await;
        }
        match self.endpoint.meetings(&self.comm.group) {
            Some(meetings) if self.work.can_meet() => {
                let first = self.comm.group.world_rank(0).unwrap_or(0);
                let key = (self.comm.collective(), self.tag, start, first);
                let room = meetings.attend(key, &self.comm.group, self.comm.rank);
                if let Some(class) = self.endpoint.is_over(self.comm.collective()) {
                    room.meeting().fail(class);
                }
                let came = match self.work.reduction() {
                    Some(reduction) => reducing::run(&room, &reduction).await,
                    None => local::run(&room, self.comm.rank, &self.work).await,
                };
                if let Err(error) = &came {
                    room.withdraw(error.class().unwrap_or(c::MPI_ERR_OTHER));
                }
                room.leave();
                came
            }
            _ => self.by_messages().await,
        }
    }

    /// Runs it whatever nodes the ranks are on.
    pub async fn by_messages(&self) -> Result<()> {
        let peers = Peers::inside(self);
        match &self.work {
            Work::Barrier => tree::barrier(&peers).await,
            Work::Bcast { root: Root::At(root), buffer } => bcast(&peers, *root, buffer).await,
            Work::Gather { root: Root::At(root), send, receive, equal } => {
                gather(&peers, *root, send.as_ref(), receive, *equal).await
            }
            Work::Scatter { root: Root::At(root), send, receive, equal } => {
                scatter(&peers, *root, send, receive.as_ref(), *equal).await
            }
            Work::Allgather { send, receive, equal } => {
                allgather(&peers, send.as_ref(), receive, *equal).await
            }
            Work::Alltoall { send, receive } => {
                let send = send.as_ref().unwrap_or(receive);
                let mine: Result<Vec<_>> = send.iter().map(pack).collect();
                let lens: Vec<_> = receive.iter().map(Span::bytes).collect();
                let came = ring::alltoall(&peers, mine?, &lens).await?;
                receive.iter().zip(came).try_for_each(|(span, bytes)| unpack(span, &bytes))
            }
            Work::Neighbours { send, receive } => neighbours(&peers, send, receive).await,
            Work::Reduce { root: Root::At(root), send, receive, combine } => {
                reduce(&peers, *root, send, receive.as_ref(), combine).await
            }
            Work::Allreduce { send, receive, combine } => {
                let mine = pack(send)?;
                let sum = match mine.len() as u64 > SMALL {
                    true => ring::allreduce(&peers, &mine, combine).await?,
                    false => tree::allreduce(&peers, mine, combine).await?,
                };
                unpack(receive, &sum)
            }
            Work::ReduceScatter { send, receive, counts, combine } => {
                let element = combine.element();
                // Which fails if they are more than any memory has.
                let mine = pack(send)?;
                let lens: Vec<_> =
                    counts.iter().map(|count| count.saturating_mul(element)).collect();
                let piece = ring::reduce_scatter(&peers, &mine, &lens, combine).await?;
                unpack(receive, &piece)
            }
            Work::Scan { send, receive, combine, exclusive } => {
                match tree::scan(&peers, pack(send)?, combine, *exclusive).await? {
                    Some(sum) => unpack(receive, &sum),
                    None => Ok(()),
                }
            }
            // Such roots are those of intercommunicators.
            _ => Ok(()),
        }
    }
}

impl Work {
    /// Whether ranks of one node can do it in memory. Operations of the program need its own ranks.
    fn can_meet(&self) -> bool {
        let builtin = |combine: &Combine| matches!(combine, Combine::Builtin(..));
        match self {
            Self::Neighbours { .. } => false,
            Self::Reduce { combine, .. }
            | Self::Allreduce { combine, .. }
            | Self::ReduceScatter { combine, .. }
            | Self::Scan { combine, .. } => builtin(combine),
            _ => true,
        }
    }

    fn reduction(&self) -> Option<Reduction<'_>> {
        let (send, receive, combine, share) = match self {
            Self::Reduce { send, receive, combine, .. } => {
                (send, receive.as_ref(), combine, Share::All)
            }
            Self::Allreduce { send, receive, combine } => {
                (send, Some(receive), combine, Share::All)
            }
            Self::ReduceScatter { send, receive, counts, combine } => {
                (send, Some(receive), combine, Share::Counts(counts))
            }
            Self::Scan { send, receive, combine, exclusive } => {
                (send, Some(receive), combine, Share::Scan(*exclusive))
            }
            _ => return None,
        };
        match combine {
            Combine::Builtin(op, basic) => {
                Some(Reduction { send, receive, op: *op, basic: *basic, share })
            }
            Combine::User(_) => None,
        }
    }
}

async fn bcast(peers: &Peers, root: u32, buffer: &Span) -> Result<()> {
    let (is_root, len) = (peers.me == root, buffer.bytes());
    let mine = if is_root { Some(pack(buffer)?) } else { None };
    let bytes = if len > 16 * SMALL && peers.size() > 2 {
        // Pieces go out once, then around.
        let lens = ring::shares(len, 1, peers.size());
        let mine = mine.map(|bytes| cut(&bytes, &lens));
        let piece = out(peers, root, mine, &lens).await?;
        ring::allgather(peers, piece, &lens).await?.concat().into()
    } else {
        tree::bcast(peers, root, mine, len).await?
    };
    if is_root { Ok(()) } else { unpack(buffer, &bytes) }
}

/// A piece for each from the root.
async fn out(peers: &Peers, root: u32, mine: Option<Vec<Bytes>>, lens: &[u64]) -> Result<Bytes> {
    let me = peers.me as usize;
    match mine {
        Some(pieces) => {
            let own = pieces.get(me).cloned().unwrap_or_default();
            let all = (0..).zip(pieces).filter(|(rank, _)| *rank != peers.me);
            peers.exchange(all.collect(), &[]).await?;
            Ok(own)
        }
        None => {
            let most = lens.get(me).copied().unwrap_or(0);
            Ok(peers.exchange(Vec::new(), &[(root, most)]).await?.pop().unwrap_or_default())
        }
    }
}

async fn gather(
    peers: &Peers,
    root: u32,
    send: Option<&Span>,
    receive: &[Span],
    equal: Option<u64>,
) -> Result<()> {
    let mine = send.map(pack).transpose()?;
    let blocks = match equal {
        Some(len) if len <= BLOCK => {
            let mine = match (&mine, receive.get(peers.me as usize)) {
                (Some(mine), _) => mine.clone(),
                (None, Some(place)) => pack(place)?,
                (None, None) => Bytes::new(),
            };
            let mine = super::exactly(mine, len)?;
            tree::gather(peers, root, mine, len).await?.unwrap_or_default()
        }
        _ if peers.me != root => return peers.put(root, mine.unwrap_or_default()).await,
        _ => {
            let others = (0..peers.size()).zip(receive).filter(|(rank, _)| *rank != root);
            let others: Vec<_> = others.map(|(rank, span)| (rank, span.bytes())).collect();
            let mut blocks = peers.exchange(Vec::new(), &others).await?;
            blocks.insert(root as usize, mine.clone().unwrap_or_default());
            blocks
        }
    };
    for (rank, (span, bytes)) in receive.iter().zip(blocks).enumerate() {
        // What is in place stays.
        if rank != root as usize || send.is_some() {
            unpack(span, &bytes)?;
        }
    }
    Ok(())
}

async fn scatter(
    peers: &Peers,
    root: u32,
    send: &[Span],
    receive: Option<&Span>,
    equal: Option<u64>,
) -> Result<()> {
    let mine = match peers.me == root {
        true => Some(send.iter().map(pack).collect::<Result<Vec<_>>>()?),
        false => None,
    };
    let piece = match equal {
        Some(len) if len <= BLOCK => tree::scatter(peers, root, mine, len).await?,
        _ => {
            let mut lens = vec![0; peers.size() as usize];
            if let Some(len) = lens.get_mut(peers.me as usize) {
                *len = receive.map_or(0, Span::bytes);
            }
            out(peers, root, mine, &lens).await?
        }
    };
    receive.map_or(Ok(()), |span| unpack(span, &piece))
}

async fn allgather(
    peers: &Peers,
    send: Option<&Span>,
    receive: &[Span],
    equal: Option<u64>,
) -> Result<()> {
    let Some(mine) = send.or_else(|| receive.get(peers.me as usize)) else { return Ok(()) };
    let mine = pack(mine)?;
    let blocks = match equal {
        Some(len) if len <= BLOCK => {
            ring::allgather_short(peers, super::exactly(mine, len)?, len).await?
        }
        _ => {
            let lens: Vec<_> = receive.iter().map(Span::bytes).collect();
            ring::allgather(peers, mine, &lens).await?
        }
    };
    for (rank, (span, bytes)) in receive.iter().zip(blocks).enumerate() {
        if rank != peers.me as usize || send.is_some() {
            unpack(span, &bytes)?;
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

async fn reduce(
    peers: &Peers,
    root: u32,
    send: &Span,
    receive: Option<&Span>,
    combine: &Combine,
) -> Result<()> {
    let mine = pack(send)?;
    let len = mine.len() as u64;
    let sum = if len > SMALL {
        let lens = ring::shares(len, combine.element(), peers.size());
        let piece = ring::reduce_scatter(peers, &mine, &lens, combine).await?;
        if peers.me == root {
            let others = (0..).zip(&lens).filter(|(rank, _)| *rank != root);
            let others: Vec<(u32, u64)> = others.map(|(rank, len)| (rank, *len)).collect();
            let mut pieces = peers.exchange(Vec::new(), &others).await?;
            pieces.insert(root as usize, piece);
            Some(Bytes::from(pieces.concat()))
        } else {
            peers.put(root, piece).await?;
            None
        }
    } else {
        tree::reduce(peers, root, mine, combine).await?
    };
    match (receive, sum) {
        (Some(span), Some(sum)) => unpack(span, &slice(&sum, 0, len)),
        _ => Ok(()),
    }
}
