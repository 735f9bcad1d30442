//! How a cluster begins: what its first leader makes everybody know.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::ClusterConfig;
use crate::consensus::members::configured;
use crate::net::CertificateAuthority;
use crate::wire::members::{Authority, MemberCommand, TokenHash};

/// The founding command of a cluster: its nodes, the first admin, and the authority if its key is
/// beside the node's certificate.
pub(super) fn of(cluster: &ClusterConfig, certs: &Path) -> MemberCommand {
    let authority = CertificateAuthority::load(certs).ok().map(|ca| Authority {
        generation: 1,
        cert_pem: ca.cert_pem().to_owned(),
        key_pem: ca.key_pem(),
        previous: None,
    });
    MemberCommand::Found {
        members: configured(cluster),
        authority,
        admin: cluster.admin_token_hash.as_deref().and_then(TokenHash::parse),
        now_ms: now_ms(),
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
