//! What the local tier counts.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Bytes of values that owners sent here.
pub const PULLED: &str = "faasm_state_pulled_bytes_total";
/// Bytes of values sent to owners.
pub const PUSHED: &str = "faasm_state_pushed_bytes_total";
/// Bytes of memory that copies take.
pub const RESIDENT: &str = "faasm_state_resident_bytes";
/// Copies.
pub const COPIES: &str = "faasm_state_copies";

/// The tier's meters.
pub struct Meters {
    pulled: Counter,
    pushed: Counter,
    resident: Gauge,
    copies: Gauge,
}

impl Meters {
    /// Describes and makes them.
    pub fn register() -> Self {
        describe_counter!(PULLED, "Bytes of values fetched from their owners to this node");
        describe_counter!(PUSHED, "Bytes of values sent from this node to their owners");
        describe_gauge!(RESIDENT, "Bytes of memory that copies of values take on this node");
        describe_gauge!(COPIES, "Copies of values on this node");
        Self {
            pulled: counter!(PULLED),
            pushed: counter!(PUSHED),
            resident: gauge!(RESIDENT),
            copies: gauge!(COPIES),
        }
    }

    /// Bytes came.
    pub fn pulled(&self, bytes: usize) {
        self.pulled.increment(bytes as u64);
    }

    /// Bytes went.
    pub fn pushed(&self, bytes: usize) {
        self.pushed.increment(bytes as u64);
    }

    /// Copies take more memory.
    pub fn resident(&self, bytes: u64) {
        self.resident.increment(bytes as f64);
    }

    /// They take less.
    pub fn evicted(&self, bytes: u64) {
        self.resident.decrement(bytes as f64);
    }

    /// There are so many copies.
    pub fn copies(&self, count: usize) {
        self.copies.set(count as f64);
    }
}
