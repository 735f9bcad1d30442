//! `faasm node --bootstrap`: the first node of a new cluster.

use super::home::Home;
use super::listen::Listen;
use crate::cli::exit::CliError;
use crate::cli::secret;
use crate::config::{ClusterConfig, NodeAddress};
use crate::id::{ClusterId, NodeId};
use crate::net::CertificateAuthority;
use crate::wire::members::TokenHash;

/// The id of the first node.
const FIRST: NodeId = NodeId(1);

/// Makes a cluster of one: its id, its authority, this node's certificate, the admin's token.
pub fn make(home: &Home, name: &str, listen: &Listen) -> Result<(ClusterConfig, NodeId), CliError> {
    let (http, quic) = listen.resolve()?;
    let failed = |error: crate::net::IdentityError| CliError::local(error.to_string());
    let cluster = ClusterId::random();
    let certs = home.certs();
    // Over what a start that was broken off left: nobody has seen it.
    let _gone = std::fs::remove_dir_all(&certs);
    let authority = CertificateAuthority::create(cluster).map_err(failed)?;
    let mut addrs = vec![http.ip(), quic.ip()];
    addrs.dedup();
    authority.save(&certs).map_err(failed)?;
    authority.issue(FIRST, &addrs).and_then(|id| id.save(&certs)).map_err(failed)?;
    let token = secret::new_token();
    secret::write(&home.admin_token(), &token)?;
    let config = ClusterConfig {
        name: name.to_owned(),
        id: Some(cluster.to_string()),
        admin_token_hash: Some(TokenHash::of(&token).to_string()),
        founders: vec![FIRST.0],
        nodes: vec![NodeAddress { id: FIRST.0, quic, http }],
    };
    home.save(&config, FIRST)?;
    Ok((config, FIRST))
}
