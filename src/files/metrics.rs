//! Names of the blob store's metrics.

/// Counter: blobs read, by `from`: [`FROM_HERE`], [`FROM_PEER`],
/// [`FROM_BUCKET`] or [`FROM_NOWHERE`].
pub const READS: &str = "faasm_blob_reads_total";
/// Label `from` of [`READS`]: this node had it.
pub const FROM_HERE: &str = "here";
/// Label `from` of [`READS`]: another node sent it.
pub const FROM_PEER: &str = "peer";
/// Label `from` of [`READS`]: the bucket had it.
pub const FROM_BUCKET: &str = "bucket";
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
/// Counter: damaged or lost blobs replaced by a copy from elsewhere.
pub const HEALED: &str = "faasm_blob_healed_total";
/// Counter: bytes of blobs read to check them.
pub const SCRUBBED_BYTES: &str = "faasm_blob_scrubbed_bytes_total";
/// Counter: times that all blobs here were read to check them.
pub const SCRUBS: &str = "faasm_blob_scrubs_total";
/// Gauge: blobs kept until the nodes that should have them are known to.
pub const SURPLUS: &str = "faasm_blob_surplus";
/// Gauge: bytes of blobs that this node has to keep.
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
    counter!(HEALED, "Damaged or lost blobs replaced by a copy from elsewhere");
    counter!(SCRUBBED_BYTES, Unit::Bytes, "Bytes of blobs read to check them");
    counter!(SCRUBS, "Times that all blobs here were read to check them");
    gauge!(SURPLUS, "Blobs kept until the nodes that should have them are known to");
    gauge!(KEPT_BYTES, Unit::Bytes, "Bytes of blobs that this node has to keep");
    gauge!(CACHED_BYTES, Unit::Bytes, "Bytes of blobs cached");
}
