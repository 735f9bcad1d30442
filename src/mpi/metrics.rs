//! What MPI jobs hold on this node.

use metrics::describe_gauge;

/// Jobs with ranks here, and those whose ranks have just ended.
pub const WORLDS: &str = "faasm_mpi_worlds";
/// Bytes of messages for jobs that have not begun here.
pub const EARLY_BYTES: &str = "faasm_mpi_early_bytes";

/// Describes them.
pub fn describe() {
    describe_gauge!(WORLDS, "MPI jobs that this node has ranks of");
    describe_gauge!(EARLY_BYTES, "Bytes of messages for MPI jobs that have not begun here");
}
