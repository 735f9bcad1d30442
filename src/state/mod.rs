//! State: values of bytes, named by (user, key), shared through memory on a node and kept by
//! replicated owners across nodes.
//!
//! Two tiers. *Global*: a key belongs to one of [`SHARDS`](crate::wire::shards::SHARDS) shards; a
//! shard has an owner, and backups that have every acknowledged write. *Local*: at most one copy of
//! a value per node, in memory that all instances which use it have mapped.
//!
//! ```text
//! function ─▶ local (memory) ─▶ client ─┬─▶ driver: replica (decides), store (log, values)
//! gateway ──────────────────▶ (Global)  └─▶ net ─▶ serve ─▶ driver of the owner
//! ```
//! `replica` and `values` are pure; `driver` is the one thread that does what they want.

mod applying;
mod asks;
mod client;
mod copy;
mod driver;
mod effects;
#[cfg(test)]
pub mod fake;
pub mod global;
mod grants;
mod jobs;
mod listing;
pub mod local;
mod numbers;
pub mod overview;
mod post;
mod quota;
pub mod replica;
mod serve;
mod setup;
#[cfg(test)]
mod sim;
pub mod store;
pub mod stream;
pub mod values;

pub use setup::{StartError, State, StateSetup};
