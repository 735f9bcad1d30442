//! Names of this component's metrics.

/// Gauge: the Raft term.
pub const TERM: &str = "faasm_consensus_term";
/// Gauge: the commit index.
pub const COMMIT: &str = "faasm_consensus_commit_index";
/// Gauge: the applied index.
pub const APPLIED: &str = "faasm_consensus_applied_index";
/// Gauge: 1 on the node that leads, else 0.
pub const IS_LEADER: &str = "faasm_consensus_is_leader";
/// Gauge: proposals of this node that are open.
pub const PENDING: &str = "faasm_consensus_pending_proposals";
/// Gauge, on the leader: entries by which the live node that is furthest behind trails.
pub const LAG: &str = "faasm_consensus_lag_entries";
/// Histogram: seconds from a proposal of this node until it was applied here.
pub const APPLY_SECONDS: &str = "faasm_consensus_apply_seconds";
/// Counter: snapshots written, own and received.
pub const SNAPSHOTS: &str = "faasm_consensus_snapshots_total";
/// Counter: messages of peers dropped because too many waited.
pub const DROPPED: &str = "faasm_consensus_dropped_messages_total";

/// Histogram: seconds that the disk of the log took for what was written at once.
pub const DISK_SECONDS: &str = "faasm_consensus_disk_seconds";

/// Tells the recorder what the metrics mean.
pub fn describe() {
    metrics::describe_gauge!(TERM, "Raft term");
    metrics::describe_gauge!(COMMIT, "Raft commit index");
    metrics::describe_gauge!(APPLIED, "Raft applied index");
    metrics::describe_gauge!(IS_LEADER, "1 on the node that leads");
    metrics::describe_gauge!(PENDING, "Proposals of this node that are open");
    metrics::describe_gauge!(LAG, "Entries by which the slowest live node trails (leader only)");
    metrics::describe_histogram!(
        APPLY_SECONDS,
        metrics::Unit::Seconds,
        "From a proposal of this node until it was applied here"
    );
    metrics::describe_histogram!(
        DISK_SECONDS,
        metrics::Unit::Seconds,
        "What the disk of the log took for the writes made at once"
    );
    metrics::describe_counter!(SNAPSHOTS, "Snapshots written, own and received");
    metrics::describe_counter!(DROPPED, "Messages of peers dropped because too many waited");
}
