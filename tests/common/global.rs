//! A global tier in memory: one copy of each value, changed by one request at a time. For tests of
//! the local tier. Paths begin with `crate`, so that the crate's own tests can use it too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::id::CallId;
use crate::state::global::{Global, GlobalLocks, LockError, StateError, To};
use crate::wire::locks::{Mode, Proof};
use crate::wire::shards::StateKey;
use crate::wire::state::{
    Answer, CHUNK, Extent, MAX_PIECE, Only, Op, Pull, Pulled, Push, Refusal, Stat, Version, Write,
    Written, chunk_hash,
};

/// One value.
struct Kept {
    generation: u64,
    seq: u64,
    bytes: Vec<u8>,
    /// When each chunk changed last.
    changed: Vec<u64>,
    /// Ends of the elements appended.
    elements: Vec<usize>,
}

impl Kept {
    fn version(&self) -> Version {
        Version { generation: self.generation, seq: self.seq }
    }

    fn resize(&mut self, len: u64) {
        let old = self.bytes.len() as u64;
        if self.bytes.is_empty() {
            // Memory that nobody touches takes none.
            self.bytes = vec![0; len as usize];
        }
        self.bytes.resize(len as usize, 0);
        self.changed.resize(len.div_ceil(CHUNK) as usize, self.seq);
        if len < old
            && !len.is_multiple_of(CHUNK)
            && let Some(last) = self.changed.last_mut()
        {
            *last = self.seq;
        }
    }

    fn write(&mut self, extent: Extent, bytes: &[u8]) {
        let (start, end) = (extent.off as usize, (extent.off + extent.len) as usize);
        self.bytes[start..end].copy_from_slice(bytes);
        for chunk in extent.off / CHUNK..(extent.off + extent.len).div_ceil(CHUNK) {
            self.changed[chunk as usize] = self.seq;
        }
    }
}

#[derive(Default)]
struct Values {
    kept: HashMap<StateKey, Kept>,
    staged: HashMap<u64, Vec<(Extent, Bytes)>>,
    /// The highest token seen of each key.
    fences: HashMap<StateKey, u64>,
    seq: u64,
    number: u64,
}

/// The global tier.
#[derive(Default)]
pub struct Memory {
    values: Mutex<Values>,
    /// Bytes that went out and came in.
    pub pulled: AtomicU64,
    pub pushed: AtomicU64,
    /// Requests.
    pub asked: AtomicU64,
    /// Requests to answer that the version is too old.
    pub again: AtomicU64,
    /// While set, requests wait.
    pub stopped: AtomicBool,
    pub goes_on: Notify,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A value as it is.
    pub fn bytes(&self, key: &StateKey) -> Option<Vec<u8>> {
        self.values.lock().kept.get(key).map(|kept| kept.bytes.clone())
    }

    /// Makes or replaces a value, as another node would.
    pub fn put(&self, key: &StateKey, bytes: &[u8]) {
        let mut values = self.values.lock();
        values.seq += 1;
        let seq = values.seq;
        let chunks = (bytes.len() as u64).div_ceil(CHUNK) as usize;
        let kept = values.kept.entry(key.clone()).or_insert(Kept {
            generation: seq,
            seq,
            bytes: Vec::new(),
            changed: Vec::new(),
            elements: Vec::new(),
        });
        kept.seq = seq;
        kept.bytes = bytes.to_vec();
        kept.changed = vec![seq; chunks];
    }

    /// Makes a value longer and touches none of its bytes.
    pub fn grow(&self, key: &StateKey, len: u64) {
        let mut values = self.values.lock();
        values.seq += 1;
        let seq = values.seq;
        if let Some(kept) = values.kept.get_mut(key) {
            kept.seq = seq;
            kept.resize(len);
        }
    }

    pub fn delete(&self, key: &StateKey) {
        self.values.lock().kept.remove(key);
    }

    /// Another node took the lock with this token.
    pub fn fence(&self, key: &StateKey, token: u64) {
        self.values.lock().fences.insert(key.clone(), token);
    }

    /// Bytes pulled and pushed since the last time.
    pub fn moved(&self) -> (u64, u64) {
        (self.pulled.swap(0, Ordering::SeqCst), self.pushed.swap(0, Ordering::SeqCst))
    }

    async fn enter(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        loop {
            let goes_on = self.goes_on.notified();
            if !self.stopped.load(Ordering::SeqCst) {
                return;
            }
            goes_on.await;
        }
    }

    pub fn go_on(&self) {
        self.stopped.store(false, Ordering::SeqCst);
        self.goes_on.notify_waiters();
    }

    fn fenced(values: &mut Values, to: &To) -> Result<(), Refusal> {
        let Some(proof) = to.proof else { return Ok(()) };
        let seen = values.fences.entry((*to.key).clone()).or_default();
        if proof.token < *seen {
            return Err(Refusal::LockLost);
        }
        *seen = proof.token;
        Ok(())
    }

    fn do_read(&self, to: &To, op: Op) -> Result<(Answer, Bytes), Refusal> {
        let mut values = self.values.lock();
        Self::fenced(&mut values, to)?;
        let kept = values.kept.get(&*to.key).ok_or(Refusal::Missing)?;
        match op {
            Op::Stat => Ok((
                Answer::Stat(Stat {
                    version: kept.version(),
                    len: kept.bytes.len() as u64,
                    appended: kept.elements.len() as u64,
                    token: 0,
                }),
                Bytes::new(),
            )),
            Op::Pull(pull) => self.do_pull(kept, pull),
            Op::Appended { most, off, .. } => {
                let count = kept.elements.len().min(most as usize);
                let end = count.checked_sub(1).map_or(0, |last| kept.elements[last]);
                let start = end.min(off as usize);
                let end = end.min(start + MAX_PIECE);
                let body = Bytes::copy_from_slice(&kept.bytes[start..end]);
                let extents = vec![Extent { off, len: body.len() as u64 }];
                let (version, len) = (kept.version(), kept.bytes.len() as u64);
                Ok((Answer::Pulled(Pulled { version, len, extents, done: end as u64 }), body))
            }
            Op::Write { .. } => Err(Refusal::Invalid("a write".into())),
        }
    }

    fn do_pull(&self, kept: &Kept, pull: Pull) -> Result<(Answer, Bytes), Refusal> {
        let too_old = pull.at.is_some_and(|at| at != kept.version());
        let again = self.again.load(Ordering::SeqCst);
        if too_old || (pull.at.is_some() && again > 0) {
            self.again.store(again.saturating_sub(1), Ordering::SeqCst);
            return Err(Refusal::Again);
        }
        let len = kept.bytes.len() as u64;
        let end = pull.range.end().unwrap_or(u64::MAX).min(len);
        let (mut extents, mut body) = (Vec::<Extent>::new(), Vec::new());
        let mut done = pull.range.off / CHUNK * CHUNK;
        while done < end {
            let chunk = done / CHUNK;
            let newer = pull.since.is_none_or(|since| {
                since.generation != kept.generation || kept.changed[chunk as usize] > since.seq
            });
            let named = pull.also.iter().any(|(first, n)| (*first..first + n).contains(&chunk));
            let to = (done + CHUNK).min(len);
            if newer || named {
                if body.len() as u64 + (to - done) > MAX_PIECE as u64 {
                    break;
                }
                body.extend_from_slice(&kept.bytes[done as usize..to as usize]);
                match extents.last_mut() {
                    Some(last) if last.off + last.len == done => last.len += to - done,
                    _ => extents.push(Extent { off: done, len: to - done }),
                }
            }
            done = to;
        }
        self.pulled.fetch_add(body.len() as u64, Ordering::SeqCst);
        let done = if done >= end { done.max(pull.range.end().unwrap_or(u64::MAX)) } else { done };
        let pulled = Pulled { version: kept.version(), len, extents, done };
        Ok((Answer::Pulled(pulled), body.into()))
    }

    fn do_write(&self, to: &To, write: Write, body: Bytes) -> Result<(u64, Written), Refusal> {
        let mut values = self.values.lock();
        let values = &mut *values;
        Self::fenced(values, to)?;
        self.pushed.fetch_add(body.len() as u64, Ordering::SeqCst);
        values.number += 1;
        let number = values.number;
        if let Write::Stage { push, extents } = write {
            let push = if push == 0 { number } else { push };
            values.staged.entry(push).or_default().extend(cut(&extents, &body));
            let version = Version { generation: 0, seq: 0 };
            return Ok((number, Written { version, len: 0, at: 0, parts: Vec::new() }));
        }
        values.seq += 1;
        let seq = values.seq;
        let there = values.kept.contains_key(&*to.key);
        let fresh = || Kept {
            generation: seq,
            seq,
            bytes: Vec::new(),
            changed: Vec::new(),
            elements: Vec::new(),
        };
        match &write {
            Write::Create { .. } if there => return Err(Refusal::Exists),
            Write::Push(push) if !there && !push.create => return Err(Refusal::Missing),
            Write::Delete { .. } if !there => return Err(Refusal::Missing),
            _ => {}
        }
        let kept = values.kept.entry((*to.key).clone()).or_insert_with(fresh);
        if let Write::Push(Push { only: Only::Generation(generation), .. }) = write
            && generation != kept.generation
        {
            return Err(Refusal::Stale);
        }
        kept.seq = seq;
        let (mut at, mut parts) = (0, Vec::new());
        match write {
            Write::Create { len } => kept.resize(len),
            Write::Push(push) => {
                let mut all =
                    push.staged.and_then(|n| values.staged.remove(&n)).unwrap_or_default();
                all.extend(cut(&push.extents, &body));
                parts = apply(kept, &push, all);
            }
            Write::Append => {
                at = kept.bytes.len() as u64;
                let len = at + body.len() as u64;
                kept.resize(len);
                kept.write(Extent { off: at, len: body.len() as u64 }, &body);
                kept.elements.push(len as usize);
            }
            Write::ClearAppended => {
                kept.resize(0);
                kept.elements.clear();
            }
            Write::Delete { .. } | Write::Stage { .. } => {}
        }
        let written = Written { version: kept.version(), len: kept.bytes.len() as u64, at, parts };
        Ok((number, written))
    }
}

fn apply(kept: &mut Kept, push: &Push, all: Vec<(Extent, Bytes)>) -> Vec<(u64, u128)> {
    let needs = all.iter().map(|(extent, _)| extent.off + extent.len).max().unwrap_or(0);
    if push.replace {
        kept.resize(0);
    }
    kept.resize(push.len.unwrap_or((kept.bytes.len() as u64).max(needs)));
    let mut parts = Vec::new();
    for (extent, bytes) in &all {
        kept.write(*extent, bytes);
        let end = extent.off + extent.len;
        for (edge, chunk) in
            [(extent.off, extent.off / CHUNK), (end, end.saturating_sub(1) / CHUNK)]
        {
            if !edge.is_multiple_of(CHUNK) {
                parts.push(chunk);
            }
        }
    }
    parts.sort_unstable();
    parts.dedup();
    let hash = |chunk: u64| {
        let start = (chunk * CHUNK) as usize;
        let end = kept.bytes.len().min(start + CHUNK as usize);
        (chunk, chunk_hash(&kept.bytes[start..end]))
    };
    parts.into_iter().map(hash).collect()
}

fn cut(extents: &[Extent], body: &Bytes) -> Vec<(Extent, Bytes)> {
    let mut at = 0;
    let piece = |extent: &Extent| {
        let end = at + extent.len as usize;
        let bytes = body.slice(at..end);
        at = end;
        (*extent, bytes)
    };
    extents.iter().map(piece).collect()
}

impl Global for Memory {
    fn read(&self, to: To, op: Op) -> BoxFuture<'_, Result<(Answer, Bytes), StateError>> {
        async move {
            self.enter().await;
            self.do_read(&to, op).map_err(StateError::Refused)
        }
        .boxed()
    }

    fn write(
        &self,
        to: To,
        write: Write,
        body: Bytes,
    ) -> BoxFuture<'_, Result<(u64, Written), StateError>> {
        async move {
            self.enter().await;
            let deletes = matches!(write, Write::Delete { .. });
            let written = self.do_write(&to, write, body).map_err(StateError::Refused)?;
            if deletes {
                self.delete(&to.key);
            }
            Ok(written)
        }
        .boxed()
    }
}

/// Locks of the cluster, without waiting: a lock that is held is refused at once.
#[derive(Default)]
pub struct Locks {
    held: Mutex<HashMap<StateKey, (CallId, Proof)>>,
    token: AtomicU64,
}

impl Locks {
    /// The session in which a lock was held is over; another may take it.
    pub fn lose(&self, key: &StateKey) {
        self.held.lock().remove(key);
    }
}

impl GlobalLocks for Locks {
    fn lock(
        &self,
        key: Arc<StateKey>,
        mode: Mode,
        call: CallId,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<Proof, LockError>> {
        let mut held = self.held.lock();
        let result = match held.get(&*key) {
            Some((holder, _)) if *holder == call => Err(LockError::Deadlock),
            Some(_) => Err(LockError::TimedOut),
            None => {
                let token = self.token.fetch_add(1, Ordering::SeqCst) + 1;
                let proof = Proof { token, mode, epoch: 1 };
                held.insert((*key).clone(), (call, proof));
                Ok(proof)
            }
        };
        async move { result }.boxed()
    }

    fn unlock(
        &self,
        key: Arc<StateKey>,
        _mode: Mode,
        call: CallId,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<(), LockError>> {
        let mut held = self.held.lock();
        let mine = held.get(&*key).is_some_and(|(holder, _)| *holder == call);
        let result = if mine { Ok(()) } else { Err(LockError::NotHeld) };
        if mine {
            held.remove(&*key);
        }
        async move { result }.boxed()
    }

    fn stands(&self, key: &StateKey, call: CallId, proof: Proof) -> bool {
        self.held.lock().get(key).is_some_and(|held| *held == (call, proof))
    }
}
