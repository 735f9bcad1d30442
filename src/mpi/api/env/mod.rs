//! Environment: the beginning and end of MPI, errors and what handles them, hints, sessions, names.

pub mod classes;
mod errors;
mod failures;
pub mod handlers;
pub mod info;
mod memory;
mod names;
pub mod session;
mod start;

pub use handlers::{Handlers, raise};
pub use start::may_call;

use crate::mpi::dispatch::Table;

/// The calls.
pub const TABLES: &[Table] = &[
    errors::TABLE,
    failures::TABLE,
    handlers::TABLE,
    info::TABLE,
    memory::TABLE,
    names::TABLE,
    session::TABLE,
    start::TABLE,
];

/// What this section keeps of a rank.
#[derive(Debug, Default)]
pub struct Env {
    /// Error classes and codes that the program added.
    pub classes: classes::Classes,
    /// Error handlers that it made.
    pub handlers: Handlers,
    /// Hints.
    pub infos: info::Infos,
    /// Sessions.
    pub sessions: session::Sessions,
    /// Where memory really begins that was asked for with an alignment.
    pub aligned: std::collections::BTreeMap<u32, u32>,
    /// The level of threads that was agreed on.
    pub threads: i32,
    /// Failed ranks that were acknowledged, by the communicator's context.
    pub acknowledged: std::collections::BTreeMap<u64, Vec<u32>>,
}
