//! Who a node is: its certificate, and the certificate authority of its cluster.
//!
//! A node's certificate names the node and the cluster, as the DNS name `n3.<cluster id>.faasm`.
//! Certificates do not expire: a node's trust ends with its cluster's authority, and an expiry date
//! would stop a cluster that runs well.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::id::{ClusterId, NodeId};
use crate::net::pem_files::{self, CA_CERT, CA_KEY, NODE_CERT, NODE_KEY};
use crate::net::stamp::{Shown, Stamp};
use crate::wire::members::KeyHash;

/// What the names in certificates end with.
const DOMAIN: &str = "faasm";
/// What the authority's common name begins with; the cluster id follows.
const CA_NAME: &str = "faasm cluster ";

/// Why a certificate could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A key or certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An authority is there already; replacing it would lock out every node it vouched for.
    #[error("{0} exists already: use that authority, or another folder")]
    Exists(String),
    /// The text is no certificate or key of this project.
    #[error("{what} is of no use: {why}; make a new one with `faasm cert`")]
    Bad {
        /// Which text.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The node and cluster that a certificate names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertName {
    /// The node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{DOMAIN}", self.node, self.cluster)
    }
}

impl CertName {
    fn parse(dns: &str) -> Option<Self> {
        let mut parts = dns.split('.');
        let node = parts.next()?.parse().ok()?;
        let cluster = parts.next()?.parse().ok()?;
        (parts.next() == Some(DOMAIN) && parts.next().is_none()).then_some(Self { node, cluster })
    }

    /// The name in a certificate, which must have exactly one.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let bad = |why: String| IdentityError::Bad { what: "the certificate", why };
        let (_, cert) =
            x509_parser::parse_x509_certificate(der).map_err(|error| bad(error.to_string()))?;
        let names = cert.subject_alternative_name().map_err(|error| bad(error.to_string()))?;
        let mut found = names.iter().flat_map(|names| &names.value.general_names).filter_map(
            |name| match name {
                x509_parser::extensions::GeneralName::DNSName(dns) => Self::parse(dns),
                _ => None,
            },
        );
        match (found.next(), found.next()) {
            (Some(name), None) => Ok(name),
            _ => Err(bad("it must name one node, as in n3.<cluster id>.faasm".to_owned())),
        }
    }
}

/// The hash of the public key in a certificate.
pub fn key_hash(der: &CertificateDer<'_>) -> Result<KeyHash, IdentityError> {
    let (_, cert) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| IdentityError::Bad { what: "the certificate", why: error.to_string() })?;
    Ok(KeyHash::of(cert.public_key().raw))
}

/// A node's certificate and key, and the authority it trusts.
#[derive(Clone)]
pub struct Identity {
    /// The cluster's authority, in PEM.
    pub ca_pem: String,
    /// The node's certificate, in PEM.
    pub cert_pem: String,
    /// The node's private key, in PEM.
    pub key_pem: String,
}

impl fmt::Debug for Identity {
    /// Leaves the private key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads `ca.pem`, `node.pem` and `node-key.pem`.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        pem_files::finish(dir)?;
        let read = |name| pem_files::read(&dir.join(name));
        Ok(Self { ca_pem: read(CA_CERT)?, cert_pem: read(NODE_CERT)?, key_pem: read(NODE_KEY)? })
    }

    /// Writes the files that [`Identity::load`] reads, over older ones; the key for its owner
    /// only. Makes the folder when missing. A crash leaves all of the old ones or all of these.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        pem_files::begin(dir, [&self.key_pem, &self.cert_pem, &self.ca_pem])?;
        pem_files::finish(dir)
    }

    /// The node and cluster that the certificate names.
    pub fn name(&self) -> Result<CertName, IdentityError> {
        CertName::of(&self.der()?)
    }

    /// The hash of the public key in the certificate.
    pub fn key(&self) -> Result<KeyHash, IdentityError> {
        key_hash(&self.der()?)
    }

    /// What a node shows with it.
    pub fn shown(&self) -> Result<Shown, IdentityError> {
        Shown::of(&self.der()?)
    }

    /// The addresses that the certificate names.
    pub fn addrs(&self) -> Result<Vec<IpAddr>, IdentityError> {
        let der = self.der()?;
        let bad = |why: String| IdentityError::Bad { what: "the node's certificate", why };
        let (_, cert) =
            x509_parser::parse_x509_certificate(&der).map_err(|e| bad(e.to_string()))?;
        let names = cert.subject_alternative_name().map_err(|e| bad(e.to_string()))?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        Ok(names.filter_map(ip_of).collect())
    }

    fn der(&self) -> Result<CertificateDer<'static>, IdentityError> {
        CertificateDer::from_pem_slice(self.cert_pem.as_bytes()).map_err(|error| {
            IdentityError::Bad { what: "the node's certificate", why: error.to_string() }
        })
    }
}

/// The authority that vouches for the nodes of one cluster.
pub struct CertificateAuthority {
    cluster: ClusterId,
    cert_pem: String,
    key: KeyPair,
    generation: u64,
}

impl CertificateAuthority {
    /// Makes an authority for a new cluster.
    pub fn create(cluster: ClusterId) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let cert_pem = authority_params(cluster).self_signed(&key)?.pem();
        Ok(Self { cluster, cert_pem, key, generation: 1 })
    }

    /// What it signs from now on says that the cluster's authority is of this generation.
    pub fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// A certificate, in PEM, by which those who trust only this authority trust the one that
    /// takes its place.
    pub fn vouch_for(&self, successor: &Self) -> Result<String, IdentityError> {
        let issuer = Issuer::from_ca_cert_pem(&self.cert_pem, &self.key)?;
        Ok(authority_params(self.cluster).signed_by(&successor.key, &issuer)?.pem())
    }

    /// Reads `ca.pem` and `ca-key.pem`.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let key_pem = pem_files::read(&dir.join(CA_KEY))?;
        Self::from_pem(pem_files::read(&dir.join(CA_CERT))?, &key_pem)
    }

    /// From the two texts, which must belong together: of several certificates the first one.
    pub fn from_pem(cert_pem: String, key_pem: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::from_pem(key_pem)?;
        let (cluster, certified) = cluster_of(&cert_pem)?;
        if KeyHash::of(&key.subject_public_key_info()) != certified {
            let why = "it is not that of the authority's certificate: was the authority replaced?";
            return Err(IdentityError::Bad { what: "the authority's key", why: why.to_owned() });
        }
        Ok(Self { cluster, cert_pem, key, generation: 1 })
    }

    /// Writes the authority's key over the one in `dir`, if there is one: when the authority was
    /// replaced, that one is of no use any more.
    pub fn refresh_key(dir: &Path, key_pem: &str) -> Result<(), IdentityError> {
        let path = dir.join(CA_KEY);
        if !path.exists() || pem_files::read(&path)?.trim() == key_pem.trim() {
            return Ok(());
        }
        pem_files::write_secret(&path, key_pem)
    }

    /// Writes the files that [`CertificateAuthority::load`] reads, the key for its owner only.
    /// Makes the folder when missing; refuses to replace an authority.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        let key = dir.join(CA_KEY);
        if key.exists() {
            return Err(IdentityError::Exists(key.display().to_string()));
        }
        pem_files::write(&dir.join(CA_CERT), &self.cert_pem)?;
        pem_files::write_secret(&key, &self.key.serialize_pem())
    }

    /// The cluster it vouches for.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The authority's certificate, in PEM: what a client needs to trust the cluster.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's private key, in PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Makes a key and a certificate for a node. The addresses are named too, for clients that
    /// reach the node by them.
    pub fn issue(&self, node: NodeId, addrs: &[IpAddr]) -> Result<Identity, IdentityError> {
        let key = KeyPair::generate()?;
        let cert_pem = self.certify(&key, node, addrs)?;
        Ok(Identity { ca_pem: self.cert_pem.clone(), cert_pem, key_pem: key.serialize_pem() })
    }

    /// Makes a certificate, in PEM, over a node's public key.
    pub(super) fn certify(
        &self,
        key: &impl PublicKeyData,
        node: NodeId,
        addrs: &[IpAddr],
    ) -> Result<String, IdentityError> {
        let name = CertName { node, cluster: self.cluster }.to_string();
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params.subject_alt_names.extend(addrs.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = common_name(name);
        let stamp = Stamp::now(self.generation).text();
        params.distinguished_name.push(DnType::OrganizationalUnitName, stamp);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_ca_cert_pem(&self.cert_pem, &self.key)?;
        Ok(params.signed_by(key, &issuer)?.pem())
    }
}

fn authority_params(cluster: ClusterId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(format!("{CA_NAME}{cluster}"));
    // No intermediate authorities: a node's certificate cannot make other nodes.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn ip_of(name: &x509_parser::extensions::GeneralName<'_>) -> Option<IpAddr> {
    let x509_parser::extensions::GeneralName::IPAddress(bytes) = name else { return None };
    let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()
}

fn common_name(name: String) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The cluster that an authority's certificate names, and the hash of the key in it.
fn cluster_of(ca_pem: &str) -> Result<(ClusterId, KeyHash), IdentityError> {
    let bad = |why: String| IdentityError::Bad { what: "the authority's certificate", why };
    let der = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|e| bad(e.to_string()))?;
    let (_, cert) = x509_parser::parse_x509_certificate(&der).map_err(|e| bad(e.to_string()))?;
    let name = cert.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let cluster = name
        .and_then(|name| name.strip_prefix(CA_NAME))
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| bad(format!("its name should be `{CA_NAME}<cluster id>`")))?;
    Ok((cluster, KeyHash::of(cert.public_key().raw)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_authority_and_an_identity_survive_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId::random();
        CertificateAuthority::create(cluster).unwrap().save(&dir.path().join("ca")).unwrap();
        let ca = CertificateAuthority::load(&dir.path().join("ca")).unwrap();
        assert_eq!(ca.cluster(), cluster);

        let home = dir.path().join("n3");
        let addrs = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        ca.issue(NodeId(3), &addrs).unwrap().save(&home).unwrap();
        assert_eq!(Identity::load(&home).unwrap().addrs().unwrap(), addrs);
        ca.issue(NodeId(3), &["127.0.0.1".parse().unwrap()]).unwrap().save(&home).unwrap();
        let identity = Identity::load(&home).unwrap();
        assert_eq!(identity.name().unwrap(), CertName { node: NodeId(3), cluster });
        assert_eq!(identity.ca_pem, ca.cert_pem());
    }

    #[test]
    fn keys_are_for_their_owner_only_and_an_authority_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::create(ClusterId::random()).unwrap();
        ca.save(dir.path()).unwrap();
        ca.issue(NodeId(1), &[]).unwrap().save(dir.path()).unwrap();
        // Written again over the old one: the mode must hold then, too.
        ca.issue(NodeId(1), &[]).unwrap().save(dir.path()).unwrap();
        for key in [CA_KEY, NODE_KEY] {
            let mode = std::fs::metadata(dir.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        assert!(matches!(ca.save(dir.path()), Err(IdentityError::Exists(_))));
    }

    #[test]
    fn a_key_signs_for_its_own_authority_only_and_is_refreshed_where_there_was_one() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId::random();
        let [old, new] = [(); 2].map(|()| CertificateAuthority::create(cluster).unwrap());
        CertificateAuthority::refresh_key(dir.path(), &new.key_pem()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        old.save(dir.path()).unwrap();
        // While one takes the place of the other, both certificates are there, the new one first.
        let both = format!("{}{}", new.cert_pem(), old.cert_pem());
        std::fs::write(dir.path().join(CA_CERT), both).unwrap();
        let error = CertificateAuthority::load(dir.path()).err().unwrap().to_string();
        assert!(error.contains("was the authority replaced"), "{error}");
        CertificateAuthority::refresh_key(dir.path(), &new.key_pem()).unwrap();
        let loaded = CertificateAuthority::load(dir.path()).unwrap();
        assert_eq!(loaded.key_pem(), new.key_pem());
        let mode = std::fs::metadata(dir.path().join(CA_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_crash_while_an_identity_is_written_leaves_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::create(ClusterId::random()).unwrap();
        let [old, new] = [ca.issue(NodeId(1), &[]).unwrap(), ca.issue(NodeId(1), &[]).unwrap()];
        old.save(dir.path()).unwrap();
        pem_files::begin(dir.path(), [&new.key_pem, &new.cert_pem, &new.ca_pem]).unwrap();
        // The crash comes after the first of the three files.
        std::fs::write(dir.path().join(NODE_KEY), &new.key_pem).unwrap();
        let loaded = Identity::load(dir.path()).unwrap();
        assert_eq!((loaded.cert_pem, loaded.key_pem), (new.cert_pem, new.key_pem));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn names_of_other_shapes_are_no_names() {
        let cluster = "0123456789abcdef0123456789abcdef";
        assert!(CertName::parse(&format!("n3.{cluster}.faasm")).is_some());
        for bad in [
            "n3.faasm".to_owned(),
            format!("n0.{cluster}.faasm"),
            format!("n3.{cluster}.example"),
            format!("n3.{cluster}.faasm.example"),
            format!("x.n3.{cluster}.faasm"),
        ] {
            assert_eq!(CertName::parse(&bad), None, "{bad}");
        }
    }
}
