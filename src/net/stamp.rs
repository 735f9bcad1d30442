//! What a certificate says beside its name: with which generation of the authority it was made,
//! and when. It is signed with the rest, and stands in the subject as `generation 3, issued
//! 1763840000000`.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use crate::net::identity::{CertName, IdentityError};
use crate::wire::members::KeyHash;

/// When a certificate was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The authority's generation then.
    pub generation: u64,
    /// Milliseconds since 1970, by the clock of the node that made it; 0 if it does not say.
    pub issued_ms: u64,
}

impl Stamp {
    /// Now.
    pub(super) fn now(generation: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { generation, issued_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// As it stands in a certificate.
    pub(super) fn text(self) -> String {
        format!("generation {}, issued {}", self.generation, self.issued_ms)
    }

    fn parse(text: &str) -> Option<Self> {
        let (generation, issued) = text.strip_prefix("generation ")?.split_once(", issued ")?;
        Some(Self { generation: generation.parse().ok()?, issued_ms: issued.parse().ok()? })
    }

    /// That of a certificate; one that has none is of the first generation.
    fn of(cert: &X509Certificate<'_>) -> Self {
        let mut units = cert.subject().iter_organizational_unit();
        let stamp = units.find_map(|unit| Self::parse(unit.as_str().ok()?));
        stamp.unwrap_or(Self { generation: 1, issued_ms: 0 })
    }
}

/// What a node shows with its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whom it names.
    pub name: CertName,
    /// Its public key.
    pub key: KeyHash,
    /// When it was made.
    pub stamp: Stamp,
}

impl Shown {
    /// By this certificate.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, cert) = x509_parser::parse_x509_certificate(der).map_err(|error| {
            IdentityError::Bad { what: "the certificate", why: error.to_string() }
        })?;
        let key = KeyHash::of(cert.public_key().raw);
        Ok(Self { name: CertName::of(der)?, key, stamp: Stamp::of(&cert) })
    }

    /// Whether a node with these registered keys may show it, to a node whose own certificate is
    /// of generation `ours`. None are registered for a node that had no session yet. A certificate
    /// of a newer generation shows that this node has missed a rotation: what is registered is
    /// what it has still to hear.
    pub(super) fn is_allowed(&self, keys: &[KeyHash], ours: u64) -> bool {
        keys.is_empty() || keys.contains(&self.key) || self.stamp.generation > ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp::now(7);
        assert_eq!(Stamp::parse(&stamp.text()), Some(stamp));
        for bad in ["", "generation 1", "generation x, issued 2", "generation 1, issued -2"] {
            assert_eq!(Stamp::parse(bad), None, "{bad}");
        }
    }
}
