//! Collectives by trees and by doubling: few messages, each of all the bytes.

use bytes::Bytes;

use super::Peers;
use super::combine::Combine;
use crate::mpi::error::Result;

/// Waits until all have come.
pub async fn barrier(peers: &Peers) -> Result<()> {
    let (me, size) = (peers.me, peers.size());
    let mut step = 1;
    while step < size {
        let (to, from) = ((me + step) % size, (me + size - step) % size);
        peers.swap(to, Bytes::new(), from, 0).await?;
        step *= 2;
    }
    Ok(())
}

/// Bytes of the root at all ranks; `mine` are those of the root. What came goes on before it is
/// looked at: a rank that asked for less must not keep it from others.
pub async fn bcast(peers: &Peers, root: u32, mine: Option<Bytes>, len: u64) -> Result<Bytes> {
    let size = peers.size();
    let me = (peers.me + size - root) % size;
    // The lowest bit set is the distance to who sends to this one; below it are those it sends to.
    let reach = if me == 0 { size.next_power_of_two() } else { me & me.wrapping_neg() };
    let bytes = match mine {
        Some(bytes) if me == 0 => bytes,
        _ => peers.get_any((me - reach + root) % size).await?,
    };
    let mut sends = Vec::new();
    let mut step = reach / 2;
    while step > 0 {
        if me + step < size {
            sends.push(peers.send((me + step + root) % size, bytes.clone()));
        }
        step /= 2;
    }
    for send in &sends {
        super::done(send).await?;
    }
    super::exactly(bytes, len)
}

/// The bytes of all combined, at the root. Ranks that do not commute stay in order.
pub async fn reduce(
    peers: &Peers,
    root: u32,
    mine: Bytes,
    combine: &Combine,
) -> Result<Option<Bytes>> {
    let size = peers.size();
    let top = if combine.commutes() { root } else { 0 };
    let me = (peers.me + size - top) % size;
    let (len, mut sum, mut step) = (mine.len() as u64, mine, 1);
    while step < size {
        if me & step != 0 {
            peers.put((me - step + top) % size, sum).await?;
            sum = Bytes::new();
            break;
        }
        if me + step < size {
            let came = peers.get((me + step + top) % size, len).await?;
            sum = combine.apply(&sum, came.into()).await?.into();
        }
        step *= 2;
    }
    if top != root {
        if me == 0 {
            peers.put(root, sum).await?;
            return Ok(None);
        }
        if peers.me == root {
            return peers.get(top, len).await.map(Some);
        }
    }
    Ok((peers.me == root).then_some(sum))
}

/// The bytes of all combined, at all.
pub async fn allreduce(peers: &Peers, mine: Bytes, combine: &Combine) -> Result<Bytes> {
    let (me, size, len) = (peers.me, peers.size(), mine.len() as u64);
    let power = if size.is_power_of_two() { size } else { size.next_power_of_two() / 2 };
    let rest = size - power;
    let mut sum = mine;
    // Of the first ranks two make one, so that a power of two is left.
    if me < 2 * rest && me % 2 == 0 {
        peers.put(me + 1, sum).await?;
        return peers.get(me + 1, len).await;
    }
    let place = if me < 2 * rest {
        let came = peers.get(me - 1, len).await?;
        sum = combine.apply(&came, sum.into()).await?.into();
        me / 2
    } else {
        me - rest
    };
    let rank_of = |place: u32| if place < rest { place * 2 + 1 } else { place + rest };
    let mut step = 1;
    while step < power {
        let other = rank_of(place ^ step);
        let came = peers.swap(other, sum.clone(), other, len).await?;
        // Both sides combine the same two in the same order.
        let (low, high) = if place & step == 0 { (sum, came) } else { (came, sum) };
        sum = combine.apply(&low, high.into()).await?.into();
        step *= 2;
    }
    if me < 2 * rest {
        peers.put(me - 1, sum.clone()).await?;
    }
    Ok(sum)
}

/// The bytes of the ranks up to this one combined; without its own when `exclusive`, and none then
/// at the first.
pub async fn scan(
    peers: &Peers,
    mine: Bytes,
    combine: &Combine,
    exclusive: bool,
) -> Result<Option<Bytes>> {
    let (me, size, len) = (peers.me, peers.size(), mine.len() as u64);
    let (mut sum, mut step) = (mine, 1);
    while step < size {
        let send = (me + step < size).then(|| peers.send(me + step, sum.clone()));
        if me >= step {
            let came = peers.get(me - step, len).await?;
            sum = combine.apply(&came, sum.into()).await?.into();
        }
        if let Some(send) = send {
            super::done(&send).await?;
        }
        step *= 2;
    }
    if !exclusive {
        return Ok(Some(sum));
    }
    let send = (me + 1 < size).then(|| peers.send(me + 1, sum));
    let before = match me {
        0 => None,
        _ => Some(peers.get(me - 1, len).await?),
    };
    if let Some(send) = send {
        super::done(&send).await?;
    }
    Ok(before)
}

/// The blocks of all ranks, in order, at the root; `lens` has their lengths.
pub async fn gather(
    peers: &Peers,
    root: u32,
    mine: Bytes,
    lens: &[u64],
) -> Result<Option<Vec<Bytes>>> {
    let (size, lens) = (peers.size(), from_root(lens, root));
    let me = (peers.me + size - root) % size;
    let mut all = mine.to_vec();
    let mut step = 1;
    while step < size {
        if me & step != 0 {
            peers.put((me - step + root) % size, all.into()).await?;
            return Ok(None);
        }
        if me + step < size {
            let due = total(&lens, me + step, step);
            all.extend_from_slice(&peers.get((me + step + root) % size, due).await?);
        }
        step *= 2;
    }
    let mut blocks = cut(&all.into(), &lens);
    blocks.rotate_right(root as usize);
    Ok(Some(blocks))
}

/// The block that the root has for this rank; `mine` are the root's, in order, and `lens` has their
/// lengths.
pub async fn scatter(
    peers: &Peers,
    root: u32,
    mine: Option<Vec<Bytes>>,
    lens: &[u64],
) -> Result<Bytes> {
    let (size, lens) = (peers.size(), from_root(lens, root));
    let me = (peers.me + size - root) % size;
    let reach = if me == 0 { size.next_power_of_two() } else { me & me.wrapping_neg() };
    let all: Bytes = match mine {
        Some(mut blocks) if me == 0 => {
            blocks.rotate_left(root as usize);
            blocks.concat().into()
        }
        _ => peers.get_any((me - reach + root) % size).await?,
    };
    // In the root's measure: a rank that asked for less must not keep theirs from others.
    let measure = Measure { due: total(&lens, me, reach), came: all.len() as u64 };
    let part = |from, count| measure.of(total(&lens, from, count));
    let mut sends = Vec::new();
    let mut step = reach / 2;
    while step > 0 {
        if me + step < size {
            let bytes = slice(&all, part(me, step), part(me + step, step));
            sends.push(peers.send((me + step + root) % size, bytes));
        }
        step /= 2;
    }
    for send in &sends {
        super::done(send).await?;
    }
    super::exactly(slice(&all, 0, part(me, 1)), total(&lens, me, 1))
}

/// How many bytes came where so many were due.
struct Measure {
    due: u64,
    came: u64,
}

impl Measure {
    /// What came of so many of the bytes that were due.
    fn of(&self, due: u64) -> u64 {
        let came = u128::from(due) * u128::from(self.came);
        let came = came.checked_div(u128::from(self.due)).unwrap_or(0);
        u64::try_from(came).unwrap_or(u64::MAX)
    }
}

/// The same, from that of the root on.
fn from_root(lens: &[u64], root: u32) -> Vec<u64> {
    let (before, after) = lens.split_at(lens.len().min(root as usize));
    [after, before].concat()
}

/// So many of these together, from this one on.
fn total(lens: &[u64], from: u32, count: u32) -> u64 {
    lens.iter().skip(from as usize).take(count as usize).sum()
}

/// Cuts bytes into pieces of these lengths, as far as they go.
pub fn cut(bytes: &Bytes, lens: &[u64]) -> Vec<Bytes> {
    let mut at = 0;
    let piece = |len: &u64| {
        let piece = slice(bytes, at, *len);
        at += *len;
        piece
    };
    lens.iter().map(piece).collect()
}

/// A part of bytes, as far as they go.
pub fn slice(bytes: &Bytes, at: u64, len: u64) -> Bytes {
    let end = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(end(at)..end(at.saturating_add(len)))
}
