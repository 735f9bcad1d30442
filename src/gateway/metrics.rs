//! The gateway's metrics. Handles are looked up once, not at every request.

use std::time::Instant;

use metrics::{Counter, Gauge, Histogram};

/// Requests answered, by route and class of status.
pub const REQUESTS: &str = "faasm_http_requests_total";
/// Time from a request's head to its response, by route.
pub const SECONDS: &str = "faasm_http_request_seconds";
/// Requests under way.
pub const UNDER_WAY: &str = "faasm_http_requests_under_way";
/// Connections open.
pub const CONNECTIONS: &str = "faasm_http_connections";
/// Connections refused because too many were open.
pub const REFUSED: &str = "faasm_http_connections_refused_total";
/// Requests whose client went away before the response.
pub const ABANDONED: &str = "faasm_http_requests_abandoned_total";

/// Says what each metric is.
pub fn describe() {
    metrics::describe_counter!(REQUESTS, "HTTP requests answered, by route and class of status");
    metrics::describe_histogram!(SECONDS, "Seconds from a request's head to its response");
    metrics::describe_gauge!(UNDER_WAY, "HTTP requests under way");
    metrics::describe_gauge!(CONNECTIONS, "HTTP connections open");
    metrics::describe_counter!(REFUSED, "HTTP connections refused: too many were open");
    metrics::describe_counter!(ABANDONED, "HTTP requests whose client left before the response");
}

/// What a request is for, as far as metrics and admission care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// An invocation.
    Invoke,
    /// The registry.
    Functions,
    /// Calls and their records.
    Calls,
    /// Values, locks and shards.
    State,
    /// Nodes.
    Nodes,
    /// Health, readiness, metrics: answered also by a node that is full.
    Watch,
    /// Anything else.
    Other,
}

impl Route {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Invoke, "invoke"),
        (Self::Functions, "functions"),
        (Self::Calls, "calls"),
        (Self::State, "state"),
        (Self::Nodes, "nodes"),
        (Self::Watch, "watch"),
        (Self::Other, "other"),
    ];

    /// The route of a path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/") {
            Some(rest) if rest.starts_with("functions") => match rest.ends_with("/invoke") {
                true => Self::Invoke,
                false => Self::Functions,
            },
            Some(rest) if rest.starts_with("calls") => Self::Calls,
            Some(rest) if rest.starts_with("state/") => Self::State,
            Some("locks" | "shards") => Self::State,
            Some("nodes") => Self::Nodes,
            None if matches!(path, "/healthz" | "/readyz" | "/metrics") => Self::Watch,
            _ => Self::Other,
        }
    }
}

/// The handles.
pub struct HttpMetrics {
    routes: Vec<RouteMetrics>,
    abandoned: Counter,
    under_way: Gauge,
    /// See [`CONNECTIONS`].
    pub connections: Gauge,
    /// See [`REFUSED`].
    pub refused: Counter,
}

/// The classes of status that this API answers with.
const CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// Which of [`CLASSES`] a status is in.
fn class(status: u16) -> Option<usize> {
    match status {
        200..=299 => Some(0),
        400..=499 => Some(1),
        500..=599 => Some(2),
        _ => None,
    }
}

struct RouteMetrics {
    seconds: Histogram,
    /// By [`class`].
    classes: [Counter; CLASSES.len()],
}

impl HttpMetrics {
    /// Looks the handles up in the recorder that is installed now.
    pub fn new() -> Self {
        let of = |name: &'static str| RouteMetrics {
            seconds: metrics::histogram!(SECONDS, "route" => name),
            classes: CLASSES
                .map(|class| metrics::counter!(REQUESTS, "route" => name, "status" => class)),
        };
        Self {
            routes: Route::ALL.iter().map(|(_, name)| of(name)).collect(),
            abandoned: metrics::counter!(ABANDONED),
            under_way: metrics::gauge!(UNDER_WAY),
            connections: metrics::gauge!(CONNECTIONS),
            refused: metrics::counter!(REFUSED),
        }
    }

    /// Counts a request that begins; tell its status to what is returned.
    pub fn begin(&self, route: Route) -> Timed<'_> {
        self.under_way.increment(1.0);
        Timed { metrics: self, route, started: Instant::now(), status: 0 }
    }
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A request under way; counted when dropped, as abandoned if it never got a status.
pub struct Timed<'a> {
    metrics: &'a HttpMetrics,
    route: Route,
    started: Instant,
    status: u16,
}

impl Timed<'_> {
    /// The request was answered.
    pub fn answered(mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.metrics.under_way.decrement(1.0);
        let index = Route::ALL.iter().position(|(route, _)| *route == self.route);
        let Some(route) = index.and_then(|index| self.metrics.routes.get(index)) else { return };
        match class(self.status).and_then(|class| route.classes.get(class)) {
            None => self.metrics.abandoned.increment(1),
            Some(counter) => {
                counter.increment(1);
                route.seconds.record(self.started.elapsed().as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_routes() {
        let cases = [
            ("/v1/functions/a/b/invoke", Route::Invoke),
            ("/v1/functions/a/b", Route::Functions),
            ("/v1/functions", Route::Functions),
            ("/v1/calls/00/output", Route::Calls),
            ("/v1/state/a/b", Route::State),
            ("/v1/state/a/healthz/invoke", Route::State),
            ("/v1/nodes", Route::Nodes),
            ("/healthz", Route::Watch),
            ("/metrics", Route::Watch),
            ("/", Route::Other),
            ("/v1/else", Route::Other),
        ];
        for (path, route) in cases {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn a_request_is_counted_once_with_its_status_or_as_abandoned() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let metrics = HttpMetrics::new();
            metrics.begin(Route::Invoke).answered(200);
            metrics.begin(Route::Calls).answered(404);
            drop(metrics.begin(Route::Invoke));
        });
        let text = handle.render();
        for line in [
            "faasm_http_requests_total{route=\"invoke\",status=\"2xx\"} 1",
            "faasm_http_requests_total{route=\"calls\",status=\"4xx\"} 1",
            "faasm_http_requests_abandoned_total 1",
            "faasm_http_requests_under_way 0",
            "faasm_http_request_seconds_count{route=\"invoke\"} 1",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
    }
}
