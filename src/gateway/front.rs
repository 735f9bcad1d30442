//! What every request passes before its route: size of its head, whose it is, admission for the
//! node and for its user, and counting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Request, StatusCode};
use tower::Service;

use super::access::{Caller, Door};
use super::error::ApiError;
use super::lanes::{Connection, LanePlace, Lanes, Refusal};
use super::metrics::{HttpMetrics, Route};
use crate::config::GatewayOptions;
use crate::errno::Errno;

/// Longest path and query, in bytes: room for the arguments of a function.
pub const MAX_URI: usize = 32 << 10;
/// Most bytes of header names and values.
pub const MAX_HEADERS: usize = 16 << 10;
/// Most bytes of a head that are read at all; past it the connection ends with a bare 431.
pub const MAX_HEAD: usize = 64 << 10;

/// The routes behind admission.
pub struct Front {
    router: Router,
    door: Arc<Door>,
    /// What each user has.
    pub lanes: Lanes,
    requests: usize,
    under_way: AtomicUsize,
    /// The gateway's metrics.
    pub metrics: HttpMetrics,
}

impl Front {
    /// Takes the routes, who knows the users, and the limits.
    pub fn new(router: Router, door: Arc<Door>, options: &GatewayOptions) -> Arc<Self> {
        Arc::new(Self {
            router,
            door,
            lanes: Lanes::new(options),
            requests: options.requests,
            under_way: AtomicUsize::new(0),
            metrics: HttpMetrics::new(),
        })
    }

    /// Answers a request that came on a connection. Dropping the future drops whatever the request
    /// waits for.
    pub async fn handle(
        self: Arc<Self>,
        connection: &Connection,
        mut request: Request<Body>,
    ) -> Response {
        let route = Route::of(request.uri().path());
        let timed = self.metrics.begin(route);
        let response = match self.admit(route, connection, &mut request) {
            Err(refused) => {
                if !refused.after.is_zero() {
                    tokio::time::sleep(refused.after).await;
                }
                refused.error.into_response()
            }
            Ok(_places) => match self.router.clone().call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        timed.answered(response.status().as_u16());
        response
    }

    /// Finds out whose the request is, for its route, and gives it its places.
    fn admit(
        &self,
        route: Route,
        connection: &Connection,
        request: &mut Request<Body>,
    ) -> Result<(Place<'_>, Option<LanePlace>), Refusal> {
        let now = |error| Refusal { error, after: Duration::ZERO };
        check_head(request).map_err(now)?;
        let place = Place { under_way: &self.under_way };
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let caller = self.door.caller(request.headers());
        let mut lane = None;
        if route != Route::Watch {
            if before >= self.requests {
                return Err(now(self.full()));
            }
            if let Ok(principal) = &caller {
                let at = Instant::now();
                connection.used_by(&self.lanes, &principal.name, at)?;
                lane = Some(self.lanes.enter(principal, at)?);
            }
        }
        request.extensions_mut().insert(Caller(caller));
        Ok((place, lane))
    }

    fn full(&self) -> ApiError {
        let detail = format!(
            "{} requests are under way here, the most that this node takes; try again or ask \
             another node",
            self.requests
        );
        ApiError::new(Errno::Full, detail)
    }
}

/// A request's place among those under way.
struct Place<'a> {
    under_way: &'a AtomicUsize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn check_head(request: &Request<Body>) -> Result<(), ApiError> {
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if length > MAX_URI {
        let detail = format!(
            "path and query have {length} bytes, more than the {MAX_URI} allowed; send what is \
             long as the function's input"
        );
        return Err(ApiError::new(Errno::TooBig, detail).with_status(StatusCode::URI_TOO_LONG));
    }
    let length = header_bytes(request.headers());
    if length > MAX_HEADERS {
        let detail =
            format!("the headers have {length} bytes, more than the {MAX_HEADERS} allowed");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(Errno::TooBig, detail).with_status(status));
    }
    Ok(())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tokio::sync::Notify;

    use super::*;
    use crate::gateway::view::ErrorBody;

    fn request(uri: &str) -> Request<Body> {
        Request::get(uri).body(Body::empty()).unwrap()
    }

    fn front(router: Router, requests: usize) -> Arc<Front> {
        let options = GatewayOptions { requests, requests_per_user: 100, ..Default::default() };
        Front::new(router, Arc::new(Door::unguarded()), &options)
    }

    async fn ask(front: &Arc<Front>, request: Request<Body>) -> Response {
        front.clone().handle(&Connection::default(), request).await
    }

    async fn code(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body: ErrorBody = serde_json::from_slice(&bytes).unwrap();
        (status, body.error.code)
    }

    #[tokio::test]
    async fn requests_past_the_limit_get_503_but_health_is_answered() {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, wait) = (entered.clone(), release.clone());
        let hold = move || async move {
            inside.notify_one();
            wait.notified().await;
        };
        let router =
            Router::new().route("/v1/nodes", get(hold)).route("/healthz", get(|| async {}));
        let front = front(router, 1);
        let held = front.clone();
        let first = tokio::spawn(async move { ask(&held, request("/v1/nodes")).await });
        entered.notified().await;
        let refused = ask(&front, request("/v1/nodes")).await;
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(code(refused).await, (503, "FAASM_EFULL".to_owned()));
        assert_eq!(ask(&front, request("/healthz")).await.status(), 200);
        release.notify_one();
        assert_eq!(first.await.unwrap().status(), 200);
        assert_eq!(front.under_way.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_dropped_request_gives_its_place_back() {
        let router = Router::new().route("/v1/nodes", get(std::future::pending::<()>));
        let front = front(router, 1);
        let handling = ask(&front, request("/v1/nodes"));
        let gone = tokio::time::timeout(std::time::Duration::ZERO, handling).await;
        assert!(gone.is_err());
        assert_eq!(front.under_way.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn long_heads_are_refused() {
        let front = front(Router::new(), 1);
        let long = request(&format!("/{}", "x".repeat(MAX_URI)));
        let response = ask(&front, long).await;
        assert_eq!(code(response).await, (414, "FAASM_ETOOBIG".to_owned()));
        let mut wide = request("/");
        wide.headers_mut().insert("x", "y".repeat(MAX_HEADERS).parse().unwrap());
        assert_eq!(code(ask(&front, wide).await).await, (431, "FAASM_ETOOBIG".to_owned()));
    }
}
