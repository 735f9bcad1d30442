//! Connections: accepting them, bounded; serving each; and stopping.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::error::ApiError;
use super::front::{Front, MAX_HEAD};
use super::io::WriteDeadline;
use super::lanes::Connection;
use super::tls::{Began, Stream, Tls};
use crate::errno::Errno;

/// How long connections may wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a whole head, and for the next request on an idle connection.
    pub head: Duration,
    /// For a client to take any of a response.
    pub write: Duration,
    /// For a client to read the last response and close, after this side is done.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            write: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}

/// Most headers of one request.
const MAX_HEADER_COUNT: usize = 100;
/// Most connections that are being told that there are too many; further ones are just closed.
const MAX_REFUSING: usize = 512;
/// How long a connection on which nothing was asked yet stays when the server stops: its first
/// request may be on its way, and is answered.
const FIRST_REQUEST: Duration = Duration::from_millis(100);
/// Wait after a failed accept, which is nearly always for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What accepts and serves connections until it is stopped.
pub struct Server {
    local: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Begins to accept on `listener`, within `bounds`; with TLS if there is one.
    pub fn start(
        listener: TcpListener,
        front: Arc<Front>,
        bounds: Bounds,
        tls: Option<Tls>,
        patience: Patience,
    ) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let lingering = Arc::new(Semaphore::new((bounds.all / LINGERING).max(1)));
        let shared = Shared { front, patience, lingering, stopped };
        let acceptor = Acceptor { shared, bounds, tls, addresses: Addresses::default() };
        let task = tokio::spawn(acceptor.run(listener));
        Ok(Self { local, stop, task })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops: nothing new is accepted, idle connections close, requests under way get `grace` to
    /// end and are dropped then.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
            // Its connections are dropped with it: wait until they are.
            let _aborted = (&mut self.task).await;
        }
    }
}

/// How many connections are open at once.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// All.
    pub all: usize,
    /// Of one address.
    pub address: usize,
}

/// One part of so many of all connections may linger after its end; others are closed at once, so
/// that clients that do not close hold no place.
const LINGERING: usize = 16;

struct Acceptor {
    shared: Shared,
    bounds: Bounds,
    tls: Option<Tls>,
    addresses: Addresses,
}

/// What each connection has of the server.
#[derive(Clone)]
struct Shared {
    front: Arc<Front>,
    patience: Patience,
    lingering: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

/// Open connections by the address they come from.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// One more from an address, which may have so many.
    fn enter(&self, address: IpAddr, most: usize) -> Option<From> {
        let mut open = self.0.lock();
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(From { addresses: self.clone(), address })
    }
}

/// One connection of an address; dropping it counts one less.
struct From {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for From {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock();
        let left = open.get(&self.address).map_or(0, |count| count - 1);
        match left {
            0 => drop(open.remove(&self.address)),
            left => drop(open.insert(self.address, left)),
        }
    }
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut stopped = self.shared.stopped.clone();
        let (mut serving, mut refusing) = (JoinSet::new(), JoinSet::new());
        loop {
            tokio::select! {
                () = told_to_stop(&mut stopped) => break,
                Some(_) = serving.join_next() => self.shared.front.metrics.connections.decrement(1.0),
                Some(_) = refusing.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match self.place(peer.ip(), serving.len()) {
                        Ok(from) => {
                            self.shared.front.metrics.connections.increment(1.0);
                            serving.spawn(self.connection(stream, from));
                        }
                        Err(full) => {
                            self.shared.front.metrics.refused.increment(1);
                            // Said in the clear; who speaks TLS sees a connection that is closed.
                            if refusing.len() < MAX_REFUSING && self.tls.is_none() {
                                let shared = self.shared.clone();
                                refusing.spawn(async move {
                                    shared.answer_and_close(Stream::Plain(stream), full).await;
                                });
                            }
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%error, "an HTTP connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Those that the kernel has accepted have sent their requests, perhaps.
        for _ in 0..MAX_REFUSING {
            let Some(Ok((stream, peer))) = listener.accept().now_or_never() else { break };
            if let Ok(from) = self.place(peer.ip(), serving.len()) {
                self.shared.front.metrics.connections.increment(1.0);
                serving.spawn(self.connection(stream, from));
            }
        }
        drop(listener);
        while serving.join_next().await.is_some() {
            self.shared.front.metrics.connections.decrement(1.0);
        }
    }

    /// Room for a connection of this address, of which `open` are open.
    fn place(&self, address: IpAddr, open: usize) -> Result<From, ApiError> {
        let most = self.bounds.all;
        if open >= most {
            return Err(too_many(&format!("{most} connections")));
        }
        let most = self.bounds.address;
        let from = self.addresses.enter(address, most);
        from.ok_or_else(|| too_many(&format!("{most} connections of {address}")))
    }

    fn connection(&self, stream: TcpStream, from: From) -> impl Future<Output = ()> + Send + use<> {
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        async move {
            let _from = from;
            // Without it, a small response would wait for the acknowledgement of the last.
            if stream.set_nodelay(true).is_err() {
                return;
            }
            match tls {
                None => shared.serve(Stream::Plain(stream)).await,
                Some(tls) => match tls.begin(stream).await {
                    Began::Tls(stream) => shared.serve(Stream::Tls(stream)).await,
                    Began::Plain(stream) => {
                        shared.answer_and_close(Stream::Plain(stream), not_tls()).await;
                    }
                    Began::Lost => {}
                },
            }
        }
    }
}

impl Shared {
    /// Serves one connection to its end.
    async fn serve(mut self, stream: Stream) {
        let (known, front) = (Arc::new(Connection::default()), self.front.clone());
        let asked = Arc::new(AtomicBool::new(false));
        let was_asked = asked.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (front, known) = (front.clone(), known.clone());
            Box::pin(async move {
                Ok::<Response, Infallible>(front.handle(&known, request.map(Body::new)).await)
            })
        });
        let io = TokioIo::new(WriteDeadline::new(stream, self.patience.write));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_headers(MAX_HEADER_COUNT)
            .max_header_size(MAX_HEAD)
            .serve_connection(io, service);
        let mut asked_to_stop = false;
        let ended = loop {
            let mut until_done =
                pin!(std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)));
            let stopped = async {
                told_to_stop(&mut self.stopped).await;
                if !was_asked.load(Ordering::Relaxed) {
                    tokio::time::sleep(FIRST_REQUEST).await;
                }
            };
            tokio::select! {
                ended = &mut until_done => break ended,
                () = stopped, if !asked_to_stop => asked_to_stop = true,
            }
            std::pin::Pin::new(&mut connection).graceful_shutdown();
        };
        let parts = connection.into_parts();
        // It is its user's no more.
        drop(parts.service);
        let stream = parts.io.into_inner().into_inner();
        match ended {
            // It began a request and did not finish its head.
            Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
                self.answer_and_close(stream, slow_head(self.patience.head)).await;
            }
            _ => self.close(stream).await,
        }
    }

    /// Writes an error outside of hyper, and closes.
    async fn answer_and_close(&self, mut stream: Stream, error: ApiError) {
        let body = error.body();
        let retry = if error.error().code == Errno::Full { "retry-after: 1\r\n" } else { "" };
        let response = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\n{retry}content-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            error.status(),
            body.len()
        );
        let written = stream.write_all(response.as_bytes());
        if matches!(tokio::time::timeout(self.patience.linger, written).await, Ok(Ok(()))) {
            self.close(stream).await;
        }
    }

    /// Closes so that the client can still read the last response: bytes of it that nobody reads
    /// (the body of a refused upload) would make the kernel reset the connection.
    async fn close(&self, mut stream: Stream) {
        let drain = async {
            stream.shutdown().await?;
            let Ok(_place) = self.lingering.try_acquire() else { return Ok(()) };
            let mut buffer = vec![0; 16 << 10];
            while stream.read(&mut buffer).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever it ends with, the connection is closed.
        let _closed = tokio::time::timeout(self.patience.linger, drain).await;
    }
}

/// Waits for the word to stop; a server that is gone has said it.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _told = stopped.wait_for(|stop| *stop).await.is_ok();
}

fn too_many(open: &str) -> ApiError {
    let detail =
        format!("{open} are open here, the most that this node takes; try again or ask another");
    ApiError::new(Errno::Full, detail)
}

fn not_tls() -> ApiError {
    ApiError::invalid("this address speaks HTTPS: write https:// instead of http://")
}

fn slow_head(limit: Duration) -> ApiError {
    let detail = format!("the request's head did not come within {} s", limit.as_secs());
    ApiError::new(Errno::TimedOut, detail).with_status(http::StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
