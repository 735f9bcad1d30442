//! Collectives that send every byte once to each who needs it: for long vectors, and for blocks
//! that differ in length.

use bytes::Bytes;

use super::Peers;
use super::combine::Combine;
use super::tree::cut;
use crate::mpi::error::Result;

/// The blocks of all ranks, at all; `lens` has their lengths.
pub async fn allgather(peers: &Peers, mine: Bytes, lens: &[u64]) -> Result<Vec<Bytes>> {
    let (me, size) = (peers.me, peers.size());
    let mut blocks = vec![Bytes::new(); size as usize];
    let (to, from) = ((me + 1) % size, (me + size - 1) % size);
    let mut pass = mine;
    for step in 1..size {
        let owner = (me + size - step) % size;
        let len = lens.get(owner as usize).copied().unwrap_or(0);
        let came = peers.swap(to, pass.clone(), from, len).await?;
        let place = (owner + 1) % size;
        set(&mut blocks, place, std::mem::replace(&mut pass, came));
    }
    // The last that came is that of the next rank.
    set(&mut blocks, (me + 1) % size, pass);
    Ok(blocks)
}

/// The same for short blocks: fewer messages, each of more blocks.
pub async fn allgather_short(peers: &Peers, mine: Bytes, lens: &[u64]) -> Result<Vec<Bytes>> {
    let (me, size) = (peers.me, peers.size());
    // From the own one on.
    let mut blocks = vec![mine];
    let mut step = 1;
    while step < size {
        let count = step.min(size - step);
        let (to, from) = ((me + size - step) % size, (me + step) % size);
        let of = (from..from + count).map(|rank| rank % size);
        let due: Vec<_> =
            of.map(|rank| lens.get(rank as usize).copied().unwrap_or_default()).collect();
        let send = blocks.iter().take(count as usize).map(Bytes::as_ref).collect::<Vec<_>>();
        let came = peers.swap(to, send.concat().into(), from, due.iter().sum()).await?;
        blocks.extend(cut(&came, &due));
        step *= 2;
    }
    blocks.rotate_right(me as usize);
    Ok(blocks)
}

/// What each rank has for this one, in order; `mine` are the blocks for each. `lens` are the most
/// bytes that each may have.
pub async fn alltoall(peers: &Peers, mine: Vec<Bytes>, lens: &[u64]) -> Result<Vec<Bytes>> {
    let (me, size) = (peers.me, peers.size());
    let at = |place: u32| mine.get(place as usize).cloned().unwrap_or_default();
    let mut blocks = vec![Bytes::new(); size as usize];
    set(&mut blocks, me, at(me));
    // Some at a time, so that neither side holds all messages at once.
    let others: Vec<u32> = (1..size).collect();
    for steps in others.chunks(16) {
        let send = steps.iter().map(|step| (me + step) % size).map(|to| (to, at(to))).collect();
        let receive: Vec<_> = steps
            .iter()
            .map(|step| (me + size - step) % size)
            .map(|from| (from, lens.get(from as usize).copied().unwrap_or(0)))
            .collect();
        let came = peers.exchange(send, &receive).await?;
        for ((from, _), bytes) in receive.iter().zip(came) {
            set(&mut blocks, *from, bytes);
        }
    }
    Ok(blocks)
}

/// This rank's piece of the bytes of all combined; `lens` are the lengths of the pieces.
pub async fn reduce_scatter(
    peers: &Peers,
    mine: &Bytes,
    lens: &[u64],
    combine: &Combine,
) -> Result<Bytes> {
    let len = lens.get(peers.me as usize).copied().unwrap_or(0);
    let pieces = cut(mine, lens);
    let blocks = alltoall(peers, pieces, &vec![len; lens.len()]).await?;
    for block in &blocks {
        super::exactly(block.clone(), len)?;
    }
    combine.all(blocks).await
}

/// The bytes of all combined, at all, each element at one of them first.
pub async fn allreduce(peers: &Peers, mine: &Bytes, combine: &Combine) -> Result<Bytes> {
    let lens = shares(mine.len() as u64, combine.element(), peers.size());
    let piece = reduce_scatter(peers, mine, &lens, combine).await?;
    Ok(allgather(peers, piece, &lens).await?.concat().into())
}

/// How many bytes of whole elements each rank has to do with.
pub fn shares(bytes: u64, element: u64, size: u32) -> Vec<u64> {
    let (element, size) = (element.max(1), u64::from(size));
    let count = bytes / element;
    let begin = |rank: u64| count * rank / size * element;
    (0..size).map(|rank| begin(rank + 1) - begin(rank)).collect()
}

fn set(blocks: &mut [Bytes], place: u32, bytes: Bytes) {
    if let Some(block) = blocks.get_mut(place as usize) {
        *block = bytes;
    }
}
