//! `faasm node --join`: a further node of a running cluster.

use std::path::PathBuf;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::home::Home;
use super::listen::Listen;
use crate::cli::client::{self, Ask, Client};
use crate::cli::credentials::Credentials;
use crate::cli::exit::{CliError, Exit};
use crate::cli::secret;
use crate::cli::tls::Trust;
use crate::config::{ClusterConfig, NodeAddress};
use crate::gateway::join_view::{JoinAnswer, JoinRequest, PlaceView};
use crate::id::NodeId;
use crate::net::{Identity, NewKey, authority_hash};

/// What a node joins with.
pub struct Joining<'a> {
    /// HTTP address of a member.
    pub member: &'a str,
    /// The join token, or a file that holds it.
    pub token: &'a str,
    /// The node whose place it takes.
    pub replaces: Option<NodeId>,
    /// Where it will listen.
    pub listen: &'a Listen,
}

/// Asks a member to be let in, and keeps what it answers.
pub fn join(home: &Home, joining: &Joining<'_>) -> Result<(ClusterConfig, NodeId), CliError> {
    let (http, quic) = joining.listen.resolve()?;
    let token = read_token(joining.token)?;
    let key = keep_key(home)?;
    let base = client::base_url(joining.member)?;
    let client = if base.starts_with("https://") {
        Client::over_tls(&base, Trust::Authority(&authority(&base, &token)?))?
    } else {
        Client::of_url(&base, Credentials::default())?
    };
    let request = JoinRequest {
        token,
        request_pem: key.request_pem.clone(),
        quic: quic.to_string(),
        http: http.to_string(),
        replaces: joining.replaces.map(|node| node.to_string()),
    };
    let body = serde_json::to_vec(&request).map_err(|error| CliError::local(error.to_string()))?;
    let ask = Ask { method: "POST", path: "/v1/nodes/join", body: &body, within: client::ANSWER };
    let answer: JoinAnswer = client.json(ask)?;
    keep(home, key, answer)
}

/// The node's key, made once: who asks again with the same key gets the same id.
fn keep_key(home: &Home) -> Result<NewKey, CliError> {
    let failed = |error: crate::net::IdentityError| CliError::local(error.to_string());
    let path = home.root().join("join-key.pem");
    if let Ok(pem) = std::fs::read_to_string(&path) {
        return NewKey::from_pem(&pem).map_err(failed);
    }
    std::fs::create_dir_all(home.root()).map_err(|error| CliError::file(home.root(), &error))?;
    let key = NewKey::generate().map_err(failed)?;
    secret::write(&path, &key.key_pem)?;
    Ok(key)
}

fn keep(home: &Home, key: NewKey, answer: JoinAnswer) -> Result<(ClusterConfig, NodeId), CliError> {
    let node: NodeId = answer.node.parse().map_err(|_| strange(&answer.node))?;
    let identity =
        Identity { ca_pem: answer.ca_pem, cert_pem: answer.cert_pem, key_pem: key.key_pem };
    let name = identity.name().map_err(|error| CliError::local(error.to_string()))?;
    if name.node != node || name.cluster.to_string() != answer.cluster {
        return Err(strange(&name.to_string()));
    }
    identity.save(&home.certs()).map_err(|error| CliError::local(error.to_string()))?;
    let nodes = answer.members.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let config = ClusterConfig {
        name: answer.name,
        id: Some(answer.cluster),
        admin_token_hash: None,
        founders: answer.founders,
        nodes,
    };
    home.save(&config, node)?;
    // The key is beside its certificate now.
    let _gone = std::fs::remove_file(home.root().join("join-key.pem"));
    Ok((config, node))
}

fn place(view: &PlaceView) -> Result<NodeAddress, CliError> {
    let address = |text: &str| text.parse().map_err(|_| strange(text));
    Ok(NodeAddress { id: view.id, quic: address(&view.quic)?, http: address(&view.http)? })
}

fn strange(what: &str) -> CliError {
    let message = format!("the member's answer makes no sense (`{what}`): is it another version?");
    CliError::new(Exit::Unreachable, message)
}

/// The token itself, or the first line of the file that is named.
fn read_token(given: &str) -> Result<String, CliError> {
    if given.starts_with("faasm_join_") {
        return Ok(given.to_owned());
    }
    let path = PathBuf::from(given);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        // The text may be a token that was mistyped: it is not repeated.
        let message = format!(
            "--token is no join token (`faasm nodes token` prints one), and no file that \
             holds one: {error}"
        );
        CliError::new(Exit::Usage, message)
    })?;
    Ok(text.trim().to_owned())
}

/// The authority that the member shows, if it is the one that the token names: before anything
/// is trusted, and before the token is sent.
fn authority(base: &str, token: &str) -> Result<String, CliError> {
    let pem = Client::over_tls(base, Trust::Anybody)?.ask(Ask::get("/v1/certs/ca"))?.body;
    let pem = String::from_utf8(pem).map_err(|_| strange("/v1/certs/ca"))?;
    let named = token.rsplit('_').next().unwrap_or_default();
    let certs = CertificateDer::pem_slice_iter(pem.as_bytes());
    if certs.count() > 0 && authority_hash(&pem).is_ok_and(|hash| hash == named) {
        return Ok(pem);
    }
    let message = format!(
        "the authority of {base} is not the one that the token names: it is another cluster, or \
         its authority was replaced since (`faasm cert rotate --authority`), which voids all join \
         tokens; make a new one with `faasm nodes token`"
    );
    Err(CliError::new(Exit::Refused, message))
}
