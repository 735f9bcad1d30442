//! What holds while one authority takes the place of another one. Both are trusted then, and the
//! one before vouches for the new one: so a node that was down meanwhile, and trusts only the one
//! before, can still connect, and hear of the new one.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::net::identity::{CertificateAuthority, IdentityError, key_hash};

/// What ends each certificate of a PEM text.
const END: &str = "-----END CERTIFICATE-----";

/// What the state says of the authority before, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// All that is to be trusted, in PEM.
    pub trusted: String,
    /// What a node shows behind its certificate, in PEM: by it the new authority is trusted by
    /// those who only know the one before. Empty when there is none.
    pub bridge: String,
}

impl Handover {
    /// From the authority's certificate and what stands for the one before.
    pub fn of(current: &str, previous: Option<&str>) -> Result<Self, IdentityError> {
        let key = key_of(current)?;
        let mut handover = Self { trusted: with_end(current), bridge: String::new() };
        for certificate in previous.unwrap_or_default().split_inclusive(END) {
            if certificate.trim().is_empty() {
                continue;
            }
            let text = with_end(certificate.trim_start());
            match key_of(&text)? == key {
                true => handover.bridge.push_str(&text),
                false => handover.trusted.push_str(&text),
            }
        }
        Ok(handover)
    }

    /// What is to stand for `before` in the state while `successor` takes its place.
    pub fn previous(
        before: &CertificateAuthority,
        successor: &CertificateAuthority,
    ) -> Result<String, IdentityError> {
        Ok(with_end(before.cert_pem()) + &with_end(&before.vouch_for(successor)?))
    }
}

fn with_end(pem: &str) -> String {
    format!("{}\n", pem.trim_end())
}

fn key_of(pem: &str) -> Result<crate::wire::members::KeyHash, IdentityError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
        IdentityError::Bad { what: "the authority's certificate", why: error.to_string() }
    })?;
    key_hash(&der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;

    #[test]
    fn both_are_trusted_and_the_bridge_is_shown() {
        let cluster = ClusterId::random();
        let make = || CertificateAuthority::create(cluster).unwrap();
        let (before, successor) = (make(), make());
        let alone = Handover::of(before.cert_pem(), None).unwrap();
        assert_eq!(alone.trusted.trim(), before.cert_pem().trim());
        assert_eq!(alone.bridge, "");
        let previous = Handover::previous(&before, &successor).unwrap();
        let both = Handover::of(successor.cert_pem(), Some(&previous)).unwrap();
        let expected = with_end(successor.cert_pem()) + &with_end(before.cert_pem());
        assert_eq!(both.trusted, expected);
        assert_eq!(key_of(&both.bridge).unwrap(), key_of(successor.cert_pem()).unwrap());
        assert_ne!(both.bridge.trim(), successor.cert_pem().trim());
        assert!(Handover::of(successor.cert_pem(), Some("rubbish")).is_err());
    }
}
