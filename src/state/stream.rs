//! Values of any size, piece by piece: read as of one version, and written so that all of it is
//! seen at once. At most [`AHEAD`] pieces of a value are in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::task::JoinSet;

use super::global::{Global, StateError, To, commit_time};
use crate::wire::shards::StateKey;
use crate::wire::state::{
    Answer, CHUNK, Extent, MAX_PIECE, Only, Op, Pull, Pulled, Push, Refusal, Stat, Version, Write,
    Written,
};

/// Pieces of one value that are under way at once.
pub const AHEAD: usize = 4;
/// Longest time for one piece: above what a change of owner takes. The commit has more, by its size.
pub const PIECE_TIME: Duration = Duration::from_secs(20);

/// One value, for one reader or writer.
#[derive(Clone)]
pub struct Door {
    global: Arc<dyn Global>,
    key: Arc<StateKey>,
}

impl Door {
    /// A value by its name.
    pub fn new(global: Arc<dyn Global>, key: StateKey) -> Self {
        Self { global, key: Arc::new(key) }
    }

    /// Its name.
    pub fn key(&self) -> &Arc<StateKey> {
        &self.key
    }

    fn to(&self) -> To {
        let deadline = Instant::now() + PIECE_TIME;
        To { key: self.key.clone(), proof: None, deadline }
    }

    /// What there is; `None` if there is nothing.
    pub async fn stat(&self) -> Result<Option<Stat>, StateError> {
        match self.global.read(self.to(), Op::Stat).await {
            Ok((Answer::Stat(stat), _)) => Ok(Some(stat)),
            Ok(_) => Err(strange("another question")),
            Err(StateError::Refused(Refusal::Missing)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes it.
    pub async fn delete(&self, only: Only) -> Result<Written, StateError> {
        let deleted = self.global.write(self.to(), Write::Delete { only }, Bytes::new()).await;
        deleted.map(|(_, written)| written)
    }

    /// The first piece of a range, as of the version that the value has now.
    pub async fn first(&self, range: Extent) -> Result<Piece, StateError> {
        self.piece(range, None).await
    }

    /// The rest of a range behind `done` bytes of it, as of a version.
    pub fn rest(&self, range: Extent, done: u64, at: Version) -> Pieces {
        let end = range.off.saturating_add(range.len);
        let next = range.off.saturating_add(done);
        Pieces { door: self.clone(), at, next, end, coming: FuturesOrdered::new() }
    }

    /// At most a piece of a range, from its begin on.
    async fn piece(&self, range: Extent, at: Option<Version>) -> Result<Piece, StateError> {
        let range = Extent { off: range.off, len: range.len.min(room(range.off)) };
        let pull = Pull { range, since: None, also: Vec::new(), at };
        let (answer, bytes) = self.global.read(self.to(), Op::Pull(pull)).await?;
        let Answer::Pulled(pulled) = answer else { return Err(strange("another question")) };
        if at.is_some_and(|at| at != pulled.version) {
            return Err(strange("as of another version"));
        }
        let bytes = cut(&pulled, &bytes, range)?;
        Ok(Piece { version: pulled.version, len: pulled.len, bytes })
    }

    /// All of a range that fits into one piece, as of a version.
    async fn whole(self, range: Extent, at: Version) -> Result<Bytes, StateError> {
        let mut got = BytesMut::new();
        while (got.len() as u64) < range.len {
            let done = got.len() as u64;
            let left = Extent { off: range.off + done, len: range.len - done };
            let piece = self.piece(left, Some(at)).await?.bytes;
            if piece.is_empty() {
                return Err(strange("with nothing of a range that it has"));
            }
            // Nearly always one piece is all of it, and is not copied.
            if done == 0 && piece.len() as u64 == range.len {
                return Ok(piece);
            }
            got.extend_from_slice(&piece);
        }
        Ok(got.freeze())
    }
}

/// Bytes from one place of a value on, and what the value was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The value's version.
    pub version: Version,
    /// The value's length.
    pub len: u64,
    /// At least one byte of the range, unless it has none inside the value.
    pub bytes: Bytes,
}

/// What is left of a range, in order.
pub struct Pieces {
    door: Door,
    at: Version,
    next: u64,
    end: u64,
    coming: FuturesOrdered<BoxFuture<'static, Result<Bytes, StateError>>>,
}

impl Pieces {
    /// The next piece; `None` at the end. [`Refusal::Again`]: the version is gone, and what was
    /// given out before is of no use.
    pub async fn next(&mut self) -> Option<Result<Bytes, StateError>> {
        while self.coming.len() < AHEAD && self.next < self.end {
            let len = room(self.next).min(self.end - self.next);
            let range = Extent { off: self.next, len };
            self.coming.push_back(Box::pin(self.door.clone().whole(range, self.at)));
            self.next += len;
        }
        let piece = self.coming.next().await?;
        if piece.is_err() {
            self.next = self.end;
            self.coming = FuturesOrdered::new();
        }
        Some(piece)
    }
}

/// Most bytes from here on in one piece: an owner deals in whole chunks.
pub fn room(off: u64) -> u64 {
    MAX_PIECE as u64 - off % CHUNK
}

/// The bytes of a range, from its begin on, as far as they are there without a gap.
fn cut(pulled: &Pulled, bytes: &Bytes, range: Extent) -> Result<Bytes, StateError> {
    let end = range.off.saturating_add(range.len).min(pulled.len).min(pulled.done);
    if end <= range.off {
        return Ok(Bytes::new());
    }
    let mut at = 0;
    for extent in &pulled.extents {
        let stop = extent.end().ok_or_else(|| strange("with a range that is none"))?;
        if (extent.off..stop).contains(&range.off) {
            let size = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
            let from = size(at + (range.off - extent.off));
            let to = from.saturating_add(size(end.min(stop) - range.off));
            if to > bytes.len() {
                break;
            }
            return Ok(bytes.slice(from..to));
        }
        at += extent.len;
    }
    Err(strange("without bytes that it said are there"))
}

fn strange(how: &str) -> StateError {
    StateError::Unavailable(format!("the owner answered {how}"))
}

/// What a value is to be once all its pieces came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// These bytes are the value; else they are written into what there is.
    pub replace: bool,
    /// What must be there.
    pub only: Only,
}

/// Bytes on their way into a value: staged, until [`Writer::commit`] makes them visible. Dropped
/// before, nothing is changed, and the owner forgets what was staged.
///
/// `G` comes with each piece, and is dropped when the piece needs no memory any more.
pub struct Writer<G> {
    door: Door,
    start: u64,
    next: u64,
    /// Not sent yet: the last piece goes with the commit.
    held: Option<(Bytes, G)>,
    staged: Option<u64>,
    going: JoinSet<Result<(), StateError>>,
}

impl<G: Send + 'static> Writer<G> {
    /// Bytes from `start` of a value on.
    pub fn new(door: Door, start: u64) -> Self {
        let going = JoinSet::new();
        Self { door, start, next: start, held: None, staged: None, going }
    }

    /// Takes 1 to [`MAX_PIECE`] bytes, behind those before. Waits while [`AHEAD`] pieces are on
    /// their way.
    pub async fn piece(&mut self, bytes: Bytes, guard: G) -> Result<(), StateError> {
        let Some((before, guard)) = self.held.replace((bytes, guard)) else { return Ok(()) };
        let extents = vec![Extent { off: self.next, len: before.len() as u64 }];
        self.next = self.next.saturating_add(before.len() as u64);
        let door = self.door.clone();
        let Some(push) = self.staged else {
            // The others are staged under the number of the first.
            let stage = Write::Stage { push: 0, extents };
            let (number, _) = door.global.write(door.to(), stage, before).await?;
            self.staged = Some(number);
            return Ok(());
        };
        while self.going.len() >= AHEAD {
            self.staged().await?;
        }
        self.going.spawn(async move {
            let stage = Write::Stage { push, extents };
            let staged = door.global.write(door.to(), stage, before).await;
            drop(guard);
            staged.map(|_| ())
        });
        Ok(())
    }

    async fn staged(&mut self) -> Result<(), StateError> {
        match self.going.join_next().await {
            None => Ok(()),
            Some(Ok(staged)) => staged,
            Some(Err(_)) => Err(StateError::Unavailable("a piece was lost on its way".into())),
        }
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> u64 {
        self.next - self.start + self.held.as_ref().map_or(0, |(held, _)| held.len() as u64)
    }

    /// Makes all of it visible at once.
    pub async fn commit(mut self, commit: Commit) -> Result<Written, StateError> {
        while !self.going.is_empty() {
            self.staged().await?;
        }
        let (last, _guard) = self.held.take().unzip();
        let last = last.unwrap_or_default();
        let len = last.len() as u64;
        let extents = match len {
            0 => Vec::new(),
            len => vec![Extent { off: self.next, len }],
        };
        let push = Push {
            staged: self.staged,
            extents,
            len: commit.replace.then_some(self.next.saturating_add(len)),
            create: commit.replace,
            replace: commit.replace,
            only: commit.only,
        };
        let bytes = self.next.saturating_add(len) - self.start;
        let to = self.door.to().within(PIECE_TIME + commit_time(bytes));
        let (_, written) = self.door.global.write(to, Write::Push(push), last).await?;
        Ok(written)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
