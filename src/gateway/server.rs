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
use axum::response::{IntoResponse, Response};
use http::Request;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::error::ApiError;
use super::front::{Front, MAX_HEAD};
use super::io::WriteDeadline;
use super::lanes::Connection;
use super::listening;
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
/// request is on its way, most likely.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// The same for a connection that is idle between requests: a client that asks often is told by an
/// answer that the connection closes, and sends nothing into one that does.
const IDLE: Duration = Duration::from_millis(100);
/// When the server stops, a client gets no longer than this to close its end.
const LAST_LINGER: Duration = Duration::from_millis(500);
/// How long connections may still complete that clients began before new ones were kept out.
const HALF_OPEN: Duration = Duration::from_millis(100);
/// How long the last answers may take that are given for want of better ones.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Wait after a failed accept, which is nearly always for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What accepts and serves connections until it is stopped.
pub struct Server {
    local: SocketAddr,
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It serves.
    Serving,
    /// It serves, and each answer is the last on its connection.
    Leaving,
    /// It takes no new connections, and ends those that wait for requests.
    Closing,
    /// What is still under way is given up, and answered so.
    Over,
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
        let (phase, phases) = watch::channel(Phase::Serving);
        let lingering = Arc::new(Semaphore::new((bounds.all / LINGERING).max(1)));
        let shared = Shared { front, patience, lingering, phases };
        let acceptor = Acceptor { shared, bounds, tls, addresses: Addresses::default() };
        let task = tokio::spawn(acceptor.run(listener));
        Ok(Self { local, phase, task })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// It will stop soon: requests are answered as before, and each answer tells its client that
    /// the connection closes.
    pub fn begin_to_stop(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Stops: nothing new is accepted, and idle connections close. Requests under way get `grace`
    /// to end; then they are dropped, and answered with an error.
    pub async fn stop(mut self, grace: Duration) {
        self.phase.send_replace(Phase::Closing);
        if tokio::time::timeout(grace, &mut self.task).await.is_ok() {
            return;
        }
        self.phase.send_replace(Phase::Over);
        if tokio::time::timeout(LAST_ANSWERS, &mut self.task).await.is_err() {
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

/// The connections, those that are served and those that are told why not.
#[derive(Default)]
struct Open {
    serving: JoinSet<()>,
    refusing: JoinSet<()>,
}

/// What each connection has of the server.
#[derive(Clone)]
struct Shared {
    front: Arc<Front>,
    patience: Patience,
    lingering: Arc<Semaphore>,
    phases: watch::Receiver<Phase>,
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
        let mut phases = self.shared.phases.clone();
        let mut open = Open::default();
        loop {
            tokio::select! {
                () = reached(&mut phases, Phase::Closing) => break,
                Some(_) = open.serving.join_next() => self.shared.left(),
                Some(_) = open.refusing.join_next() => {}
                accepted = listener.accept() => self.take(accepted, &mut open).await,
            }
        }
        // A connection that is complete for its client is served: closing the listener would reset
        // those that it holds. So it first gets no new ones, and then all that it holds are taken.
        if let Err(error) = listening::keep_out_new(&listener) {
            tracing::debug!(%error, "connections that are made now may be reset");
        }
        let until = Instant::now() + HALF_OPEN;
        while let Ok(accepted) = tokio::time::timeout_at(until, listener.accept()).await {
            self.take(accepted, &mut open).await;
        }
        drop(listener);
        while open.serving.join_next().await.is_some() {
            self.shared.left();
        }
        while open.refusing.join_next().await.is_some() {}
    }

    /// Serves a connection, or says why not.
    async fn take(&self, accepted: io::Result<(TcpStream, SocketAddr)>, open: &mut Open) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                return tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        };
        match self.place(peer.ip(), open.serving.len()) {
            Ok(from) => {
                self.shared.front.metrics.connections.increment(1.0);
                open.serving.spawn(self.connection(stream, from));
            }
            Err(full) => {
                self.shared.front.metrics.refused.increment(1);
                // Said in the clear; who speaks TLS sees a connection that is closed.
                if open.refusing.len() < MAX_REFUSING && self.tls.is_none() {
                    let shared = self.shared.clone();
                    open.refusing.spawn(async move {
                        shared.answer_and_close(Stream::Plain(stream), full).await;
                    });
                }
            }
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
    /// A connection is gone.
    fn left(&self) {
        self.front.metrics.connections.decrement(1.0);
    }

    /// Serves one connection to its end.
    async fn serve(mut self, stream: Stream) {
        let known = Arc::new(Connection::default());
        let asked = Arc::new(AtomicBool::new(false));
        let (was_asked, shared) = (asked.clone(), self.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (shared, known) = (shared.clone(), known.clone());
            Box::pin(async move {
                Ok::<Response, Infallible>(shared.answer(&known, request.map(Body::new)).await)
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
            tokio::select! {
                // First: what has arrived is read before the connection is found idle.
                biased;
                ended = &mut until_done => break ended,
                () = time_to_close(&mut self.phases, &was_asked), if !asked_to_stop => {
                    asked_to_stop = true;
                }
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

    /// Answers a request; on a server that stops as the last one of its connection.
    async fn answer(mut self, known: &Connection, request: Request<Body>) -> Response {
        let is_read = request.method().is_safe();
        let mut response = tokio::select! {
            biased;
            response = self.front.clone().handle(known, request) => response,
            () = reached(&mut self.phases, Phase::Over) => given_up(is_read).into_response(),
        };
        if *self.phases.borrow() >= Phase::Leaving {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
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
        let mut phases = self.phases.clone();
        tokio::select! {
            _closed = tokio::time::timeout(self.patience.linger, drain) => {}
            () = stays(&mut phases, LAST_LINGER) => {}
        }
    }
}

/// Waits for a phase; a server that is gone is past all.
async fn reached(phases: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _reached = phases.wait_for(|phase| *phase >= wanted).await.is_ok();
}

/// Waits until a connection on which nothing is under way is to close.
async fn time_to_close(phases: &mut watch::Receiver<Phase>, was_asked: &AtomicBool) {
    reached(phases, Phase::Closing).await;
    let limit = if was_asked.load(Ordering::Relaxed) { IDLE } else { FIRST_REQUEST };
    stays(phases, limit).await;
}

/// Waits until the server stops, and then so long, or until it is over.
async fn stays(phases: &mut watch::Receiver<Phase>, limit: Duration) {
    reached(phases, Phase::Closing).await;
    let _sooner = tokio::time::timeout(limit, reached(phases, Phase::Over)).await;
}

/// What is answered to requests that do not end in time when the server stops.
fn given_up(is_read: bool) -> ApiError {
    if is_read {
        return ApiError::new(Errno::Unavailable, "this node stops; ask another one");
    }
    let detail = "this node stops and could not wait for the end of the request, which may have \
                  been done; ask another node";
    ApiError::new(Errno::HostLost, detail)
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
