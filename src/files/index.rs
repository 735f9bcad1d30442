//! What is on this node's disk: which blobs it has to keep, which it only caches, and which of
//! the cached ones go first when room is needed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::id::BlobHash;

/// Why a blob is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Rendezvous hashing names this node: it is kept.
    Target,
    /// It names others now, of which not all are known to have it: it is kept until they do.
    Surplus,
    /// It was read here: it may go.
    Cached,
}

/// The blobs on this node's disk.
#[derive(Debug)]
pub struct Index {
    entries: BTreeMap<BlobHash, Entry>,
    /// The cached ones by when they were last used, the longest ago first.
    lru: BTreeMap<u64, BlobHash>,
    /// The surplus ones that are not known to be where they should be.
    surplus: BTreeSet<BlobHash>,
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
    /// On disk to stay, as a power cut counts.
    synced: bool,
    /// Another node counts on this copy, since it asked for it or gave it: it may know of members
    /// that this node does not know of yet.
    claimed: bool,
    /// The nodes that should have it are known to.
    settled: bool,
}

impl Index {
    /// Empty; cached blobs may take `cache_limit` bytes.
    pub fn new(cache_limit: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            lru: BTreeMap::new(),
            surplus: BTreeSet::new(),
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
        let claimed = self.remove(&hash).is_some_and(|old| old.claimed);
        self.clock += 1;
        let synced = role != Role::Cached;
        let entry = Entry { len, role, used: self.clock, synced, claimed, settled: false };
        self.put(hash, entry);
        self.shed(self.cached_bytes.saturating_sub(self.cache_limit))
    }

    /// Whether a blob is here to stay; another node counts on the answer until the members change.
    pub fn claim(&mut self, hash: &BlobHash) -> bool {
        let Some(mut entry) = self.entries.get(hash).copied() else { return false };
        if !entry.synced {
            return false;
        }
        self.remove(hash);
        entry.claimed = true;
        if entry.role == Role::Cached {
            (entry.role, entry.settled) = (Role::Surplus, true);
        }
        self.put(*hash, entry);
        true
    }

    /// The named nodes all have it: a surplus blob becomes a cached one, unless another node counts
    /// on it. Gives the cached blobs that must go.
    #[must_use]
    pub fn settle(&mut self, hash: &BlobHash) -> Vec<BlobHash> {
        if self.surplus.contains(hash)
            && let Some(mut entry) = self.remove(hash)
        {
            entry.settled = true;
            if !entry.claimed {
                entry.role = Role::Cached;
            }
            self.put(*hash, entry);
        }
        self.shed(self.cached_bytes.saturating_sub(self.cache_limit))
    }

    /// It is on disk to stay now.
    pub fn synced(&mut self, hash: &BlobHash) {
        if let Some(entry) = self.entries.get_mut(hash) {
            entry.synced = true;
        }
    }

    /// Whether a blob is here, and not only cached.
    pub fn keeps(&self, hash: &BlobHash) -> bool {
        self.entries.get(hash).is_some_and(|entry| entry.role != Role::Cached)
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
    fn remove(&mut self, hash: &BlobHash) -> Option<Entry> {
        let entry = self.entries.remove(hash)?;
        self.surplus.remove(hash);
        match entry.role {
            Role::Target | Role::Surplus => self.kept_bytes -= entry.len,
            Role::Cached => {
                self.cached_bytes -= entry.len;
                self.lru.remove(&entry.used);
            }
        }
        Some(entry)
    }

    /// Forgets a blob; true if it had to be kept.
    pub fn lose(&mut self, hash: &BlobHash) -> bool {
        self.remove(hash).is_some_and(|entry| entry.role != Role::Cached)
    }

    /// The length of a blob that is here.
    pub fn len_of(&self, hash: &BlobHash) -> Option<u64> {
        self.entries.get(hash).map(|entry| entry.len)
    }

    /// How many blobs there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// At most `most` hashes in order, after the given one.
    pub fn after(&self, hash: Option<&BlobHash>, most: usize) -> Vec<BlobHash> {
        self.entries.range(beyond(hash)).take(most).map(|(hash, _)| *hash).collect()
    }

    /// The same, of the surplus blobs that are not known to be where they should be.
    pub fn surplus_after(&self, hash: Option<&BlobHash>, most: usize) -> Vec<BlobHash> {
        self.surplus.range(beyond(hash)).take(most).copied().collect()
    }

    /// How many of those there are.
    pub fn surplus(&self) -> usize {
        self.surplus.len()
    }

    /// Sorts all blobs anew after the members changed. What is cached already, the named nodes had.
    /// Gives the blobs that must be made to stay.
    #[must_use]
    pub fn reclassify(&mut self, is_target: impl Fn(&BlobHash) -> bool) -> Vec<BlobHash> {
        (self.kept_bytes, self.cached_bytes) = (0, 0);
        self.lru.clear();
        self.surplus.clear();
        let mut relaxed = Vec::new();
        for (hash, mut entry) in std::mem::take(&mut self.entries) {
            (entry.claimed, entry.settled) = (false, false);
            if is_target(&hash) {
                entry.role = Role::Target;
                if !entry.synced {
                    relaxed.push(hash);
                }
            } else if entry.role == Role::Target {
                entry.role = Role::Surplus;
            }
            self.put(hash, entry);
        }
        relaxed
    }

    /// Bytes of the blobs that have to be here.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Bytes of the blobs that are only cached.
    pub fn cached_bytes(&self) -> u64 {
        self.cached_bytes
    }

    /// Forgets the longest unused of the cached blobs that take so many bytes together, and gives
    /// them.
    #[must_use]
    pub fn shed(&mut self, bytes: u64) -> Vec<BlobHash> {
        let until = self.cached_bytes.saturating_sub(bytes);
        let mut gone = Vec::new();
        while self.cached_bytes > until {
            let Some((_, hash)) = self.lru.first_key_value() else { break };
            let hash = *hash;
            self.remove(&hash);
            gone.push(hash);
        }
        gone
    }

    fn put(&mut self, hash: BlobHash, entry: Entry) {
        match entry.role {
            Role::Target => self.kept_bytes += entry.len,
            Role::Surplus => {
                self.kept_bytes += entry.len;
                if !entry.settled {
                    self.surplus.insert(hash);
                }
            }
            Role::Cached => {
                self.cached_bytes += entry.len;
                self.lru.insert(entry.used, hash);
            }
        }
        self.entries.insert(hash, entry);
    }
}

fn beyond(hash: Option<&BlobHash>) -> (Bound<BlobHash>, Bound<BlobHash>) {
    (hash.map_or(Bound::Unbounded, |hash| Bound::Excluded(*hash)), Bound::Unbounded)
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
        assert!(index.lose(&blob(1)) && !index.lose(&blob(1)));
        assert_eq!((index.kept_bytes(), index.len_of(&blob(1))), (0, None));
    }

    #[test]
    fn a_blob_that_others_are_to_have_is_kept_until_they_do() {
        let mut index = Index::new(50);
        for n in 1..=4 {
            assert_eq!(index.insert(blob(n), 30, Role::Target), []);
        }
        assert_eq!(index.reclassify(|hash| hash.0[0] == 4), []);
        assert_eq!((index.kept_bytes(), index.cached_bytes(), index.surplus()), (120, 0, 3));
        assert_eq!(index.surplus_after(Some(&blob(1)), 9), [blob(2), blob(3)]);
        index.touch(&blob(1));
        assert_eq!(index.settle(&blob(2)), []);
        assert_eq!(index.settle(&blob(1)), [blob(2)], "the longest unused goes");
        assert_eq!(index.settle(&blob(4)), [], "a target's copy does not become cached");
        assert!(index.keeps(&blob(3)) && index.keeps(&blob(4)) && !index.keeps(&blob(1)));
        assert_eq!((index.kept_bytes(), index.cached_bytes(), index.surplus()), (60, 30, 1));
    }

    #[test]
    fn a_cached_blob_that_is_to_stay_has_to_be_synced_first() {
        let mut index = Index::new(100);
        assert_eq!(cached(&mut index, 1, 10), []);
        assert!(!index.claim(&blob(1)));
        assert_eq!(index.reclassify(|_| true), [blob(1)]);
        assert!(!index.claim(&blob(1)), "it was counted before it was synced");
        index.synced(&blob(1));
        assert!(index.claim(&blob(1)));
        assert_eq!(index.reclassify(|_| true), []);
    }

    #[test]
    fn what_another_node_counts_on_stays_until_the_members_change() {
        let mut index = Index::new(0);
        assert_eq!(index.insert(blob(1), 10, Role::Surplus), []);
        assert!(index.claim(&blob(1)));
        assert_eq!(index.surplus(), 1, "it is to be given to its nodes all the same");
        assert_eq!(index.settle(&blob(1)), []);
        assert_eq!(index.surplus(), 0);
        assert!(index.keeps(&blob(1)));
        assert_eq!(index.reclassify(|_| false), []);
        assert_eq!(index.surplus(), 1);
        assert_eq!(index.settle(&blob(1)), [blob(1)]);
        assert!(!index.claim(&blob(1)));
    }

    #[test]
    fn room_is_made_of_cached_blobs_alone() {
        let mut index = Index::new(100);
        assert_eq!(index.insert(blob(9), 50, Role::Target), []);
        for n in 1..=3 {
            assert_eq!(cached(&mut index, n, 30), []);
        }
        assert_eq!(index.shed(31), [blob(1), blob(2)]);
        assert_eq!(index.shed(1000), [blob(3)]);
        assert_eq!(index.len_of(&blob(9)), Some(50));
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
