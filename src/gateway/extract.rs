//! Ids in paths, as typed values that the caller may use: another user's function is refused, and
//! another user's call is one that does not exist. What is no id is answered as JSON, like every
//! error.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::access::Principal;
use super::error::ApiError;
use super::state::Gateway;
use crate::id::{CallId, FunctionKey, Name, NodeId};

/// Longest path segment quoted in an error.
const MAX_QUOTED: usize = 80;

/// The function that a path names, as `{user}/{name}`: the caller's own, or any for an admin.
#[derive(Debug)]
pub struct Key(pub FunctionKey);

/// The call that a path names, as `{id}`: the caller's own, or any for an admin.
#[derive(Debug)]
pub struct Call(pub CallId);

/// The user that a path for admins names, as `{user}`.
#[derive(Debug)]
pub struct Named(pub Name);

/// The token that a path for admins names, as `{token}`.
#[derive(Debug)]
pub struct TokenName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        let key = FunctionKey::new(&param(&params, "user"), &param(&params, "name"))?;
        Principal::from_request_parts(parts, state).await?.check(&key.user)?;
        Ok(Self(key))
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

impl FromRequestParts<Arc<Gateway>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, ApiError> {
        let call = call_id(parts, gateway).await?;
        let principal = Principal::from_request_parts(parts, gateway).await?;
        if let Some(user) = principal.only() {
            gateway.handles.calls.owned_by(call, user, principal.since_ms).await?;
        }
        Ok(Self(call))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Name::new(&param(&params(parts, state).await?, "user"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TokenName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(param(&params(parts, state).await?, "token")))
    }
}

async fn call_id<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<CallId, ApiError> {
    Ok(param(&params(parts, state).await?, "id").parse()?)
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
    use crate::gateway::access::Caller;
    use crate::gateway::view::ErrorBody;
    use crate::wire::users::{Quotas, Role};

    /// The id alone: whose it is needs a node.
    struct AnyCall(CallId);

    impl<S: Send + Sync> FromRequestParts<S> for AnyCall {
        type Rejection = ApiError;

        async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
            call_id(parts, state).await.map(Self)
        }
    }

    async fn ask_as(role: Role, path: &str) -> (u16, String) {
        let router: Router = Router::new()
            .route("/f/{user}/{name}", get(|Key(key): Key| async move { key.to_string() }))
            .route("/c/{id}", get(|AnyCall(call): AnyCall| async move { call.to_string() }));
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        let (name, quotas) = (Name::new("alice").unwrap(), Quotas::default());
        let caller = Principal { name, role, quotas, since_ms: 0, token: None };
        request.extensions_mut().insert(Caller(Ok(caller)));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn ask(path: &str) -> (u16, String) {
        ask_as(Role::User, path).await
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

    #[tokio::test]
    async fn functions_of_others_are_for_admins_only() {
        let (status, text) = ask("/f/bob/a").await;
        assert_eq!(status, 403, "{text}");
        assert_eq!(ask("/f/Alice/a").await.0, 403, "names tell upper case from lower case");
        assert_eq!(ask("/f/nobody/a").await, (403, text), "the same for a user that is none");
        assert_eq!(ask_as(Role::Admin, "/f/bob/a").await, (200, "bob/a".to_owned()));
    }
}
