//! A copy as one call uses it, and writing it from the host.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedMutexGuard;

use super::copy::Copy;
use super::held::Inner;
use super::pull::{self, Wish};
use crate::errno::Errno;
use crate::function::memfd::Memfd;
use crate::function::values::{Missing, Part, Value, Writer};
use crate::wire::state::{CHUNK, MAX_VALUE};

/// See [`Value`].
pub struct Used {
    /// The call.
    pub inner: Arc<Inner>,
    /// The key.
    pub key: Box<str>,
    /// The copy.
    pub copy: Arc<Copy>,
}

impl Used {
    async fn bring(&self, part: Part, changed: bool) -> Result<(), Errno> {
        let range = part.off..part.end()?;
        let to = self.inner.to(&self.key)?;
        let cleansed = self.inner.cleanse(&self.copy, &to).await;
        self.inner.told(&self.key, Some(&self.copy), cleansed)?;
        if !changed && self.copy.chunks().has(range.clone()) {
            return Ok(());
        }
        let wish = Wish { range, absent: true, changed };
        let pulled = pull::pull(&self.inner.shared, &self.copy, to, wish).await;
        self.inner.told(&self.key, Some(&self.copy), pulled)
    }
}

impl Value for Used {
    fn size(&self) -> u64 {
        self.copy.len()
    }

    fn is_current(&self) -> bool {
        self.copy.is_current()
    }

    fn epoch(&self) -> u64 {
        self.copy.epoch()
    }

    fn read(&self, off: u64, into: &mut [u8]) -> Result<(), Errno> {
        self.copy.read(off, into)
    }

    fn file(&self) -> &Arc<Memfd> {
        &self.copy.file
    }

    fn fill(&self, part: Part, pull: bool) -> BoxFuture<'_, Result<(), Errno>> {
        self.bring(part, pull).boxed()
    }

    fn map(&self, window: Part) -> BoxFuture<'_, Result<Box<dyn Any + Send + Sync>, Errno>> {
        async move {
            let range = window.off..window.end()?;
            self.inner.shared.charge(&self.copy, range.clone()).await?;
            self.copy.map(range)
        }
        .boxed()
    }
}

/// What is being written.
struct Writing {
    copy: Arc<Copy>,
    range: Range<u64>,
    /// All of the value.
    all: bool,
    _gate: OwnedMutexGuard<()>,
}

/// Prepares to write all of a value.
pub async fn write_all(inner: &Arc<Inner>, key: &str, len: u64) -> Result<Box<dyn Writer>, Errno> {
    if len > MAX_VALUE {
        return Err(Errno::TooBig);
    }
    // Nothing of what there is need come here.
    let copy = inner.open(key, Missing::Begin(0), None).await?;
    let gate = copy.gate.clone().lock_owned().await;
    inner.shared.charge(&copy, 0..len).await?;
    copy.begin_replace(len)?;
    Ok(Box::new(Writing { copy, range: 0..len, all: true, _gate: gate }))
}

/// Prepares to write a part of a value.
pub async fn write_part(
    inner: &Arc<Inner>,
    key: &str,
    part: Part,
    missing: Missing,
) -> Result<Box<dyn Writer>, Errno> {
    let range = part.off..part.end()?;
    let copy = inner.open(key, missing, None).await?;
    if range.end > copy.len() {
        return Err(Errno::Inval);
    }
    // Chunks that are written in part must be here; the others need not.
    for edge in [range.start, range.end] {
        if !edge.is_multiple_of(CHUNK) && !copy.chunks().has(edge..edge + 1) {
            let to = inner.to(key)?;
            let wish = Wish { range: edge..edge + 1, absent: true, changed: false };
            let pulled = pull::pull(&inner.shared, &copy, to, wish).await;
            inner.told(key, Some(&copy), pulled)?;
        }
    }
    let gate = copy.gate.clone().lock_owned().await;
    // It may have become shorter meanwhile.
    if range.end > copy.len() {
        return Err(Errno::Inval);
    }
    inner.shared.charge(&copy, range.clone()).await?;
    copy.chunks().touch(range.clone());
    Ok(Box::new(Writing { copy, range, all: false, _gate: gate }))
}

impl Writer for Writing {
    fn write(&mut self, off: u64, bytes: &[u8]) -> Result<(), Errno> {
        let end = off.checked_add(bytes.len() as u64).ok_or(Errno::Inval)?;
        if off < self.range.start || end > self.range.end {
            return Err(Errno::Inval);
        }
        self.copy.write(off, bytes)
    }

    fn finish(self: Box<Self>) {
        if self.all {
            self.copy.finish_replace(self.range.end);
        } else {
            let mut chunks = self.copy.chunks();
            chunks.written(self.range.clone());
            chunks.flag(self.range.clone());
        }
    }
}
