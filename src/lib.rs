//! A runtime that runs WebAssembly functions on a cluster of equal nodes.
#![warn(missing_docs)]

pub mod actor;
pub mod calls;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consensus;
pub mod errno;
pub mod files;
pub mod function;
pub mod gateway;
pub mod host;
pub mod id;
pub mod mpi;
pub mod net;
pub mod node;
pub mod scheduler;
pub mod state;
pub mod telemetry;
pub mod wire;
