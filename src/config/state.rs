//! Settings of the state.

use serde::{Deserialize, Serialize};

/// Settings of the state.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StateOptions {
    /// Bytes of memory that local copies of values may take on the node; 0 means a quarter of the
    /// machine's.
    pub memory_bytes: u64,
    /// The same for each user; 0 means half of that.
    pub user_memory_bytes: u64,
    /// Bytes that one user's values may take in the cluster: 1 KiB for each value, and 4 KiB for each
    /// of its chunks that has bytes, each counted once, not for each replica. Pushes and uploads that
    /// are not finished may take as much again. Past it writes fail with `FAASM_EQUOTA`. Nodes hear
    /// from each other once a second what users have: writes through many nodes at once may go past
    /// it by what they write in that time. Set it to the same on all nodes.
    pub user_bytes: u64,
    /// Bytes of its disk that the state leaves free; past it writes are refused, and half of it is
    /// for what frees space.
    pub reserve_bytes: u64,
    /// Size of the log at which values are made durable and the log is compacted. Lower makes
    /// starts quicker and writes more.
    pub log_bytes: u64,
    /// Threads that look for what changed in local copies.
    pub threads: usize,
    /// How long a function's operation waits for an owner that can answer, in milliseconds. It
    /// should outlast the 5 to 8 s in which another node takes a lost owner's shards over.
    pub patience_ms: u64,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 0,
            user_memory_bytes: 0,
            user_bytes: 1 << 40,
            reserve_bytes: 256 << 20,
            log_bytes: 128 << 20,
            threads: 2,
            patience_ms: 20_000,
        }
    }
}
