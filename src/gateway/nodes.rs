//! The cluster and this node: `/v1/nodes`, `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::request;
use super::state::{self, Answer, Gateway};
use super::view::{NodesView, ReadyView};

/// `GET /v1/nodes`: the members, as this node sees them.
pub async fn list(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let handles = &gateway.handles;
    let peers = handles.net.peers().borrow().clone();
    let me = (handles.node, handles.incarnation);
    let (members, raft) = (handles.consensus.members(), handles.consensus.status());
    state::json(StatusCode::OK, &NodesView::new(me, &members, &peers, &raft))
}

/// `GET /healthz`: the process serves.
pub async fn health(State(gateway): State<Arc<Gateway>>) -> Answer {
    state::json(StatusCode::OK, &ready_view(&gateway))
}

/// `GET /readyz`: the node's own session is alive and it does not stop, so it takes calls; else 503.
pub async fn ready(State(gateway): State<Arc<Gateway>>) -> Answer {
    let view = ready_view(&gateway);
    let status = if view.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    state::json(status, &view)
}

/// `GET /metrics`, in the text format of Prometheus.
pub async fn metrics(State(gateway): State<Arc<Gateway>>) -> Answer {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], gateway.recorder.render()).into_response())
}

fn ready_view(gateway: &Gateway) -> ReadyView {
    let handles = &gateway.handles;
    ReadyView {
        node: handles.node.to_string(),
        incarnation: handles.incarnation.to_string(),
        ready: handles.scheduler.accepting(),
        leader: handles.consensus.status().leader.map(|node| node.to_string()),
    }
}
