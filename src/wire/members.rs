//! Who belongs to a cluster, and what vouches for them.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::NodeId;

/// BLAKE3 of a node's public key, as a certificate has it (SubjectPublicKeyInfo, DER).
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Of the DER bytes of a public key.
    pub fn of(public_key: &[u8]) -> Self {
        Self(*blake3::hash(public_key).as_bytes())
    }
}

/// BLAKE3 of a token: the cluster keeps no token itself.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Of a token's text. Tokens are 256 random bits, so that a fast hash is enough.
    pub fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }

    /// Reads what [`Display`](std::fmt::Display) writes.
    pub fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// The first characters of the hash in hexadecimal: the token's name among people.
    pub fn name(&self) -> String {
        self.0.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A node of the cluster.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Which.
    pub node: NodeId,
    /// Its QUIC address, `ip:port`.
    pub quic: String,
    /// Its HTTP address, `ip:port`.
    pub http: String,
    /// The public keys that it may show, the newest last. Empty until its first session: then any
    /// certificate of the cluster that names it.
    pub keys: Vec<KeyHash>,
    /// Whether it takes no new calls, by an admin's word.
    pub draining: bool,
}

/// The certificate authority of the cluster. Its key is part of the replicated state, so that any
/// node can admit another one.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Grows with each rotation, from 1.
    pub generation: u64,
    /// Its certificate, in PEM.
    pub cert_pem: String,
    /// Its private key, in PEM.
    pub key_pem: String,
    /// The certificate before, in PEM, trusted beside the new one until the rotation is complete.
    pub previous: Option<String>,
}

impl std::fmt::Debug for Authority {
    /// Leaves the private key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// What lets new nodes in.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinToken {
    /// Of its text.
    pub hash: TokenHash,
    /// Milliseconds since 1970 after which it is void.
    pub expires_ms: u64,
    /// How many nodes it still lets in.
    pub uses: u32,
}

/// A change of who belongs to the cluster.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum MemberCommand {
    /// The first of all: who founds the cluster. Does nothing when it was founded before.
    Found {
        /// Its members.
        members: Vec<Member>,
        /// Its authority, if the founder has the key.
        authority: Option<Authority>,
        /// Hash of the first admin's token.
        admin: Option<TokenHash>,
        /// Now, in milliseconds since 1970, by the clock of the founder.
        now_ms: u64,
    },
    /// Make a join token.
    PutJoinToken(JoinToken),
    /// Revoke the join token of this name (see [`TokenHash::name`]).
    RemoveJoinToken(String),
    /// Let a node in; answered with [`super::consensus::Response::Joined`].
    Join {
        /// The token that it shows.
        token: TokenHash,
        /// Its public key. A key that is known already gets the node id that it has.
        key: KeyHash,
        /// Its QUIC address.
        quic: String,
        /// Its HTTP address.
        http: String,
        /// The node whose place it takes; that one is removed.
        replaces: Option<NodeId>,
        /// Now, by the clock of the node that took the request.
        now_ms: u64,
    },
    /// Take no new calls at a node, or take them again.
    SetDraining {
        /// Which.
        node: NodeId,
        /// Whether it drains.
        draining: bool,
    },
    /// Remove a node for ever: its id is never given again.
    Remove {
        /// Which.
        node: NodeId,
    },
    /// A node may show this key too.
    AddKey {
        /// Which node.
        node: NodeId,
        /// The key.
        key: KeyHash,
    },
    /// A node may show no other key than this one any more.
    KeepKey {
        /// Which node.
        node: NodeId,
        /// The key, which it must have.
        key: KeyHash,
    },
    /// Replace the authority; its generation must be the next one, or the same to drop
    /// `previous`.
    SetAuthority(Authority),
}
