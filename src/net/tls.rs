//! TLS: both sides show a certificate of an authority of the cluster, and accept no other. The dialer
//! also checks that the certificate names the node it dialed; what TLS cannot know (which node
//! the other end says it is) the hello decides.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::net::identity::{Identity, IdentityError};

/// Tells our connections from those of any other program that speaks QUIC.
const ALPN: &[u8] = b"faasm-net";
/// The same, for connections that only prove a new key (see `renew.rs`).
pub(super) const ALPN_RENEW: &[u8] = b"faasm-renew";

/// The configurations of an endpoint.
pub(super) struct TlsConfigs {
    /// To dial.
    pub dial: Arc<QuicClientConfig>,
    /// To prove a new key.
    pub renew: Arc<QuicClientConfig>,
    /// To accept.
    pub server: Arc<QuicServerConfig>,
}

/// The configurations that this identity gives.
pub(super) fn configs(identity: &Identity) -> Result<TlsConfigs, IdentityError> {
    let roots = Arc::new(roots(identity)?);
    Ok(TlsConfigs {
        dial: Arc::new(client(identity, Arc::clone(&roots), ALPN)?),
        renew: Arc::new(client(identity, Arc::clone(&roots), ALPN_RENEW)?),
        server: Arc::new(server(identity, roots)?),
    })
}

fn client(
    identity: &Identity,
    roots: Arc<RootCertStore>,
    alpn: &[u8],
) -> Result<QuicClientConfig, IdentityError> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable("TLS 1.3", error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(identity)?, key(identity)?)
        .map_err(|error| unusable("the node's certificate", error))?;
    tls.alpn_protocols = vec![alpn.to_vec()];
    // Every connection proves both identities anew.
    tls.resumption = Resumption::disabled();
    QuicClientConfig::try_from(tls).map_err(|error| unusable("TLS 1.3", error))
}

fn server(
    identity: &Identity,
    roots: Arc<RootCertStore>,
) -> Result<QuicServerConfig, IdentityError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| unusable("the authority's certificate", error))?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable("TLS 1.3", error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(identity)?, key(identity)?)
        .map_err(|error| unusable("the node's certificate", error))?;
    tls.alpn_protocols = vec![ALPN.to_vec(), ALPN_RENEW.to_vec()];
    tls.send_tls13_tickets = 0;
    QuicServerConfig::try_from(tls).map_err(|error| unusable("TLS 1.3", error))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(identity: &Identity) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    for der in certificates("the authority's certificate", &identity.ca_pem)? {
        roots.add(der).map_err(|error| unusable("the authority's certificate", error))?;
    }
    Ok(roots)
}

fn chain(identity: &Identity) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    certificates("the node's certificate", &identity.cert_pem)
}

/// The private key, in the form that TLS takes.
pub(super) fn key(identity: &Identity) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .map_err(|error| unusable("the node's key", error))
}

fn certificates(
    what: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, error))
}

fn unusable(what: &'static str, error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Bad { what, why: error.to_string() }
}
