//! Making a new local cluster: addresses, id, authority, cluster file.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::Path;

use super::layout::Layout;
use crate::cli::cert;
use crate::cli::exit::{CliError, Exit};
use crate::config::{ClusterConfig, NodeAddress, Options};
use crate::id::{ClusterId, NodeId};

/// Where ports are picked: below those that the system gives to outgoing connections, so that a
/// node finds its ports free when it is started again.
const PORTS: Range<u16> = 15_000..32_000;
/// Tries at a free port, of 17,000 that there are.
const TRIES: usize = 1000;

/// What a new cluster is made from.
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many nodes, when no file says.
    pub nodes: usize,
    /// A file with its addresses.
    pub config: Option<&'a Path>,
}

/// Makes the cluster's file and authority. The file comes last: as long as it is missing, there is
/// no cluster, and a command that was broken off has left nothing that counts.
pub fn make(layout: &Layout, wanted: &Wanted<'_>) -> Result<ClusterConfig, CliError> {
    if layout.has_strangers()? {
        let dir = layout.root().display();
        let message = format!("{dir} is not empty and holds no cluster: name another --data-dir");
        return Err(CliError::local(message));
    }
    let mut config = match wanted.config {
        Some(file) => ClusterConfig::load(file).map_err(|e| usage(e.to_string()))?,
        None => pick(wanted.name, wanted.nodes)?,
    };
    let id = config.cluster_id().unwrap_or_else(ClusterId::random);
    config.id = Some(id.to_string());
    let ca = layout.ca();
    if ca.exists() {
        std::fs::remove_dir_all(&ca).map_err(|error| CliError::file(&ca, &error))?;
    }
    cert::create_authority(id, &ca)?;
    let text = toml::to_string(&config)
        .map_err(|error| CliError::local(format!("the cluster file is no TOML: {error}")))?;
    let text = format!("# Made by `faasm cluster up`.\n{text}");
    write_whole(&layout.config(), text.as_bytes())?;
    Ok(config)
}

/// Makes the certificates that are missing.
pub fn issue_certificates(layout: &Layout, config: &ClusterConfig) -> Result<(), CliError> {
    for node in &config.nodes {
        let certs = layout.certs(NodeId(node.id));
        if !certs.join("node.pem").exists() {
            let ips = [node.quic.ip(), node.http.ip()];
            cert::issue(&layout.ca(), NodeId(node.id), &ips, &certs)?;
        }
    }
    Ok(())
}

/// Keeps a copy of the options, checked, for this start and later ones.
pub fn keep_options(layout: &Layout, file: &Path) -> Result<(), CliError> {
    Options::load(file).map_err(|error| usage(error.to_string()))?;
    let text = std::fs::read(file).map_err(|error| CliError::file(file, &error))?;
    write_whole(&layout.options(), &text)
}

/// Says what of the request does not fit the cluster that is there.
pub fn check_fits(
    layout: &Layout,
    config: &ClusterConfig,
    nodes: Option<usize>,
    file: Option<&Path>,
) -> Result<(), CliError> {
    let dir = layout.root().display();
    if let Some(nodes) = nodes.filter(|nodes| *nodes != config.nodes.len()) {
        return Err(usage(format!(
            "the cluster in {dir} has {} nodes, not {nodes}: leave --nodes out, or make another \
             with --data-dir",
            config.nodes.len()
        )));
    }
    if let Some(file) = file {
        let wanted = ClusterConfig::load(file).map_err(|error| usage(error.to_string()))?;
        if wanted.nodes != config.nodes {
            return Err(usage(format!(
                "the cluster in {dir} has other nodes than {}: leave --config out, or make another \
                 with --data-dir",
                file.display()
            )));
        }
    }
    Ok(())
}

/// A cluster of `nodes` nodes on free ports of loopback.
fn pick(name: &str, nodes: usize) -> Result<ClusterConfig, CliError> {
    // Held until all are picked, so that none is picked twice.
    let mut held = Vec::with_capacity(nodes);
    let mut addresses = Vec::with_capacity(nodes);
    for id in 1..=nodes as u64 {
        let (quic, udp) = free(UdpSocket::bind)?;
        let (http, tcp) = free(TcpListener::bind)?;
        held.push((udp, tcp));
        addresses.push(NodeAddress { id, quic, http });
    }
    Ok(ClusterConfig {
        name: name.to_owned(),
        id: None,
        admin_token_hash: None,
        founders: Vec::new(),
        nodes: addresses,
    })
}

fn free<T>(bind: fn(SocketAddr) -> std::io::Result<T>) -> Result<(SocketAddr, T), CliError> {
    for _ in 0..TRIES {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        if let Ok(bound) = bind(address) {
            return Ok((address, bound));
        }
    }
    let message = format!("no free port found on 127.0.0.1 from {} to {}", PORTS.start, PORTS.end);
    Err(CliError::local(message))
}

/// Writes a file so that it is there whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |error| CliError::file(path, &error);
    let part = path.with_extension("part");
    let mut file = std::fs::File::create(&part).map_err(failed)?;
    std::io::Write::write_all(&mut file, bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)
}

fn usage(message: String) -> CliError {
    CliError::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Wanted<'_> = Wanted { name: "test", nodes: 3, config: None };

    #[test]
    fn a_new_cluster_has_an_id_free_ports_and_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let made = make(&layout, &THREE).unwrap();
        assert_eq!(layout.load().unwrap(), made);
        assert!(made.cluster_id().is_some());
        for node in &made.nodes {
            assert!(PORTS.contains(&node.quic.port()) && PORTS.contains(&node.http.port()));
        }
        issue_certificates(&layout, &made).unwrap();
        for node in 1..=3 {
            let identity = crate::net::Identity::load(&layout.certs(NodeId(node)));
            assert!(identity.is_ok(), "{identity:?}");
        }
        // Again is fine, and changes nothing.
        let before = std::fs::read(layout.certs(NodeId(1)).join("node.pem")).unwrap();
        issue_certificates(&layout, &made).unwrap();
        let after = std::fs::read(layout.certs(NodeId(1)).join("node.pem")).unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn a_cluster_that_was_half_made_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let first = make(&layout, &THREE).unwrap();
        std::fs::remove_file(layout.config()).unwrap();
        let second = make(&layout, &THREE).unwrap();
        assert_ne!(first.id, second.id);
        issue_certificates(&layout, &second).unwrap();
    }

    #[test]
    fn the_addresses_of_a_file_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/local.toml");
        let wanted = Wanted { config: Some(&file), ..THREE };
        let made = make(&layout, &wanted).unwrap();
        assert_eq!(made.nodes, ClusterConfig::load(&file).unwrap().nodes);
        assert!(check_fits(&layout, &made, Some(3), Some(&file)).is_ok());
        let error = check_fits(&layout, &made, Some(4), None).unwrap_err();
        assert!(error.exit == Exit::Usage && error.message.contains("3 nodes, not 4"), "{error}");
    }

    #[test]
    fn other_peoples_directories_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("n1")).unwrap();
        let error = make(&Layout::new(dir.path()), &THREE).unwrap_err();
        assert!(error.message.contains("not empty"), "{error}");
    }
}
