//! Modules in memory, the least recently used dropped first when they outgrow their bytes.
//! Instances that run keep theirs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::module::Ready;
use crate::id::BlobHash;

/// A thing with a size that remembers when it was used.
pub trait Cached {
    /// Bytes it takes.
    fn size(&self) -> usize;
    /// Notes a use; larger is later.
    fn touch(&self, clock: u64);
    /// When it was used last.
    fn used(&self) -> u64;
}

impl Cached for Ready {
    fn size(&self) -> usize {
        self.size
    }
    fn touch(&self, clock: u64) {
        Ready::touch(self, clock);
    }
    fn used(&self) -> u64 {
        Ready::used(self)
    }
}

/// The cache.
pub struct Cache<T> {
    entries: RwLock<HashMap<BlobHash, Arc<T>>>,
    clock: AtomicU64,
    limit: usize,
}

impl<T: Cached> Cache<T> {
    /// A cache of this many bytes; one entry may always be in it.
    pub fn new(limit: usize) -> Self {
        Self { entries: RwLock::default(), clock: AtomicU64::new(0), limit }
    }

    /// An entry, which is then the most recently used.
    pub fn get(&self, key: &BlobHash) -> Option<Arc<T>> {
        let entries = self.entries.read();
        let found = entries.get(key)?;
        found.touch(self.now());
        Some(found.clone())
    }

    /// Whether it is here; this is no use.
    pub fn has(&self, key: &BlobHash) -> bool {
        self.entries.read().contains_key(key)
    }

    /// Adds an entry and drops those used least recently until all fit. Gives the bytes kept.
    pub fn put(&self, key: BlobHash, entry: Arc<T>) -> usize {
        entry.touch(self.now());
        let mut entries = self.entries.write();
        entries.insert(key, entry);
        let mut total: usize = entries.values().map(|e| e.size()).sum();
        while total > self.limit && entries.len() > 1 {
            let oldest = entries.iter().min_by_key(|(_, e)| e.used()).map(|(key, _)| *key);
            let Some(dropped) = oldest.and_then(|key| entries.remove(&key)) else { break };
            total -= dropped.size();
        }
        total
    }

    /// The keys, most recently used first.
    pub fn keys(&self) -> Vec<BlobHash> {
        let entries = self.entries.read();
        let mut keys: Vec<_> = entries.iter().map(|(key, e)| (e.used(), *key)).collect();
        keys.sort_by(|a, b| b.cmp(a));
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Entry(usize, AtomicU64);

    impl Cached for Entry {
        fn size(&self) -> usize {
            self.0
        }
        fn touch(&self, clock: u64) {
            self.1.store(clock, Ordering::Relaxed);
        }
        fn used(&self) -> u64 {
            self.1.load(Ordering::Relaxed)
        }
    }

    fn entry(size: usize) -> Arc<Entry> {
        Arc::new(Entry(size, AtomicU64::new(0)))
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let key = |n| BlobHash([n; 32]);
        let cache = Cache::new(30);
        for n in 1..=3 {
            assert_eq!(cache.put(key(n), entry(10)), usize::from(n) * 10);
        }
        assert!(cache.get(&key(1)).is_some());
        assert_eq!(cache.put(key(4), entry(10)), 30);
        assert_eq!(cache.keys(), [key(4), key(1), key(3)]);
        assert!(!cache.has(&key(2)));
        assert_eq!(cache.put(key(5), entry(100)), 100);
        assert_eq!(cache.keys(), [key(5)]);
    }
}
