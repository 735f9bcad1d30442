//! An attempt runs at most once, a call no more often than its function allows and never twice at
//! once on a node, and only on a node that has a session.

use super::Execution;

/// Looks at an execution that begins.
pub fn check(
    before: &[Execution],
    execution: &Execution,
    session_is_live: bool,
) -> Result<(), String> {
    let Execution { call, attempt, node, retries, .. } = execution;
    if !session_is_live {
        return Err(format!("{call} begins on {node}, which has no session"));
    }
    if attempt.0 > *retries {
        return Err(format!("{call} is tried as {attempt:?}, and allowed {retries} retries"));
    }
    let beside = before
        .iter()
        .rev()
        .find(|e| e.call == *call && e.node == *node && e.ended.is_none() && !e.killed);
    if let Some(other) = beside {
        return Err(format!("{call} as {attempt:?} begins on {node}, beside {other:?}"));
    }
    let same = before.iter().rev().find(|e| e.call == *call && e.attempt == *attempt);
    match same {
        None => Ok(()),
        Some(other) => Err(format!("{call} as {attempt:?} begins on {node}, after {other:?}")),
    }
}
