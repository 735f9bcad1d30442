//! What is said over HTTP of nodes that join, drain and go: JSON, read by the CLI too.

use serde::{Deserialize, Serialize};

/// The body of `POST /v1/nodes/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The join token.
    pub token: String,
    /// Request for a certificate over the joiner's key, in PEM.
    pub request_pem: String,
    /// Where the joiner listens for nodes, `ip:port`.
    pub quic: String,
    /// Where the joiner listens for clients, `ip:port`.
    pub http: String,
    /// The node whose place it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// The answer: all that a node is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The id given to the joiner.
    pub node: String,
    /// The cluster's id.
    pub cluster: String,
    /// The cluster's name.
    pub name: String,
    /// The authority's certificate, in PEM; while it is rotated, two.
    pub ca_pem: String,
    /// The joiner's certificate, in PEM.
    pub cert_pem: String,
    /// The ids of the nodes that the cluster began with, in order.
    pub founders: Vec<u64>,
    /// All members.
    pub members: Vec<PlaceView>,
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceView {
    /// Its id.
    pub id: u64,
    /// QUIC address.
    pub quic: String,
    /// HTTP address.
    pub http: String,
}

/// The body of `POST /v1/nodes/tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenRequest {
    /// Seconds until it is void.
    pub expires_s: u64,
    /// Nodes that it lets in.
    pub uses: u32,
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self { expires_s: 24 * 3600, uses: 1 }
    }
}

/// A join token that was made; the only time that its text is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTokenView {
    /// Its text.
    pub token: String,
    /// Its name, by which it is revoked.
    pub name: String,
    /// Milliseconds since 1970 after which it is void.
    pub expires_ms: u64,
    /// Nodes that it lets in.
    pub uses: u32,
}

/// An open join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// Milliseconds since 1970 after which it is void.
    pub expires_ms: u64,
    /// Nodes that it still lets in.
    pub uses: u32,
}

/// The answer of `GET /v1/nodes/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensView {
    /// The open join tokens.
    pub tokens: Vec<TokenView>,
}

/// The answer of `GET /v1/nodes/self`: what keeps the node that answers from being stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfView {
    /// Its id.
    pub node: String,
    /// Whether it was told to take no new calls.
    pub draining: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Calls that wait or run here.
    pub calls: usize,
    /// Blobs that have too few copies on other nodes.
    pub blobs: usize,
    /// Records, outputs and logs of ended calls that it has not handed over; of a node that
    /// drains.
    #[serde(default)]
    pub results: usize,
    /// Shards of the state of which it keeps a copy in sync; of a node that drains.
    #[serde(default)]
    pub shards: usize,
}

/// The answer to a change of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedView {
    /// Which node.
    pub node: String,
    /// What it is now: `draining`, `active` or `removed`.
    pub state: String,
}
