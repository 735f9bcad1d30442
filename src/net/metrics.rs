//! The names of what this component counts, and the counters of one connection.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::id::NodeId;
use crate::net::ServiceId;

/// Bytes of frames handed to the transport, by peer.
pub const BYTES_SENT: &str = "faasm_net_bytes_sent_total";
/// Bytes of frames that arrived, by peer.
pub const BYTES_RECEIVED: &str = "faasm_net_bytes_received_total";
/// Frames that arrived, by peer.
pub const FRAMES_RECEIVED: &str = "faasm_net_frames_received_total";
/// Messages not taken because the queue was full, by peer and service.
pub const QUEUE_FULL: &str = "faasm_net_queue_full_total";
/// Bytes that wait to be sent, by peer and service.
pub const QUEUE_BYTES: &str = "faasm_net_queue_bytes";
/// Requests that wait for an answer, by peer and service.
pub const PENDING: &str = "faasm_net_pending_requests";
/// 1 while there is a connection, by peer.
pub const PEER_UP: &str = "faasm_net_peer_up";
/// Smoothed round trip time in seconds, by peer.
pub const RTT: &str = "faasm_net_rtt_seconds";
/// Connections made, by peer.
pub const CONNECTS: &str = "faasm_net_connects_total";
/// Connections refused by this node.
pub const REFUSED: &str = "faasm_net_refused_total";

/// Tells the recorder what the names mean; to be called once it is installed.
pub fn describe() {
    describe_counter!(BYTES_SENT, "Bytes of frames sent to a peer");
    describe_counter!(BYTES_RECEIVED, "Bytes of frames received from a peer");
    describe_counter!(FRAMES_RECEIVED, "Frames received from a peer");
    describe_counter!(QUEUE_FULL, "Messages refused because the queue to a peer was full");
    describe_gauge!(QUEUE_BYTES, "Bytes that wait to be sent to a peer");
    describe_gauge!(PENDING, "Requests that wait for a peer's answer");
    describe_gauge!(PEER_UP, "1 while there is a connection to a peer");
    describe_gauge!(RTT, "Smoothed round trip time to a peer, in seconds");
    describe_counter!(CONNECTS, "Connections made to a peer");
    describe_counter!(REFUSED, "Connections refused");
}

/// Counters of one connection, looked up once: a lookup costs more than a frame.
pub(super) struct LinkMetrics {
    pub bytes_sent: Counter,
    pub bytes_received: Counter,
    pub frames_received: Counter,
    pub rtt: Gauge,
    pub lanes: Vec<LaneMetrics>,
}

/// Counters of one service of a connection.
pub(super) struct LaneMetrics {
    pub queue_full: Counter,
    pub queue_bytes: Gauge,
    pub pending: Gauge,
}

impl LinkMetrics {
    pub(super) fn new(node: NodeId) -> Self {
        let peer = node.to_string();
        let lane = |service: ServiceId| LaneMetrics {
            queue_full: counter!(QUEUE_FULL, "peer" => peer.clone(), "service" => service.name()),
            queue_bytes: gauge!(QUEUE_BYTES, "peer" => peer.clone(), "service" => service.name()),
            pending: gauge!(PENDING, "peer" => peer.clone(), "service" => service.name()),
        };
        Self {
            bytes_sent: counter!(BYTES_SENT, "peer" => peer.clone()),
            bytes_received: counter!(BYTES_RECEIVED, "peer" => peer.clone()),
            frames_received: counter!(FRAMES_RECEIVED, "peer" => peer.clone()),
            rtt: gauge!(RTT, "peer" => peer.clone()),
            lanes: ServiceId::ALL.map(lane).into(),
        }
    }
}

/// Says whether there is a connection to a peer, and counts each new one.
pub(super) fn peer_is_up(node: NodeId, up: bool) {
    gauge!(PEER_UP, "peer" => node.to_string()).set(if up { 1.0 } else { 0.0 });
    if up {
        counter!(CONNECTS, "peer" => node.to_string()).increment(1);
    }
}

/// Counts a connection that this node refused.
pub(super) fn refused() {
    counter!(REFUSED).increment(1);
}
