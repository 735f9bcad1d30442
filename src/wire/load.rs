//! The datagram by which a node tells the others how loaded it is. Small enough for one packet.

use rkyv::{Archive, Deserialize, Serialize};

use super::calls::Room;

/// Most module fingerprints in one datagram, so that it stays below 1,200 bytes.
pub const MAX_MODULES: usize = 64;

/// What a node says of itself, several times a second and whenever its room changes much.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Load {
    /// Grows with every report of one incarnation: an older report that comes late is dropped.
    pub seq: u64,
    /// What it can take.
    pub room: Room,
    /// All its slots.
    pub slots: u32,
    /// Calls waiting for a slot.
    pub queued: u32,
    /// Calls alive.
    pub live: u32,
    /// CPU use, 0 to 100, of the machine.
    pub cpu_percent: u8,
    /// Memory use, 0 to 100, of the machine.
    pub memory_percent: u8,
    /// Whether it takes calls: false while it stops or has no quorum.
    pub accepting: bool,
    /// Modules compiled here, most recently used first: the first 8 bytes of each hash.
    pub modules: Vec<u64>,
}
