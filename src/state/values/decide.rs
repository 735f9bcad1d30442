//! Whether an operation may be done, and what is to be logged for it.

use bytes::Bytes;

use super::change::{Change, Does};
use super::head::KeyHead;
use super::read::Plan;
use super::sessions::Known;
use super::staged::Staged;
use super::table::{KEY_COST, Values};
use crate::wire::locks::Mode;
use crate::wire::shards::StateKey;
use crate::wire::state::{
    Answer, Ask, CHUNK, Extent, MAX_EXTENTS, MAX_PIECE, MAX_VALUE, Only, Op, Push, Refusal,
    Version, Write, WriteId, Written,
};

/// Most bytes that are staged for one push.
pub const MAX_STAGED: u64 = 16 << 30;

/// What is to be done about an operation.
#[derive(Debug)]
pub enum Decision {
    /// Answer it.
    Answer(Answer),
    /// Log this as the next record, [`Values::note`] it, and take the answer when it is applied.
    Append(Bytes),
    /// Log this as the next record, note it, and decide again when it is applied.
    Fence(Bytes),
    /// Decide again when this record, which is logged, is applied.
    After(u64),
    /// Read this.
    Read(Plan),
}

/// Where the next record goes, and what it may take.
pub struct Next<'a> {
    /// The owner's epoch.
    pub epoch: u64,
    /// The record's number.
    pub seq: u64,
    /// The time, in milliseconds.
    pub now: u64,
    /// How many bytes more a user may have on disk.
    pub room: &'a dyn Fn(&str) -> u64,
    /// How many more may be held back for pushes.
    pub staging: u64,
    /// Whether the disk has room for so many bytes.
    pub space: &'a dyn Fn(u64) -> bool,
}

impl Next<'_> {
    fn generation(&self) -> u64 {
        (self.epoch << 40) | self.seq
    }
}

/// A write that is looked at.
struct Asked<'a> {
    key: &'a StateKey,
    id: WriteId,
    /// How many bytes are beside it.
    bytes: u64,
    /// What there is.
    head: KeyHead,
    next: &'a Next<'a>,
}

/// A write that may be done, or why not.
type Resolved = Result<(Version, Does), Refusal>;

impl Values {
    /// Decides an operation. Whether a lock is held and whether this node owns the shard was looked
    /// at before.
    pub fn decide(&mut self, ask: &Ask, body: &Bytes, next: &Next<'_>) -> Decision {
        if !ask.key.is_valid() {
            return refuse(Refusal::Invalid("this is no key".into()));
        }
        if self.logged_through() + 1 != next.seq {
            // Something that is logged is not known of here: what comes behind it cannot be decided.
            return refuse(Refusal::NotOwner);
        }
        let head = self.key_head(&ask.key);
        if let Op::Write { id, .. } = &ask.op {
            match self.sessions.find(id) {
                Known::Done(written) => return Decision::Answer(Answer::Written(written)),
                Known::Outside => return refuse(Refusal::Invalid("the write's number".into())),
                Known::New => {}
            }
            if let Some(seq) = self.pending_write(id.session, id.number) {
                return Decision::After(seq);
            }
        }
        // While a push of staged bytes is logged, its value and other such pushes wait.
        let long = self.long().map(|(seq, key)| (seq, *key == ask.key));
        if let (Some((seq, same)), Op::Write { write, .. }) = (long, &ask.op) {
            match write {
                Write::Stage { .. } => {}
                Write::Push(push) if same || push.staged.is_some() => return Decision::After(seq),
                _ if same => return Decision::After(seq),
                _ => {}
            }
        }
        match self.resolve(ask, body, &head, next) {
            Err(refusal) => self.settled(ask, &head, || refuse(refusal)),
            Ok(Some(change)) => {
                let needed = body.len() as u64 * 2 + (64 << 10);
                // What frees space is done on a full disk too: there is a reserve for it.
                let frees = matches!(
                    &change,
                    Change::Write { does: Does::Delete | Does::Clear, .. } | Change::Fence { .. }
                );
                if !frees && !(next.space)(needed + self.staged_by(&change)) {
                    return refuse(Refusal::NoSpace);
                }
                Decision::Append(change.encode(body))
            }
            Ok(None) => {
                let token = ask.proof.map_or(0, |proof| proof.token);
                let known = self.keys.get(&ask.key).map_or(0, |entry| entry.token);
                if token > known && head.token >= token {
                    return Decision::After(head.pending);
                }
                if token > known {
                    let before = long.filter(|(_, same)| *same);
                    return before.map_or_else(|| fence(ask), |(seq, _)| Decision::After(seq));
                }
                self.plan(ask, next.now)
            }
        }
    }

    fn staged_by(&self, change: &Change) -> u64 {
        match change {
            Change::Write { id, does: Does::Push { staged: Some(push), fresh, .. }, .. } => {
                // What becomes the value's file is not copied.
                let whole = self.staged.get(&(id.session, *push)).is_some_and(Staged::is_whole);
                let copied = if *fresh && whole { None } else { Some(()) };
                copied.and_then(|()| self.stage_head((id.session, *push)).len).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// An answer that says that something is so is given once it is sure, and the token is kept.
    fn settled(&self, ask: &Ask, head: &KeyHead, answer: impl FnOnce() -> Decision) -> Decision {
        if head.pending > 0 {
            return Decision::After(head.pending);
        }
        match ask.proof {
            Some(proof) if proof.token > head.token => fence(ask),
            _ => answer(),
        }
    }

    /// The change to be logged; none for a read.
    fn resolve(
        &self,
        ask: &Ask,
        body: &Bytes,
        head: &KeyHead,
        next: &Next<'_>,
    ) -> Result<Option<Change>, Refusal> {
        if ask.proof.is_some_and(|proof| proof.token < head.token) {
            return Err(Refusal::LockLost);
        }
        let Op::Write { id, write } = &ask.op else { return Ok(None) };
        if ask.proof.is_some_and(|proof| proof.mode == Mode::Read) {
            return Err(Refusal::ReadLock);
        }
        let bytes = body.len() as u64;
        let asked = Asked { key: &ask.key, id: *id, bytes, head: *head, next };
        let (version, does) = self.resolve_write(&asked, write)?;
        let token = ask.proof.map(|proof| proof.token);
        Ok(Some(Change::Write { id: *id, key: ask.key.clone(), token, version, does }))
    }

    fn resolve_write(&self, asked: &Asked<'_>, write: &Write) -> Resolved {
        let Asked { bytes, head, next, .. } = *asked;
        let made = Version { generation: next.generation(), seq: next.seq };
        let changed = |was: Version| Version { seq: next.seq, ..was };
        let carries = matches!(write, Write::Stage { .. } | Write::Push(_) | Write::Append);
        if bytes > MAX_PIECE as u64 || (!carries && bytes > 0) {
            return Err(Refusal::Invalid("the bytes beside the write".into()));
        }
        match write {
            Write::Create { len } => {
                if head.value.is_some() {
                    return Err(Refusal::Exists);
                }
                check_len(*len)?;
                asked.check_quota(0, 0)?;
                Ok((made, Does::Create { len: *len }))
            }
            Write::Stage { push, extents } => self.resolve_stage(asked, *push, extents),
            Write::Push(push) => self.resolve_push(asked, push),
            Write::Append => {
                let value = head.value;
                let at = value.map_or(0, |value| value.len);
                let elements = value.map(|value| value.elements).unwrap_or_default();
                check_len(at + bytes)?;
                asked.check_quota(bytes, 0)?;
                let (index, before) = (elements.count, elements.bytes);
                let does = Does::Append { at, index, before, len: bytes, fresh: value.is_none() };
                Ok((value.map_or(made, |value| changed(value.version)), does))
            }
            Write::ClearAppended => {
                let value = head.value.ok_or(Refusal::Missing)?;
                Ok((changed(value.version), Does::Clear))
            }
            Write::Delete { only } => {
                let version = head.value.map(|value| value.version);
                check_only(*only, version)?;
                Ok((version.ok_or(Refusal::Missing)?, Does::Delete))
            }
        }
    }

    fn resolve_stage(&self, asked: &Asked<'_>, push: u64, extents: &[Extent]) -> Resolved {
        let Asked { key, id, bytes, head, .. } = *asked;
        let end = check_extents(extents, bytes)?;
        check_len(end)?;
        asked.check_staging(bytes)?;
        let staged = self.stage_head((id.session, push));
        let at = match staged.len {
            Some(len) => len,
            None if push == id.number => 0,
            None => return Err(Refusal::Again),
        };
        if at + bytes > MAX_STAGED {
            return Err(Refusal::TooBig(format!("{} bytes are staged at most", MAX_STAGED)));
        }
        if self.staged.get(&(id.session, push)).is_some_and(|staged| staged.key != *key) {
            return Err(Refusal::Invalid("staged bytes of another value".into()));
        }
        let version = head.value.map_or(Version { generation: 0, seq: 0 }, |value| value.version);
        Ok((version, Does::Stage { push, at, extents: extents.to_vec() }))
    }

    fn resolve_push(&self, asked: &Asked<'_>, push: &Push) -> Resolved {
        let Asked { key, id, bytes, head, next } = *asked;
        let mut end = check_extents(&push.extents, bytes)?;
        let version = head.value.map(|value| value.version);
        check_only(push.only, version)?;
        if version.is_none() && !push.create {
            return Err(Refusal::Missing);
        }
        let mut size = bytes;
        if let Some(number) = push.staged {
            let staged = self.stage_head((id.session, number));
            size += staged.len.ok_or(Refusal::Again)?;
            end = end.max(staged.reach);
            if self.staged.get(&(id.session, number)).is_some_and(|staged| staged.key != *key) {
                return Err(Refusal::Invalid("staged bytes of another value".into()));
            }
        }
        let fresh = push.replace || version.is_none();
        let was = if fresh { 0 } else { head.value.map_or(0, |value| value.len) };
        let len = push.len.unwrap_or(was.max(end));
        if end > len {
            return Err(Refusal::Invalid("bytes behind the end of the value".into()));
        }
        check_len(len)?;
        // What is there already costs nothing more; a push that only changes it is done always.
        let grows = fresh || end > was || self.fills_gaps(key, push, size);
        if grows {
            let freed = if fresh { self.cost(key) } else { 0 };
            asked.check_quota(size, freed)?;
        }
        let appended = head.value.map_or(0, |value| value.elements.end);
        let forget = fresh || len < appended;
        let seq = next.seq;
        let version = version
            .map_or(Version { generation: next.generation(), seq }, |v| Version { seq, ..v });
        let extents = push.extents.clone();
        Ok((version, Does::Push { staged: push.staged, extents, len, fresh, forget }))
    }

    /// Whether a push writes chunks that have no bytes on disk yet.
    fn fills_gaps(&self, key: &StateKey, push: &Push, size: u64) -> bool {
        let Some(value) = self.keys.get(key).and_then(|entry| entry.value.as_ref()) else {
            return true;
        };
        if push.staged.is_some() {
            return value.chunks.count() * CHUNK < size.max(value.len);
        }
        push.extents.iter().filter(|extent| extent.len > 0).any(|extent| {
            let last = (extent.off + extent.len - 1) / CHUNK;
            (extent.off / CHUNK..=last).any(|chunk| value.chunks.get(chunk).is_none())
        })
    }

    /// The record that gives up staged bytes: those that are too old, and those of sessions that
    /// are over. None if there are none.
    pub fn overdue(
        &self,
        now: u64,
        is_over: &dyn Fn(crate::wire::consensus::SessionId) -> bool,
    ) -> Option<Bytes> {
        let late = |since: u64| now.saturating_sub(since) >= STAGED_MS;
        let pushes: Vec<_> = self
            .staged
            .iter()
            .filter(|(id, staged)| late(staged.since) || is_over(id.0))
            .map(|(id, _)| *id)
            .filter(|id| self.stage_head(*id).pending == 0)
            .take(MAX_EXTENTS)
            .collect();
        (!pushes.is_empty()).then(|| Change::Unstage { pushes }.encode(&[]))
    }

    /// The record that forgets the answers of sessions that are over. Their writes must be refused
    /// from before on: a repeat would be done again.
    pub fn forget(
        &self,
        is_over: &dyn Fn(crate::wire::consensus::SessionId) -> bool,
    ) -> Option<Bytes> {
        let over = self.sessions.all.keys().copied().filter(|session| is_over(*session));
        let sessions: Vec<_> = over.take(MAX_EXTENTS).collect();
        (!sessions.is_empty()).then(|| Change::Forget { sessions }.encode(&[]))
    }
}

impl Asked<'_> {
    /// What is held back may be as much again as what a user has: so any value can be replaced.
    fn check_staging(&self, more: u64) -> Result<(), Refusal> {
        let (user, room) = (&self.key.user, self.next.staging);
        if more.saturating_add(KEY_COST) <= room {
            return Ok(());
        }
        Err(Refusal::TooBig(format!(
            "pushes and uploads of {user} that are not finished may have {room} bytes more, and this \
             takes {more}: what is given up is forgotten after 60 s"
        )))
    }

    /// `freed`: what the write gives back.
    fn check_quota(&self, more: u64, freed: u64) -> Result<(), Refusal> {
        let (user, room) = (&self.key.user, (self.next.room)(&self.key.user));
        let more = more.saturating_add(if self.head.value.is_none() { KEY_COST } else { 0 });
        if more.saturating_sub(freed) <= room {
            return Ok(());
        }
        Err(Refusal::TooBig(format!(
            "the quota of {user} leaves {room} bytes of state, and this takes {more}: each value \
             counts for {KEY_COST} bytes and for each chunk of {CHUNK} that has bytes; remove \
             values, or have user_bytes raised"
        )))
    }
}

/// How long staged bytes are held back, in milliseconds.
pub const STAGED_MS: u64 = 60_000;

fn refuse(refusal: Refusal) -> Decision {
    Decision::Answer(Answer::Refused(refusal))
}

fn fence(ask: &Ask) -> Decision {
    let token = ask.proof.map_or(0, |proof| proof.token);
    Decision::Fence(Change::Fence { key: ask.key.clone(), token }.encode(&[]))
}

fn check_len(len: u64) -> Result<(), Refusal> {
    if len <= MAX_VALUE {
        return Ok(());
    }
    Err(Refusal::TooBig(format!(
        "a value has at most {MAX_VALUE} bytes, and this would have {len}"
    )))
}

/// The end of the last extent.
fn check_extents(extents: &[Extent], bytes: u64) -> Result<u64, Refusal> {
    let invalid = |why: &str| Refusal::Invalid(why.into());
    if extents.len() > MAX_EXTENTS {
        return Err(invalid("too many extents"));
    }
    let mut end = 0_u64;
    let mut sum = 0_u64;
    for extent in extents {
        let last = extent.end().filter(|end| *end <= MAX_VALUE);
        end = end.max(last.ok_or_else(|| invalid("an extent behind the end of any value"))?);
        sum = sum.saturating_add(extent.len);
    }
    if sum != bytes {
        return Err(invalid("the extents are not those of the bytes"));
    }
    Ok(end)
}

fn check_only(only: Only, version: Option<Version>) -> Result<(), Refusal> {
    let fits = match only {
        Only::Any => true,
        Only::Generation(wanted) => {
            return match version {
                Some(version) if version.generation == wanted => Ok(()),
                _ => Err(Refusal::Stale),
            };
        }
        Only::Version(wanted) => version == Some(wanted),
        Only::Exists => version.is_some(),
        Only::Missing => version.is_none(),
    };
    if fits { Ok(()) } else { Err(Refusal::Mismatch(version)) }
}

/// What a write is answered with, but for the hashes.
pub(super) fn written(version: Version, len: u64, at: u64) -> Written {
    Written { version, len, at, parts: Vec::new() }
}
