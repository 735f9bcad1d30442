//! What can go wrong with connections, and how the ends of a connection tell each other.

use std::fmt::Display;
use std::net::SocketAddr;

use quinn::{ConnectionError, VarInt};

use crate::id::NodeId;
use crate::net::identity::{CertName, IdentityError};

/// Most characters of a peer's text that are kept.
const MAX_REASON: usize = 400;

/// Why the component could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address cannot be listened on.
    #[error("cannot listen on UDP {addr}: {source}; is another node running there?")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificates are of no use.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate is another node's.
    #[error("the certificate is that of {found}, and this node is {expected}: give it its own")]
    WrongIdentity {
        /// What the certificate names.
        found: CertName,
        /// What it should name.
        expected: CertName,
    },
    /// A setting makes no sense.
    #[error("bad [net] settings: {0}")]
    Options(String),
    /// There is no tokio runtime to run on.
    #[error("no tokio runtime runs here: {0}")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

/// Why something could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection to the node now.
    #[error("{0} is not reachable: {1}")]
    Down(NodeId, String),
    /// The queue to it is full.
    #[error("the queue to {0} is full: it takes messages slower than they are made")]
    Full(NodeId),
    /// The message is larger than the protocol allows.
    #[error("a message of {0} bytes exceeds the protocol's limit")]
    TooBig(usize),
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The deadline passed; it may have been done.
    #[error("{0} did not answer in time")]
    TimedOut(NodeId),
    /// The connection was lost; it may have been done.
    #[error("the connection to {0} was lost before it answered")]
    Lost(NodeId),
    /// The peer dropped the request, or answered what is no answer.
    #[error("{0} gave no answer: {1}")]
    Bad(NodeId, String),
}

/// Why a node closed a connection, as the other end sees it. Values are part of the protocol; 0 is
/// what quinn sends when a connection is merely dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum CloseCode {
    /// The node stops.
    Stopping = 1,
    /// The other end may not be a peer.
    Refused = 2,
    /// A newer connection took its place.
    Replaced = 3,
    /// The other end sent what no honest peer sends.
    Malformed = 4,
    /// A part of this node failed.
    Internal = 5,
    /// The other end is no member of the cluster any more.
    Removed = 6,
    /// The other end's key is not registered any more.
    Revoked = 7,
    /// The other end asks for a connection and is no member of the cluster any more.
    Expelled = 8,
}

/// Whether the other end closed a connection because this node is no member any more.
pub(super) fn says_removed(error: &ConnectionError) -> bool {
    let gone = [CloseCode::Removed, CloseCode::Expelled].map(VarInt::from);
    matches!(error, ConnectionError::ApplicationClosed(close) if gone.contains(&close.error_code))
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        VarInt::from_u32(code as u32)
    }
}

/// A reason to close a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// For the other end's program.
    pub code: CloseCode,
    /// For people, on both ends.
    pub why: String,
}

impl From<crate::wire::Malformed> for Fault {
    fn from(error: crate::wire::Malformed) -> Self {
        Self { code: CloseCode::Malformed, why: error.to_string() }
    }
}

/// How a connection to `other` ended, for people.
pub(super) fn describe(other: impl Display, error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = printable(&close.reason);
            let is = |code: CloseCode| close.error_code == VarInt::from(code);
            if is(CloseCode::Stopping) {
                format!("{other} is stopping")
            } else if is(CloseCode::Refused) || is(CloseCode::Expelled) {
                format!("{other} refused this node: {reason}")
            } else if is(CloseCode::Replaced) {
                format!("{other} took a newer connection")
            } else if is(CloseCode::Malformed) {
                format!("{other} closed the connection for what this node sent: {reason}")
            } else if is(CloseCode::Removed) || is(CloseCode::Revoked) {
                format!("{other} cut this node off: {reason}")
            } else {
                format!("{other} closed the connection: {reason}")
            }
        }
        ConnectionError::ConnectionClosed(close) => {
            let reason = printable(&close.reason);
            if is_tls(u64::from(close.error_code)) {
                format!("{other} refused this node's TLS: {reason}; {TLS_HINT}")
            } else {
                format!("{other} closed the connection: {} {reason}", close.error_code)
            }
        }
        ConnectionError::TransportError(error) if is_tls(u64::from(error.code)) => {
            format!("TLS with {other} failed: {}; {TLS_HINT}", printable(error.reason.as_bytes()))
        }
        ConnectionError::TimedOut => format!("{other} is silent"),
        ConnectionError::Reset => format!("{other} was restarted, or has forgotten the connection"),
        other_error => format!("the connection to {other} failed: {other_error}"),
    }
}

const TLS_HINT: &str = "give all nodes certificates of one authority, made with `faasm cert`; a \
                        node that missed a rotation joins again with `--replace`";

/// Why a node that was removed gets no connection.
pub(super) fn removed_text(node: NodeId) -> String {
    format!(
        "{node} was removed from the cluster; to come back, start it with an empty data directory \
         and `--join`"
    )
}

/// Whether a QUIC error code is a TLS alert (RFC 9001, section 4.8).
fn is_tls(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}

/// A peer's text, made fit for a log line.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(MAX_REASON)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quinn::ApplicationClose;

    use super::*;

    #[test]
    fn the_reason_of_the_other_end_is_told_in_one_harmless_line() {
        let close = |code: VarInt, reason: &'static [u8]| {
            let reason = Bytes::from_static(reason);
            let error =
                ConnectionError::ApplicationClosed(ApplicationClose { error_code: code, reason });
            describe(NodeId(2), &error)
        };
        assert_eq!(close(CloseCode::Refused.into(), b"no"), "n2 refused this node: no");
        assert_eq!(close(CloseCode::Stopping.into(), b""), "n2 is stopping");
        assert_eq!(
            close(VarInt::from_u32(77), b"a\nb\x1b[2J\xff"),
            "n2 closed the connection: a b [2J\u{fffd}"
        );
        let long = close(VarInt::from_u32(77), &[b'x'; 4000]);
        assert!(long.len() < 500, "{} bytes", long.len());
    }
}
