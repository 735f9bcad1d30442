//! What readers need that began before a change: the versions that they read at, and what was
//! replaced since.

use std::collections::{BTreeMap, HashMap};

use super::table::Value;
use crate::wire::shards::StateKey;
use crate::wire::state::Version;

/// How long a version can be read at, in milliseconds, from the last first piece on.
pub const SNAPSHOT_MS: u64 = 30_000;
/// The same where the first piece was all: until it is read.
pub const READ_MS: u64 = 2_000;
/// Most versions of one value that can be read at.
const MAX_VERSIONS: usize = 64;
/// Most values with such versions in a shard.
const MAX_KEYS: usize = 65_536;

/// A chunk that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Old {
    /// The record that replaced it.
    pub until: u64,
    /// Where its bytes are kept; `None` for zeros.
    pub kept: Option<u64>,
    /// Their hash.
    pub hash: u128,
}

/// A version that can be read at.
#[derive(Debug, Clone, Copy)]
struct Held {
    version: Version,
    len: u64,
    until: u64,
}

/// Replaced chunks of one file.
type Olds = BTreeMap<u64, Vec<Old>>;

#[derive(Debug, Default)]
struct OfKey {
    held: Vec<Held>,
    /// Replaced chunks, by file.
    olds: HashMap<u64, Olds>,
    /// Values that were deleted or replaced as a whole, and by which record.
    gone: Vec<(Value, u64)>,
}

/// All of one shard.
#[derive(Debug, Default)]
pub struct Snapshots {
    keys: HashMap<StateKey, OfKey>,
    /// Places of kept bytes that nobody needs any more.
    pub freed: Vec<u64>,
    /// Files that nobody needs any more.
    pub files: Vec<u64>,
}

impl Snapshots {
    /// A reader begins at this version.
    pub fn hold(&mut self, key: &StateKey, (version, len): (Version, u64), until: u64) {
        if !self.keys.contains_key(key) {
            if self.keys.len() >= MAX_KEYS {
                return;
            }
            self.keys.insert(key.clone(), OfKey::default());
        }
        let Some(of) = self.keys.get_mut(key) else { return };
        if let Some(held) = of.held.iter_mut().find(|held| held.version == version) {
            held.until = held.until.max(until);
            return;
        }
        if of.held.len() >= MAX_VERSIONS {
            of.held.remove(0);
        }
        of.held.push(Held { version, len, until });
    }

    /// A version need not be held longer than until then.
    pub fn let_go(&mut self, key: &StateKey, version: Version, until: u64) {
        let of = self.keys.get_mut(key).map(|of| of.held.iter_mut()).into_iter().flatten();
        of.filter(|held| held.version == version).for_each(|held| held.until = until);
    }

    /// The length of a value at a version that is held.
    pub fn held(&self, key: &StateKey, version: Version, now: u64) -> Option<u64> {
        let of = self.keys.get(key)?;
        let held = of.held.iter().find(|held| held.version == version && held.until > now)?;
        Some(held.len)
    }

    /// Whether a version is held.
    pub fn is_held(&self, key: &StateKey, version: Version) -> bool {
        let of = self.keys.get(key);
        of.is_some_and(|of| of.held.iter().any(|held| held.version == version))
    }

    /// Whether anybody may read what is replaced now.
    pub fn wants(&self, key: &StateKey) -> bool {
        self.keys.get(key).is_some_and(|of| !of.held.is_empty())
    }

    /// Keeps a replaced chunk.
    pub fn keep(&mut self, key: &StateKey, file: u64, chunk: u64, old: Old) {
        if let Some(of) = self.keys.get_mut(key) {
            of.olds.entry(file).or_default().entry(chunk).or_default().push(old);
        }
    }

    /// Keeps a value that is replaced as a whole; false if nobody needs it.
    pub fn keep_all(&mut self, key: &StateKey, value: Value, until: u64) -> bool {
        match self.keys.get_mut(key) {
            Some(of) if !of.held.is_empty() => {
                of.gone.push((value, until));
                true
            }
            _ => false,
        }
    }

    /// Nobody can read older versions of a value any more.
    pub fn give_up(&mut self, key: &StateKey) {
        if let Some(of) = self.keys.remove(key) {
            self.free(of);
        }
    }

    fn free(&mut self, of: OfKey) {
        let olds = of.olds.values().flat_map(BTreeMap::values).flatten();
        self.freed.extend(olds.filter_map(|old| old.kept));
        self.files.extend(of.gone.iter().map(|(value, _)| value.file));
    }

    /// A value that was replaced as a whole, and had this version before.
    pub fn gone(&self, key: &StateKey, version: Version) -> Option<&Value> {
        let of = self.keys.get(key)?;
        let mut all = of.gone.iter();
        let fits = |value: &Value, until: u64| {
            value.version.generation == version.generation
                && value.file <= version.seq
                && version.seq < until
        };
        all.find(|(value, until)| fits(value, *until)).map(|(value, _)| value)
    }

    /// A chunk of a file, as it was at this record, if it was replaced since. Only for a version
    /// that is held: else what it needs may be gone, and something later be found.
    pub fn old(&self, key: &StateKey, file: u64, chunk: u64, seq: u64) -> Option<Old> {
        let olds = self.keys.get(key)?.olds.get(&file)?.get(&chunk)?;
        olds.iter().find(|old| old.until > seq).copied()
    }

    /// Gives up what is held for too long.
    pub fn expire(&mut self, now: u64) {
        let (freed, files) = (&mut self.freed, &mut self.files);
        self.keys.retain(|_, of| of.expire(now, freed, files));
    }

    /// The same of one value.
    pub fn expire_of(&mut self, key: &StateKey, now: u64) {
        let Some(of) = self.keys.get_mut(key) else { return };
        if of.held.iter().all(|held| held.until > now) {
            return;
        }
        if !of.expire(now, &mut self.freed, &mut self.files) {
            self.keys.remove(key);
        }
    }

    /// Gives up everything.
    pub fn clear(&mut self) {
        self.expire(u64::MAX);
    }
}

impl OfKey {
    /// Gives up what nobody needs; false if nothing is left.
    fn expire(&mut self, now: u64, freed: &mut Vec<u64>, files: &mut Vec<u64>) -> bool {
        self.held.retain(|held| held.until > now);
        let first = self.held.iter().map(|held| held.version.seq).min().unwrap_or(u64::MAX);
        for olds in self.olds.values_mut().flat_map(BTreeMap::values_mut) {
            let needed = |old: &Old| old.until > first;
            freed.extend(olds.iter().filter(|old| !needed(old)).filter_map(|old| old.kept));
            olds.retain(needed);
        }
        for olds in self.olds.values_mut() {
            olds.retain(|_, olds| !olds.is_empty());
        }
        self.olds.retain(|_, olds| !olds.is_empty());
        let needed = |until: u64| until > first;
        files.extend(self.gone.iter().filter(|(_, u)| !needed(*u)).map(|(value, _)| value.file));
        self.gone.retain(|(_, until)| needed(*until));
        !self.held.is_empty()
    }
}
