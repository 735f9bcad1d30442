//! The values of one shard, without their bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::chunks::Chunks;
use super::head::Head;
use super::sessions::Sessions;
use super::snapshots::Snapshots;
use crate::wire::consensus::SessionId;
use crate::wire::shards::StateKey;
use crate::wire::state::{CHUNK, Extent, List, Listed, Stat, Version};

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

/// Bytes held back for a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// For this value.
    pub key: StateKey,
    /// Names their file: the record that began it.
    pub file: u64,
    /// What they are, in the order of the file.
    pub pieces: Vec<Piece>,
    /// When the last of them came, on this node's clock, in milliseconds.
    pub since: u64,
}

/// What came with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they belong.
    pub extents: Vec<Extent>,
    /// Of all its bytes.
    pub hash: u128,
}

impl Piece {
    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.len).sum()
    }
}

impl Staged {
    /// All its bytes.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::bytes).sum()
    }

    /// The end of the last byte in the value.
    pub fn reach(&self) -> u64 {
        let ends = self.pieces.iter().flat_map(|piece| &piece.extents).filter_map(Extent::end);
        ends.max().unwrap_or(0)
    }
}

/// Names staged bytes.
pub type StageId = (SessionId, u64);

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
    /// Chunks of each user.
    usage: HashMap<String, u64>,
    /// Changed since this was last emptied.
    pub dirty: BTreeSet<StateKey>,
}

impl Values {
    /// Bytes on disk of a user's values.
    pub fn usage(&self, user: &str) -> u64 {
        self.usage.get(user).map_or(0, |chunks| chunks * CHUNK)
    }

    /// Replaces what there is of a key.
    pub fn put(&mut self, key: &StateKey, entry: Entry) {
        let chunks = count(&entry);
        let was = if entry.value.is_none() && entry.token == 0 {
            self.keys.remove(key)
        } else if let Some(place) = self.keys.get_mut(key) {
            Some(std::mem::replace(place, entry))
        } else {
            self.keys.insert(key.clone(), entry)
        };
        self.recount(key, was.as_ref().map_or(0, count), chunks);
        if !self.dirty.contains(key) {
            self.dirty.insert(key.clone());
        }
    }

    /// Takes what there is of a key out, to be changed and put back; its place is kept.
    pub fn take(&mut self, key: &StateKey) -> Entry {
        let entry = self.keys.get_mut(key).map(std::mem::take).unwrap_or_default();
        self.recount(key, count(&entry), 0);
        entry
    }

    fn recount(&mut self, key: &StateKey, was: u64, is: u64) {
        if was == is {
            return;
        }
        if !self.usage.contains_key(&key.user) {
            self.usage.insert(key.user.clone(), 0);
        }
        if let Some(chunks) = self.usage.get_mut(&key.user) {
            *chunks = (*chunks + is).saturating_sub(was);
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

fn count(entry: &Entry) -> u64 {
    entry.value.as_ref().map_or(0, |value| value.chunks.count())
}

fn stat(entry: &Entry) -> Option<Stat> {
    let value = entry.value.as_ref()?;
    let (version, len, appended) = (value.version, value.len, value.elements.count);
    Some(Stat { version, len, appended, token: entry.token })
}
