//! Whoever is told how a root call ended is told the same.

use super::{Accepted, End};
use crate::errno::Errno;
use crate::id::CallId;

/// Compares with what was told before.
pub fn check(call: CallId, accepted: &Accepted, end: &End, by: &str) -> Result<(), String> {
    let Some((before, told)) = &accepted.seen else { return Ok(()) };
    // Others give up what a lost home answered for; the home may have known better. Of calls that
    // were claimed all are told the same, unless all that kept the record died.
    let excused = accepted.home_was_lost && !accepted.is_kept();
    let given_up = |end: &End| excused && *end == Err(Errno::HostLost);
    if before == end || given_up(before) || given_up(end) {
        return Ok(());
    }
    Err(format!("{call} ended with {before:?} ({told}), and with {end:?} ({by})"))
}
