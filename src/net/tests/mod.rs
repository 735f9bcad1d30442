//! Tests of the whole component: several nodes in one process, over loopback.

mod exchange;
mod failures;
mod harness;
mod hostile;
mod membership;
mod refusals;
