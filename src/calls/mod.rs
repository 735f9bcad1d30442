//! Calls: from a request to a result, across nodes. Trees, records, retries.

use std::time::Duration;

use bytes::Bytes;

use crate::errno::CallError;
use crate::id::{CallId, FunctionKey, NodeId};
use crate::wire::calls::{CallSummary, Record};
use crate::wire::function::Policy;

/// A root call to make.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// The function.
    pub key: FunctionKey,
    /// Its input.
    pub input: Bytes,
    /// Arguments of `main`.
    pub args: Vec<String>,
    /// The tree's deadline, from now; `None` for [`DEFAULT_DEADLINE`].
    pub timeout: Option<Duration>,
    /// Instead of the function's own policy.
    pub policy: Option<Policy>,
    /// The only nodes that may run it; empty for all.
    pub pin: Vec<NodeId>,
    /// A repeated request of the user with the same key gets the first one's record.
    pub idempotency: Option<String>,
    /// The client's W3C trace id; 0 draws one.
    pub trace: u128,
}

/// A tree's deadline when the request names none.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(300);
/// The longest deadline a request may ask for.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// A call that ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its id.
    pub call: CallId,
    /// The node that ran it.
    pub node: NodeId,
    /// The function's own result, or what stopped it.
    pub result: Result<u8, CallError>,
    /// Its output.
    pub output: Bytes,
}

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Calls {}

impl Calls {
    /// Makes a call and waits for its end. Dropping the future cancels the tree. `Err` when the
    /// call was not accepted (no such function, no room, no quorum).
    pub async fn invoke(&self, _request: Invoke) -> Result<Finished, CallError> {
        todo!()
    }

    /// Makes a call; returns when both members that keep its record have it.
    pub async fn submit(&self, _request: Invoke) -> Result<CallId, CallError> {
        todo!()
    }

    /// The record of a call, from whichever node has it. `FAASM_ENOENT` when none does.
    pub async fn record(&self, _call: CallId) -> Result<Record, CallError> {
        todo!()
    }

    /// Waits at most `wait` for the call's end; gives the record as it is then.
    pub async fn wait(&self, _call: CallId, _wait: Duration) -> Result<Record, CallError> {
        todo!()
    }

    /// The output of a call that ended.
    pub async fn output(&self, _call: CallId) -> Result<Bytes, CallError> {
        todo!()
    }

    /// The log of a call; of one that still runs, what there is so far is not offered.
    pub async fn log(&self, _call: CallId) -> Result<Bytes, CallError> {
        todo!()
    }

    /// Cancels a call and all below it; fine if it has ended.
    pub async fn cancel(&self, _call: CallId) -> Result<(), CallError> {
        todo!()
    }

    /// The living calls of all nodes, at most `most`.
    pub async fn list(&self, _most: usize) -> Vec<CallSummary> {
        todo!()
    }
}
