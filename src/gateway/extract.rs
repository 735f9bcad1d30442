//! Ids in paths, as typed values. What is none is answered as JSON, like every error.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::error::ApiError;
use crate::id::{CallId, FunctionKey, NodeId};

/// Longest path segment quoted in an error.
const MAX_QUOTED: usize = 80;

/// The function that a path names, as `{user}/{name}`.
#[derive(Debug)]
pub struct Key(pub FunctionKey);

/// The call that a path names, as `{id}`.
#[derive(Debug)]
pub struct Call(pub CallId);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        Ok(Self(FunctionKey::new(&param(&params, "user"), &param(&params, "name"))?))
    }
}

/// The node that a path names, as `{id}`.
#[derive(Debug)]
pub struct Node(pub NodeId);

impl<S: Send + Sync> FromRequestParts<S> for Node {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        Ok(Self(param(&params, "id").parse()?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        Ok(Self(param(&params, "id").parse()?))
    }
}

async fn params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, ApiError> {
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|error| ApiError::invalid(format!("the path cannot be read: {error}")))
}

/// A parameter; empty when the route has none of that name, which no id is. What is too long for
/// any id is cut: it stays wrong, and is quoted in an error.
fn param(params: &RawPathParams, name: &str) -> String {
    let value = params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    value.chars().take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::gateway::view::ErrorBody;

    async fn ask(path: &str) -> (u16, String) {
        let router: Router = Router::new()
            .route("/f/{user}/{name}", get(|Key(key): Key| async move { key.to_string() }))
            .route("/c/{id}", get(|Call(call): Call| async move { call.to_string() }));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ids_are_taken_from_the_path() {
        assert_eq!(ask("/f/alice/a%2Eb").await, (200, "alice/a.b".to_owned()));
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(ask(&format!("/c/{id}")).await, (200, id.to_owned()));
    }

    #[tokio::test]
    async fn what_is_no_id_is_refused_as_json() {
        let long = format!("/f/alice/{}", "x".repeat(1000));
        for path in ["/f/a%2Fb/c", "/f/..%2F/c", "/f/%ff/c", "/c/zz", &long] {
            let (status, body) = ask(path).await;
            let body: ErrorBody = serde_json::from_str(&body).unwrap();
            assert_eq!((status, body.error.code.as_str()), (400, "FAASM_EINVAL"), "{path}");
            assert!(body.error.detail.len() < 300, "{path}");
        }
    }
}
