//! A door for tests that feed malformed requests to the gateway's readers without a node behind
//! them: the routes parse all that a request asks for, and do nothing. No part of the API.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request};
use axum::response::Response;
use axum::routing::{get, post};
use http::HeaderMap;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::access::Door;
use super::body::{self, Budget};
use super::error::ApiError;
use super::extract::Key;
use super::front::{Front, MAX_HEAD};
use super::lanes::Connection;
use super::request::{self, Asked};
use super::upload;
use crate::config::GatewayOptions;
use crate::id::CallId;

/// Largest body taken, in bytes.
const BODY: usize = 64 << 10;

/// The gateway's readers behind its own limits.
pub struct Readers {
    front: Arc<Front>,
    budget: Budget,
}

impl Default for Readers {
    fn default() -> Self {
        let budget = Budget::new(16 * BODY);
        let options = GatewayOptions { requests: 16, ..GatewayOptions::default() };
        let front = Front::new(
            router(&budget),
            Arc::new(Door::new(tokio::sync::watch::channel(Arc::default()).1, true)),
            &options,
        );
        Self { front, budget }
    }
}

impl Readers {
    /// Serves the bytes of one connection, which the client then closes for writing; gives what is
    /// answered. Needs a runtime with timers.
    pub async fn serve(&self, bytes: &[u8]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(bytes.len().max(1));
        let front = self.front.clone();
        let place = Arc::new(Connection::default());
        let service = service_fn(move |request: http::Request<Incoming>| {
            let front = front.clone();
            let connection = place.clone();
            async move {
                let answer = front.handle(&connection, request.map(Body::new)).await;
                Ok::<Response, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Else it would not answer what came before the end.
            .half_close(true)
            .max_headers(100)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(server), service);
        let talk = async {
            let mut answer = Vec::new();
            // Whatever the server does with the connection is an answer.
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        tokio::join!(async { drop(connection.await) }, talk).1
    }

    /// Bytes that requests still hold.
    pub fn held(&self) -> usize {
        16 * BODY - self.budget.left()
    }
}

fn router(budget: &Budget) -> Router {
    let read = {
        let budget = budget.clone();
        move |body: Body| {
            let budget = budget.clone();
            async move { body::read(body, BODY, &budget).await }
        }
    };
    let (reads, takes) = (read.clone(), read);
    let put = move |Key(_): Key, RawQuery(query): RawQuery, request: Request| async move {
        upload::parse(query.as_deref())?;
        upload::check_module(&takes(request.into_body()).await?.bytes)
    };
    let invoke = move |Key(key): Key, RawQuery(query): RawQuery, headers: HeaderMap, r: Request| async move {
        Asked::parse(key, query.as_deref(), &headers)?;
        Ok::<_, ApiError>(reads(r.into_body()).await?.bytes)
    };
    let show = |Key(_): Key, RawQuery(q): RawQuery| async move { request::nothing(q.as_deref()) };
    let call = |Path(id): Path<String>, RawQuery(query): RawQuery| async move {
        id.parse::<CallId>()?;
        request::wait(query.as_deref()).map(drop)
    };
    let calls =
        |RawQuery(query): RawQuery| async move { request::listed(query.as_deref()).map(drop) };
    let functions =
        |RawQuery(query): RawQuery| async move { request::user(query.as_deref()).map(drop) };
    Router::new()
        .route("/v1/functions/{user}/{name}/invoke", post(invoke))
        .route("/v1/functions/{user}/{name}", get(show).put(put))
        .route("/v1/functions", get(functions))
        .route("/v1/calls", get(calls))
        .route("/v1/calls/{id}", get(call))
}
