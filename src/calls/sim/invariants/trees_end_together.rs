//! Nothing of a tree runs on long after its deadline, or after its root was cancelled, the node of
//! its root or its parent was lost, or it was tried anew.

use std::time::{Duration, Instant};

use super::Invariants;

/// How long a call may go on after its deadline: clocks tick, messages travel.
const LATE: Duration = Duration::from_millis(1_500);
/// Without faults, how long after a cancel.
const CANCEL: Duration = Duration::from_secs(1);
/// Without faults for this long, nothing of them is left: silence, and the time to act on it.
const CALM: Duration = Duration::from_secs(5);

/// Looks at all that runs.
pub fn check(facts: &Invariants, now: Instant) -> Result<(), String> {
    if !facts.calm_since(now, CALM) {
        return Ok(());
    }
    for execution in facts.executions.iter().filter(|e| e.ended.is_none() && !e.killed) {
        if now > execution.deadline + LATE {
            return Err(format!("it still runs, past its deadline: {execution:?}"));
        }
        if execution.parent_lost.is_some_and(|at| now > at + CALM) {
            return Err(format!("it still runs, and its parent's node was lost: {execution:?}"));
        }
        let newest = facts.newest.get(&execution.call);
        if newest.is_some_and(|(attempt, at)| *attempt > execution.attempt && now > *at + CANCEL) {
            return Err(format!("it still runs, and was tried anew as {newest:?}: {execution:?}"));
        }
        let root = facts.accepted.get(&execution.root);
        let cancelled = root.and_then(|root| root.cancelled);
        if cancelled.is_some_and(|at| now > at + CANCEL) {
            return Err(format!("it still runs, and its root was cancelled: {execution:?}"));
        }
    }
    Ok(())
}
