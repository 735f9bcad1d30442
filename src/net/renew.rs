//! How a node that has a new key goes on with the connections that it has: it dials a second
//! connection with its new certificate, and shows there that it holds the first one's secrets. The
//! peer then takes the first one as made with the new key, so that the old key can be revoked
//! without ending a connection, and with it calls. Who has stolen the old key and connected with
//! it does not know those secrets, and is cut off when that key is revoked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, VarInt};

use crate::id::NodeId;
use crate::net::error::{describe, printable};
use crate::net::handshake::{self, TIMEOUT};
use crate::net::hello::Side;
use crate::net::identity::CertName;
use crate::net::link::Link;
use crate::net::shared::Shared;
use crate::net::tls::ALPN_RENEW;

/// What the proof is derived for.
const LABEL: &[u8] = b"faasm renewed key";
/// Bytes of the proof.
const PROOF: usize = 32;
/// What the peer confirms with.
const TAKEN: u8 = 1;
/// Pause before a peer that has not taken the key is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Whether the dialer of this connection only wants to prove a key.
pub(super) fn is_renewal(conn: &Connection) -> bool {
    let data = conn.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok());
    data.is_some_and(|data| data.protocol.as_deref() == Some(ALPN_RENEW))
}

/// What only the two ends of `link` know. It names the end that proves: the other's proof is of no
/// use to it.
fn proof(link: &Link, prover: NodeId) -> Result<[u8; PROOF], String> {
    let mut proof = [0; PROOF];
    let exported = link.conn.export_keying_material(&mut proof, LABEL, &prover.0.to_le_bytes());
    exported.map_err(|_| "the connection has no secret to show".to_owned())?;
    Ok(proof)
}

/// Takes the new key of a peer, for the connection that there is to it.
pub(super) async fn answer(shared: &Shared, conn: &Connection, node: NodeId) -> Result<(), String> {
    let lost = |error: &dyn std::fmt::Display| handshake::lost(conn, node, error);
    let (mut send, mut recv) = conn.accept_bi().await.map_err(|error| lost(&error))?;
    let hello = handshake::read_hello(conn, &mut recv, &node).await?;
    let mut shown = [0; PROOF];
    recv.read_exact(&mut shown).await.map_err(|error| lost(&error))?;
    let key = handshake::check(shared, conn, &hello, Side::Renews)?;
    let taken = shared.slot(node).ok_or_else(|| "it was removed".to_owned()).and_then(|slot| {
        let link = slot.link.load_full().ok_or_else(|| "there is no connection".to_owned())?;
        // Comparing as hashes takes the same time wherever they differ.
        let same = blake3::hash(&proof(&link, node)?) == blake3::hash(&shown);
        let own = same && link.peer.incarnation == hello.incarnation;
        own.then(|| link.set_key(key)).ok_or_else(|| "it is another connection's end".to_owned())
    });
    taken.map_err(|why| {
        handshake::refuse(conn, format!("the new key of {node} was not taken: {why}"))
    })?;
    tracing::info!(peer = %node, "the peer has proven a new key");
    send.write_all(&[TAKEN]).await.map_err(|error| lost(&error))?;
    // The dialer closes when it has read the answer.
    conn.closed().await;
    Ok(())
}

/// Proves the key of the current identity on every live connection.
pub(super) async fn all(shared: Arc<Shared>, deadline: Instant) -> Vec<(NodeId, String)> {
    let slots = shared.slots();
    let links = slots.values().filter_map(|slot| slot.link.load_full());
    let asks = links.map(|link| until_taken(&shared, link, deadline));
    let ends = futures_util::future::join_all(asks).await;
    ends.into_iter().filter_map(|(node, taken)| Some((node, taken.err()?))).collect()
}

async fn until_taken(
    shared: &Shared,
    link: Arc<Link>,
    deadline: Instant,
) -> (NodeId, Result<(), String>) {
    let node = link.peer.node;
    loop {
        let Err(why) = one(shared, &link).await else { return (node, Ok(())) };
        // A connection that is gone needs no proof: the next one begins with the new key.
        if link.ended().is_some() {
            return (node, Ok(()));
        }
        if Instant::now() + AGAIN >= deadline {
            return (node, Err(why));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn one(shared: &Shared, link: &Link) -> Result<(), String> {
    let node = link.peer.node;
    let addr = link.conn.remote_address();
    let proven = tokio::time::timeout(TIMEOUT, async {
        let name = CertName { node, cluster: shared.cluster() }.to_string();
        let addr = shared.slot(node).map_or(addr, |slot| *slot.addr.lock());
        let connecting = shared
            .endpoint
            .connect_with(shared.doors.renew(), addr, &name)
            .map_err(|error| format!("{node} cannot be dialed at {addr}: {error}"))?;
        let conn = connecting.await.map_err(|error| describe(node, &error))?;
        prove(shared, &conn, link).await
    });
    proven.await.unwrap_or_else(|_| Err(format!("{node} does not answer at {addr}")))
}

async fn prove(shared: &Shared, conn: &Connection, link: &Link) -> Result<(), String> {
    let node = link.peer.node;
    let lost = |error: &dyn std::fmt::Display| handshake::lost(conn, node, error);
    let shown = handshake::certificate(conn)?;
    if !shared.slot(node).is_some_and(|slot| slot.allows(&shown.key)) {
        let why = format!("{node} shows a key that is not registered for it");
        return Err(handshake::refuse(conn, why));
    }
    let (mut send, mut recv) = conn.open_bi().await.map_err(|error| lost(&error))?;
    let mut said = shared.hello.encode();
    said.extend_from_slice(&proof(link, shared.me())?);
    send.write_all(&said).await.map_err(|error| lost(&error))?;
    let mut taken = [0];
    recv.read_exact(&mut taken).await.map_err(|error| lost(&error))?;
    conn.close(VarInt::from_u32(0), b"");
    match taken {
        [TAKEN] => Ok(()),
        other => Err(format!("{node} answered {}", printable(&other))),
    }
}
