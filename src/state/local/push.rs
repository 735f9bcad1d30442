//! Pushes: what was written here goes to the owner, in pieces that become visible all at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Shared;
use super::copy::Copy;
use super::notes::Notes;
use super::ranges::Ranges;
use super::scan::{changed, size};
use crate::errno::Errno;
use crate::state::global::{StateError, To, commit_time};
use crate::wire::state::{
    CHUNK, Extent, MAX_EXTENTS, MAX_PIECE, Only, Push, Refusal, Write, Written, chunk_hash,
};

/// Pieces on their way at once.
const IN_FLIGHT: usize = 4;

/// Bytes to send, at most [`MAX_PIECE`], and what they are.
#[derive(Default)]
struct Piece {
    extents: Vec<Extent>,
    body: Vec<u8>,
    /// Chunks that are sent whole, and their hashes.
    whole: Vec<(u64, u128)>,
}

impl Piece {
    /// Whether so many bytes from here fit.
    fn fits(&self, off: u64, len: usize) -> bool {
        let follows = self.extents.last().and_then(Extent::end) == Some(off);
        self.body.len() + len <= MAX_PIECE && (follows || self.extents.len() < MAX_EXTENTS)
    }

    fn add(&mut self, off: u64, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        match self.extents.last_mut() {
            Some(last) if last.end() == Some(off) => last.len += bytes.len() as u64,
            _ => self.extents.push(Extent { off, len: bytes.len() as u64 }),
        }
    }
}

/// Sends all chunks that changed here, and the length if that did.
pub async fn chunks_of(shared: &Arc<Shared>, copy: &Arc<Copy>, to: To) -> Result<(), Errno> {
    let _gate = copy.gate.lock().await;
    let (len, synced_len, generation) = {
        let chunks = copy.chunks();
        (chunks.len(), chunks.synced_len, chunks.generation)
    };
    let mut notes = Notes::none(copy);
    let mut shares = shared.crew.shares(notes.take(0..u64::MAX));
    let mut upload = Upload::new(shared, to);
    while !shares.is_empty() {
        let cuts = shares.into_iter().map(|share| {
            let copy = copy.clone();
            shared.crew.work(size(&share), move || cut(&copy, share))
        });
        shares = Vec::new();
        for cut in futures_util::future::try_join_all(cuts).await? {
            let (pieces, rest) = cut?;
            for piece in pieces {
                upload.add(piece).await?;
            }
            shares.extend(Some(rest).filter(|rest| !rest.is_empty()));
        }
    }
    let create = generation.is_none();
    if upload.is_empty() && len == synced_len && !create {
        notes.done();
        return Ok(());
    }
    let push = Push {
        staged: None,
        extents: Vec::new(),
        len: (len != synced_len || create).then_some(len),
        create,
        replace: create,
        only: generation.map_or(Only::Any, Only::Generation),
    };
    let (written, whole) = upload.commit(push).await?;
    let mut chunks = copy.chunks();
    for (chunk, hash) in whole {
        chunks.synced(chunk, hash, written.version.seq);
    }
    if create {
        // All that was not sent is zeros, there as here.
        chunks.born(written.version);
    }
    chunks.synced_len = written.len;
    drop(chunks);
    notes.done();
    Ok(())
}

/// Cuts what changed in these places into pieces, a few at a time; gives the places that are left.
fn cut(copy: &Copy, places: Vec<Range<u64>>) -> Result<(Vec<Piece>, Vec<Range<u64>>), Errno> {
    let mut pieces = vec![Piece::default()];
    let mut left = None;
    changed(copy, &places, |chunk, hash, bytes| {
        let off = chunk * CHUNK;
        if pieces.last().is_none_or(|last| !last.fits(off, bytes.len())) {
            if pieces.len() == IN_FLIGHT {
                left = Some(off);
                return false;
            }
            pieces.push(Piece::default());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.add(off, bytes);
            piece.whole.push((chunk, hash));
        }
        true
    })?;
    pieces.retain(|piece| !piece.body.is_empty());
    let cut = |left: u64| {
        let behind = places.into_iter().map(move |place| place.start.max(left)..place.end);
        behind.filter(|place| !place.is_empty()).collect()
    };
    Ok((pieces, left.map(cut).unwrap_or_default()))
}

/// Sends just these bytes. Those that are not here are left out.
pub async fn bytes_of(
    shared: &Arc<Shared>,
    copy: &Arc<Copy>,
    to: To,
    which: Bytewise,
) -> Result<(), Errno> {
    let _gate = copy.gate.lock().await;
    let (len, generation) = {
        let chunks = copy.chunks();
        (chunks.len(), chunks.generation)
    };
    let mut notes = Notes::none(copy);
    let parts = match which {
        Bytewise::Flagged => {
            notes.take_flagged(0..u64::MAX);
            notes.flagged.clone()
        }
        Bytewise::Just(parts) => {
            parts.iter().for_each(|part| notes.take_flagged(part));
            parts
        }
    };
    let mut upload = Upload::new(shared, to);
    let mut piece = Piece::default();
    let places: Vec<_> = {
        let chunks = copy.chunks();
        let here = |part: Range<u64>| chunks.runs(part).into_iter().filter(|run| run.seq.is_some());
        parts
            .within(0..len)
            .flat_map(|part| {
                let cut = |r: Range<u64>| r.start.max(part.start)..r.end.min(part.end);
                here(part.clone()).map(|run| cut(run.range)).collect::<Vec<_>>()
            })
            .collect()
    };
    for place in places {
        for (off, bytes) in copy_out(shared, copy, place).await? {
            if !piece.fits(off, bytes.len()) {
                upload.add(std::mem::take(&mut piece)).await?;
            }
            whole_chunks(off, &bytes, &mut piece.whole);
            piece.add(off, &bytes);
        }
    }
    if !piece.body.is_empty() {
        upload.add(piece).await?;
    }
    if upload.is_empty() && generation.is_some() {
        notes.done();
        return Ok(());
    }
    let push = Push {
        staged: None,
        extents: Vec::new(),
        len: generation.is_none().then_some(len),
        create: generation.is_none(),
        replace: false,
        only: generation.map_or(Only::Any, Only::Generation),
    };
    let (written, whole) = upload.commit(push).await?;
    settle_parts(copy, &written, &whole)?;
    notes.done();
    Ok(())
}

/// Which bytes to send.
pub enum Bytewise {
    /// Those flagged.
    Flagged,
    /// These.
    Just(Ranges),
}

/// Copies a place out, in parts that end where chunks do.
async fn copy_out(
    shared: &Arc<Shared>,
    copy: &Arc<Copy>,
    place: Range<u64>,
) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
    /// Whole chunks, and a divisor of a piece.
    const PART: u64 = 256 << 10;
    let copy = copy.clone();
    let read = move || {
        let mut parts = Vec::new();
        let mut at = place.start;
        while at < place.end {
            let end = ((at / PART + 1) * PART).min(place.end);
            let mut bytes = vec![0; usize::try_from(end - at).unwrap_or_default()];
            copy.read(at, &mut bytes)?;
            parts.push((at, bytes));
            at = end;
        }
        Ok(parts)
    };
    shared.crew.work(place_len(&place), read).await?
}

fn place_len(place: &Range<u64>) -> u64 {
    place.end - place.start
}

/// The chunks that these bytes hold all of.
fn whole_chunks(off: u64, bytes: &[u8], into: &mut Vec<(u64, u128)>) {
    let skip = usize::try_from(off.next_multiple_of(CHUNK) - off).unwrap_or_default();
    let first = off.div_ceil(CHUNK);
    let whole = bytes.get(skip..).unwrap_or_default().chunks_exact(CHUNK as usize);
    into.extend((first..).zip(whole).map(|(chunk, bytes)| (chunk, chunk_hash(bytes))));
}

/// A chunk that was sent in part is the owner's only if all of it is.
fn settle_parts(copy: &Copy, written: &Written, whole: &[(u64, u128)]) -> Result<(), Errno> {
    let len = copy.len();
    let mut same = BTreeMap::new();
    for (chunk, hash) in &written.parts {
        let start = chunk * CHUNK;
        let mut bytes = [0; CHUNK as usize];
        let end = usize::try_from(len.saturating_sub(start).min(CHUNK)).unwrap_or_default();
        if let Some(bytes) = bytes.get_mut(..end) {
            copy.read(start, bytes)?;
        }
        if chunk_hash(&bytes) == *hash {
            same.insert(*chunk, *hash);
        }
    }
    let mut chunks = copy.chunks();
    if chunks.generation.is_none() {
        chunks.adopted(written.version, written.len);
    }
    for (chunk, hash) in same.iter().map(|(c, h)| (*c, *h)).chain(whole.iter().copied()) {
        chunks.synced(chunk, hash, written.version.seq);
    }
    Ok(())
}

/// Sends pieces: all but the last are staged, which makes them visible with it.
struct Upload {
    shared: Arc<Shared>,
    to: To,
    /// The number that pieces are staged under, once there are any.
    push: Option<u64>,
    /// The piece that goes with the commit, unless others follow.
    last: Option<Piece>,
    whole: Vec<(u64, u128)>,
    staged: u64,
    under_way: FuturesUnordered<futures_util::future::BoxFuture<'static, Result<u64, StateError>>>,
}

impl Upload {
    fn new(shared: &Arc<Shared>, to: To) -> Self {
        let shared = shared.clone();
        Self {
            shared,
            to,
            push: None,
            last: None,
            whole: Vec::new(),
            staged: 0,
            under_way: Default::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    async fn add(&mut self, mut piece: Piece) -> Result<(), Errno> {
        self.whole.append(&mut piece.whole);
        let Some(before) = self.last.replace(piece) else { return Ok(()) };
        self.staged += before.body.len() as u64;
        match self.push {
            // The first names the others.
            None => {
                let number = self.stage(0, before).await.map_err(|error| error.errno())?;
                self.push = Some(number);
            }
            Some(push) => {
                let staging = self.stage(push, before);
                self.under_way.push(staging);
                if self.under_way.len() >= IN_FLIGHT {
                    self.staged().await?;
                }
            }
        }
        Ok(())
    }

    fn stage(
        &self,
        push: u64,
        piece: Piece,
    ) -> futures_util::future::BoxFuture<'static, Result<u64, StateError>> {
        let shared = self.shared.clone();
        let to = self.to.within(shared.patience);
        Box::pin(async move {
            shared.meters.pushed(piece.body.len());
            let write = Write::Stage { push, extents: piece.extents };
            let staged = shared.global.write(to, write, Bytes::from(piece.body)).await?;
            Ok(staged.0)
        })
    }

    async fn staged(&mut self) -> Result<(), Errno> {
        match self.under_way.next().await {
            Some(staged) => staged.map(drop).map_err(|error| error.errno()),
            None => Ok(()),
        }
    }

    /// Sends the last piece and makes all visible.
    async fn commit(mut self, push: Push) -> Result<(Written, Vec<(u64, u128)>), Errno> {
        while !self.under_way.is_empty() {
            self.staged().await?;
        }
        let last = self.last.take().unwrap_or_default();
        self.shared.meters.pushed(last.body.len());
        let of_a_generation = matches!(push.only, Only::Generation(_));
        let write = Write::Push(Push { staged: self.push, extents: last.extents, ..push });
        let to = self.to.within(self.shared.patience + commit_time(self.staged));
        let written = self.shared.global.write(to, write, Bytes::from(last.body)).await;
        match written {
            Ok((_, written)) => Ok((written, self.whole)),
            Err(StateError::Refused(Refusal::Missing)) if of_a_generation => Err(Errno::Stale),
            Err(error) => Err(error.errno()),
        }
    }
}

/// The bytes of a mask that are not zero, as ranges.
pub fn of_mask(mask: &[u8], off: u64, into: &mut Ranges) {
    let mut begun = None;
    for (at, byte) in (off..).zip(mask) {
        match (byte, begun) {
            (0, Some(start)) => {
                into.add(start..at);
                begun = None;
            }
            (0, None) | (_, Some(_)) => {}
            (_, None) => begun = Some(at),
        }
    }
    if let Some(start) = begun {
        into.add(start..off + mask.len() as u64);
    }
}
