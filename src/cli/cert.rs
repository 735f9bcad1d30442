//! `faasm cert`: certificates for a cluster that is not on one machine.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::CliError;
use super::{Globals, out};
use crate::id::{ClusterId, NodeId};
use crate::net::{CertificateAuthority, IdentityError};

/// Arguments of `faasm cert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm cert init --dir ca
  faasm cert issue --dir ca --node 1 --ip 10.0.0.1 --out n1/certs

A node reads its certificate from `certs` in its data directory. `faasm cluster up` makes all of
this by itself.")]
pub struct CertArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the authority of a new cluster, and print the cluster's id.
    #[command(after_help = "\
Example:
  faasm cert init --dir ca")]
    Init {
        /// Where the authority's certificate and key go.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make the certificate and key of one node.
    #[command(after_help = "\
Example:
  faasm cert issue --dir ca --node 1 --ip 10.0.0.1 --out n1/certs")]
    Issue {
        /// Where the authority is.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The node's id.
        #[arg(long, value_name = "N")]
        node: NodeId,
        /// Its addresses.
        #[arg(long, value_name = "IP", value_delimiter = ',', required = true)]
        ip: Vec<IpAddr>,
        /// Where the node's certificate and key go, with the authority's certificate.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Serialize)]
struct InitView {
    cluster: String,
    dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct IssueView {
    node: String,
    dir: PathBuf,
}

/// Runs `faasm cert`.
pub fn run(globals: &Globals, args: &CertArgs) -> Result<(), CliError> {
    match &args.command {
        Command::Init { dir } => {
            let cluster = ClusterId::random();
            create_authority(cluster, dir)?;
            let view = InitView { cluster: cluster.to_string(), dir: dir.clone() };
            let text = format!(
                "made the authority of cluster {cluster} in {}; write the cluster file's id as\n\
                 id = \"{cluster}\"",
                dir.display()
            );
            if globals.json { out::json(&view) } else { out::line(text) }
        }
        Command::Issue { dir, node, ip, out } => {
            issue(dir, *node, ip, out)?;
            let view = IssueView { node: node.to_string(), dir: out.clone() };
            let text = format!("made the certificate of {node} in {}", out.display());
            if globals.json { out::json(&view) } else { out::line(text) }
        }
    }
}

/// Makes the authority of a cluster in `dir`, which must not have one.
pub fn create_authority(cluster: ClusterId, dir: &Path) -> Result<(), CliError> {
    CertificateAuthority::create(cluster).and_then(|ca| ca.save(dir)).map_err(failed)
}

/// Makes a node's certificate in `out`, by the authority in `dir`.
pub fn issue(dir: &Path, node: NodeId, ips: &[IpAddr], out: &Path) -> Result<(), CliError> {
    let authority = CertificateAuthority::load(dir).map_err(failed)?;
    authority.issue(node, ips).and_then(|identity| identity.save(out)).map_err(failed)
}

fn failed(error: IdentityError) -> CliError {
    CliError::local(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Identity;

    #[test]
    fn a_node_gets_what_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, node) = (dir.path().join("ca"), dir.path().join("n1/certs"));
        create_authority(ClusterId::random(), &ca).unwrap();
        issue(&ca, NodeId(1), &["127.0.0.1".parse().unwrap()], &node).unwrap();
        assert!(Identity::load(&node).is_ok());
        let error = create_authority(ClusterId::random(), &ca).unwrap_err();
        assert!(error.message.contains("exists"), "{error}");
        let none = dir.path().join("none");
        assert!(issue(&none, NodeId(1), &[], &node).is_err());
    }
}
