//! Whoever is told how a root call ended is told the same.

use super::{Accepted, End};
use crate::errno::Errno;
use crate::id::CallId;

/// Compares with what was told before.
pub fn check(call: CallId, accepted: &Accepted, end: &End, by: &str) -> Result<(), String> {
    let Some((before, told)) = &accepted.seen else { return Ok(()) };
    // Others give up what a lost home answered for; the home may have known better.
    let given_up = |end: &End| accepted.home_was_lost && *end == Err(Errno::HostLost);
    if before == end || given_up(before) || given_up(end) {
        return Ok(());
    }
    Err(format!("{call} ended with {before:?} ({told}), and with {end:?} ({by})"))
}
