//! Whom the client trusts: the authority of one cluster, and no other.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::exit::CliError;

/// What a connection over TLS is checked against.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// These certificates, in PEM.
    Authority(&'a str),
    /// Nothing: only to learn which authority there is, which is then checked otherwise.
    Anybody,
}

/// The TLS part of an agent's configuration.
pub fn config(trust: Trust<'_>) -> Result<TlsConfig, CliError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider);
    Ok(match trust {
        Trust::Anybody => builder.disable_verification(true).build(),
        Trust::Authority(pem) => builder.root_certs(roots(pem)?).build(),
    })
}

fn roots(pem: &str) -> Result<RootCerts, CliError> {
    let bad = |why: String| CliError::local(format!("the authority's certificate: {why}"));
    let ders = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let ders = ders.map_err(|error| bad(error.to_string()))?;
    if ders.is_empty() {
        return Err(bad("there is none in the text".to_owned()));
    }
    let certs = ders.iter().map(|der| Certificate::from_der(der).to_owned());
    Ok(RootCerts::Specific(Arc::new(certs.collect())))
}
