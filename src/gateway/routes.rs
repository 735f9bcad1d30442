//! Paths, methods, and who may use them.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use http::Uri;

use super::access::{Access, Door, guard};
use super::error::ApiError;
use super::state::Gateway;
use super::{calls, certs, functions, invoke, join, nodes, users, values};
use crate::errno::Errno;

/// A method of a path.
pub struct Row<S> {
    path: &'static str,
    method: &'static str,
    access: Access,
    handler: MethodRouter<S>,
}

/// All that a node answers. A route cannot be made without saying who may use it.
fn table() -> Vec<Row<Arc<Gateway>>> {
    use Access::{Admin, Open, User};
    vec![
        row("POST", "/v1/functions/{user}/{name}/invoke", User, invoke::invoke),
        row("GET", "/v1/functions/{user}/{name}", User, functions::show),
        row("PUT", "/v1/functions/{user}/{name}", User, functions::put),
        row("DELETE", "/v1/functions/{user}/{name}", User, functions::delete),
        row("GET", "/v1/functions", User, functions::list),
        row("GET", "/v1/calls", User, calls::list),
        row("GET", "/v1/calls/{id}", User, calls::show),
        row("DELETE", "/v1/calls/{id}", User, calls::cancel),
        row("GET", "/v1/calls/{id}/output", User, calls::output),
        row("GET", "/v1/calls/{id}/logs", User, calls::logs),
        row("GET", "/v1/state/{user}", User, values::list),
        row("GET", "/v1/state/{user}/{*key}", User, values::get),
        row("PUT", "/v1/state/{user}/{*key}", User, values::put),
        row("DELETE", "/v1/state/{user}/{*key}", User, values::delete),
        row("GET", "/v1/locks", User, values::locks),
        row("GET", "/v1/shards", User, values::shards),
        row("GET", "/v1/whoami", User, users::whoami),
        row("GET", "/v1/users", Admin, users::list),
        row("PUT", "/v1/users/{user}", Admin, users::add),
        row("PATCH", "/v1/users/{user}", Admin, users::set),
        row("DELETE", "/v1/users/{user}", Admin, users::remove),
        row("POST", "/v1/users/{user}/tokens", Admin, users::give_token),
        row("DELETE", "/v1/users/{user}/tokens", Admin, users::revoke_all),
        row("DELETE", "/v1/users/{user}/tokens/{token}", Admin, users::revoke),
        row("GET", "/v1/nodes", User, nodes::list),
        row("POST", "/v1/nodes/join", Open, join::join),
        row("GET", "/v1/nodes/self", Admin, join::this),
        row("GET", "/v1/nodes/tokens", Admin, join::tokens),
        row("POST", "/v1/nodes/tokens", Admin, join::make_token),
        row("DELETE", "/v1/nodes/tokens/{name}", Admin, join::revoke_token),
        row("DELETE", "/v1/nodes/{id}", Admin, join::remove),
        row("PUT", "/v1/nodes/{id}/drain", Admin, join::drain),
        row("DELETE", "/v1/nodes/{id}/drain", Admin, join::undrain),
        row("GET", "/v1/certs", Admin, certs::list),
        row("GET", "/v1/certs/ca", Open, certs::authority),
        row("POST", "/v1/certs/rotate", Admin, certs::rotate),
        row("GET", "/metrics", Admin, nodes::metrics),
        row("GET", "/healthz", Open, nodes::health),
        row("GET", "/readyz", Open, nodes::ready),
    ]
}

pub(super) fn row<S, T: 'static>(
    method: &'static str,
    path: &'static str,
    access: Access,
    handler: impl Handler<T, S>,
) -> Row<S>
where
    S: Clone + Send + Sync + 'static,
{
    let filter = match method {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "PATCH" => MethodFilter::PATCH,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    Row { path, method, access, handler: on(filter, handler) }
}

/// All routes over a node.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let door = gateway.door.clone();
    build(table(), door).with_state(gateway)
}

/// Routes, each behind the guard for its access. What is not in the table is for users only, too:
/// nobody else learns what there is.
pub(super) fn build<S: Clone + Send + Sync + 'static>(
    rows: Vec<Row<S>>,
    door: Arc<Door>,
) -> Router<S> {
    let mut paths: Vec<(&'static str, String, MethodRouter<S>)> = Vec::new();
    for Row { path, method, access, handler } in rows {
        let handler = handler.route_layer(from_fn_with_state((door.clone(), access), guard));
        match paths.iter_mut().find(|(known, ..)| *known == path) {
            Some((_, allow, methods)) => {
                *allow = format!("{allow}, {}", allowed(method));
                *methods = std::mem::take(methods).merge(handler);
            }
            None => paths.push((path, allowed(method).to_owned(), handler)),
        }
    }
    let mut router = Router::new();
    for (path, allow, methods) in paths {
        let other = move || async move { ApiError::method(&allow) };
        router = router.route(path, methods.fallback(other));
    }
    let users = from_fn_with_state((door, Access::User), guard);
    let lost: MethodRouter = any(not_found);
    router.fallback_service(lost.layer(users))
}

/// A method as in `Allow`: where there is GET, there is HEAD.
fn allowed(method: &str) -> &str {
    if method == "GET" { "GET, HEAD" } else { method }
}

async fn not_found(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(80).collect();
    let detail = format!("there is no path {path}; functions are at /v1/functions/USER/NAME");
    ApiError::new(Errno::NoEnt, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tokio::sync::watch;
    use tower::ServiceExt;

    use super::*;
    use crate::gateway::access::{Caller, Principal, unauthorized};
    use crate::gateway::view::ErrorBody;
    use crate::id::Name;
    use crate::wire::users::{Quotas, Role};

    /// The same routes over handlers that need no node: each answers 299.
    fn routes() -> Vec<Row<()>> {
        let reached = async || StatusCode::from_u16(299).unwrap();
        table().into_iter().map(|r| row(r.method, r.path, r.access, reached)).collect()
    }

    fn routed() -> Router {
        build(routes(), Arc::new(Door::unguarded()))
    }

    async fn ask(role: Option<Role>, method: &str, path: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let known = role.map(|role| {
            let (name, quotas) = (Name::new("alice").unwrap(), Quotas::default());
            Principal { name, role, quotas, since_ms: 0, token: None }
        });
        let caller = known.ok_or_else(|| unauthorized("no token came"));
        request.extensions_mut().insert(Caller(caller));
        routed().oneshot(request).await.unwrap()
    }

    async fn status(role: Option<Role>, method: &str, path: &str) -> u16 {
        ask(role, method, path).await.status().as_u16()
    }

    #[tokio::test]
    async fn every_route_is_behind_the_access_it_declares() {
        for route in table() {
            let (method, path) = (route.method, route.path.replace(['{', '}'], ""));
            let reached = (
                status(None, method, &path).await,
                status(Some(Role::User), method, &path).await,
                status(Some(Role::Admin), method, &path).await,
            );
            let expected = match route.access {
                Access::Open => (299, 299, 299),
                Access::User => (401, 299, 299),
                Access::Admin => (401, 403, 299),
            };
            assert_eq!(reached, expected, "{method} {path}");
        }
    }

    #[test]
    fn what_is_open_or_for_admins_is_written_down_here_too() {
        let of = |access: Access| -> Vec<String> {
            let rows = table().into_iter().filter(|row| row.access == access);
            rows.map(|row| format!("{} {}", row.method, row.path)).collect()
        };
        // Who joins shows a join token; the authority's certificate is no secret.
        let open = ["POST /v1/nodes/join", "GET /v1/certs/ca", "GET /healthz", "GET /readyz"];
        assert_eq!(of(Access::Open), open);
        let users = of(Access::User);
        for path in ["/v1/users", "/metrics"] {
            assert!(!users.iter().any(|route| route.contains(path)), "{path} is for admins");
        }
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_are_answered_as_json_to_users() {
        let body = async |response: Response| -> ErrorBody {
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice(&bytes).unwrap()
        };
        let lost = ask(Some(Role::User), "GET", "/v2/nodes").await;
        assert_eq!(lost.status(), 404);
        let lost = body(lost).await;
        assert!(lost.error.code == "FAASM_ENOENT" && lost.error.detail.contains("/v2/nodes"));
        assert_eq!(status(None, "GET", "/v2/nodes").await, 401);
        let wrong = ask(Some(Role::User), "POST", "/v1/users/x").await;
        assert_eq!(wrong.status(), 405);
        assert_eq!(wrong.headers()["allow"], "PUT, PATCH, DELETE");
        let wrong = ask(Some(Role::User), "POST", "/v1/state/x/k").await;
        assert_eq!(wrong.headers()["allow"], "GET, HEAD, PUT, DELETE");
        assert_eq!(body(wrong).await.error.code, "FAASM_ENOSYS");
    }

    #[tokio::test]
    async fn tricks_with_the_path_reach_no_other_route() {
        for path in [
            "//v1/users",
            "/v1//users",
            "/v1/users/",
            "/V1/users",
            "/v1/%75sers",
            "/v1/./users",
            "/v1/nodes/../users",
            "/metrics/",
            "//metrics",
            "/healthz/../metrics",
            "/v1/users%2f",
            "/healthz/%2e%2e/metrics",
        ] {
            let reached = status(Some(Role::User), "GET", path).await;
            assert!(matches!(reached, 403..=405), "{path}: {reached}");
            assert_eq!(status(None, "GET", path).await, 401, "{path}");
        }
    }

    #[tokio::test]
    async fn a_request_that_waits_is_cut_off_when_its_token_is_revoked() {
        let (users, known) = watch::channel(Arc::default());
        let hold = row("GET", "/wait", Access::User, std::future::pending::<()>);
        let router: Router = build(vec![hold], Arc::new(Door::new(known, true)));
        let mut request = Request::get("/wait").body(Body::empty()).unwrap();
        let (name, quotas) = (Name::new("alice").unwrap(), Quotas::default());
        let token = Some(crate::wire::members::TokenHash::of("x"));
        let caller = Principal { name, role: Role::User, quotas, since_ms: 0, token };
        request.extensions_mut().insert(Caller(Ok(caller)));
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 401);
        drop(users);
    }
}
