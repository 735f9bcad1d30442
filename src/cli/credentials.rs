//! What the command line shows a cluster, and by what it knows the cluster: tokens and authorities.
//!
//! | | typed | environment | local cluster |
//! |---|---|---|---|
//! | token | `--token` | `FAASM_TOKEN` | `D/admin.token` |
//! | authority | `--ca` | `FAASM_CA` | `D/ca/ca.pem`, `D/certs/ca.pem` |

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ureq::tls::TlsConfig;

use super::Globals;
use super::cluster::layout::Layout;
use super::exit::{CliError, Exit};
use super::tls::{self, Trust};
use crate::config::certs_dir;

/// Longest file with a token or an authority, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// A token and an authority, where there are some.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Shown to the cluster.
    pub token: Option<String>,
    /// The cluster's authority.
    pub ca: Option<PathBuf>,
}

impl Credentials {
    /// What was typed, else what the environment has.
    pub fn given(globals: &Globals) -> Self {
        let from = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            token: globals.token.clone().or_else(|| from("FAASM_TOKEN")),
            ca: globals.ca.clone().or_else(|| from("FAASM_CA").map(PathBuf::from)),
        }
    }

    /// With what the local cluster keeps for its owner where nothing else is given. That token is
    /// for this cluster alone: it is never shown to one that was named by its address.
    pub fn or_local(mut self, layout: &Layout) -> Result<Self, CliError> {
        if self.token.is_none() && layout.admin_token().exists() {
            self.token = Some(read(&layout.admin_token())?.trim().to_owned());
        }
        // The second is of a node that bootstrapped or joined by itself.
        let known = [layout.ca().join("ca.pem"), certs_dir(layout.root()).join("ca.pem")];
        if self.ca.is_none() {
            self.ca = known.into_iter().find(|ca| ca.exists());
        }
        Ok(self)
    }

    /// Refuses to send a token where others can read it.
    pub fn check(&self, base: &str) -> Result<(), CliError> {
        let host = base.strip_prefix("http://").map(host_of);
        if self.token.is_some() && host.is_some_and(|host| !is_here(host)) {
            let message = format!("a token is not sent to {base} in the clear: write https://");
            return Err(CliError::new(Exit::Usage, message));
        }
        Ok(())
    }

    /// How nodes are known.
    pub fn tls(&self) -> Result<TlsConfig, CliError> {
        let Some(path) = &self.ca else {
            return tls::config(Trust::Nobody).map_err(CliError::local);
        };
        let text = read(path)?;
        tls::config(Trust::Authority(&text))
            .map_err(|why| CliError::local(format!("{}: {why}", path.display())))
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let failed = |error| CliError::file(path, &error);
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(CliError::local(format!("{}: too large for what it is", path.display())));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The host in `HOST:PORT/…`, without the brackets of IPv6.
fn host_of(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leaves_this_machine_encrypted_only() {
        let with = Credentials { token: Some("faasm_x".into()), ca: None };
        for fine in
            ["http://127.0.0.1:80", "http://[::1]:80", "http://localhost:1/", "https://10.0.0.1:1"]
        {
            assert!(with.check(fine).is_ok(), "{fine}");
        }
        for bad in [
            "http://10.0.0.1:80",
            "http://127.0.0.1.example:80",
            "http://[::2]:80",
            "http://localhost@example.org:80",
        ] {
            assert_eq!(with.check(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        assert!(Credentials::default().check("http://10.0.0.1:80").is_ok());
    }

    #[test]
    fn the_local_clusters_token_is_taken_where_none_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::write(layout.admin_token(), "faasm_local\n").unwrap();
        let found = Credentials::default().or_local(&layout).unwrap();
        assert_eq!(found.token.as_deref(), Some("faasm_local"));
        let typed = Credentials { token: Some("faasm_typed".into()), ca: None };
        assert_eq!(typed.or_local(&layout).unwrap().token.as_deref(), Some("faasm_typed"));
    }

    #[test]
    fn an_authority_is_a_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let with = Credentials { token: None, ca: Some(path.clone()) };
        assert!(with.tls().unwrap_err().message.contains("ca.pem"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(with.tls().unwrap_err().message.contains("no certificate"));
        let ca = crate::net::CertificateAuthority::create(crate::id::ClusterId::random()).unwrap();
        std::fs::write(&path, ca.key_pem()).unwrap();
        assert!(with.tls().unwrap_err().message.contains("a key"));
        std::fs::write(&path, ca.cert_pem()).unwrap();
        assert!(with.tls().is_ok());
    }
}
