//! The datagram by which a node tells others how loaded it is, and in a large cluster what it has
//! heard of the rest. Small enough for one packet.

use rkyv::{Archive, Deserialize, Serialize};

use super::calls::Room;
use crate::id::Incarnation;

/// Most module fingerprints of a node's own in one datagram, so that it stays below 1,150 bytes.
pub const MAX_MODULES: usize = 64;
/// As many when the datagram also tells of others.
pub const FEW_MODULES: usize = 8;
/// Most other nodes that one datagram tells of.
pub const MAX_RUMORS: usize = 30;
/// Module fingerprints that are passed on of another node.
pub const RUMOR_TAGS: usize = 4;

/// What a node says of itself, several times a second.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
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

/// What a node has heard of another one's load, in little space: numbers are cut at what fits.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rumor {
    /// Which node; one with a larger number is not passed on.
    pub node: u32,
    /// The low bits of its incarnation.
    pub incarnation: u32,
    /// How long ago that node said so, in milliseconds, by the clocks it passed on the way.
    pub age_ms: u16,
    /// See [`Room`].
    pub free_slots: u16,
    /// See [`Room`].
    pub free_places: u16,
    /// See [`Room`].
    pub running: u16,
    /// Whether it takes calls.
    pub accepting: bool,
    /// The first 2 bytes of the hashes of the modules it used last; 0 for none.
    pub tags: [u16; RUMOR_TAGS],
}

/// The datagram.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// The sender's own load.
    pub own: Load,
    /// What it heard of others, at most [`MAX_RUMORS`].
    pub rumors: Vec<Rumor>,
}

impl Rumor {
    /// Whether it is about this life of its node.
    pub fn is_of_life(&self, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation.0 as u32
    }

    /// The room it tells of.
    pub fn room(&self) -> Room {
        Room {
            free_slots: self.free_slots.into(),
            free_places: self.free_places.into(),
            running: self.running.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_datagrams_fit_into_a_packet() {
        let rumor = Rumor {
            node: 1,
            incarnation: 1,
            age_ms: 0,
            free_slots: 0,
            free_places: 0,
            running: 0,
            accepting: true,
            tags: [0; RUMOR_TAGS],
        };
        let own = |modules| Load { modules: vec![0; modules], ..Load::default() };
        let alone = Report { own: own(MAX_MODULES), rumors: Vec::new() };
        let full = Report { own: own(FEW_MODULES), rumors: vec![rumor; MAX_RUMORS] };
        for report in [alone, full] {
            let len = crate::wire::encode(&report).len();
            assert!(len <= 1_150, "{len} bytes");
        }
    }
}
