//! One lock per blob, made when needed and gone when nobody holds or awaits it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::id::BlobHash;

type Table = Arc<Mutex<HashMap<BlobHash, Arc<tokio::sync::Mutex<()>>>>>;

/// The locks. Cheap to clone.
#[derive(Clone, Default)]
pub struct BlobLocks {
    table: Table,
}

/// Holds one blob's lock until dropped.
pub struct BlobGuard {
    // Dropped in this order: the place looks whether anybody else is left.
    _held: OwnedMutexGuard<()>,
    _place: Place,
}

impl BlobLocks {
    /// Waits for the blob's lock. Dropping the future gives up the wait.
    pub async fn lock(&self, hash: BlobHash) -> BlobGuard {
        let lock = self.table.lock().entry(hash).or_default().clone();
        let place = Place { table: self.table.clone(), hash, lock };
        let held = place.lock.clone().lock_owned().await;
        BlobGuard { _held: held, _place: place }
    }
}

/// Somebody who holds or awaits a lock.
struct Place {
    table: Table,
    hash: BlobHash,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        // The table's reference and this one: places are made and dropped under the table's lock.
        if Arc::strong_count(&self.lock) == 2 {
            table.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holder_at_a_time_and_nothing_is_left_behind() {
        let locks = BlobLocks::default();
        let (a, b) = (BlobHash::of(b"a"), BlobHash::of(b"b"));
        let first = locks.lock(a).await;
        let _other = locks.lock(b).await;
        let mut second = Box::pin(locks.lock(a));
        assert!(futures_util::poll!(&mut second).is_pending());
        let mut abandoned = Box::pin(locks.lock(a));
        assert!(futures_util::poll!(&mut abandoned).is_pending());
        drop(first);
        let second = second.await;
        assert!(futures_util::poll!(&mut abandoned).is_pending());
        drop(abandoned);
        assert_eq!(locks.table.lock().len(), 2);
        drop(second);
        assert_eq!(locks.table.lock().len(), 1);
    }
}
