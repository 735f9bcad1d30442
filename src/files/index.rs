//! What is on this node's disk: which blobs it has to keep, which it only caches, and which of
//! the cached ones go first when room is needed. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::id::BlobHash;

/// Why a blob is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Rendezvous hashing names this node: it is kept.
    Target,
    /// It was read here: it may go.
    Cached,
}

/// The blobs on this node's disk.
#[derive(Debug)]
pub struct Index {
    entries: BTreeMap<BlobHash, Entry>,
    /// The cached ones by when they were last used, the longest ago first.
    lru: BTreeMap<u64, BlobHash>,
    clock: u64,
    kept_bytes: u64,
    cached_bytes: u64,
    cache_limit: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    len: u64,
    role: Role,
    used: u64,
}

impl Index {
    /// Empty; cached blobs may take `cache_limit` bytes.
    pub fn new(cache_limit: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            lru: BTreeMap::new(),
            clock: 0,
            kept_bytes: 0,
            cached_bytes: 0,
            cache_limit,
        }
    }

    /// Takes in a blob that is on disk, as the last used one. Gives the cached blobs that must go
    /// for it; they are in the index no more.
    #[must_use]
    pub fn insert(&mut self, hash: BlobHash, len: u64, role: Role) -> Vec<BlobHash> {
        self.remove(&hash);
        self.clock += 1;
        let entry = Entry { len, role, used: self.clock };
        self.entries.insert(hash, entry);
        self.account(hash, entry);
        self.shrink()
    }

    /// Whether a blob of `len` bytes that is not a target's may be cached at all.
    pub fn may_cache(&self, len: u64) -> bool {
        len <= self.cache_limit
    }

    /// Notes that a blob was used.
    pub fn touch(&mut self, hash: &BlobHash) {
        let Some(entry) = self.entries.get_mut(hash) else { return };
        self.clock += 1;
        if entry.role == Role::Cached {
            self.lru.remove(&entry.used);
            self.lru.insert(self.clock, *hash);
        }
        entry.used = self.clock;
    }

    /// Forgets a blob.
    pub fn remove(&mut self, hash: &BlobHash) {
        let Some(entry) = self.entries.remove(hash) else { return };
        match entry.role {
            Role::Target => self.kept_bytes -= entry.len,
            Role::Cached => {
                self.cached_bytes -= entry.len;
                self.lru.remove(&entry.used);
            }
        }
    }

    /// The length of a blob that is here.
    pub fn len_of(&self, hash: &BlobHash) -> Option<u64> {
        self.entries.get(hash).map(|entry| entry.len)
    }

    /// At most `most` hashes in order, after the given one.
    pub fn after(&self, hash: Option<&BlobHash>, most: usize) -> Vec<BlobHash> {
        let from = hash.map_or(Bound::Unbounded, |hash| Bound::Excluded(*hash));
        self.entries.range((from, Bound::Unbounded)).take(most).map(|(hash, _)| *hash).collect()
    }

    /// Sorts all blobs anew after the members changed. Gives the cached blobs that must go.
    #[must_use]
    pub fn reclassify(&mut self, role_of: impl Fn(&BlobHash) -> Role) -> Vec<BlobHash> {
        (self.kept_bytes, self.cached_bytes) = (0, 0);
        self.lru.clear();
        let mut entries = std::mem::take(&mut self.entries);
        for (hash, entry) in &mut entries {
            entry.role = role_of(hash);
            self.account(*hash, *entry);
        }
        self.entries = entries;
        self.shrink()
    }

    /// Bytes of the blobs that have to be here.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Bytes of the blobs that are only cached.
    pub fn cached_bytes(&self) -> u64 {
        self.cached_bytes
    }

    fn account(&mut self, hash: BlobHash, entry: Entry) {
        match entry.role {
            Role::Target => self.kept_bytes += entry.len,
            Role::Cached => {
                self.cached_bytes += entry.len;
                self.lru.insert(entry.used, hash);
            }
        }
    }

    fn shrink(&mut self) -> Vec<BlobHash> {
        let mut gone = Vec::new();
        while self.cached_bytes > self.cache_limit {
            let Some((_, hash)) = self.lru.first_key_value() else { break };
            let hash = *hash;
            self.remove(&hash);
            gone.push(hash);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(n: u8) -> BlobHash {
        BlobHash([n; 32])
    }

    fn cached(index: &mut Index, n: u8, len: u64) -> Vec<BlobHash> {
        index.insert(blob(n), len, Role::Cached)
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let mut index = Index::new(100);
        assert_eq!(cached(&mut index, 1, 40), []);
        assert_eq!(cached(&mut index, 2, 40), []);
        index.touch(&blob(1));
        assert_eq!(cached(&mut index, 3, 40), [blob(2)]);
        assert_eq!(cached(&mut index, 4, 90), [blob(1), blob(3)]);
        assert_eq!(index.cached_bytes(), 90);
        assert_eq!(index.after(None, 9), [blob(4)]);
    }

    #[test]
    fn targets_never_go_and_do_not_count_as_cache() {
        let mut index = Index::new(100);
        assert_eq!(index.insert(blob(1), 1000, Role::Target), []);
        assert_eq!(cached(&mut index, 2, 60), []);
        assert_eq!(cached(&mut index, 3, 60), [blob(2)]);
        assert_eq!((index.kept_bytes(), index.cached_bytes()), (1000, 60));
        assert!(!index.may_cache(101));
    }

    #[test]
    fn a_blob_counts_once_however_often_it_is_written() {
        let mut index = Index::new(100);
        assert_eq!(cached(&mut index, 1, 60), []);
        assert_eq!(cached(&mut index, 1, 60), []);
        assert_eq!(index.cached_bytes(), 60);
        assert_eq!(index.insert(blob(1), 60, Role::Target), []);
        assert_eq!((index.kept_bytes(), index.cached_bytes()), (60, 0));
        index.remove(&blob(1));
        index.remove(&blob(1));
        assert_eq!((index.kept_bytes(), index.len_of(&blob(1))), (0, None));
    }

    #[test]
    fn a_change_of_members_frees_what_need_not_stay() {
        let mut index = Index::new(50);
        for n in 1..=4 {
            assert_eq!(index.insert(blob(n), 30, Role::Target), []);
        }
        index.touch(&blob(1));
        let gone = index.reclassify(|hash| match hash.0[0] {
            4 => Role::Target,
            _ => Role::Cached,
        });
        assert_eq!(gone, [blob(2), blob(3)]);
        assert_eq!((index.kept_bytes(), index.cached_bytes()), (30, 30));
    }

    #[test]
    fn hashes_are_walked_in_pages() {
        let mut index = Index::new(0);
        for n in 1..=5 {
            assert_eq!(index.insert(blob(n), 1, Role::Target), []);
        }
        assert_eq!(index.after(None, 2), [blob(1), blob(2)]);
        assert_eq!(index.after(Some(&blob(2)), 9), [blob(3), blob(4), blob(5)]);
        assert_eq!(index.after(Some(&blob(5)), 9), []);
    }
}
