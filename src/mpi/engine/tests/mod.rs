//! Worlds on one node, and on several over real connections.

mod distributed;
mod failures;
mod harness;
mod hostile;
mod local;
