//! What programs without a certificate send: packets with changed bytes, true first packets of
//! connections that nobody goes on with, and handshakes without a certificate or with one of
//! their own making.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rand::Rng;

use super::common::intruder::{Intruder, Shows, last_words};
use super::common::processes::Processes;
use super::mutate::Mutator;

/// First packets to learn from.
const SAMPLES: usize = 24;
/// Packets sent at once; then the victim gets a moment to read them: what its socket drops would
/// prove nothing.
const BURST: usize = 64;
const MOMENT: Duration = Duration::from_micros(1500);
/// Handshakes, of each kind, for so many packets.
const PACKETS_PER_HANDSHAKE: usize = 2_000;

/// Sends `count` packets, and some handshakes.
pub fn send(cluster: &Processes, count: usize, seed: u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let intruder = Intruder::new(cluster, Shows::Nothing);
    let mut corpus = runtime.block_on(first_packets());
    // A packet of a connection that was, and one of a version that is not.
    corpus.push([&[0x43], &[7_u8; 60][..]].concat());
    corpus.push([&[0xc3, 0xba, 0xba, 0xba, 0xba, 8], &[1_u8; 1300][..]].concat());
    let mut mutator = Mutator::new(seed, corpus, 6_500);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dropped = drops(intruder.victim());
    let (mut sent, mut whole) = (0, 0);
    while sent < count {
        for _ in 0..BURST.min(count - sent) {
            let mut packet = mutator.input();
            // Half keep their first bytes: else most would not look like QUIC at all.
            if mutator.rng().random() && packet.len() < 1200 {
                packet.resize(1200, 0);
            }
            whole += usize::from(packet.len() >= 1200);
            // What the kernel does not take is not sent.
            sent += usize::from(socket.send_to(&packet, intruder.victim()).is_ok());
        }
        std::thread::sleep(MOMENT);
    }
    let dropped = drops(intruder.victim()) - dropped;
    println!("{sent} packets, {whole} of full size; the socket dropped {dropped}");
    let handshakes = (count / PACKETS_PER_HANDSHAKE).max(10);
    for shows in [Shows::Nothing, Shows::SelfMade] {
        let refused = runtime.block_on(handshakes_of(cluster, shows, handshakes));
        println!("{handshakes} handshakes with {shows:?}: {refused} refused");
        assert_eq!(refused, handshakes, "{shows:?} was let in");
    }
}

async fn handshakes_of(cluster: &Processes, shows: Shows, count: usize) -> usize {
    let intruder = Intruder::new(cluster, shows);
    let mut refused = 0;
    for _ in 0..count {
        refused += match intruder.dial().await {
            Err(_) => 1,
            // A client learns only after its handshake that it was refused.
            Ok(conn) => {
                let hello = async {
                    let (mut send, mut recv) = conn.open_bi().await.ok()?;
                    send.write_all(&intruder.hello().encode()).await.ok()?;
                    recv.read_exact(&mut [0; 1]).await.ok()
                };
                let answered = hello.await.is_some();
                let end = last_words(&conn, Duration::from_secs(10)).await;
                usize::from(!answered && end.is_some())
            }
        };
    }
    refused
}

/// The first packets of real connections, to a socket that never answers.
async fn first_packets() -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let to = sink.local_addr().expect("its address");
    let mut packets = Vec::new();
    while packets.len() < SAMPLES {
        let endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)));
        let endpoint = endpoint.expect("a socket");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let mut tls = tls;
        tls.alpn_protocols = vec![b"faasm-net".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("QUIC");
        let config = quinn::ClientConfig::new(std::sync::Arc::new(tls));
        let _dialing = endpoint.connect_with(config, to, "n2.example").expect("a dial");
        let mut packet = vec![0; 2048];
        let (len, _) = sink.recv_from(&mut packet).await.expect("a packet");
        packet.truncate(len);
        packets.push(packet);
    }
    packets
}

/// Packets that the kernel dropped because the socket at this address was full.
fn drops(at: SocketAddr) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let port = format!(":{:04X}", at.port());
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}
