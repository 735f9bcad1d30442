//! Paths and methods.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use http::Uri;

use super::error::ApiError;
use super::state::Gateway;
use super::{calls, functions, invoke, join, nodes};
use crate::errno::Errno;

/// All routes over a node.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let function = get(functions::show).put(functions::put).delete(functions::delete);
    let call = get(calls::show).delete(calls::cancel);
    let tokens = get(join::tokens).post(join::make_token);
    let drain = put(join::drain).delete(join::undrain);
    Router::new()
        .route("/v1/functions/{user}/{name}/invoke", only("POST", post(invoke::invoke)))
        .route("/v1/functions/{user}/{name}", only("GET, PUT, DELETE", function))
        .route("/v1/functions", only("GET", get(functions::list)))
        .route("/v1/calls", only("GET", get(calls::list)))
        .route("/v1/calls/{id}", only("GET, DELETE", call))
        .route("/v1/calls/{id}/output", only("GET", get(calls::output)))
        .route("/v1/calls/{id}/logs", only("GET", get(calls::logs)))
        .route("/v1/nodes", only("GET", get(nodes::list)))
        .route("/v1/nodes/join", only("POST", post(join::join)))
        .route("/v1/nodes/self", only("GET", get(join::this)))
        .route("/v1/nodes/tokens", only("GET, POST", tokens))
        .route("/v1/nodes/tokens/{name}", only("DELETE", delete(join::revoke_token)))
        .route("/v1/nodes/{id}", only("DELETE", delete(join::remove)))
        .route("/v1/nodes/{id}/drain", only("PUT, DELETE", drain))
        .route("/healthz", only("GET", get(nodes::health)))
        .route("/readyz", only("GET", get(nodes::ready)))
        .route("/metrics", only("GET", get(nodes::metrics)))
        .fallback(not_found)
        .with_state(gateway)
}

/// Other methods get a 405 that says which there are.
fn only<S>(allow: &'static str, methods: MethodRouter<S>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    methods.fallback(move || async move { ApiError::method(allow) })
}

async fn not_found(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(80).collect();
    let detail = format!("there is no path {path}; functions are at /v1/functions/USER/NAME");
    ApiError::new(Errno::NoEnt, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::gateway::view::ErrorBody;

    /// The same fallbacks over a route that needs no node.
    fn small() -> Router {
        Router::new().route("/v1/nodes", only("GET", get(|| async {}))).fallback(not_found)
    }

    async fn ask(method: &str, path: &str) -> (u16, Option<String>, ErrorBody) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = small().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let allow = response.headers().get("allow").map(|v| v.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, allow, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_are_answered_as_json() {
        let (status, _, body) = ask("GET", "/v2/nodes").await;
        assert_eq!((status, body.error.code.as_str()), (404, "FAASM_ENOENT"));
        assert!(body.error.detail.contains("/v2/nodes"));
        let (status, allow, body) = ask("POST", "/v1/nodes").await;
        assert_eq!((status, body.error.code.as_str()), (405, "FAASM_ENOSYS"));
        assert_eq!(allow.as_deref(), Some("GET"));
    }
}
