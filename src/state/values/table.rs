//! The values of one shard, without their bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::chunks::Chunks;
use super::head::Head;
use super::sessions::Sessions;
use super::snapshots::Snapshots;
use super::staged::{StageId, Staged};
use crate::wire::shards::StateKey;
use crate::wire::state::{CHUNK, List, Listed, Stat, Version};

/// What each key counts for in its user's quota, in bytes, beside its chunks.
pub const KEY_COST: u64 = 1 << 10;

/// What there is of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The last record that was about it.
    pub seq: u64,
    /// The highest fencing token seen; outlives the value.
    pub token: u64,
    /// The value, if there is one.
    pub value: Option<Value>,
}

/// A value, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Now.
    pub version: Version,
    /// In bytes.
    pub len: u64,
    /// Names the file of its bytes: the record that began it.
    pub file: u64,
    /// What was appended.
    pub elements: Elements,
    /// Its chunks.
    pub chunks: Chunks,
}

/// The elements appended to a value since the last clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Elements {
    /// Names the file of their bounds: the record that appended the first. 0 when there are none.
    pub file: u64,
    /// How many.
    pub count: u64,
    /// The bytes of all.
    pub bytes: u64,
    /// Where the last one ends in the value.
    pub end: u64,
}

/// A long push that is applied piece by piece. What its value was before is there until the end.
#[derive(Debug)]
pub(super) struct Partial {
    /// The record.
    pub seq: u64,
    /// Of which value.
    pub key: StateKey,
    /// What is pushed.
    pub id: StageId,
    /// Staged pieces that are written.
    pub pieces: usize,
    /// Chunks that they wrote in part.
    pub parts: Vec<(u64, u128)>,
    /// The value, if the record begins a new one.
    pub value: Option<Value>,
    /// So many of the records behind it are applied, and the term of the last.
    pub ahead: (u64, u64),
}

/// The values of one shard.
#[derive(Debug, Default)]
pub struct Values {
    /// The last record applied.
    pub applied: u64,
    /// Its owner's term.
    pub term: u64,
    /// Records up to here may be in the files already, wholly or in part.
    pub lenient: u64,
    /// By name.
    pub keys: BTreeMap<StateKey, Entry>,
    /// What is held back.
    pub staged: BTreeMap<StageId, Staged>,
    /// Answers to writes.
    pub sessions: Sessions,
    /// Logged, but not applied.
    pub head: Head,
    /// Of readers.
    pub snapshots: Snapshots,
    /// Bytes that each user's keys and chunks count for.
    usage: HashMap<String, u64>,
    /// Changed since this was last emptied.
    pub dirty: BTreeSet<StateKey>,
    /// The record that is applied in part.
    pub(super) partial: Option<Partial>,
}

impl Values {
    /// What a user's values count for, in bytes, and what is staged for them; with what is logged.
    pub fn usage(&self, user: &str) -> (u64, u64) {
        let staged = self.staged.values().filter(|staged| staged.key.user == user);
        let staged: u64 = staged.map(|staged| staged.bytes() + KEY_COST).sum();
        let (more, more_staged) = self.charged(user);
        (self.usage.get(user).copied().unwrap_or(0) + more, staged + more_staged)
    }

    /// What a key counts for.
    pub(super) fn cost(&self, key: &StateKey) -> u64 {
        self.keys.get(key).map_or(0, cost)
    }

    /// Replaces what there is of a key.
    pub fn put(&mut self, key: &StateKey, entry: Entry) {
        let cost = cost(&entry);
        let was = if entry.value.is_none() && entry.token == 0 {
            self.keys.remove(key)
        } else if let Some(place) = self.keys.get_mut(key) {
            Some(std::mem::replace(place, entry))
        } else {
            self.keys.insert(key.clone(), entry)
        };
        self.recount(key, was.as_ref().map_or(0, self::cost), cost);
        if !self.dirty.contains(key) {
            self.dirty.insert(key.clone());
        }
    }

    /// Takes what there is of a key out, to be changed and put back; its place is kept.
    pub fn take(&mut self, key: &StateKey) -> Entry {
        let entry = self.keys.get_mut(key).map(std::mem::take).unwrap_or_default();
        self.recount(key, cost(&entry), 0);
        entry
    }

    fn recount(&mut self, key: &StateKey, was: u64, is: u64) {
        if was == is {
            return;
        }
        if !self.usage.contains_key(&key.user) {
            self.usage.insert(key.user.clone(), 0);
        }
        if let Some(bytes) = self.usage.get_mut(&key.user) {
            *bytes = (*bytes + is).saturating_sub(was);
        }
    }

    /// What there is of a value.
    pub fn stat(&self, key: &StateKey) -> Option<Stat> {
        self.keys.get(key).and_then(stat)
    }

    /// Values in order of their names.
    pub fn list(&self, list: &List) -> Vec<Listed> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let first = StateKey { user: list.user.clone(), key: list.prefix.clone() };
        let from = match &list.after {
            Some(after) if *after >= first => Excluded(after),
            _ if list.user.is_empty() => Unbounded,
            _ => Included(&first),
        };
        self.keys
            .range::<StateKey, _>((from, Unbounded))
            .take_while(|(key, _)| {
                list.user.is_empty() || (key.user == list.user && key.key.starts_with(&list.prefix))
            })
            .filter(|(key, _)| key.key.starts_with(&list.prefix))
            .filter_map(|(key, entry)| Some(Listed { key: key.clone(), stat: stat(entry)? }))
            .take(list.most as usize)
            .collect()
    }

    /// Names of all files that are in use.
    pub fn files(&self) -> (BTreeSet<u64>, BTreeSet<u64>, BTreeSet<u64>) {
        let values = || self.keys.values().filter_map(|entry| entry.value.as_ref());
        (
            values().map(|value| value.file).collect(),
            values().map(|value| value.elements.file).collect(),
            self.staged.values().map(|staged| staged.file).collect(),
        )
    }
}

fn cost(entry: &Entry) -> u64 {
    let chunks = entry.value.as_ref().map(|value| value.chunks.count() * CHUNK);
    // What is left of a deleted value is remembered, too.
    let known = chunks.is_some() || entry.token > 0;
    chunks.unwrap_or(0) + if known { KEY_COST } else { 0 }
}

fn stat(entry: &Entry) -> Option<Stat> {
    let value = entry.value.as_ref()?;
    let (version, len, appended) = (value.version, value.len, value.elements.count);
    Some(Stat { version, len, appended, token: entry.token })
}
