//! State: values of bytes, named by (user, key), shared through memory on a node and kept by
//! replicated owners across nodes.
//!
//! Two tiers. *Global*: a key belongs to one of [`SHARDS`](crate::wire::shards::SHARDS) shards; a
//! shard has an owner, and backups that have every acknowledged write. *Local*: at most one copy of
//! a value per node, in memory that all instances which use it have mapped.

pub mod global;
pub mod local;
pub mod replica;
#[cfg(test)]
mod sim;
pub mod store;
pub mod values;
