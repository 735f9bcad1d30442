//! An output is that of an execution of the very call, that ended so, and of the attempt that the
//! record names.

use super::{End, Execution};
use crate::id::{Attempt, CallId};

/// Looks the execution up that an output names.
pub fn check(
    executions: &[Execution],
    call: CallId,
    end: End,
    attempt: Option<Attempt>,
    output: &[u8],
) -> Result<(), String> {
    let Some(number) = output.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
        return Err(format!("{call} ended with {end:?} and no output"));
    };
    let Some(execution) = executions.get(number as usize) else {
        return Err(format!("{call} has an output of nobody"));
    };
    let same = execution.call == call && execution.ended == Some(end);
    let current = attempt.is_none_or(|attempt| attempt == execution.attempt);
    if same && current {
        return Ok(());
    }
    Err(format!("{call} ended with {end:?} as {attempt:?}, and its output is of {execution:?}"))
}
