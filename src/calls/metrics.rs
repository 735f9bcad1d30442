//! Metric names of calls.

/// Calls that ended on this node, by result.
pub const ENDED: &str = "faasm_calls_ended_total";
/// Seconds from a call's admission to its end.
pub const SECONDS: &str = "faasm_call_seconds";
/// Calls alive on this node.
pub const LIVE: &str = "faasm_calls_live";
/// Calls that this node sent to others and awaits.
pub const OUTGOING: &str = "faasm_calls_outgoing";
/// Records kept.
pub const RECORDS: &str = "faasm_call_records";

/// Tells the recorder what they are.
pub fn describe() {
    metrics::describe_counter!(ENDED, "Calls that ended on this node, by result.");
    metrics::describe_histogram!(SECONDS, "Seconds from a call's admission to its end.");
    metrics::describe_gauge!(LIVE, "Calls alive on this node.");
    metrics::describe_gauge!(OUTGOING, "Calls sent to other nodes and awaited.");
    metrics::describe_gauge!(RECORDS, "Records of root calls kept on this node.");
}
