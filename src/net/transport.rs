//! The QUIC endpoint and its limits: each set to what we use.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::HmacKey;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout,
    MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};

use crate::config::NetOptions;
use crate::net::doors::Doors;
use crate::net::error::NetError;
use crate::net::identity::Identity;
use crate::net::{ServiceId, tls};

/// Largest packet. Loopback and jumbo frames carry it, and segmentation offload stays possible;
/// the packets of a connection begin at 1,200 bytes and grow as the path proves to carry them.
const MAX_PACKET: u16 = 6_500;
/// Most bulk streams that a peer may have open at once, and its hello's.
const BULK_STREAMS: u32 = 256;
/// What a peer may send on one stream before we have read it: a fast network's bandwidth times a
/// slow reader's pause.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all its streams: this bounds what a peer can make us hold.
const WINDOW: u32 = 16 << 20;
/// Round trip assumed before the first is measured. Within a cluster it is far below: a lost first
/// packet is sent again soon.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// Bytes under way before the first acknowledgement. Far more than quinn's default: a cluster's
/// network carries it, and a connection that is closed while its window is full (with the default,
/// two probes of the packet size fill it) never gets its reason across, as quinn holds it back.
const INITIAL_WINDOW: u64 = 256 << 10;
/// Packets that need no acknowledgement of their own. Fewer acknowledgements, more throughput.
const ACK_EVERY: u32 = 10;
/// Bytes of datagrams held in each direction; more are dropped, which load reports survive.
const DATAGRAM_BUFFER: usize = 64 << 10;
/// What we ask the kernel to hold for the socket; it may give less.
const SOCKET_BUFFER: usize = 4 << 20;
/// Connections in their handshake that wait to be looked at.
const MAX_INCOMING: usize = 256;

/// An endpoint, and its doors.
pub(super) struct Bound {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// How it dials and accepts.
    pub doors: Doors,
}

/// Binds the socket. It neither dials nor accepts yet.
pub(super) fn bind(
    listen: SocketAddr,
    identity: &Identity,
    options: &NetOptions,
) -> Result<Bound, NetError> {
    let failed = |source| NetError::Bind { addr: listen, source };
    let endpoint = endpoint_config(identity)?;
    let doors = Doors::new(identity.clone(), Arc::new(transport(options)?))?;
    let socket = UdpSocket::bind(listen).map_err(failed)?;
    let addr = socket.local_addr().map_err(failed)?;
    // A larger buffer only loses fewer packets in a burst: without it all works, slower.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER);
    let runtime = Arc::new(TokioRuntime);
    let mut endpoint = Endpoint::new(endpoint, None, socket, runtime).map_err(failed)?;
    endpoint.set_default_client_config(doors.dial());
    Ok(Bound { addr, endpoint, doors })
}

/// How to accept.
pub(super) fn server(
    crypto: Arc<QuicServerConfig>,
    transport: &Arc<TransportConfig>,
) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(crypto);
    // A node that moves is a node that restarted.
    server.transport_config(Arc::clone(transport)).migration(false).max_incoming(MAX_INCOMING);
    server
}

fn endpoint_config(identity: &Identity) -> Result<EndpointConfig, NetError> {
    // The key follows from the private key, which outlives the process: a restarted node can tell
    // a peer that its connection is gone, and the peer need not wait for silence to know.
    let key = tls::key(identity)?;
    let reset = blake3::derive_key("faasm net 2026 stateless reset", key.secret_der());
    let mut config = EndpointConfig::new(Arc::new(ResetKey(reset)));
    config
        .cid_generator(|| Box::new(RandomIds))
        .max_udp_payload_size(MAX_PACKET)
        .map_err(|error| NetError::Options(error.to_string()))?;
    Ok(config)
}

fn transport(options: &NetOptions) -> Result<TransportConfig, NetError> {
    let silence = IdleTimeout::try_from(options.silence)
        .map_err(|_| NetError::Options("`silence` is too long".to_owned()))?;
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_PACKET);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY));
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(silence))
        .keep_alive_interval(Some(options.keep_alive))
        .max_concurrent_uni_streams(VarInt::from_u32(ServiceId::ALL.len() as u32))
        .max_concurrent_bidi_streams(VarInt::from_u32(BULK_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(Some(mtu))
        .enable_segmentation_offload(true)
        .congestion_controller_factory(Arc::new(congestion))
        .ack_frequency_config(Some(acks))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    Ok(transport)
}

/// Connection ids without structure. quinn's default ids carry a check under a key of the process,
/// by which a restarted node would ignore packets of its former life instead of answering them
/// with a reset.
struct RandomIds;

/// Bytes of a connection id.
const ID_LEN: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; ID_LEN]>())
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Signs the tokens of stateless resets.
struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        // Comparing as hashes takes the same time wherever they differ.
        let signature: [u8; 32] = signature.try_into().map_err(|_| quinn::crypto::CryptoError)?;
        if blake3::keyed_hash(&self.0, data) == blake3::Hash::from_bytes(signature) {
            Ok(())
        } else {
            Err(quinn::crypto::CryptoError)
        }
    }
}
