//! The local tier: at most one copy of a value per node, in memory that all instances which use it
//! have mapped, and what keeps it in step with the owner.

mod chunks;
mod ranges;
