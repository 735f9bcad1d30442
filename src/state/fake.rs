//! An owner of all values, in memory, for tests: whole chunks, old versions, staged pushes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::global::{Global, StateError, To};
use crate::wire::shards::StateKey;
use crate::wire::state::{
    Answer, CHUNK, Extent, MAX_PIECE, Only, Op, Pull, Pulled, Push, Refusal, Stat, Version, Write,
    Written,
};

/// See the top.
pub struct Owner {
    values: Mutex<BTreeMap<StateKey, (Version, Vec<u8>)>>,
    old: Mutex<Vec<(StateKey, Version, Vec<u8>)>>,
    staged: Mutex<BTreeMap<u64, Vec<(u64, Bytes)>>>,
    count: AtomicU64,
    most_chunks: AtomicU64,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    refuse: Mutex<Option<StateError>>,
}

impl Owner {
    /// One without values.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            values: Mutex::default(),
            old: Mutex::default(),
            staged: Mutex::default(),
            count: AtomicU64::new(0),
            most_chunks: AtomicU64::new(MAX_PIECE as u64 / CHUNK),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            refuse: Mutex::default(),
        })
    }

    /// Answers with at most so many chunks from now on.
    pub fn most_chunks(&self, most: u64) {
        self.most_chunks.store(most, Ordering::Relaxed);
    }

    /// Most reads and writes that were under way at once.
    pub fn most_under_way(&self) -> usize {
        self.most_under_way.load(Ordering::Relaxed)
    }

    /// Drops all versions but the latest.
    pub fn forget_old(&self) {
        self.old.lock().clear();
    }

    /// Refuses every operation from now on.
    pub fn refuse(&self, with: Option<StateError>) {
        *self.refuse.lock() = with;
    }

    /// A value, as a test sees it.
    pub fn value(&self, user: &str, key: &str) -> Option<Vec<u8>> {
        let key = StateKey { user: user.into(), key: key.into() };
        self.values.lock().get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// All keys.
    pub fn keys(&self) -> Vec<(StateKey, Stat)> {
        let values = self.values.lock();
        values.iter().map(|(key, (v, bytes))| (key.clone(), stat(*v, bytes))).collect()
    }

    async fn enter(&self) -> Result<(), StateError> {
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.refuse.lock().clone().map_or(Ok(()), Err)
    }

    fn pull(&self, key: &StateKey, pull: &Pull) -> Result<(Answer, Bytes), Refusal> {
        let values = self.values.lock();
        let now = values.get(key);
        let (version, bytes) = match (pull.at, now) {
            (Some(at), now) if now.is_none_or(|(version, _)| *version != at) => {
                let old = self.old.lock();
                let found = old.iter().find(|(of, version, _)| of == key && *version == at);
                found.map(|(_, version, bytes)| (*version, bytes.clone())).ok_or(Refusal::Again)?
            }
            (_, Some((version, bytes))) => (*version, bytes.clone()),
            (_, None) => return Err(Refusal::Missing),
        };
        let len = bytes.len() as u64;
        let end = pull.range.end().ok_or_else(|| Refusal::Invalid("range".into()))?;
        let (from, stop) = (pull.range.off / CHUNK, end.min(len).div_ceil(CHUNK));
        let most = stop.min(from + self.most_chunks.load(Ordering::Relaxed));
        let done = if most >= stop { end } else { most * CHUNK };
        let (off, to) = (from * CHUNK, (most * CHUNK).min(len));
        let extents = match to > off {
            true => vec![Extent { off, len: to - off }],
            false => Vec::new(),
        };
        let body = Bytes::copy_from_slice(bytes.get(off as usize..to as usize).unwrap_or(&[]));
        Ok((Answer::Pulled(Pulled { version, len, extents, done }), body))
    }

    fn push(&self, key: &StateKey, push: Push, body: &Bytes, seq: u64) -> Result<Written, Refusal> {
        let mut values = self.values.lock();
        let was = values.get(key).cloned();
        allowed(push.only, was.as_ref().map(|(version, _)| *version))?;
        if was.is_none() && !push.create {
            return Err(Refusal::Missing);
        }
        let generation = was.as_ref().map_or(seq, |(version, _)| version.generation);
        let version = Version { generation, seq };
        let mut bytes = match (&was, push.replace) {
            (Some((_, bytes)), false) => bytes.clone(),
            _ => Vec::new(),
        };
        let mut parts = match push.staged {
            None => Vec::new(),
            Some(number) => self.staged.lock().remove(&number).ok_or(Refusal::Again)?,
        };
        let mut at = 0;
        for extent in &push.extents {
            let end = at + extent.len as usize;
            parts.push((extent.off, body.slice(at..end)));
            at = end;
        }
        for (off, part) in parts {
            let off = off as usize;
            bytes.resize(bytes.len().max(off + part.len()), 0);
            bytes[off..off + part.len()].copy_from_slice(&part);
        }
        bytes.resize(push.len.map_or(bytes.len(), |len| len as usize), 0);
        if let Some((version, bytes)) = was {
            self.old.lock().push((key.clone(), version, bytes));
        }
        let len = bytes.len() as u64;
        values.insert(key.clone(), (version, bytes));
        Ok(Written { version, len, at: 0, parts: Vec::new() })
    }

    fn delete(&self, key: &StateKey, only: Only) -> Result<Written, Refusal> {
        let mut values = self.values.lock();
        allowed(only, values.get(key).map(|(version, _)| *version))?;
        let (version, bytes) = values.remove(key).ok_or(Refusal::Missing)?;
        Ok(Written { version, len: bytes.len() as u64, at: 0, parts: Vec::new() })
    }
}

fn stat(version: Version, bytes: &[u8]) -> Stat {
    Stat { version, len: bytes.len() as u64, appended: 0, token: 0 }
}

fn allowed(only: Only, now: Option<Version>) -> Result<(), Refusal> {
    let holds = match only {
        Only::Any => true,
        Only::Generation(wanted) => now.is_some_and(|now| now.generation == wanted),
        Only::Version(wanted) => now == Some(wanted),
        Only::Exists => now.is_some(),
        Only::Missing => now.is_none(),
    };
    if holds { Ok(()) } else { Err(Refusal::Mismatch(now)) }
}

impl Global for Owner {
    fn read(&self, to: To, op: Op) -> BoxFuture<'_, Result<(Answer, Bytes), StateError>> {
        Box::pin(async move {
            self.enter().await?;
            match op {
                Op::Stat => match self.values.lock().get(&*to.key) {
                    Some((v, bytes)) => Ok((Answer::Stat(stat(*v, bytes)), Bytes::new())),
                    None => Err(StateError::Refused(Refusal::Missing)),
                },
                Op::Pull(pull) => self.pull(&to.key, &pull).map_err(StateError::Refused),
                _ => Err(StateError::Refused(Refusal::Invalid("not here".into()))),
            }
        })
    }

    fn write(
        &self,
        to: To,
        write: Write,
        body: Bytes,
    ) -> BoxFuture<'_, Result<(u64, Written), StateError>> {
        Box::pin(async move {
            self.enter().await?;
            assert!(body.len() <= MAX_PIECE, "{} bytes in one message", body.len());
            let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            let version = Version { generation: 0, seq: number };
            let written = match write {
                Write::Stage { push, extents } => {
                    let under = if push == 0 { number } else { push };
                    let mut staged = self.staged.lock();
                    staged.entry(under).or_default().push((extents[0].off, body));
                    Ok(Written { version, len: 0, at: 0, parts: Vec::new() })
                }
                Write::Push(push) => self.push(&to.key, push, &body, number),
                Write::Delete { only } => self.delete(&to.key, only),
                _ => Err(Refusal::Invalid("not here".into())),
            };
            written.map(|written| (number, written)).map_err(StateError::Refused)
        })
    }
}
