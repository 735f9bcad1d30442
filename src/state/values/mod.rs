//! What operations on values mean: metadata of one shard, conditions, and what records do.
//!
//! Nothing here touches a disk or a clock: bytes go through [`Files`], time is passed in.
//!
//! - [`Values::decide`] tells what is to be done about an operation: answer it, log a record, wait
//!   for one, or read. What is logged must be told by [`Values::note`] before the next decision.
//!   The store beside this module has these as methods of a shard.
//! - A refusal that rests on what is logged and not committed waits for it. So does a repeat.
//! - [`Values::apply`] does what a committed record says, and gives the answer to its write. A push of
//!   many staged pieces is done piece by piece, each by a call of its own; records behind it that are
//!   about other values are applied between. Until the last piece, readers see what was there before.
//!   At most one such push of a shard is logged at a time, and no other write of its value behind it.
//! - A record names offsets, lengths and versions, so that it can be done again: after a crash the
//!   files may hold more than the metadata. Up to [`Values::lenient`] a record need not fit.
//! - A version's `seq` is the number of the record that made it, a generation is
//!   `epoch << 40 | seq` of the record that made the value.
//! - `create` and the like: `Only` is looked at first, then whether there is a value. Staged bytes
//!   that were given up (after 60 s, or by the end of the session) refuse a push by
//!   [`Again`](crate::wire::state::Refusal::Again): it is to be staged anew.
//! - Elements lie in the value as they were appended. A push that replaces the value or cuts it
//!   off before the end of the last one makes them bytes like others: there are none from then on.

mod apply;
mod bytes;
mod change;
mod chunks;
mod decide;
mod head;
mod read;
mod sessions;
mod snapshots;
mod staged;
mod table;

pub use apply::{Applied, BOUND, Bound, Fault, FileId, Files, Progress, damaged};
pub use change::{Change, Does};
pub use chunks::{BLOCK, Chunk, Chunks};
pub use decide::{Decision, MAX_STAGED, Next, STAGED_MS};
pub use read::{Plan, Source, What};
pub use sessions::{Session, Sessions};
pub use snapshots::SNAPSHOT_MS;
pub use staged::{Piece, StageId, Staged};
pub use table::{Elements, Entry, KEY_COST, Value, Values};
