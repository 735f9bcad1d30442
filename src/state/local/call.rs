//! The state as one call sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Shared;
use super::chunks::Chunks;
use super::copy::Copy;
use super::held::Inner;
use super::pull::{self, Wish};
use super::push::{self, Bytewise};
use super::ranges::Ranges;
use super::table::Slot;
use super::value::{Used, write_all, write_part};
use crate::errno::Errno;
use crate::function::StateHost;
use crate::function::values::{Missing, Mode, Part, Pushed, Reach, Value, Writer, Written};
use crate::id::{CallId, Name};
use crate::state::global::To;
use crate::wire::state::{Answer, MAX_PIECE, MAX_VALUE, Only, Op, Version, Write};

/// A wait without a limit of its own ends with the call; this is longer than any call.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);

/// See [`StateHost`].
pub struct Call {
    inner: Arc<Inner>,
}

impl Call {
    /// Of a call that has not used state yet.
    pub fn new(shared: Arc<Shared>, call: CallId, user: &Name) -> Self {
        Self { inner: Arc::new(Inner::new(shared, call, user.to_string())) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.inner.end();
    }
}

impl Inner {
    /// The copy of a value, made if there is none here.
    pub async fn open(
        &self,
        key: &str,
        missing: Missing,
        hint: Option<Part>,
    ) -> Result<Arc<Copy>, Errno> {
        let to = self.to(key)?;
        if let Some(copy) = self.current(key)? {
            let cleansed = self.cleanse(&copy, &to).await;
            match self.told(key, Some(&copy), cleansed) {
                Ok(()) => return Ok(copy),
                // It was deleted meanwhile.
                Err(Errno::Stale | Errno::NoEnt) => {}
                Err(error) => return Err(error),
            }
        }
        let slot = self.slot(key)?;
        let _making = slot.making.lock().await;
        if let Some(copy) = self.current(key)? {
            return Ok(copy);
        }
        let made = self.fetch(&to, &slot, missing, hint).await;
        let copy = self.told(key, None, made)?;
        self.shared.table.put(&slot, copy.clone());
        self.shared.meters.copies(self.shared.table.copies());
        self.with(key, |held| {
            held.copy = Arc::downgrade(&copy);
            Ok(())
        })?;
        Ok(copy)
    }

    async fn fetch(
        &self,
        to: &To,
        slot: &Slot,
        missing: Missing,
        hint: Option<Part>,
    ) -> Result<Arc<Copy>, Errno> {
        let shared = &self.shared;
        let found = match hint {
            Some(part) => {
                let end = part.off.saturating_add(part.len.min(MAX_PIECE as u64));
                let begun = pull::begin(shared, to, part.off..end).await;
                begun.map(|(pulled, body)| (pulled.version, pulled.len, Some((pulled, body))))
            }
            None => pull::stat(shared, to).await.map(|stat| (stat.version, stat.len, None)),
        };
        match found {
            Ok((version, len, bytes)) => {
                let copy = self.make(slot, Chunks::absent(version, len)).await?;
                if let Some((pulled, body)) = bytes {
                    shared.charge(&copy, part_of(&pulled)).await?;
                    pull::apply(shared, &copy, pulled, body).await?;
                }
                Ok(copy)
            }
            Err(Errno::NoEnt) => self.begin(to, slot, missing).await,
            Err(error) => Err(error),
        }
    }

    /// There is no such value.
    async fn begin(&self, to: &To, slot: &Slot, missing: Missing) -> Result<Arc<Copy>, Errno> {
        match missing {
            Missing::Fail => Err(Errno::NoEnt),
            Missing::Begin(len) if len <= MAX_VALUE => {
                self.make(slot, Chunks::zeros(None, len)).await
            }
            Missing::Create(len) => match self.create(to, len).await {
                Ok(version) => self.make(slot, Chunks::zeros(Some(version), len)).await,
                // Somebody else was first: that is as good.
                Err(Errno::Exist) => {
                    let stat = pull::stat(&self.shared, to).await?;
                    self.make(slot, Chunks::absent(stat.version, stat.len)).await
                }
                Err(error) => Err(error),
            },
            Missing::Begin(_) => Err(Errno::TooBig),
        }
    }

    async fn make(&self, slot: &Slot, chunks: Chunks) -> Result<Arc<Copy>, Errno> {
        let shared = &self.shared;
        shared.have_place().await?;
        let made =
            Copy::new(slot.key.clone(), chunks, shared.budget.clone(), shared.meters.clone());
        made.map(Arc::new).map_err(|error| {
            tracing::warn!(%error, "no memory for a copy of a value");
            Errno::NoMem
        })
    }

    async fn create(&self, to: &To, len: u64) -> Result<Version, Errno> {
        if len > MAX_VALUE {
            return Err(Errno::TooBig);
        }
        if to.proof.is_some_and(|proof| proof.mode == Mode::Read) {
            return Err(Errno::Perm);
        }
        let write = Write::Create { len };
        let written = self.shared.global.write(to.clone(), write, Bytes::new()).await;
        written.map(|(_, written)| written.version).map_err(|error| error.errno())
    }

    async fn remove(&self, key: &str) -> Result<(), Errno> {
        let to = self.to_write(key)?;
        let copy = self.copy(key)?;
        let slot = self.slot(key)?;
        let write = Write::Delete { only: Only::Any };
        let deleted = self.shared.global.write(to, write, Bytes::new()).await;
        let deleted = deleted.map(drop).map_err(|error| error.errno());
        if matches!(deleted, Ok(()) | Err(Errno::NoEnt)) {
            let begun = copy.iter().any(|copy| copy.chunks().generation.is_none());
            for copy in copy.iter().chain(&slot.copy()) {
                self.shared.table.forget(&slot, copy);
            }
            self.shared.meters.copies(self.shared.table.copies());
            if begun {
                return Ok(());
            }
        }
        self.told(key, None, deleted)
    }

    async fn push(&self, key: &str, what: Pushed) -> Result<(), Errno> {
        let to = self.to_write(key)?;
        let Some(copy) = self.copy(key)? else { return Ok(()) };
        if copy.is_stale() {
            return Err(Errno::Stale);
        }
        let shared = &self.shared;
        let cleansed = self.cleanse(&copy, &to).await;
        self.told(key, Some(&copy), cleansed)?;
        let pushed = match what {
            Pushed::Chunks => push::chunks_of(shared, &copy, to).await,
            Pushed::Flagged => push::bytes_of(shared, &copy, to, Bytewise::Flagged).await,
            Pushed::Part(part) => {
                let end = part.end()?;
                if end > copy.len() {
                    return Err(Errno::Inval);
                }
                let mut parts = Ranges::default();
                parts.add(part.off..end);
                push::bytes_of(shared, &copy, to, Bytewise::Just(parts)).await
            }
            Pushed::Masked(mask) => {
                let parts = self.mask(&mask).await?;
                push::bytes_of(shared, &copy, to, Bytewise::Just(parts)).await
            }
        };
        self.told(key, Some(&copy), pushed)
    }

    /// The bytes that a mask names.
    async fn mask(&self, key: &str) -> Result<Ranges, Errno> {
        /// Bytes looked at at once.
        const STEP: u64 = 1 << 20;
        let mask = self.open(key, Missing::Fail, None).await?;
        let to = self.to(key)?;
        let wish = Wish { range: 0..mask.len(), absent: true, changed: false };
        let filled = pull::pull(&self.shared, &mask, to, wish).await;
        self.told(key, Some(&mask), filled)?;
        let mut parts = Ranges::default();
        let mut at = 0;
        while at < mask.len() {
            let end = mask.len().min(at + STEP);
            let copy = mask.clone();
            let look = move || {
                let mut bytes = vec![0; usize::try_from(end - at).unwrap_or_default()];
                copy.read(at, &mut bytes)?;
                let mut parts = Ranges::default();
                push::of_mask(&bytes, at, &mut parts);
                Ok(parts)
            };
            parts.add_all(&self.shared.crew.work(end - at, look).await??);
            at = end;
        }
        Ok(parts)
    }

    async fn pull(&self, key: &str, part: Option<Part>) -> Result<(), Errno> {
        let to = self.to(key)?;
        let copy = match self.copy(key)? {
            Some(copy) if copy.is_stale() => return Err(Errno::Stale),
            Some(copy) => copy,
            None => {
                let all = Part { off: 0, len: u64::MAX };
                let copy = self.open(key, Missing::Fail, Some(part.unwrap_or(all))).await?;
                let range = range_of(part)?;
                let wish = Wish { range, absent: true, changed: false };
                let pulled = pull::pull(&self.shared, &copy, to, wish).await;
                return self.told(key, Some(&copy), pulled);
            }
        };
        // Without a range: of what is here. A value that was begun here is compared with all.
        let absent = part.is_some();
        let wish = Wish { range: range_of(part)?, absent, changed: true };
        let pulled = pull::pull(&self.shared, &copy, to, wish).await;
        if pulled.is_ok() && part.is_none() {
            copy.discard(false);
        }
        self.told(key, Some(&copy), pulled)
    }

    async fn appended(&self, key: &str, elements: u64, most: u64) -> Result<Vec<Bytes>, Errno> {
        let to = self.to(key)?;
        let (mut pieces, mut off, mut at) = (Vec::new(), 0, None);
        while off < most {
            let op = Op::Appended { most: elements, off, at };
            match self.shared.global.read(to.clone(), op).await {
                Ok((Answer::Pulled(pulled), body)) => {
                    if body.is_empty() {
                        break;
                    }
                    let room = usize::try_from(most - off).unwrap_or(usize::MAX);
                    let body = body.slice(..body.len().min(room));
                    self.shared.meters.pulled(body.len());
                    off += body.len() as u64;
                    at = Some(pulled.version);
                    pieces.push(body);
                }
                Ok(_) => return Err(Errno::Io),
                Err(error) => return self.told(key, None, Err(error.errno())),
            }
        }
        Ok(pieces)
    }

    async fn write(&self, key: &str, write: Write, body: Bytes) -> Result<(), Errno> {
        let to = self.to_write(key)?;
        self.shared.meters.pushed(body.len());
        let written = self.shared.global.write(to, write, body).await;
        self.told(key, None, written.map(drop).map_err(|error| error.errno()))
    }

    async fn lock_here(&self, key: &str, mode: Mode, limit: Option<Duration>) -> Result<(), Errno> {
        let slot = self.slot(key)?;
        let taking = self.shared.waits.take(&slot, self.who, mode);
        match limit {
            None => taking.await?,
            Some(limit) => {
                tokio::time::timeout(limit, taking).await.unwrap_or(Err(Errno::TimedOut))?
            }
        }
        self.with(key, |held| {
            held.local = Some(mode);
            Ok(())
        })
    }

    async fn lock_everywhere(
        &self,
        key: &str,
        mode: Mode,
        limit: Option<Duration>,
    ) -> Result<(), Errno> {
        let to = self.to(key)?;
        if to.proof.is_some() {
            return Err(Errno::DeadLk);
        }
        let deadline = Instant::now() + limit.unwrap_or(LONG).min(LONG);
        let locked = self.shared.locks.lock(to.key, mode, self.call, deadline).await;
        self.locked(key, locked.map_err(|error| error.errno())?)
    }

    async fn unlock_everywhere(&self, key: &str, mode: Mode) -> Result<(), Errno> {
        let to = self.to(key)?;
        self.unlocked(key, mode)?;
        let unlocked = self.shared.locks.unlock(to.key, mode, self.call, to.deadline).await;
        self.told(key, None, unlocked.map_err(|error| error.errno()))
    }
}

impl StateHost for Call {
    fn value<'a>(
        &'a self,
        key: &'a str,
        missing: Missing,
        hint: Option<Part>,
    ) -> BoxFuture<'a, Result<Arc<dyn Value>, Errno>> {
        async move {
            let copy = self.inner.open(key, missing, hint).await?;
            let used = Used { inner: self.inner.clone(), key: key.into(), copy };
            Ok(Arc::new(used) as Arc<dyn Value>)
        }
        .boxed()
    }

    fn is_plain(&self) -> bool {
        self.inner.is_plain()
    }

    fn begin_write<'a>(
        &'a self,
        key: &'a str,
        what: Written,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, Errno>> {
        match what {
            Written::All(len) => write_all(&self.inner, key, len).boxed(),
            Written::Part(part, missing) => write_part(&self.inner, key, part, missing).boxed(),
        }
    }

    fn flag(&self, key: &str, part: Option<Part>) -> Result<(), Errno> {
        let copy = self.inner.copy(key)?.ok_or(Errno::NoEnt)?;
        let part = part.unwrap_or(Part { off: 0, len: copy.len() });
        let end = part.end()?;
        if end > copy.len() {
            return Err(Errno::Inval);
        }
        copy.chunks().flag(part.off..end);
        Ok(())
    }

    fn create<'a>(&'a self, key: &'a str, len: u64) -> BoxFuture<'a, Result<(), Errno>> {
        async move {
            let inner = &self.inner;
            let created = inner.create(&inner.to(key)?, len).await;
            let version = inner.told(key, None, created)?;
            // What is here is of one that was deleted, unless somebody was quick.
            let slot = inner.slot(key)?;
            let other = |copy: &Arc<Copy>| {
                copy.chunks().generation.is_none_or(|known| known != version.generation)
            };
            if let Some(copy) = slot.copy().filter(other) {
                inner.shared.table.forget(&slot, &copy);
            }
            Ok(())
        }
        .boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<u64, Errno>> {
        async move {
            let inner = &self.inner;
            let to = inner.to(key)?;
            if let Some(copy) = inner.current(key)?.filter(|copy| copy.is_current()) {
                return Ok(copy.len());
            }
            let stat = pull::stat(&inner.shared, &to).await;
            inner.told(key, None, stat).map(|stat| stat.len)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Errno>> {
        self.inner.remove(key).boxed()
    }

    fn push<'a>(&'a self, key: &'a str, what: Pushed) -> BoxFuture<'a, Result<(), Errno>> {
        self.inner.push(key, what).boxed()
    }

    fn pull<'a>(&'a self, key: &'a str, part: Option<Part>) -> BoxFuture<'a, Result<(), Errno>> {
        self.inner.pull(key, part).boxed()
    }

    fn append<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), Errno>> {
        async move {
            if bytes.len() > MAX_PIECE {
                return Err(Errno::TooBig);
            }
            self.inner.write(key, Write::Append, bytes).await
        }
        .boxed()
    }

    fn appended<'a>(
        &'a self,
        key: &'a str,
        elements: u64,
        most: u64,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Errno>> {
        self.inner.appended(key, elements, most).boxed()
    }

    fn clear_appended<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Errno>> {
        self.inner.write(key, Write::ClearAppended, Bytes::new()).boxed()
    }

    fn lock<'a>(
        &'a self,
        key: &'a str,
        reach: Reach,
        mode: Mode,
        limit: Option<Duration>,
    ) -> BoxFuture<'a, Result<(), Errno>> {
        match reach {
            Reach::Node => self.inner.lock_here(key, mode, limit).boxed(),
            Reach::Cluster => self.inner.lock_everywhere(key, mode, limit).boxed(),
        }
    }

    fn try_lock(&self, key: &str, mode: Mode) -> Option<Result<(), Errno>> {
        let who = self.inner.who;
        let taken = self.inner.with(key, |held| {
            let taken = held.slot.lock.try_take(who, mode);
            if taken == Some(Ok(())) {
                held.local = Some(mode);
            }
            Ok(taken)
        });
        taken.unwrap_or_else(|error| Some(Err(error)))
    }

    fn unlock<'a>(&'a self, key: &'a str, mode: Mode) -> BoxFuture<'a, Result<(), Errno>> {
        self.inner.unlock_everywhere(key, mode).boxed()
    }

    fn unlock_here(&self, key: &str, mode: Mode) -> Result<(), Errno> {
        let who = self.inner.who;
        self.inner.with(key, |held| {
            held.slot.lock.release(who, mode)?;
            held.local = None;
            Ok(())
        })
    }

    fn awaits(&self, child: Option<CallId>) {
        self.inner.shared.waits.awaits(self.inner.who, child);
    }
}

fn range_of(part: Option<Part>) -> Result<std::ops::Range<u64>, Errno> {
    match part {
        Some(part) => Ok(part.off..part.end()?),
        None => Ok(0..u64::MAX),
    }
}

fn part_of(pulled: &crate::wire::state::Pulled) -> std::ops::Range<u64> {
    let start = pulled.extents.first().map_or(0, |extent| extent.off);
    let end = pulled.extents.last().and_then(|extent| extent.end()).unwrap_or(start);
    start..end
}
