//! The gateway: the HTTP API of a node, the same through any node.
//!
//! | path | methods |
//! |---|---|
//! | `/v1/functions` | GET (`?user=`) |
//! | `/v1/functions/{user}/{name}` | GET, PUT (body: the module), DELETE |
//! | `/v1/functions/{user}/{name}/invoke` | POST (body in, body out; `?async`) |
//! | `/v1/calls` | GET (`?limit=`) |
//! | `/v1/calls/{id}` | GET (`?wait=10s`), DELETE (cancels) |
//! | `/v1/calls/{id}/output`, `/v1/calls/{id}/logs` | GET |
//! | `/v1/state/{user}` | GET (`?prefix=&after=&limit=`) |
//! | `/v1/state/{user}/{key}` | GET (`Range`; `?info`), PUT (body: the value; `?offset=`), DELETE |
//! | `/v1/locks`, `/v1/shards` | GET |
//! | `/v1/nodes`, `/v1/whoami` | GET |
//! | `/v1/nodes/join` | POST (a node that shows a join token) |
//! | `/v1/nodes/tokens`, `/v1/nodes/tokens/{name}` | GET, POST; DELETE |
//! | `/v1/nodes/{id}`, `/v1/nodes/{id}/drain` | DELETE (`?force`); PUT, DELETE |
//! | `/v1/nodes/self` | GET |
//! | `/v1/users` | GET |
//! | `/v1/users/{user}` | PUT (makes one), PATCH, DELETE |
//! | `/v1/users/{user}/tokens` | POST (makes one), DELETE (revokes all) |
//! | `/v1/users/{user}/tokens/{id}` | DELETE |
//! | `/healthz`, `/readyz`, `/metrics` | GET |
//!
//! Who may use what is in the table of [`routes`]; [`access`] enforces it. Off loopback everything
//! is HTTPS, and every request but those for health needs a token.
//!
//! An error is answered as `{"error":{"code","detail","call"}}`; [`error`] has the table of codes
//! and statuses. A request passes the [`server`] (connections, [`tls`]), the [`front`] (heads, whose
//! it is, admission for the node and in [`lanes`] for its user),
//! its route, and a pure function that reads it; what is answered is shaped in [`view`].
//!
//! A client that goes away cancels its synchronous call: hyper drops the request's future, and with
//! it the future of the call, which is awaited in the handler and never spawned.

pub mod access;
pub mod body;
mod calls;
pub mod certs;
pub mod error;
mod extract;
pub mod front;
mod functions;
#[doc(hidden)]
pub mod fuzzing;
mod invoke;
mod io;
pub mod job_view;
mod jobs;
mod join;
pub mod join_view;
pub mod lanes;
mod leavers;
mod listening;
pub mod metrics;
mod nodes;
pub mod query;
pub mod request;
mod routes;
pub mod server;
mod state;
pub mod tls;
pub mod upload;
pub mod user_query;
pub mod user_view;
mod users;
pub mod values;
pub mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::access::Door;
use self::front::Front;
use self::server::{Bounds, Patience, Server};
use self::state::Gateway;
use self::tls::BadIdentity;
pub use self::tls::Tls;
use crate::config::GatewayOptions;
use crate::net::Identity;
use crate::node::Handles;
use crate::telemetry;

/// How often the samples of histograms are summed when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why the API could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody could show a token.
    #[error(
        "HTTP address {0} is not on loopback, where every request needs a token, and this new \
         cluster has no admin: put `admin_token_hash`, as `faasm cert init` prints it, into the \
         cluster file, or use 127.0.0.1 or [::1]"
    )]
    NoAdmin(SocketAddr),
    /// The node's certificate is of no use.
    #[error(transparent)]
    Certificate(#[from] BadIdentity),
    /// The address cannot be listened on.
    #[error("HTTP address {0} cannot be listened on: {1}; is it taken by another node?")]
    Listen(SocketAddr, std::io::Error),
}

/// What the API is served with.
pub struct GatewaySetup {
    /// Where to listen; off loopback with TLS and tokens only.
    pub address: SocketAddr,
    /// The node.
    pub handles: Handles,
    /// Settings.
    pub options: GatewayOptions,
    /// The node's certificate.
    pub identity: Identity,
}

/// The API of a node, being served.
pub struct GatewayServer {
    server: Server,
    tls: Option<Tls>,
    tasks: [JoinHandle<()>; 2],
}

impl GatewayServer {
    /// Where it listens; port 0 is resolved.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Shows clients another certificate from now on, if it speaks TLS; open connections stay.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), BadIdentity> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.set_identity(identity))
    }

    /// The same, for a task of its own; none without TLS.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// It will stop soon: clients are told that their connections close.
    pub fn begin_to_stop(&self) {
        self.server.begin_to_stop();
    }

    /// Stops: nothing new is accepted, requests under way get `grace` to end.
    pub async fn stop(self, grace: Duration) {
        self.server.stop(grace).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Serves the API.
pub async fn serve(setup: GatewaySetup) -> Result<GatewayServer, ServeError> {
    let GatewaySetup { address, handles, options, identity } = setup;
    let loopback = address.ip().is_loopback();
    let tls = protection(address, &options, &identity)?;
    let listener =
        TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))?;
    let recorder = telemetry::init_metrics();
    metrics::describe();
    let upkeep = tokio::spawn(keep_up(recorder.clone()));
    let (users, calls) = (handles.consensus.watch_users(), handles.calls.clone());
    let consensus = handles.consensus.clone();
    let door = Door::new(users.clone(), loopback).knowing(move || consensus.session_is_live());
    let door = Arc::new(door);
    let bounds = Bounds { all: options.connections, address: options.address_connections() };
    let router = routes::router(Gateway::new(handles, options.clone(), recorder, door.clone()));
    let front = Front::new(router, door, &options);
    let leavers = tokio::spawn(leavers::follow(users, front.clone(), calls));
    let server = Server::start(listener, front, bounds, tls.clone(), Patience::default())
        .map_err(|error| ServeError::Listen(address, error))?;
    Ok(GatewayServer { server, tls, tasks: [upkeep, leavers] })
}

/// Whether a node may serve on `address`: off loopback only where somebody has a token.
/// `has_admin`: the cluster has an admin, or gets one when it is founded.
pub fn check(address: SocketAddr, has_admin: bool) -> Result<(), ServeError> {
    match has_admin || address.ip().is_loopback() {
        true => Ok(()),
        false => Err(ServeError::NoAdmin(address)),
    }
}

/// What protects an address: nothing on loopback unless it is asked for, else TLS.
fn protection(
    address: SocketAddr,
    options: &GatewayOptions,
    identity: &Identity,
) -> Result<Option<Tls>, ServeError> {
    if address.ip().is_loopback() && !options.tls {
        return Ok(None);
    }
    Ok(Some(Tls::new(identity)?))
}

async fn keep_up(recorder: metrics_exporter_prometheus::PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClusterId, NodeId};
    use crate::net::CertificateAuthority;

    #[test]
    fn off_loopback_there_is_tls_and_an_admin_or_no_gateway() {
        let ca = CertificateAuthority::create(ClusterId::random()).unwrap();
        let identity = ca.issue(NodeId(1), &[]).unwrap();
        let (outside, inside) = ("0.0.0.0:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
        let (plain, tls) =
            (GatewayOptions::default(), GatewayOptions { tls: true, ..Default::default() });
        assert!(protection(outside, &plain, &identity).unwrap().is_some());
        assert!(protection(inside, &plain, &identity).unwrap().is_none());
        assert!(protection(inside, &tls, &identity).unwrap().is_some());
        assert!(check(inside, false).is_ok() && check(outside, true).is_ok());
        let text = check(outside, false).unwrap_err().to_string();
        assert!(text.contains("0.0.0.0:0") && text.contains("admin_token_hash"), "{text}");
        let none = Identity { cert_pem: String::new(), ..identity };
        let text = protection(outside, &plain, &none).err().unwrap().to_string();
        assert!(text.contains("faasm cert"), "{text}");
    }
}
