//! Certificates for nodes that join: the joiner keeps its private key, and shows that it has it.

use std::net::IpAddr;

use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::id::NodeId;
use crate::net::identity::{CertificateAuthority, IdentityError};
use crate::wire::members::KeyHash;

/// Largest request taken, in bytes.
const MAX_REQUEST: usize = 16 << 10;
/// Bytes of an authority's hash in a join token.
const CA_HASH: usize = 16;

/// A new key, and the request for a certificate over it.
pub struct NewKey {
    /// The private key, in PEM.
    pub key_pem: String,
    /// The request, in PEM.
    pub request_pem: String,
}

impl NewKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::from_pem(&KeyPair::generate()?.serialize_pem())
    }

    /// A request over a key that was made before.
    pub fn from_pem(key_pem: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::from_pem(key_pem)?;
        let request_pem = CertificateParams::default().serialize_request(&key)?.pem()?;
        Ok(Self { key_pem: key.serialize_pem(), request_pem })
    }
}

/// A request for a certificate whose signature is right: the sender has the private key.
pub struct Admission(CertificateSigningRequestParams);

impl Admission {
    /// Reads and checks a request.
    pub fn parse(request_pem: &str) -> Result<Self, IdentityError> {
        let bad = |why: String| IdentityError::Bad { what: "the certificate request", why };
        if request_pem.len() > MAX_REQUEST {
            return Err(bad(format!("it is longer than {MAX_REQUEST} bytes")));
        }
        let request = CertificateSigningRequestParams::from_pem(request_pem);
        request.map(Self).map_err(|error| bad(error.to_string()))
    }

    /// The hash of the public key.
    pub fn key(&self) -> KeyHash {
        KeyHash::of(&self.0.public_key.subject_public_key_info())
    }

    /// The certificate, in PEM. Of the request only the key is taken: the rest is ours to say.
    pub fn sign(
        &self,
        authority: &CertificateAuthority,
        node: NodeId,
        addrs: &[IpAddr],
    ) -> Result<String, IdentityError> {
        authority.certify(&self.0.public_key, node, addrs)
    }
}

/// What a join token says of the authority: enough of its hash that nobody makes another one.
pub fn authority_hash(cert_pem: &str) -> Result<String, IdentityError> {
    let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|error| {
        IdentityError::Bad { what: "the authority's certificate", why: error.to_string() }
    })?;
    let hash = blake3::hash(&der);
    Ok(hash.as_bytes().iter().take(CA_HASH).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;
    use crate::net::identity::{CertName, Identity};

    #[test]
    fn a_joiner_gets_a_certificate_over_the_key_that_it_kept() {
        let cluster = ClusterId::random();
        let ca = CertificateAuthority::create(cluster).unwrap();
        let key = NewKey::generate().unwrap();
        let admission = Admission::parse(&key.request_pem).unwrap();
        let cert_pem = admission.sign(&ca, NodeId(4), &["10.0.0.4".parse().unwrap()]).unwrap();
        let ca_pem = ca.cert_pem().to_owned();
        let identity = Identity { ca_pem, cert_pem, key_pem: key.key_pem.clone() };
        assert_eq!(identity.name().unwrap(), CertName { node: NodeId(4), cluster });
        assert_eq!(identity.key().unwrap(), admission.key());
        assert_eq!(NewKey::from_pem(&key.key_pem).unwrap().key_pem, key.key_pem);
    }

    #[test]
    fn a_request_that_was_changed_or_is_none_is_refused() {
        let request = NewKey::generate().unwrap().request_pem;
        assert!(Admission::parse("").is_err());
        assert!(Admission::parse(&"x".repeat(MAX_REQUEST + 1)).is_err());
        let at = request.len() / 2;
        let other = if &request[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &request[..at], &request[at + 1..]);
        assert!(Admission::parse(&changed).is_err());
    }
}
