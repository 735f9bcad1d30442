//! Whom the client trusts: the authority of one cluster, and no other.

use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// What a connection over TLS is checked against.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// These certificates, in PEM.
    Authority(&'a str),
    /// No certificate will do: a cluster's authority is known to nobody else.
    Nobody,
    /// Any will do: only to learn which authority there is, which is then checked otherwise.
    Anybody,
}

/// The TLS part of an agent's configuration. An error says what is wrong with the certificates.
pub fn config(trust: Trust<'_>) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let roots = match trust {
        Trust::Anybody => return Ok(config.disable_verification(true).build()),
        Trust::Nobody => Vec::new(),
        Trust::Authority(pem) => certificates(pem)?,
    };
    Ok(config.root_certs(RootCerts::new_with_certs(&roots)).build())
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item.map_err(|error| error.to_string())? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => return Err("this is no authority's certificate, but a key".to_owned()),
        }
    }
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(certificates)
}
