//! Every request is answered and every accepted call ends, by its deadline and a bound.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Execution, Open};
use crate::id::NodeId;

/// How long after its deadline a request may be answered: the claim of its record, the grace of a
/// silent node, and a little for ticks and messages.
const BOUND: Duration = Duration::from_millis(6_500);

/// No client waits for too long at a node that runs.
pub fn answered(
    open: &BTreeMap<u64, Open>,
    now: Instant,
    runs: impl Fn(NodeId) -> bool,
) -> Result<(), String> {
    match open.values().find(|open| now > open.due + BOUND && runs(open.node)) {
        None => Ok(()),
        Some(open) => Err(format!("{} is not answered {BOUND:?} after its time", open.what)),
    }
}

/// At the end nothing is open, and nothing runs.
pub fn settled(open: &BTreeMap<u64, Open>, executions: &[Execution]) -> Result<(), String> {
    if let Some(open) = open.values().next() {
        return Err(format!("{} is never answered", open.what));
    }
    match executions.iter().find(|e| e.ended.is_none() && !e.killed) {
        None => Ok(()),
        Some(execution) => Err(format!("it runs for ever: {execution:?}")),
    }
}
