//! What every handler has.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

use super::access::Door;
use super::body::Budget;
use super::error::ApiError;
use crate::config::GatewayOptions;
use crate::errno::Errno;
use crate::node::Handles;

/// The node's handles, and what requests share.
pub struct Gateway {
    /// The node.
    pub handles: Handles,
    /// Settings.
    pub options: GatewayOptions,
    /// Renders `/metrics`.
    pub recorder: PrometheusHandle,
    /// Memory for request bodies.
    pub budget: Budget,
    /// Who knows the users.
    pub door: Arc<Door>,
}

impl Gateway {
    /// Puts them together.
    pub fn new(
        handles: Handles,
        options: GatewayOptions,
        recorder: PrometheusHandle,
        door: Arc<Door>,
    ) -> Arc<Self> {
        let budget = Budget::new(options.bodies_bytes);
        Arc::new(Self { handles, options, recorder, budget, door })
    }
}

/// What a handler answers.
pub type Answer = Result<Response, ApiError>;

/// A JSON response.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let body = serde_json::to_string(value)
        .map_err(|error| ApiError::new(Errno::Failed, format!("the answer is no JSON: {error}")))?;
    let kind = HeaderValue::from_static("application/json");
    Ok((status, [(CONTENT_TYPE, kind)], body).into_response())
}

/// A response of plain bytes.
pub fn bytes(bytes: bytes::Bytes) -> Response {
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(CONTENT_TYPE, kind)], bytes).into_response()
}
