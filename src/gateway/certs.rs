//! Certificates: `/v1/certs`. All but the authority's certificate is for admins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::state::{self, Answer, Gateway};
use super::{query, request};
use crate::errno::Errno;
use crate::net::{Handover, Shown};
use crate::node::certs::{self, Rotate, RotateError};
use crate::wire::members::{KeyHash, Member};

/// How long the change may take; the nodes follow in their own time.
const ROTATE: Duration = Duration::from_secs(20);
/// Bytes of a key's hash that are shown.
const NAME: usize = 8;

/// The certificates of a cluster, as one node sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertsView {
    /// The authority's generation; 0 if the cluster does not have its key.
    pub generation: u64,
    /// Whether the authority is being replaced: the one before is trusted too.
    pub replacing: bool,
    /// The members.
    pub nodes: Vec<CertView>,
}

/// The certificate of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertView {
    /// The node.
    pub node: String,
    /// Whether it has a session.
    pub live: bool,
    /// The authority's generation when its certificate was made; absent if it is not connected.
    pub generation: Option<u64>,
    /// When that was, in milliseconds since 1970; 0 if the certificate does not say.
    pub issued_ms: Option<u64>,
    /// The first bytes of the hash of the key that it shows.
    pub key: Option<String>,
    /// Those of the keys that it may show.
    pub registered: Vec<String>,
}

impl CertView {
    fn new(member: &Member, live: bool, shown: Option<&Shown>) -> Self {
        Self {
            node: member.node.to_string(),
            live,
            generation: shown.map(|shown| shown.stamp.generation),
            issued_ms: shown.map(|shown| shown.stamp.issued_ms),
            key: shown.map(|shown| name(&shown.key)),
            registered: member.keys.iter().map(name).collect(),
        }
    }
}

/// The answer to a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedView {
    /// The authority's generation now.
    pub generation: u64,
}

fn name(key: &KeyHash) -> String {
    key.0.iter().take(NAME).map(|byte| format!("{byte:02x}")).collect()
}

/// `GET /v1/certs`
pub async fn list(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let handles = &gateway.handles;
    let shown = certs::shown(&handles.net).map_err(failed)?;
    let membership = handles.consensus.membership();
    let live = |member: &Member| {
        let members = handles.consensus.members();
        members.iter().any(|view| view.node == member.node && view.session.is_some())
    };
    let view = |member: &Member| {
        let shown = shown.iter().find(|shown| shown.name.node == member.node);
        CertView::new(member, live(member), shown)
    };
    let authority = membership.authority();
    let view = CertsView {
        generation: authority.map_or(0, |authority| authority.generation),
        replacing: authority.is_some_and(|authority| authority.previous.is_some()),
        nodes: membership.all().values().map(view).collect(),
    };
    state::json(StatusCode::OK, &view)
}

/// `GET /v1/certs/ca`: what clients and nodes are to trust now, in PEM. No secret.
pub async fn authority(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let handles = &gateway.handles;
    let pem = match handles.consensus.membership().authority() {
        Some(now) => Handover::of(&now.cert_pem, now.previous.as_deref()).map_err(failed)?.trusted,
        None => handles.net.identity().borrow().ca_pem.clone(),
    };
    Ok(([(CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
}

/// `POST /v1/certs/rotate`: new keys and certificates for all nodes; `?authority` makes a new
/// authority too, `?finish` ends that without the nodes that are down.
pub async fn rotate(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    let mut what = Rotate::Keys;
    for (name, value) in query::parse(query.as_deref())? {
        let asked = match name.as_str() {
            "authority" => Rotate::Authority,
            "finish" => Rotate::Finish,
            _ => return Err(query::unknown(&name, "authority or finish")),
        };
        if query::switch(&name, &value)? {
            what = asked;
        }
    }
    let handles = &gateway.handles;
    let deadline = Instant::now() + ROTATE;
    let rotated = certs::rotate(&handles.consensus, &handles.net, what, deadline).await;
    let generation = rotated.map_err(|error| match error {
        RotateError::Propose(error) => ApiError::from(error),
        RotateError::NoAuthority => ApiError::new(Errno::Unavailable, error.to_string()),
        RotateError::UnderWay(_) | RotateError::NotUnderWay | RotateError::Refused(_) => {
            ApiError::invalid(error.to_string()).with_status(StatusCode::CONFLICT)
        }
        RotateError::Identity(_) | RotateError::Net(_) => failed(error),
    })?;
    state::json(StatusCode::OK, &RotatedView { generation })
}

fn failed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Errno::Failed, error.to_string())
}
