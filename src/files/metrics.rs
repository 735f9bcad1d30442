//! Names of the blob store's metrics.

/// Counter: blobs read, by `from`: [`FROM_HERE`], [`FROM_PEER`] or [`FROM_NOWHERE`].
pub const READS: &str = "faasm_blob_reads_total";
/// Label `from` of [`READS`]: this node had it.
pub const FROM_HERE: &str = "here";
/// Label `from` of [`READS`]: another node sent it.
pub const FROM_PEER: &str = "peer";
/// Label `from` of [`READS`]: it could not be had.
pub const FROM_NOWHERE: &str = "nowhere";
/// Counter: blobs stored through this node with a majority of their copies.
pub const PUTS: &str = "faasm_blob_puts_total";
/// Counter: puts that failed.
pub const PUT_FAILURES: &str = "faasm_blob_put_failures_total";
/// Counter: bytes of blobs sent to other nodes.
pub const SENT_BYTES: &str = "faasm_blob_sent_bytes_total";
/// Counter: bytes of blobs received from other nodes and found right.
pub const RECEIVED_BYTES: &str = "faasm_blob_received_bytes_total";
/// Counter: files found damaged on read, and removed.
pub const CORRUPT: &str = "faasm_blob_corrupt_files_total";
/// Counter: cached blobs removed to make room.
pub const EVICTED: &str = "faasm_blob_evicted_total";
/// Counter: copies that this node made on others because they lacked them.
pub const REPAIRED: &str = "faasm_blob_repaired_total";
/// Gauge: bytes of blobs that this node keeps as a target.
pub const KEPT_BYTES: &str = "faasm_blob_kept_bytes";
/// Gauge: bytes of blobs cached here.
pub const CACHED_BYTES: &str = "faasm_blob_cached_bytes";

/// Describes them to the recorder; to be called once it is installed.
pub fn describe() {
    use metrics::{Unit, describe_counter as counter, describe_gauge as gauge};
    counter!(READS, "Blobs read, by where they came from");
    counter!(PUTS, "Blobs stored with a majority of their copies");
    counter!(PUT_FAILURES, "Puts that failed");
    counter!(SENT_BYTES, Unit::Bytes, "Bytes of blobs sent to other nodes");
    counter!(RECEIVED_BYTES, Unit::Bytes, "Bytes of blobs received from other nodes");
    counter!(CORRUPT, "Files found damaged on read, and removed");
    counter!(EVICTED, "Cached blobs removed to make room");
    counter!(REPAIRED, "Copies made on other nodes that lacked them");
    gauge!(KEPT_BYTES, Unit::Bytes, "Bytes of blobs that this node has to keep");
    gauge!(CACHED_BYTES, Unit::Bytes, "Bytes of blobs cached");
}
