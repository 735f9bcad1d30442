//! Finding what was written here: chunks are copied out, and the copy is hashed, so that a writer
//! cannot come between. Long work is done by threads that no guest waits for.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::chunks::{Chunks, chunks};
use super::copy::Copy;
use crate::errno::Errno;
use crate::wire::state::{CHUNK, chunk_hash};

/// Bytes that are worked on at once: they stay in a core's cache.
const BUFFER: u64 = 256 << 10;
/// Most bytes that are worked on by the guest worker that asks: some 50 µs.
const INLINE: u64 = 128 << 10;
/// Least bytes for which another thread helps.
const SHARE: u64 = 8 << 20;

/// Threads for long work.
pub struct Crew {
    permits: Arc<Semaphore>,
    count: usize,
}

impl Crew {
    /// At most so many at once.
    pub fn new(count: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(count)), count }
    }

    /// Does work on so many bytes: here when it is short.
    pub async fn work<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Errno> {
        if bytes <= INLINE {
            return Ok(work());
        }
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Errno::Unavailable)?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Errno::Io)
    }

    /// Cuts places into shares, one for each thread that is worth it.
    pub fn shares(&self, places: Vec<Range<u64>>) -> Vec<Vec<Range<u64>>> {
        let total = size(&places);
        let count = (total / SHARE).clamp(1, self.count as u64);
        let most = total.div_ceil(count).next_multiple_of(CHUNK).max(CHUNK);
        let mut shares = vec![Vec::new()];
        let mut room = most;
        for mut place in places {
            while !place.is_empty() {
                if room == 0 {
                    shares.push(Vec::new());
                    room = most;
                }
                let end = place.end.min(place.start + room);
                if let Some(share) = shares.last_mut() {
                    share.push(place.start..end);
                }
                room = room.saturating_sub((end - place.start).next_multiple_of(CHUNK));
                place.start = end;
            }
        }
        shares
    }
}

/// How many bytes there are in all.
pub fn size(places: &[Range<u64>]) -> u64 {
    places.iter().map(|place| place.end - place.start).sum()
}

/// Looks at chunks, and hands on those that are no more what they were at their last
/// synchronisation: the number, the hash and the bytes. Ends early when that returns `false`.
pub fn changed(
    copy: &Copy,
    places: &[Range<u64>],
    mut each: impl FnMut(u64, u128, &[u8]) -> bool,
) -> Result<(), Errno> {
    let most = size(places).min(BUFFER);
    let mut buffer = vec![0; usize::try_from(most).unwrap_or_default()];
    let mut known = Vec::new();
    for place in places {
        let mut at = place.start;
        while at < place.end {
            let end = place.end.min(at + BUFFER);
            let part = usize::try_from(end - at).unwrap_or_default();
            let Some(bytes) = buffer.get_mut(..part) else { return Err(Errno::Io) };
            copy.read(at, bytes)?;
            hashes(&copy.chunks(), at..end, &mut known);
            let pieces = bytes.chunks(CHUNK as usize).zip(chunks(at..end)).zip(&known);
            for ((piece, chunk), known) in pieces {
                let hash = chunk_hash(piece);
                if hash != *known && !each(chunk, hash, piece) {
                    return Ok(());
                }
            }
            at = end;
        }
    }
    Ok(())
}

fn hashes(known: &Chunks, range: Range<u64>, into: &mut Vec<u128>) {
    into.clear();
    into.extend(chunks(range).map(|chunk| known.hash(chunk)));
}

/// The chunks of these places that were written here, as runs of bytes.
pub async fn dirty(
    crew: &Crew,
    copy: &Arc<Copy>,
    places: Vec<Range<u64>>,
) -> Result<Vec<Range<u64>>, Errno> {
    let shares = crew.shares(places).into_iter().map(|share| {
        let copy = copy.clone();
        crew.work(size(&share), move || {
            let mut found: Vec<Range<u64>> = Vec::new();
            let scanned = changed(&copy, &share, |chunk, _, bytes| {
                let start = chunk * CHUNK;
                let end = start + bytes.len() as u64;
                match found.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => found.push(start..end),
                }
                true
            });
            scanned.map(|()| found)
        })
    });
    let mut all = Vec::new();
    for found in futures_util::future::try_join_all(shares).await? {
        all.extend(found?);
    }
    Ok(all)
}
