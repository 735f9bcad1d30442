//! A call ends with what its program returns, or with an error that something explains.

use super::{Accepted, End};
use crate::calls::sim::guests::CHILD_FAILED;
use crate::errno::Errno;
use crate::id::CallId;

/// The errors that faults, limits and callers may cause.
const EXPLAINED: [Errno; 7] = [
    Errno::HostLost,
    Errno::TimedOut,
    Errno::Cancelled,
    Errno::Limit,
    Errno::Full,
    Errno::Unavailable,
    Errno::NoMem,
];

/// Compares with the program; `quiet` when nothing has happened that may fail a call.
pub fn check(call: CallId, accepted: &Accepted, end: &End, quiet: bool) -> Result<(), String> {
    let expected = accepted.program.expected();
    let fine = match end {
        Ok(code) => *code == expected || (*code == CHILD_FAILED && !quiet),
        Err(error) => !quiet && EXPLAINED.contains(error),
    };
    if fine {
        return Ok(());
    }
    Err(format!("{call} ended with {end:?} instead of {expected} (quiet: {quiet})"))
}
