//! The JSON that the HTTP API answers, as types: the gateway writes them, the command line reads
//! them. Fields are only ever added.

use serde::{Deserialize, Serialize};

pub use super::job_view::{JobView, RankView, RanksView, TrafficView};
use crate::consensus::{MemberView, RaftStatus};
use crate::errno::CallError;
use crate::id::{FunctionKey, Incarnation, NodeId};
use crate::net::PeerTable;
use crate::wire::calls::{CallSummary, Kept, Phase, Record};
use crate::wire::function::{FunctionEntry, Limits};

/// The body of every response that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorView,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// The code, as in `FAASM_ENOENT`.
    pub code: String,
    /// What happened and what to do.
    pub detail: String,
    /// The call that failed; none when no call was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

impl From<&CallError> for ErrorView {
    fn from(error: &CallError) -> Self {
        Self { code: error.code.name().to_owned(), detail: error.detail.clone(), call: None }
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Its id.
    pub call: String,
    /// Its function, as `user/name`.
    pub function: String,
    /// `queued`, `running` or `done`.
    pub phase: String,
    /// The node that runs or ran it.
    pub node: Option<String>,
    /// The node that answers for it.
    pub home: String,
    /// The call above it.
    pub parent: Option<String>,
    /// The function's own result, 0 to 255, once it ended by itself.
    pub result: Option<u8>,
    /// What stopped it, if something did.
    pub error: Option<ErrorView>,
    /// Length of its output.
    pub output_bytes: u64,
    /// Length of its log.
    pub log_bytes: u64,
    /// When it was where, by the clock of the node that ran it.
    pub times: TimesView,
    /// When the request came, in microseconds since 1970.
    pub requested_us: u64,
    /// What the tree did where.
    pub work: Vec<WorkView>,
    /// Which try is current, from 0.
    pub attempt: u32,
    /// W3C trace id.
    pub trace: String,
    /// The ranks, if it is an MPI job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobView>,
}

/// Microseconds since 1970; 0 for what has not happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TimesView {
    /// Accepted.
    pub accepted_us: u64,
    /// Begun to run.
    pub started_us: u64,
    /// Ended.
    pub ended_us: u64,
}

/// What one node did for one function in a tree of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkView {
    /// Where.
    pub node: String,
    /// The function's name.
    pub function: String,
    /// Calls that ended.
    pub calls: u64,
    /// Time between start and end, summed.
    pub busy_us: u64,
}

impl From<&Record> for CallView {
    fn from(record: &Record) -> Self {
        let (result, error) = match &record.result {
            None => (None, None),
            Some(Ok(result)) => (Some(*result), None),
            Some(Err(error)) => (None, Some(ErrorView::from(error))),
        };
        Self {
            call: record.call.to_string(),
            function: format!("{}/{}", record.user, record.name),
            phase: phase_name(record.phase).to_owned(),
            node: record.node.map(|node| node.to_string()),
            home: record.home.to_string(),
            parent: record.parent.map(|call| call.to_string()),
            result,
            error,
            output_bytes: kept_len(&record.output),
            log_bytes: kept_len(&record.log),
            times: TimesView {
                accepted_us: record.times.accepted_us,
                started_us: record.times.started_us,
                ended_us: record.times.ended_us,
            },
            requested_us: record.requested_us,
            work: record
                .work
                .iter()
                .map(|work| WorkView {
                    node: work.node.to_string(),
                    function: work.function.clone(),
                    calls: work.calls,
                    busy_us: work.busy_us,
                })
                .collect(),
            attempt: record.attempt.0,
            trace: format!("{:032x}", record.trace),
            job: record.job.as_ref().map(JobView::from),
        }
    }
}

/// The answer to an asynchronous invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedView {
    /// The call's id.
    pub call: String,
}

/// A line of `faasm ps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryView {
    /// The call.
    pub call: String,
    /// The root of its tree.
    pub root: String,
    /// Its function, as `user/name`.
    pub function: String,
    /// The node it runs on or waits at.
    pub node: String,
    /// Calls above it.
    pub depth: u32,
    /// `queued`, `running` or `done`.
    pub phase: String,
    /// Since when, in microseconds since 1970.
    pub since_us: u64,
    /// What a job waits for, or how it goes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What it has sent, if it is a rank of an MPI job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<RankView>,
}

impl From<&CallSummary> for SummaryView {
    fn from(call: &CallSummary) -> Self {
        Self {
            call: call.call.to_string(),
            root: call.root.to_string(),
            function: format!("{}/{}", call.user, call.name),
            node: call.node.to_string(),
            depth: call.depth,
            phase: phase_name(call.phase).to_owned(),
            since_us: call.since_us,
            note: call.note.clone(),
            rank: call.rank.map(RankView::from),
        }
    }
}

/// The living calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsView {
    /// One a line.
    pub calls: Vec<SummaryView>,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionView {
    /// As `user/name`.
    pub function: String,
    /// BLAKE3 hash of the module.
    pub hash: String,
    /// Bytes of the module.
    pub size: u64,
    /// Grows with every upload.
    pub version: u64,
    /// When it was uploaded, in milliseconds since 1970.
    pub uploaded_ms: u64,
    /// Its limits.
    pub limits: Limits,
    /// How a node is chosen.
    pub policy: String,
    /// How often a call is placed again when its node dies.
    pub retries: u32,
    /// The only nodes that may run it; empty for all.
    pub pin: Vec<String>,
}

impl FunctionView {
    /// Shows a registry entry.
    pub fn new(key: &FunctionKey, entry: &FunctionEntry) -> Self {
        Self {
            function: key.to_string(),
            hash: entry.wasm.to_string(),
            size: entry.size,
            version: entry.version,
            uploaded_ms: entry.uploaded_ms,
            limits: entry.limits.clone(),
            policy: entry.options.policy.to_string(),
            retries: entry.options.retries,
            pin: entry.options.pin.iter().map(NodeId::to_string).collect(),
        }
    }
}

/// The registered functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionsView {
    /// In the order of user and name.
    pub functions: Vec<FunctionView>,
}

/// The answer to a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedView {
    /// What was removed.
    pub deleted: String,
}

/// The answer to a cancellation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelledView {
    /// The call that was told to end; it may have ended before.
    pub cancelled: String,
}

/// The cluster, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesView {
    /// The node that answered.
    pub answered_by: String,
    /// The leader of consensus, if one is known.
    pub leader: Option<String>,
    /// Raft term.
    pub term: u64,
    /// Raft commit index.
    pub commit: u64,
    /// Raft index applied by the node that answered.
    pub applied: u64,
    /// All members.
    pub nodes: Vec<NodeView>,
}

/// One node, as another (or itself) sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub node: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it takes no new calls, by an admin's word.
    #[serde(default)]
    pub draining: bool,
    /// Incarnation of its live session; none when the cluster takes it for gone.
    pub session: Option<String>,
    /// Whether the node that answered is connected to it.
    pub connected: bool,
    /// Round trip time of that connection, in microseconds.
    pub rtt_us: Option<u64>,
    /// Why there is no connection.
    pub error: Option<String>,
    /// QUIC address.
    pub quic: String,
    /// HTTP address; empty before its first session.
    pub http: String,
}

impl NodesView {
    /// Puts together what consensus and the connections of `me` know.
    pub fn new(
        me: (NodeId, Incarnation),
        members: &[MemberView],
        peers: &PeerTable,
        raft: &RaftStatus,
    ) -> Self {
        let view = |member: &MemberView| {
            let peer = peers.get(&member.node);
            NodeView {
                node: member.node.to_string(),
                voter: member.voter,
                leader: raft.leader == Some(member.node),
                draining: member.draining,
                session: member.session.map(|incarnation| incarnation.to_string()),
                connected: member.node == me.0 || peer.is_some_and(|p| p.up.is_some()),
                rtt_us: peer
                    .and_then(|p| p.rtt)
                    .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                error: peer.filter(|p| p.up.is_none()).and_then(|p| p.last_error.clone()),
                quic: member.quic.clone(),
                http: member.http.clone(),
            }
        };
        Self {
            answered_by: me.0.to_string(),
            leader: raft.leader.map(|node| node.to_string()),
            term: raft.term,
            commit: raft.commit,
            applied: raft.applied,
            nodes: members.iter().map(view).collect(),
        }
    }
}

/// The answer of `/healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyView {
    /// The node that answered.
    pub node: String,
    /// Which of its lives.
    pub incarnation: String,
    /// Whether it takes calls.
    pub ready: bool,
    /// The leader of consensus, if one is known.
    pub leader: Option<String>,
}

/// A finished call with the output in it: what `faasm invoke --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedView {
    /// The call's id.
    pub call: String,
    /// The node that ran it.
    pub node: String,
    /// The function's own result.
    pub result: u8,
    /// The output, when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The output in hexadecimal, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_hex: Option<String>,
}

/// Response header with the call's id.
pub const CALL_HEADER: &str = "faasm-call-id";
/// Response header with the function's own result, 0 to 255.
pub const RESULT_HEADER: &str = "faasm-result";
/// Response header with the node that ran the call.
pub const NODE_HEADER: &str = "faasm-node";

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Running => "running",
        Phase::Done => "done",
    }
}

fn kept_len(kept: &Kept) -> u64 {
    kept.len()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
