//! State as a running instance sees it: the seam between the function component and whoever keeps
//! values. It knows nothing of clusters.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::memfd::Memfd;
use crate::errno::Errno;
use crate::id::{CallId, Name};

/// Gives calls their view of the state.
pub trait StateSpace: Send + Sync {
    /// The view of one call, made when it first uses state. Dropping it, after all windows of the
    /// call were un-mapped, releases the locks that it holds on this node.
    fn open(&self, call: CallId, user: &Name) -> Arc<dyn StateHost>;
}

/// Some bytes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From here.
    pub off: u64,
    /// So many.
    pub len: u64,
}

impl Part {
    /// Its end; `FAASM_EINVAL` when that is no number.
    pub fn end(self) -> Result<u64, Errno> {
        self.off.checked_add(self.len).ok_or(Errno::Inval)
    }
}

/// What to do where a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `FAASM_ENOENT`.
    Fail,
    /// Make it, zeros of this length, everywhere.
    Create(u64),
    /// Begin it here, zeros of this length; its first push makes it.
    Begin(u64),
}

/// What a push sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// All chunks that changed here.
    Chunks,
    /// Just these bytes.
    Part(Part),
    /// The bytes that were flagged as written, and no others.
    Flagged,
    /// The bytes that are not zero in the value of this name.
    Masked(String),
}

/// Which instances a lock is among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Those of this node.
    Node,
    /// All.
    Cluster,
}

pub use crate::wire::locks::Mode;

/// The state, for one call. Keys are checked here. Dropping a returned future gives up what it
/// waits for.
pub trait StateHost: Send + Sync {
    /// The copy of a value here. It is begun where there is none; [`Value::fill`] brings bytes,
    /// but those of `hint` come at once where that saves a round.
    fn value<'a>(
        &'a self,
        key: &'a str,
        missing: Missing,
        hint: Option<Part>,
    ) -> BoxFuture<'a, Result<Arc<dyn Value>, Errno>>;

    /// Copies that this call has asked for are still theirs, and no lock makes a difference.
    fn is_plain(&self) -> bool;

    /// Prepares to write all of a value, with this length, or a part of what there is.
    fn begin_write<'a>(
        &'a self,
        key: &'a str,
        what: Written,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, Errno>>;

    /// Flags bytes as written through a pointer. Fails where no copy is here.
    fn flag(&self, key: &str, part: Option<Part>) -> Result<(), Errno>;

    /// Makes it, zeros of this length.
    fn create<'a>(&'a self, key: &'a str, len: u64) -> BoxFuture<'a, Result<(), Errno>>;

    /// Its length: of the copy here, else of the value.
    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<u64, Errno>>;

    /// Removes it.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Errno>>;

    /// Sends what was written here.
    fn push<'a>(&'a self, key: &'a str, what: Pushed) -> BoxFuture<'a, Result<(), Errno>>;

    /// Makes the copy here equal to the value, all of what is here or a part.
    fn pull<'a>(&'a self, key: &'a str, part: Option<Part>) -> BoxFuture<'a, Result<(), Errno>>;

    /// Appends one element.
    fn append<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), Errno>>;

    /// The first `elements` appended, at most `most` bytes of them.
    fn appended<'a>(
        &'a self,
        key: &'a str,
        elements: u64,
        most: u64,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Errno>>;

    /// Forgets what was appended.
    fn clear_appended<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Errno>>;

    /// Takes a lock; `None` waits as long as the call lives.
    fn lock<'a>(
        &'a self,
        key: &'a str,
        reach: Reach,
        mode: Mode,
        limit: Option<Duration>,
    ) -> BoxFuture<'a, Result<(), Errno>>;

    /// Takes a lock of this node if that needs no waiting; `None` when it does.
    fn try_lock(&self, key: &str, mode: Mode) -> Option<Result<(), Errno>>;

    /// Releases a lock of the cluster.
    fn unlock<'a>(&'a self, key: &'a str, mode: Mode) -> BoxFuture<'a, Result<(), Errno>>;

    /// Releases a lock of this node.
    fn unlock_here(&self, key: &str, mode: Mode) -> Result<(), Errno>;

    /// The call begins to wait for the end of a child, or has waited (`None`).
    fn awaits(&self, child: Option<CallId>);
}

/// What is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All: the value has this length from then on, and begins here if there is none.
    All(u64),
    /// These bytes of a value; of one begun with this length, where it is missing.
    Part(Part, Missing),
}

/// A copy of a value on this node, as one call uses it.
pub trait Value: Send + Sync {
    /// The value's length here, in bytes.
    fn size(&self) -> u64;

    /// Whether this is still the copy of the value, and may be read as it is.
    fn is_current(&self) -> bool;

    /// Changes whenever bytes that were here are no more.
    fn epoch(&self) -> u64;

    /// Where its bytes are: one file for all who map it, from its first byte on. The bytes past
    /// the value's end are nobody's.
    fn file(&self) -> &Arc<Memfd>;

    /// Brings the bytes of a part that are not here; with `pull`, also what changed.
    fn fill(&self, part: Part, pull: bool) -> BoxFuture<'_, Result<(), Errno>>;

    /// Copies bytes out: those that are here, within the size.
    fn read(&self, off: u64, into: &mut [u8]) -> Result<(), Errno>;

    /// Notes that a window, in whole wasm pages, is to be mapped; it counts as mapped until what
    /// is returned is dropped. `FAASM_EQUOTA` or `FAASM_ENOMEM` past a budget.
    fn map(&self, window: Part) -> BoxFuture<'_, Result<Box<dyn Any + Send + Sync>, Errno>>;
}

/// Writes a copy, piece by piece; nobody else synchronises it meanwhile. What was not written when
/// it is dropped stays as it was.
pub trait Writer: Send {
    /// Writes bytes that are within what was announced.
    fn write(&mut self, off: u64, bytes: &[u8]) -> Result<(), Errno>;
    /// All is written.
    fn finish(self: Box<Self>);
}
