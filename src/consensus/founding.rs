//! Where the log of a group begins.

use raft::eraftpb::HardState;

use super::conf::Conf;
use super::log::{Loaded, Position, Write};
use super::machine::Machine;

/// Where every group's log begins: with a snapshot that holds the founders and nothing else. A
/// node that is taken in later has an empty log, and so is always sent a snapshot, from which it
/// knows the configuration.
const FIRST: Position = Position { index: 1, term: 1 };

/// What a founder's disk holds then, and the write that makes it so.
pub fn begin(conf: Conf) -> (Loaded, Write) {
    let data = Machine::begin(FIRST.index, conf).snapshot();
    let hard_state = HardState { term: FIRST.term, commit: FIRST.index, ..HardState::default() };
    let bytes = data.clone().into();
    let write = Write::Reset { hard_state: hard_state.clone(), snapshot: FIRST, data: bytes };
    let snapshot = Some((FIRST, data));
    (Loaded { hard_state, base: FIRST, snapshot, ..Loaded::default() }, write)
}
