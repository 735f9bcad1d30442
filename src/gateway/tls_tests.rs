use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;
use crate::id::{ClusterId, NodeId};
use crate::net::CertificateAuthority;

fn authority() -> CertificateAuthority {
    CertificateAuthority::create(ClusterId::random()).unwrap()
}

fn issue(authority: &CertificateAuthority) -> Identity {
    authority.issue(NodeId(1), &["127.0.0.1".parse().unwrap()]).unwrap()
}

/// A client that trusts this authority.
fn connector(ca_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Accepts connections, and echoes a byte on those with TLS.
async fn server(tls: Tls) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = Arc::new(AtomicUsize::new(0));
    let seen = plain.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, seen) = (tls.clone(), seen.clone());
            tokio::spawn(async move {
                match tls.begin(stream).await {
                    Began::Tls(stream) => {
                        let mut stream = Stream::Tls(stream);
                        while let Ok(byte) = stream.read_u8().await {
                            stream.write_u8(byte).await.unwrap();
                            stream.flush().await.unwrap();
                        }
                    }
                    Began::Plain(_) => drop(seen.fetch_add(1, Ordering::AcqRel)),
                    Began::Lost => {}
                }
            });
        }
    });
    (address, plain)
}

type Client = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(address: std::net::SocketAddr, ca_pem: &str) -> io::Result<Client> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let mut stream = connector(ca_pem).connect(name, stream).await?;
    stream.write_u8(7).await?;
    stream.flush().await?;
    assert_eq!(stream.read_u8().await?, 7);
    Ok(stream)
}

#[tokio::test]
async fn clients_of_the_authority_connect_by_address_and_others_refuse_the_node() {
    let ca = authority();
    let (address, _) = server(Tls::new(&issue(&ca)).unwrap()).await;
    connect(address, ca.cert_pem()).await.unwrap();
    assert!(connect(address, authority().cert_pem()).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_shown_from_then_on_and_open_connections_stay() {
    let (old, new) = (authority(), authority());
    let tls = Tls::new(&issue(&old)).unwrap();
    let (address, _) = server(tls.clone()).await;
    let mut open = connect(address, old.cert_pem()).await.unwrap();
    tls.set_identity(&issue(&new)).unwrap();
    connect(address, new.cert_pem()).await.unwrap();
    assert!(connect(address, old.cert_pem()).await.is_err());
    open.write_u8(9).await.unwrap();
    open.flush().await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), 9);
    let none = Identity { key_pem: String::new(), ..issue(&new) };
    assert!(tls.set_identity(&none).is_err());
    connect(address, new.cert_pem()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_tls_is_told_apart() {
    let (address, plain) = server(Tls::new(&issue(&authority())).unwrap()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // The end may be a reset: what was sent is not read.
    let _ended = client.read_to_end(&mut rest).await;
    assert_eq!((plain.load(Ordering::Acquire), rest.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let tls = Tls::new(&issue(&authority())).unwrap();
    let begun = tokio::time::Instant::now();
    assert!(matches!(tls.begin(stream).await, Began::Lost));
    assert_eq!(begun.elapsed(), HANDSHAKE);
}
