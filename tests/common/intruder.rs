//! A program that speaks QUIC to a node: with a certificate of its cluster, one of its own making,
//! or none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faasm::config::ClusterConfig;
use faasm::id::{ClusterId, Incarnation, NodeId};
use faasm::net::{CertName, CertificateAuthority, Identity};
use faasm::node::TLS_DIR;
use faasm::wire::hello::Hello;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::processes::Processes;

/// What it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The certificate of a node of the cluster.
    Certificate,
    /// A certificate with the same name, of an authority of its own.
    SelfMade,
    /// Nothing.
    Nothing,
}

/// The intruder: it has the place of node 1, which is down, and looks at node 2.
pub struct Intruder {
    endpoint: Endpoint,
    victim: SocketAddr,
    cluster: ClusterId,
    name: String,
}

impl Intruder {
    /// With the data of a cluster of processes. Needs a tokio runtime.
    pub fn new(cluster: &Processes, shows: Shows) -> Self {
        let file = std::fs::read_to_string(cluster.dir().join("cluster.toml")).expect("a cluster");
        let config: ClusterConfig = toml::from_str(&file).expect("a cluster file");
        let id = config.cluster_id().expect("an id");
        let victim = config.node(NodeId(2)).expect("node 2").quic;
        let of_one = Identity::load(&cluster.dir().join("n1").join(TLS_DIR)).expect("its identity");
        let identity = match shows {
            Shows::Certificate => Some(of_one.clone()),
            Shows::Nothing => None,
            Shows::SelfMade => {
                let authority = CertificateAuthority::create(id).expect("an authority");
                Some(authority.issue(NodeId(1), &[]).expect("a certificate"))
            }
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut endpoint = Endpoint::client(any).expect("a socket");
        endpoint.set_default_client_config(client(&of_one.ca_pem, identity.as_ref()));
        let name = CertName { node: NodeId(2), cluster: id }.to_string();
        Self { endpoint, victim, cluster: id, name }
    }

    /// Where the victim listens.
    pub fn victim(&self) -> SocketAddr {
        self.victim
    }

    /// A hello of node 1, in a life that never was.
    pub fn hello(&self) -> Hello {
        Hello::new(self.cluster, NodeId(1), Incarnation(1_000))
    }

    /// A connection before its hello.
    pub async fn dial(&self) -> Result<Connection, ConnectionError> {
        self.endpoint.connect(self.victim, &self.name).expect("a name").await
    }

    /// A connection that is a peer's.
    pub async fn enter(&self) -> Option<Connection> {
        let conn = self.dial().await.ok()?;
        let (mut send, mut recv) = conn.open_bi().await.ok()?;
        let hello = self.hello().encode();
        send.write_all(&hello).await.ok()?;
        let mut theirs = vec![0; hello.len()];
        recv.read_exact(&mut theirs).await.ok()?;
        send.write_all(&[1]).await.ok()?;
        send.finish().ok()?;
        Some(conn)
    }
}

/// What the other end said at the end of a connection, if it ends in time.
pub async fn last_words(conn: &Connection, patience: Duration) -> Option<String> {
    match tokio::time::timeout(patience, conn.closed()).await.ok()? {
        ConnectionError::ApplicationClosed(close) => {
            Some(String::from_utf8_lossy(&close.reason).into_owned())
        }
        error => Some(error.to_string()),
    }
}

fn client(ca_pem: &str, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let mut tls = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.cert_pem.as_bytes());
            let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
        }
    };
    tls.alpn_protocols = vec![b"faasm-net".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("QUIC")));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(500)));
    config.transport_config(Arc::new(transport));
    config
}
