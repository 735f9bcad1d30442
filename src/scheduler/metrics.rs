//! Metric names of the scheduler.

/// Calls that wait for a slot here.
pub const QUEUED: &str = "faasm_scheduler_queued";
/// Starts this node can take at once.
pub const FREE_SLOTS: &str = "faasm_scheduler_free_slots";
/// Instances this node can still hold.
pub const FREE_PLACES: &str = "faasm_scheduler_free_places";
/// Calls that run here and do not wait.
pub const RUNNING: &str = "faasm_scheduler_running";

/// Tells the recorder what they are.
pub fn describe() {
    metrics::describe_gauge!(QUEUED, "Calls that wait for a slot on this node.");
    metrics::describe_gauge!(FREE_SLOTS, "Starts this node can take at once.");
    metrics::describe_gauge!(FREE_PLACES, "Instances this node can still hold.");
    metrics::describe_gauge!(RUNNING, "Calls that run on this node and do not wait.");
}
