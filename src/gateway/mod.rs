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
//! | `/v1/nodes` | GET |
//! | `/healthz`, `/readyz`, `/metrics` | GET |
//!
//! An error is answered as `{"error":{"code","detail","call"}}`; [`error`] has the table of codes
//! and statuses. A request passes the [`server`] (connections), the [`front`] (heads, admission),
//! its route, and a pure function that reads it; what is answered is shaped in [`view`].
//!
//! A client that goes away cancels its synchronous call: hyper drops the request's future, and with
//! it the future of the call, which is awaited in the handler and never spawned.

pub mod body;
mod calls;
pub mod error;
mod extract;
pub mod front;
mod functions;
#[doc(hidden)]
pub mod fuzzing;
mod invoke;
mod io;
pub mod metrics;
mod nodes;
pub mod query;
pub mod request;
mod routes;
pub mod server;
mod state;
pub mod upload;
pub mod view;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::front::Front;
use self::server::{Patience, Server};
use self::state::Gateway;
use crate::config::{GatewayOptions, not_loopback};
use crate::node::Handles;
use crate::telemetry;

/// How often the samples of histograms are summed when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why the API could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can be reached from elsewhere.
    #[error("HTTP address {}", not_loopback(*.0))]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("HTTP address {0} cannot be listened on: {1}; is it taken by another node?")]
    Listen(SocketAddr, std::io::Error),
}

/// The API of a node, being served.
pub struct GatewayServer {
    server: Server,
    upkeep: JoinHandle<()>,
}

impl GatewayServer {
    /// Where it listens; port 0 is resolved.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops: nothing new is accepted, requests under way get `grace` to end.
    pub async fn stop(self, grace: Duration) {
        self.server.stop(grace).await;
        self.upkeep.abort();
    }
}

/// Serves the API on `address`, which must be on loopback.
pub async fn serve(
    address: SocketAddr,
    handles: Handles,
    options: GatewayOptions,
) -> Result<GatewayServer, ServeError> {
    let listener = listen(address).await?;
    let recorder = telemetry::init_metrics();
    metrics::describe();
    let upkeep = tokio::spawn(keep_up(recorder.clone()));
    let (requests, connections) = (options.requests, options.connections);
    let router = routes::router(Gateway::new(handles, options, recorder));
    let front = Front::new(router, requests);
    let server = Server::start(listener, front, connections, Patience::default())
        .map_err(|error| ServeError::Listen(address, error))?;
    Ok(GatewayServer { server, upkeep })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))
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

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        let outside = "0.0.0.0:0".parse().unwrap();
        let text = listen(outside).await.unwrap_err().to_string();
        assert!(text.contains("0.0.0.0:0") && text.contains("127.0.0.1"), "{text}");
        let taken = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let text = listen(address).await.unwrap_err().to_string();
        assert!(text.contains(&address.to_string()), "{text}");
    }
}
