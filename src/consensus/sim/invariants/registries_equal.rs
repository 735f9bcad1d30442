//! After healing all nodes have applied the same, and hold the same state.

use crate::consensus::core::Core;
use crate::consensus::sim::disk::SimDisk;

/// Compares all nodes.
pub fn check(cores: &[&Core<SimDisk>]) -> Result<(), String> {
    for pair in cores.windows(2) {
        let (a, b) = (pair[0].machine(), pair[1].machine());
        if a.applied() != b.applied() {
            return Err(format!("nodes applied up to {} and {}", a.applied(), b.applied()));
        }
        if a != b {
            return Err(format!("nodes that applied {} differ: {a:?}, {b:?}", a.applied()));
        }
    }
    Ok(())
}
