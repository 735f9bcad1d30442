//! What the directory of a local cluster has of its authority, kept in step when that is replaced.

use std::path::Path;

use super::Globals;
use super::client::{self, Ask, Client};
use super::cluster::layout::Layout;
use super::cluster::make::write_whole;
use super::exit::CliError;
use super::secret;
use crate::net::{CertificateAuthority, authority_hash};

/// The layout of the local cluster, if that is meant and if its directory has an authority: that of
/// a node which bootstrapped or joined has the node's own, which the node keeps in step.
fn layout(globals: &Globals) -> Result<Option<Layout>, CliError> {
    if client::address(globals).is_some() {
        return Ok(None);
    }
    let layout = Layout::new(&client::data_dir(globals)?);
    Ok(layout.ca().join("ca.pem").exists().then_some(layout))
}

/// Keeps the certificates that are trusted now.
pub fn keep_certificate(globals: &Globals, client: &Client) -> Result<(), CliError> {
    if let Some(layout) = layout(globals)? {
        write_whole(&layout.ca().join("ca.pem"), trusted(client)?.as_bytes())?;
    }
    Ok(())
}

/// The same, and the key, once the nodes have it. Says what was done, and what is left to do.
pub fn keep_all(globals: &Globals, client: &Client) -> Result<String, CliError> {
    keep_certificate(globals, client)?;
    let Some(layout) = layout(globals)? else {
        let text = "clients need the new authority's certificate: `faasm cert ca` prints it";
        return Ok(match &globals.ca {
            None => text.to_owned(),
            Some(file) => format!("{text}, and {} has the one before", file.display()),
        });
    };
    let ca = layout.ca();
    let done = format!(
        "{} has the new authority's certificate, which other clients need: `faasm cert ca` prints it",
        ca.join("ca.pem").display()
    );
    Ok(match keep_key(&layout)? {
        true => done,
        false => format!(
            "{done}\n{} was removed: the authority before signs for nobody any more, and the new \
             one's key is with the nodes",
            ca.join("ca-key.pem").display()
        ),
    })
}

fn trusted(client: &Client) -> Result<String, CliError> {
    let reply = client.ask(Ask::get("/v1/certs/ca"))?;
    let pem = String::from_utf8_lossy(&reply.body).into_owned();
    // Nothing else is to take the place of what clients trust.
    authority_hash(&pem).map_err(|error| CliError::local(error.to_string()))?;
    Ok(pem)
}

/// Makes the key the one of the certificate beside it: a founder on this machine has it. Where none
/// has, a key that fits nothing is removed, and the answer is no.
fn keep_key(layout: &Layout) -> Result<bool, CliError> {
    let (ca, key) = (layout.ca(), layout.ca().join("ca-key.pem"));
    if !key.exists() || CertificateAuthority::load(&ca).is_ok() {
        return Ok(true);
    }
    let founders = layout.load()?.voters();
    let found =
        founders.into_iter().find_map(|founder| same_authority(&ca, &layout.certs(founder)));
    match found {
        Some(authority) => secret::write(&key, authority.key_pem().trim_end())?,
        None => std::fs::remove_file(&key).map_err(|error| CliError::file(&key, &error))?,
    }
    Ok(key.exists())
}

/// The authority in `theirs`, with its key, if it is that of the certificate in `ours`.
fn same_authority(ours: &Path, theirs: &Path) -> Option<CertificateAuthority> {
    let wanted = std::fs::read_to_string(ours.join("ca.pem")).ok()?;
    let authority = CertificateAuthority::load(theirs).ok()?;
    let is = authority_hash(authority.cert_pem()).ok()? == authority_hash(&wanted).ok()?;
    is.then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::cluster::make::{Wanted, issue_certificates, make};
    use crate::id::NodeId;

    /// A cluster's directory whose authority was replaced, and whose n2 has the new key.
    fn replaced() -> (tempfile::TempDir, Layout, CertificateAuthority) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let config = make(&layout, &Wanted { name: "test", nodes: 3, config: None }).unwrap();
        issue_certificates(&layout, &config).unwrap();
        let next = CertificateAuthority::create(config.cluster_id().unwrap()).unwrap();
        std::fs::write(layout.ca().join("ca.pem"), next.cert_pem()).unwrap();
        (dir, layout, next)
    }

    #[test]
    fn the_key_of_a_new_authority_comes_from_a_founder() {
        let (_dir, layout, next) = replaced();
        let certs = layout.certs(NodeId(2));
        std::fs::write(certs.join("ca.pem"), next.cert_pem()).unwrap();
        std::fs::write(certs.join("ca-key.pem"), next.key_pem()).unwrap();
        assert!(keep_key(&layout).unwrap());
        let kept = CertificateAuthority::load(&layout.ca()).unwrap();
        assert_eq!(kept.key_pem(), next.key_pem());
        assert!(keep_key(&layout).unwrap(), "again is fine");
    }

    #[test]
    fn a_key_that_fits_nothing_is_not_kept() {
        let (_dir, layout, _) = replaced();
        assert!(CertificateAuthority::load(&layout.ca()).is_err());
        assert!(!keep_key(&layout).unwrap());
        assert!(!layout.ca().join("ca-key.pem").exists());
    }
}
