//! TLS for clients, with the node's certificate, which can be changed while the node serves.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::Identity;

/// Handshakes at once: each takes a millisecond or so of a processor. Others wait.
const HANDSHAKES: usize = 64;
/// Longest time for a client to come through its handshake, with its wait for others.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// What the first byte of a TLS connection is: a handshake record.
const HANDSHAKE_RECORD: u8 = 0x16;

/// The node's certificate is of no use for TLS.
#[derive(Debug, thiserror::Error)]
#[error("the node's certificate is of no use for HTTPS: {0}; make a new one with `faasm cert`")]
pub struct BadIdentity(String);

/// Makes TLS of connections. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
    handshakes: Arc<Semaphore>,
}

/// The certificate shown to clients now.
struct Certificate(ArcSwap<CertifiedKey>);

impl fmt::Debug for Certificate {
    /// Leaves the private key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// How a connection on a TLS address began.
pub enum Began {
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// With something else, most likely HTTP as it is.
    Plain(TcpStream),
    /// Not at all: it broke off or took too long.
    Lost,
}

impl Tls {
    /// TLS 1.2 and 1.3 with this identity.
    pub fn new(identity: &Identity) -> Result<Self, BadIdentity> {
        let certificate = Arc::new(Certificate(ArcSwap::from_pointee(certified(identity)?)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| BadIdentity(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { acceptor, certificate, handshakes: Arc::new(Semaphore::new(HANDSHAKES)) })
    }

    /// Shows another certificate from the next handshake on; open connections stay.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), BadIdentity> {
        self.certificate.0.store(Arc::new(certified(identity)?));
        Ok(())
    }

    /// Shakes hands on a new connection.
    pub async fn begin(&self, stream: TcpStream) -> Began {
        let shake = async {
            let mut first = [0];
            match stream.peek(&mut first).await {
                Ok(1) if first == [HANDSHAKE_RECORD] => {}
                Ok(1) => return Began::Plain(stream),
                _ => return Began::Lost,
            }
            // It is never closed.
            let Ok(_turn) = self.handshakes.acquire().await else { return Began::Lost };
            match self.acceptor.accept(stream).await {
                Ok(stream) => Began::Tls(Box::new(stream)),
                Err(error) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    Began::Lost
                }
            }
        };
        tokio::time::timeout(HANDSHAKE, shake).await.unwrap_or(Began::Lost)
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, BadIdentity> {
    let bad = |error: &dyn fmt::Display| BadIdentity(error.to_string());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(identity.cert_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| bad(&error))?;
    let key =
        PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|error| bad(&error))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| bad(&error))
}

/// A client's connection, encrypted or not.
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
