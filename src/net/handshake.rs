//! The hello: what happens on a new connection before it is used. Both sides say who they are on
//! the first stream, each decides, and the dialer confirms. A side that refuses closes the
//! connection with its reason. A connection that only proves a new key is `renew.rs`'s.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::{Connection, Incoming, RecvStream, SendStream};
use rustls_pki_types::CertificateDer;

use crate::id::NodeId;
use crate::net::error::{CloseCode, describe, printable};
use crate::net::hello::{Expected, Refusal, Side, decide};
use crate::net::identity::CertName;
use crate::net::shared::Shared;
use crate::net::stamp::Shown;
use crate::net::{metrics, renew};
use crate::wire::Malformed;
use crate::wire::hello::{Hello, PREFIX_LEN};

/// How long a handshake may take, TLS and hello together. Longer than a first packet sent again
/// after a loss, shorter than the silence after which peers are down.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// What the dialer confirms with.
const READY: u8 = 1;

/// A connection that both sides agreed on.
pub(super) struct Established {
    /// The connection.
    pub conn: Connection,
    /// What the peer said of itself.
    pub hello: Hello,
    /// What it has shown.
    pub shown: Shown,
}

/// Why a connection did not come to be.
#[derive(Debug)]
pub(super) struct Rejected {
    /// The peer it concerns, if that is known or at least likely.
    pub node: Option<NodeId>,
    /// For people.
    pub why: String,
}

/// Dials a peer.
pub(super) async fn dial(
    shared: &Shared,
    node: NodeId,
    addr: SocketAddr,
) -> Result<Established, String> {
    let dialed = tokio::time::timeout(TIMEOUT, async {
        let name = CertName { node, cluster: shared.cluster() }.to_string();
        let connecting = shared
            .endpoint
            .connect_with(shared.doors.dial(), addr, &name)
            .map_err(|error| format!("{node} cannot be dialed at {addr}: {error}"))?;
        let conn = connecting.await.map_err(|error| describe(node, &error))?;
        let greeted = greet(shared, node, &conn).await;
        let (hello, shown) = greeted.inspect_err(|_| shared.hear_end(node, &conn))?;
        Ok(Established { conn, hello, shown })
    });
    dialed.await.unwrap_or_else(|_| Err(format!("{node} does not answer at {addr}")))
}

async fn greet(shared: &Shared, node: NodeId, conn: &Connection) -> Result<(Hello, Shown), String> {
    let lost = |error: &dyn Display| lost(conn, node, error);
    let (mut send, mut recv) = conn.open_bi().await.map_err(|error| lost(&error))?;
    send.write_all(&shared.hello.encode()).await.map_err(|error| lost(&error))?;
    let theirs = read_hello(conn, &mut recv, &node).await?;
    let shown = check(shared, conn, &theirs, Side::Dials(node))?;
    send.write_all(&[READY]).await.map_err(|error| lost(&error))?;
    send.finish().map_err(|error| lost(&error))?;
    Ok((theirs, shown))
}

/// Takes a connection that somebody dialed; `None` if it was only to prove a new key.
pub(super) async fn accept(
    shared: &Shared,
    incoming: Incoming,
) -> Result<Option<Established>, Rejected> {
    let from = incoming.remote_address();
    // Until TLS has shown who it is, the address it comes from says who it seems to be.
    let by_addr = |why| Rejected { node: shared.peer_at(from), why };
    let accepted = tokio::time::timeout(TIMEOUT, async {
        let conn = incoming.await.map_err(|error| by_addr(describe(from, &error)))?;
        let shown = certificate(&conn).map_err(|why| by_addr(refuse(&conn, why)))?;
        let node = shown.name.node;
        let rejected = |why| Rejected { node: Some(node), why };
        if renew::is_renewal(&conn) {
            renew::answer(shared, &conn, node).await.map_err(rejected)?;
            return Ok(None);
        }
        let answered = answer(shared, &conn, node).await;
        let (hello, shown) =
            answered.inspect_err(|_| shared.hear_end(node, &conn)).map_err(rejected)?;
        Ok(Some(Established { conn, hello, shown }))
    });
    accepted.await.unwrap_or_else(|_| Err(by_addr(format!("{from} did not finish its hello"))))
}

async fn answer(
    shared: &Shared,
    conn: &Connection,
    node: NodeId,
) -> Result<(Hello, Shown), String> {
    let lost = |error: &dyn Display| lost(conn, node, error);
    let (mut send, mut recv) = conn.accept_bi().await.map_err(|error| lost(&error))?;
    let theirs = read_hello(conn, &mut recv, &node).await?;
    let shown = check(shared, conn, &theirs, Side::Accepts)?;
    send.write_all(&shared.hello.encode()).await.map_err(|error| lost(&error))?;
    confirmed(&mut send, &mut recv).await.map_err(|error| lost(&error))?;
    Ok((theirs, shown))
}

async fn confirmed(send: &mut SendStream, recv: &mut RecvStream) -> Result<(), String> {
    send.finish().map_err(|error| error.to_string())?;
    let mut ready = [0];
    recv.read_exact(&mut ready).await.map_err(|error| error.to_string())?;
    if ready == [READY] { Ok(()) } else { Err("it did not confirm the hello".to_owned()) }
}

/// Reads what the other end says of itself.
pub(super) async fn read_hello(
    conn: &Connection,
    recv: &mut RecvStream,
    from: &NodeId,
) -> Result<Hello, String> {
    let mut prefix = [0; PREFIX_LEN];
    recv.read_exact(&mut prefix).await.map_err(|error| lost(conn, from, &error))?;
    let malformed = |error: Malformed| refuse(conn, format!("from {from}: {error}"));
    let mut rest = vec![0; Hello::rest_len(&prefix).map_err(malformed)?];
    recv.read_exact(&mut rest).await.map_err(|error| lost(conn, from, &error))?;
    Hello::decode_rest(&rest).map_err(malformed)
}

/// Decides on the other end's hello; refuses it on the spot. Gives what it has shown.
pub(super) fn check(
    shared: &Shared,
    conn: &Connection,
    theirs: &Hello,
    side: Side,
) -> Result<Shown, String> {
    let certificate = certificate(conn).map_err(|why| refuse(conn, why))?;
    let standing = shared.standing(theirs.node);
    let expected = Expected {
        ours: &shared.hello,
        standing: &standing,
        side,
        certificate,
        generation: shared.doors.generation(),
    };
    match decide(&expected, theirs) {
        Ok(version) => {
            tracing::debug!(peer = %theirs.node, version, "the hello passed");
            Ok(certificate)
        }
        Err(refusal) => {
            let code = match refusal {
                Refusal::Removed { .. } => CloseCode::Expelled,
                _ => CloseCode::Refused,
            };
            Err(refuse_with(conn, code, refusal.to_string()))
        }
    }
}

/// Closes the connection with the reason, and gives it back.
pub(super) fn refuse(conn: &Connection, why: String) -> String {
    refuse_with(conn, CloseCode::Refused, why)
}

fn refuse_with(conn: &Connection, code: CloseCode, why: String) -> String {
    metrics::refused();
    conn.close(code.into(), why.as_bytes());
    format!("refused by this node: {}", printable(why.as_bytes()))
}

/// What the other end's certificate, which TLS has verified, says.
pub(super) fn certificate(conn: &Connection) -> Result<Shown, String> {
    let chain = conn.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer>>().ok());
    match chain.as_deref().and_then(|chain| chain.first()) {
        Some(der) => Shown::of(der).map_err(|error| error.to_string()),
        None => Err("it shows no certificate".to_owned()),
    }
}

/// Why a hello was not finished: the connection's own reason where there is one.
pub(super) fn lost(conn: &Connection, other: impl Display, error: &dyn Display) -> String {
    match conn.close_reason() {
        Some(reason) => describe(other, &reason),
        None => format!("the hello with {other} failed: {error}"),
    }
}
