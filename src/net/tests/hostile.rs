//! Peers that break the protocol, with and without a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::harness::{Authority, PATIENCE, TestNode, connect, note};
use crate::config::NetOptions;
use crate::id::{Incarnation, NodeId};
use crate::net::error::CloseCode;
use crate::net::frame::{self, HEADER, Kind, MAX_BODY};
use crate::net::pending::MAX_PENDING;
use crate::net::{CertName, ServiceId, transport};
use crate::wire::hello::{Hello, PREFIX_LEN};
use crate::wire::{self, MAX_HEAD};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);
const CALLS: u8 = ServiceId::Calls as u8;

/// A program with the certificate of node 1 that says a proper hello to node 2.
async fn intruder(authority: &Authority, victim: &TestNode) -> (Endpoint, Connection) {
    let (endpoint, conn) = stranger(authority, victim).await;
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    let hello = Hello::new(authority.0.cluster(), ONE, Incarnation(1)).encode();
    send.write_all(&hello).await.unwrap();
    let mut theirs = vec![0; hello.len()];
    recv.read_exact(&mut theirs).await.unwrap();
    assert_eq!(theirs[..PREFIX_LEN], hello[..PREFIX_LEN]);
    send.write_all(&[1]).await.unwrap();
    send.finish().unwrap();
    victim.sees_up(ONE).await;
    (endpoint, conn)
}

/// The same before its hello.
async fn stranger(authority: &Authority, victim: &TestNode) -> (Endpoint, Connection) {
    let identity = authority.0.issue(ONE, &[]).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = transport::bind(any, &identity, &NetOptions::default()).unwrap().endpoint;
    let name = CertName { node: victim.id, cluster: authority.0.cluster() }.to_string();
    let conn = endpoint.connect(victim.net.local_addr(), &name).unwrap().await.unwrap();
    (endpoint, conn)
}

/// Waits until the other end has closed the connection; gives its code and reason.
async fn closed(conn: &Connection) -> (VarInt, String) {
    let error = tokio::time::timeout(PATIENCE, conn.closed()).await;
    match error.expect("the connection was left open") {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code, String::from_utf8_lossy(&close.reason).into_owned())
        }
        error => panic!("it ended otherwise: {error}"),
    }
}

/// A service's stream with these bytes; then it stays open.
async fn stream_of(conn: &Connection, bytes: &[u8]) -> quinn::SendStream {
    let mut stream = conn.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// The start of a stream for calls, and a header with these changes.
fn header_with(change: impl Fn(&mut [u8; HEADER])) -> Vec<u8> {
    let mut header = frame::header(Kind::Message, 0, 4, 0).unwrap();
    change(&mut header);
    [&[CALLS], &header[..]].concat()
}

/// What is sent on a service's stream, and the reason that comes back.
fn bad_streams() -> Vec<(Vec<u8>, &'static str)> {
    let too_long = |at: usize, len: usize| {
        header_with(move |header| {
            header[at..at + 4].copy_from_slice(&(len as u32).to_le_bytes());
        })
    };
    let archive = wire::encode(&note(1));
    let cut = &archive[..archive.len() - 1];
    let no_note = [&header_with(|header| header[4] = cut.len() as u8), cut].concat();
    vec![
        (b"\x02GET / HTTP/1.1\r\nHost: localhost\r\n".to_vec(), "is no kind of frame"),
        (too_long(4, MAX_HEAD + 1), "is too long"),
        (too_long(4, u32::MAX as usize), "is too long"),
        (too_long(8, MAX_BODY + 1), "is too long"),
        (header_with(|header| header[12] = 1), "request id 1 does not go with Message"),
        (header_with(|header| header[2] = 1), "must be zero"),
        (no_note, "malformed note"),
        (vec![99], "service 99 is not served here"),
        (vec![0], "service 0 is not served here"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_breaks_the_protocol_loses_its_connection_and_nobody_else_does() {
    let authority = Authority::new();
    let mut victim = TestNode::start(authority.setup(2, &[1, 3]));
    let honest = TestNode::start(authority.setup(3, &[2]));
    connect(&victim, &honest).await;
    let link = victim.sees_up(THREE).await;
    for (bytes, expected) in bad_streams() {
        let (_endpoint, conn) = intruder(&authority, &victim).await;
        let _stream = stream_of(&conn, &bytes).await;
        let (code, reason) = closed(&conn).await;
        assert!(reason.contains(expected), "`{reason}` came for `{expected}`");
        assert_eq!(code, CloseCode::Malformed.into());
        victim.sees_error(ONE, expected).await;
    }
    honest.net.send(TWO, ServiceId::Calls, &note(5), Bytes::new()).unwrap();
    assert_eq!(victim.next_message().await.1, note(5));
    assert_eq!(victim.sees_up(THREE).await, link);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_datagrams_that_no_peer_makes_end_the_connection() {
    let authority = Authority::new();
    let victim = TestNode::start(authority.setup(2, &[1]));
    victim.net.open();
    let whole = [&header_with(|_| ())[..], b"head"].concat();
    for case in 0..7 {
        let (_endpoint, conn) = intruder(&authority, &victim).await;
        let mut kept = Vec::new();
        let expected = match case {
            0 => {
                kept.push(stream_of(&conn, &whole[..1]).await);
                kept.push(stream_of(&conn, &whole[..1]).await);
                "a second stream"
            }
            1 => {
                stream_of(&conn, &whole[..9]).await.finish().unwrap();
                "within a frame"
            }
            2 => {
                conn.open_uni().await.unwrap().finish().unwrap();
                "an empty stream"
            }
            3 => {
                stream_of(&conn, &whole[..9]).await.reset(VarInt::from_u32(1)).unwrap();
                "reset a service's stream"
            }
            4 => {
                let (mut send, _) = conn.open_bi().await.unwrap();
                send.write_all(&[CALLS, 0, 0, 0, 1]).await.unwrap();
                kept.push(send);
                "head that is too long"
            }
            5 => {
                conn.send_datagram(Bytes::new()).unwrap();
                "an empty datagram"
            }
            _ => {
                conn.send_datagram(Bytes::from_static(b"\x63x")).unwrap();
                "service 99 is not served"
            }
        };
        let (_, reason) = closed(&conn).await;
        assert!(reason.contains(expected), "`{reason}` came for `{expected}`");
    }
}

/// Whoever has a certificate may speak, but not without end before its hello.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_is_none_or_never_comes_is_refused() {
    let authority = Authority::new();
    let victim = TestNode::start(authority.setup(2, &[1]));
    victim.net.open();
    let (_endpoint, conn) = stranger(&authority, &victim).await;
    let (mut send, _recv) = conn.open_bi().await.unwrap();
    send.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let (code, reason) = closed(&conn).await;
    assert!(reason.contains("does not begin as"), "{reason}");
    assert_eq!(code, CloseCode::Refused.into());

    let (_endpoint, conn) = stranger(&authority, &victim).await;
    let (_send, _recv) = conn.open_bi().await.unwrap();
    closed(&conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let victim = TestNode::start(authority.setup(2, &[1]));
    victim.net.open();
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.0.cert_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    tls.alpn_protocols = vec![b"faasm-net".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    // The victim takes it for node 1, which seems to be at this address.
    victim.net.set_peer_addr(ONE, endpoint.local_addr().unwrap());
    let name = CertName { node: TWO, cluster: authority.0.cluster() }.to_string();
    let conn =
        endpoint.connect_with(config, victim.net.local_addr(), &name).unwrap().await.unwrap();
    let error = tokio::time::timeout(PATIENCE, conn.closed()).await.unwrap();
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    victim.sees_error(ONE, "certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_answers_change_nothing() {
    let authority = Authority::new();
    let mut victim = TestNode::start(authority.setup(2, &[1]));
    victim.net.open();
    let (_endpoint, conn) = intruder(&authority, &victim).await;
    let mut bytes = vec![CALLS];
    for id in 1..1000 {
        bytes.extend_from_slice(&frame::header(Kind::Reply, id, 0, 0).unwrap());
        bytes.extend_from_slice(&frame::header(Kind::Failure, id, 0, 0).unwrap());
    }
    let archive = wire::encode(&note(1));
    bytes.extend_from_slice(&frame::header(Kind::Message, 0, archive.len(), 0).unwrap());
    bytes.extend_from_slice(&archive);
    let _stream = stream_of(&conn, &bytes).await;
    assert_eq!(victim.next_message().await.1, note(1));
    assert_eq!(conn.close_reason(), None);
}

/// A component that answers late is not buried under requests: those beyond the limit are
/// answered at once, with an error.
#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_get_an_error_and_not_a_place() {
    let authority = Authority::new();
    let mut victim = TestNode::start(authority.setup(2, &[1]));
    victim.net.open();
    let (_endpoint, conn) = intruder(&authority, &victim).await;
    let archive = wire::encode(&note(1));
    let too_many = MAX_PENDING as u64 + 1;
    let mut bytes = vec![CALLS];
    for id in 1..=too_many {
        bytes.extend_from_slice(&frame::header(Kind::Request, id, archive.len(), 0).unwrap());
        bytes.extend_from_slice(&archive);
    }
    let _stream = stream_of(&conn, &bytes).await;
    let mut answers = conn.accept_uni().await.unwrap();
    let mut first = vec![0; 1 + HEADER];
    answers.read_exact(&mut first).await.unwrap();
    assert_eq!(first[..2], [CALLS, Kind::Failure as u8]);
    assert_eq!(first[13..], too_many.to_le_bytes());
    // One that is answered makes room for another.
    victim.next_request().await.2.send(&note(2), Bytes::new());
    let mut next = vec![0; 2];
    let text = "too many of its requests wait for an answer";
    answers.read_exact(&mut vec![0; text.len()]).await.unwrap();
    answers.read_exact(&mut next).await.unwrap();
    assert_eq!(next[0], Kind::Reply as u8);
}
