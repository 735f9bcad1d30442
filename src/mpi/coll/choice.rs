//! Which algorithm does what, by how many take part and how many bytes they have: trees and doubling
//! for few bytes, rings and pieces for many.

use bytes::Bytes;

use super::combine::Combine;
use super::tree::{cut, slice};
use super::{Peers, SMALL, ring, tree};
use crate::mpi::error::Result;

/// Longest block that goes through other ranks, in bytes.
const BLOCK: u64 = 4 << 10;

/// Bytes of the root at all; `mine` are those of the root.
pub async fn bcast(peers: &Peers, root: u32, mine: Option<Bytes>, len: u64) -> Result<Bytes> {
    if len <= 16 * SMALL || peers.size() <= 2 {
        return tree::bcast(peers, root, mine, len).await;
    }
    // Pieces go out once, then around.
    let lens = ring::shares(len, 1, peers.size());
    let mine = mine.map(|bytes| cut(&bytes, &lens));
    let most = lens.get(peers.me as usize).copied().unwrap_or(0);
    let piece = out(peers, root, mine, most).await?;
    Ok(ring::allgather(peers, piece, &lens).await?.concat().into())
}

/// A piece for each from the root, of at most so many bytes.
async fn out(peers: &Peers, root: u32, mine: Option<Vec<Bytes>>, most: u64) -> Result<Bytes> {
    match mine {
        Some(pieces) => {
            let own = pieces.get(peers.me as usize).cloned().unwrap_or_default();
            let all = (0..).zip(pieces).filter(|(rank, _)| *rank != peers.me);
            peers.exchange(all.collect(), &[]).await?;
            Ok(own)
        }
        None => Ok(peers.exchange(Vec::new(), &[(root, most)]).await?.pop().unwrap_or_default()),
    }
}

/// The blocks of all, in order, at the root. `lens` has their lengths where all know them; else the
/// root knows how long they are at most.
pub async fn gather(
    peers: &Peers,
    root: u32,
    mine: Bytes,
    lens: &[u64],
    known: bool,
) -> Result<Option<Vec<Bytes>>> {
    if known {
        super::due(mine.len() as u64, lens.get(peers.me as usize).copied().unwrap_or(0))?;
        if lens.iter().all(|len| *len <= BLOCK) {
            return tree::gather(peers, root, mine, lens).await;
        }
    }
    if peers.me != root {
        return peers.put(root, mine).await.map(|()| None);
    }
    let others = (0..).zip(lens).filter(|(rank, _)| *rank != root);
    let others: Vec<(u32, u64)> = others.map(|(rank, len)| (rank, *len)).collect();
    let mut blocks = peers.exchange(Vec::new(), &others).await?;
    blocks.insert(root as usize, mine);
    Ok(Some(blocks))
}

/// The block that the root has for this one; `mine` are the root's. `lens` has their lengths where
/// all know them, else each knows how long its own is at most.
pub async fn scatter(
    peers: &Peers,
    root: u32,
    mine: Option<Vec<Bytes>>,
    lens: &[u64],
    known: bool,
) -> Result<Bytes> {
    match known && lens.iter().all(|len| *len <= BLOCK) {
        true => tree::scatter(peers, root, mine, lens).await,
        false => {
            let most = lens.get(peers.me as usize).copied().unwrap_or(0);
            out(peers, root, mine, most).await
        }
    }
}

/// The blocks of all at all; `lens` has their lengths.
pub async fn allgather(peers: &Peers, mine: Bytes, lens: &[u64]) -> Result<Vec<Bytes>> {
    let mine = super::exactly(mine, lens.get(peers.me as usize).copied().unwrap_or(0))?;
    match lens.iter().all(|len| *len <= BLOCK) {
        true => ring::allgather_short(peers, mine, lens).await,
        false => ring::allgather(peers, mine, lens).await,
    }
}

/// The bytes of all combined, at the root.
pub async fn reduce(
    peers: &Peers,
    root: u32,
    mine: Bytes,
    combine: &Combine,
) -> Result<Option<Bytes>> {
    let len = mine.len() as u64;
    if len <= SMALL || peers.size() <= 2 {
        return tree::reduce(peers, root, mine, combine).await;
    }
    let lens = ring::shares(len, combine.element(), peers.size());
    let piece = ring::reduce_scatter(peers, &mine, &lens, combine).await?;
    let pieces = gather(peers, root, piece, &lens, false).await?;
    Ok(pieces.map(|pieces| slice(&pieces.concat().into(), 0, len)))
}

/// The bytes of all combined, at all.
pub async fn allreduce(peers: &Peers, mine: Bytes, combine: &Combine) -> Result<Bytes> {
    match mine.len() as u64 <= SMALL || peers.size() <= 2 {
        true => tree::allreduce(peers, mine, combine).await,
        false => ring::allreduce(peers, &mine, combine).await,
    }
}
