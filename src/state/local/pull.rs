//! Pulls: bytes of the owner's come here, all as of one version.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::Shared;
use super::chunks::{Run, chunks};
use super::copy::Copy;
use super::notes::Notes;
use super::scan::dirty;
use crate::errno::Errno;
use crate::state::global::To;
use crate::wire::state::{
    Answer, CHUNK, Extent, MAX_EXTENTS, MAX_PIECE, Op, Pull, Pulled, Stat, Version, chunk_hash,
};

/// Requests on their way at once.
const IN_FLIGHT: usize = 4;
/// Runs of chunks of different ages that are asked for one by one; more are taken as one run of
/// the oldest, which may bring some that did not change.
const MAX_RUNS: usize = 16;
/// How often a pull begins again because its version was too old at its end.
const ATTEMPTS: u32 = 4;

/// What to bring.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Of these bytes.
    pub range: Range<u64>,
    /// Chunks that are not here.
    pub absent: bool,
    /// Chunks that moved on, and those that were written here and not pushed.
    pub changed: bool,
}

/// One request, repeated until it has all.
#[derive(Debug, Clone)]
struct Segment {
    range: Range<u64>,
    since: Option<Version>,
    also: Vec<(u64, u64)>,
}

/// Brings it.
pub async fn pull(shared: &Arc<Shared>, copy: &Arc<Copy>, to: To, wish: Wish) -> Result<(), Errno> {
    let _gate = copy.gate.lock().await;
    let mut attempt = 1;
    loop {
        let pulled = once(shared, copy, &to, &wish).await;
        match pulled {
            Err(Errno::Again) if attempt < ATTEMPTS => attempt += 1,
            pulled => return pulled,
        }
    }
}

async fn once(shared: &Arc<Shared>, copy: &Arc<Copy>, to: &To, wish: &Wish) -> Result<(), Errno> {
    let mut notes = Notes::none(copy);
    let mut written = Vec::new();
    if wish.changed {
        let places = notes.take(wish.range.clone());
        written = dirty(&shared.crew, copy, places).await?;
    }
    let segments = {
        let chunks = copy.chunks();
        let runs = chunks.runs(wish.range.clone());
        let segments = plan(wish, runs, chunks.generation, written);
        if segments.is_empty() && !wish.changed {
            return Ok(());
        }
        segments
    };
    let mut segments = segments.into_iter();
    let Some(mut first) = segments.next() else {
        // Nothing of it is here; whether the value is still the same is to be known all the same.
        let stat = stat(shared, to).await?;
        adopt(copy, stat.version, stat.len)?;
        notes.done();
        return Ok(());
    };
    let (pulled, body) = ask(shared, to, &first, None).await?;
    let version = pulled.version;
    let len = pulled.len;
    adopt(copy, version, len)?;
    charge(shared, copy, &wish.range, wish.absent).await?;
    first.range.start = pulled.done.max(first.range.start);
    apply(shared, copy, pulled, body).await?;
    let left = std::iter::once(first).chain(segments);
    let fetches = left.map(|segment| fetch(shared, copy, to, segment, version, len));
    futures_util::stream::iter(fetches).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
    if wish.changed {
        copy.chunks().unchanged(wish.range.clone(), version.seq);
    }
    notes.done();
    Ok(())
}

/// Asks for the rest of a segment.
async fn fetch(
    shared: &Arc<Shared>,
    copy: &Arc<Copy>,
    to: &To,
    mut segment: Segment,
    version: Version,
    len: u64,
) -> Result<(), Errno> {
    while segment.range.start < segment.range.end.min(len) {
        let to = to.within(shared.patience);
        let (pulled, body) = ask(shared, &to, &segment, Some(version)).await?;
        if pulled.version != version || pulled.done <= segment.range.start {
            return Err(Errno::Io);
        }
        segment.range.start = pulled.done;
        apply(shared, copy, pulled, body).await?;
    }
    Ok(())
}

/// Asks what there is.
pub async fn stat(shared: &Arc<Shared>, to: &To) -> Result<Stat, Errno> {
    match shared.global.read(to.clone(), Op::Stat).await {
        Ok((Answer::Stat(stat), _)) => Ok(stat),
        Ok(_) => Err(Errno::Io),
        Err(error) => Err(error.errno()),
    }
}

/// Asks for a part of a value, of which nothing is here.
pub async fn begin(
    shared: &Arc<Shared>,
    to: &To,
    range: Range<u64>,
) -> Result<(Pulled, Bytes), Errno> {
    ask(shared, to, &Segment { range, since: None, also: Vec::new() }, None).await
}

async fn ask(
    shared: &Arc<Shared>,
    to: &To,
    segment: &Segment,
    at: Option<Version>,
) -> Result<(Pulled, Bytes), Errno> {
    let Range { start, end } = segment.range;
    let also = segment.also.iter().filter(|(first, count)| (first + count) * CHUNK > start);
    let op = Op::Pull(Pull {
        range: Extent { off: start, len: end.saturating_sub(start) },
        since: segment.since,
        also: also.copied().collect(),
        at,
    });
    match shared.global.read(to.clone(), op).await {
        Ok((Answer::Pulled(pulled), body)) => {
            let bytes = pulled.extents.iter().try_fold(0u64, |sum, extent| {
                extent.end()?;
                sum.checked_add(extent.len)
            });
            if bytes != Some(body.len() as u64) {
                return Err(Errno::Io);
            }
            shared.meters.pulled(body.len());
            Ok((pulled, body))
        }
        Ok(_) => Err(Errno::Io),
        Err(error) => Err(error.errno()),
    }
}

/// Takes the owner's word of which value this is, and how long.
fn adopt(copy: &Copy, version: Version, len: u64) -> Result<(), Errno> {
    let generation = copy.chunks().generation;
    if generation.is_some_and(|generation| generation != version.generation) {
        return Err(Errno::Stale);
    }
    copy.set_len(len)?;
    copy.chunks().adopted(version, len);
    Ok(())
}

/// Takes memory for what will be here.
async fn charge(
    shared: &Arc<Shared>,
    copy: &Arc<Copy>,
    range: &Range<u64>,
    absent: bool,
) -> Result<(), Errno> {
    let range = range.start..range.end.min(copy.len());
    match absent && !range.is_empty() {
        true => shared.charge(copy, range).await,
        false => Ok(()),
    }
}

/// Writes what came.
pub async fn apply(
    shared: &Arc<Shared>,
    copy: &Arc<Copy>,
    pulled: Pulled,
    body: Bytes,
) -> Result<(), Errno> {
    let copy = copy.clone();
    let len = body.len() as u64;
    let write = move || {
        let mut rest = body.as_ref();
        for extent in &pulled.extents {
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX);
            let Some((bytes, behind)) = rest.split_at_checked(len) else { return Err(Errno::Io) };
            rest = behind;
            if !extent.off.is_multiple_of(CHUNK) || extent.off + extent.len > pulled.len {
                return Err(Errno::Io);
            }
            copy.charge(extent.off..extent.off + extent.len)?;
            copy.write(extent.off, bytes)?;
            let hashes: Vec<u128> = bytes.chunks(CHUNK as usize).map(chunk_hash).collect();
            let mut known = copy.chunks();
            for (chunk, hash) in chunks(extent.off..extent.off + extent.len).zip(hashes) {
                known.synced(chunk, hash, pulled.version.seq);
            }
        }
        Ok(())
    };
    shared.crew.work(len, write).await?
}

/// What to ask for.
fn plan(
    wish: &Wish,
    runs: Vec<Run>,
    generation: Option<u64>,
    written: Vec<Range<u64>>,
) -> Vec<Segment> {
    let mut segments = Vec::new();
    let here: Vec<_> = runs.iter().filter(|run| run.seq.is_some()).collect();
    if wish.changed {
        let ages: Vec<(Range<u64>, u64)> = if here.len() <= MAX_RUNS {
            here.iter().map(|run| (run.range.clone(), run.seq.unwrap_or_default())).collect()
        } else {
            let start = here.first().map_or(0, |run| run.range.start);
            let end = here.last().map_or(0, |run| run.range.end);
            vec![(start..end, here.iter().filter_map(|run| run.seq).min().unwrap_or_default())]
        };
        for (range, seq) in ages {
            let since =
                generation.filter(|_| seq > 0).map(|generation| Version { generation, seq });
            let also = also(&written, &range);
            segments.push(Segment { range, since, also });
        }
    }
    // What lies behind the end that is known here may be there by now.
    if wish.absent {
        for run in runs.iter().filter(|run| run.seq.is_none()) {
            let mut start = run.range.start;
            while start < run.range.end {
                let end = run.range.end.min(start + MAX_PIECE as u64);
                segments.push(Segment { range: start..end, since: None, also: Vec::new() });
                start = end;
            }
        }
    }
    segments
}

/// Chunks that were written here, within a range, as many as one request can name: if there are
/// more, neighbours are taken as one with what lies between.
fn also(written: &[Range<u64>], range: &Range<u64>) -> Vec<(u64, u64)> {
    let mut also: Vec<(u64, u64)> = written
        .iter()
        .map(|place| place.start.max(range.start)..place.end.min(range.end))
        .filter(|place| !place.is_empty())
        .map(|place| (place.start / CHUNK, place.end.div_ceil(CHUNK) - place.start / CHUNK))
        .collect();
    while also.len() > MAX_EXTENTS {
        also = also
            .chunks(2)
            .filter_map(|pair| {
                let (first, last) = (pair.first()?, pair.last()?);
                Some((first.0, last.0 + last.1 - first.0))
            })
            .collect();
    }
    also
}
