//! Nodes that come and go: `/v1/nodes/join`, `/v1/nodes/tokens`, `/v1/nodes/{id}`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, Request, State};
use http::StatusCode;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::extract::Node;
use super::join_view::{
    ChangedView, JoinAnswer, JoinRequest, NewTokenView, PlaceView, SelfView, TokenRequest,
    TokenView, TokensView,
};
use super::state::{self, Answer, Gateway};
use super::{body, request};
use crate::consensus::members::Members;
use crate::errno::Errno;
use crate::id::NodeId;
use crate::net::{Admission, CertificateAuthority, authority_hash};
use crate::node::now_ms;
use crate::wire::consensus::{Command, Response};
use crate::wire::members::{Authority, JoinToken, MemberCommand, TokenHash};

/// Largest body of a request here, in bytes.
const MAX_BODY: usize = 64 << 10;
/// Longest time until a change is applied: far above a change of leader.
const PROPOSE: Duration = Duration::from_secs(10);
/// Longest time until every live node knows of a change.
const SPREAD: Duration = Duration::from_secs(15);
/// Longest time that other nodes may take to say which blobs they have.
const COUNT: Duration = Duration::from_secs(5);
/// Longest time that a join token is good for.
const MAX_TOKEN_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
/// What a join token begins with.
const TOKEN_PREFIX: &str = "faasm_join";

/// `POST /v1/nodes/join`: lets a node in that shows a join token. The token is the only key that
/// is asked for.
pub async fn join(State(gateway): State<Arc<Gateway>>, request: Request) -> Answer {
    let asked: JoinRequest = read_json(&gateway, request).await?;
    let admission = Admission::parse(&asked.request_pem)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let (quic, http) = (address("quic", &asked.quic)?, address("http", &asked.http)?);
    let replaces = asked.replaces.as_deref().map(str::parse::<NodeId>).transpose()?;
    let membership = gateway.handles.consensus.membership();
    let authority = authority(&membership)?;
    let join = MemberCommand::Join {
        token: token_hash(&asked.token),
        key: admission.key(),
        quic: quic.to_string(),
        http: http.to_string(),
        replaces,
        now_ms: now_ms(),
    };
    let node = match change(&gateway, join).await? {
        Response::Joined(node) => node,
        other => return Err(ApiError::new(Errno::Failed, format!("no node was made: {other:?}"))),
    };
    let ca = CertificateAuthority::from_pem(authority.cert_pem.clone(), &authority.key_pem)
        .map_err(|error| ApiError::new(Errno::Failed, error.to_string()))?
        .of_generation(authority.generation);
    let mut addrs: Vec<IpAddr> = vec![quic.ip(), http.ip()];
    addrs.dedup();
    let cert_pem = admission
        .sign(&ca, node, &addrs)
        .map_err(|error| ApiError::new(Errno::Failed, error.to_string()))?;
    tracing::info!(%node, %quic, %http, "a node joined");
    state::json(StatusCode::OK, &answer(&gateway, node, &authority, cert_pem, ca.cluster()))
}

fn answer(
    gateway: &Gateway,
    node: NodeId,
    authority: &Authority,
    cert_pem: String,
    cluster: crate::id::ClusterId,
) -> JoinAnswer {
    let membership = gateway.handles.consensus.membership();
    let place = |member: &crate::wire::members::Member| PlaceView {
        id: member.node.0,
        quic: member.quic.clone(),
        http: member.http.clone(),
    };
    JoinAnswer {
        node: node.to_string(),
        cluster: cluster.to_string(),
        name: gateway.handles.cluster.to_string(),
        ca_pem: trusted(authority),
        cert_pem,
        founders: membership.founders().iter().map(|founder| founder.0).collect(),
        members: membership.all().values().map(place).collect(),
    }
}

/// The authority's certificates that are trusted now, in PEM.
fn trusted(authority: &Authority) -> String {
    let previous = authority.previous.as_deref().unwrap_or_default();
    format!("{}{previous}", authority.cert_pem)
}

/// `POST /v1/nodes/tokens`: makes a join token.
pub async fn make_token(State(gateway): State<Arc<Gateway>>, request: Request) -> Answer {
    let asked: TokenRequest = read_json(&gateway, request).await?;
    let age = Duration::from_secs(asked.expires_s);
    if age.is_zero() || age > MAX_TOKEN_AGE {
        let most = MAX_TOKEN_AGE.as_secs();
        return Err(ApiError::invalid(format!("expires_s: 1 to {most} seconds are allowed")));
    }
    let authority = authority(&gateway.handles.consensus.membership())?;
    let ca = authority_hash(&authority.cert_pem)
        .map_err(|error| ApiError::new(Errno::Failed, error.to_string()))?;
    let secret: [u8; 32] = rand::random();
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let token = format!("{TOKEN_PREFIX}_{secret}_{ca}");
    let expires_ms = now_ms() + asked.expires_s * 1000;
    let hash = token_hash(&token);
    let put = MemberCommand::PutJoinToken(JoinToken { hash, expires_ms, uses: asked.uses });
    change(&gateway, put).await?;
    let view = NewTokenView { token, name: hash.name(), expires_ms, uses: asked.uses };
    state::json(StatusCode::OK, &view)
}

/// `GET /v1/nodes/tokens`
pub async fn tokens(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let now = now_ms();
    let membership = gateway.handles.consensus.membership();
    let open = membership.join_tokens().iter().filter(|token| token.expires_ms > now);
    let view = |token: &JoinToken| TokenView {
        name: token.hash.name(),
        expires_ms: token.expires_ms,
        uses: token.uses,
    };
    state::json(StatusCode::OK, &TokensView { tokens: open.map(view).collect() })
}

/// `DELETE /v1/nodes/tokens/{name}`: revokes a join token.
pub async fn revoke_token(
    State(gateway): State<Arc<Gateway>>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Answer {
    change(&gateway, MemberCommand::RemoveJoinToken(name.clone())).await?;
    state::json(StatusCode::OK, &serde_json::json!({ "revoked": name }))
}

/// `PUT /v1/nodes/{id}/drain`: the node takes no new calls, and gives up its vote and its blobs.
pub async fn drain(State(gateway): State<Arc<Gateway>>, Node(node): Node) -> Answer {
    set_draining(&gateway, node, true).await
}

/// `DELETE /v1/nodes/{id}/drain`: the node takes calls again.
pub async fn undrain(State(gateway): State<Arc<Gateway>>, Node(node): Node) -> Answer {
    set_draining(&gateway, node, false).await
}

async fn set_draining(gateway: &Gateway, node: NodeId, draining: bool) -> Answer {
    let members = gateway.handles.consensus.members();
    let stays = |member: &&crate::consensus::MemberView| {
        member.node != node && !member.draining && member.session.is_some()
    };
    if draining && !members.iter().any(|member| stays(&member)) {
        let detail = format!("{node} cannot be drained: no other node is up and takes calls");
        return Err(ApiError::invalid(detail));
    }
    change(gateway, MemberCommand::SetDraining { node, draining }).await?;
    let state = if draining { "draining" } else { "active" };
    tracing::info!(%node, state, "a node changed its state");
    let view = ChangedView { node: node.to_string(), state: state.to_owned() };
    state::json(StatusCode::OK, &view)
}

/// `DELETE /v1/nodes/{id}`: removes a node for ever. One that is up must have been drained, unless
/// `?force` says otherwise: its running calls end then.
pub async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Node(node): Node,
    RawQuery(query): RawQuery,
) -> Answer {
    let force = request::flag(query.as_deref(), "force")?;
    let members = gateway.handles.consensus.members();
    let member = members.iter().find(|member| member.node == node);
    if member.is_some_and(|m| m.session.is_some() && !m.draining) && !force {
        let detail = format!(
            "{node} is up: drain it first (`faasm nodes drain {node}`), or remove it at once with \
             force, which ends what runs there"
        );
        return Err(ApiError::new(Errno::Again, detail).with_status(StatusCode::CONFLICT));
    }
    change(&gateway, MemberCommand::Remove { node }).await?;
    tracing::info!(%node, "a node was removed");
    let view = ChangedView { node: node.to_string(), state: "removed".to_owned() };
    state::json(StatusCode::OK, &view)
}

/// `GET /v1/nodes/self`
pub async fn this(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let handles = &gateway.handles;
    let members = handles.consensus.members();
    let me = members.iter().find(|member| member.node == handles.node);
    let draining = me.is_none_or(|member| member.draining);
    let wanting = match draining {
        true => handles.blobs.under_replicated(Instant::now() + COUNT).await?.blobs,
        false => 0,
    };
    let view = SelfView {
        node: handles.node.to_string(),
        draining,
        voter: me.is_some_and(|member| member.voter),
        calls: handles.calls.living_here(),
        blobs: wanting,
        results: if draining { handles.calls.results_only_here() } else { 0 },
        shards: if draining { handles.consensus.shards().kept_by(handles.node) } else { 0 },
    };
    state::json(StatusCode::OK, &view)
}

/// Makes a change of the members, and waits until every live node knows of it.
async fn change(gateway: &Gateway, command: MemberCommand) -> Result<Response, ApiError> {
    let consensus = &gateway.handles.consensus;
    let applied = consensus.propose(Command::Member(command), Instant::now() + PROPOSE).await?;
    match applied.response {
        Response::NotFound => {
            return Err(ApiError::new(Errno::NoEnt, "there is no such node or token"));
        }
        Response::Refused(why) | Response::OverQuota(why) => return Err(ApiError::invalid(why)),
        Response::Done | Response::Joined(_) | Response::Lock(_) => {}
    }
    let everywhere = consensus.wait_applied_everywhere(applied.index, Instant::now() + SPREAD);
    everywhere.await.map_err(|error| {
        let detail = format!("the change is made, but not every node has it yet: {error}");
        ApiError::new(Errno::Unavailable, detail)
    })?;
    Ok(applied.response)
}

fn authority(membership: &Members) -> Result<Authority, ApiError> {
    membership.authority().cloned().ok_or_else(|| {
        let detail = "the cluster has no signing key, so that no node can join: its first node \
                      needs `ca-key.pem` beside its certificate when the cluster begins";
        ApiError::new(Errno::Unavailable, detail)
    })
}

fn token_hash(token: &str) -> TokenHash {
    TokenHash::of(token.trim())
}

fn address(what: &str, text: &str) -> Result<SocketAddr, ApiError> {
    let bad = |why: &str| ApiError::invalid(format!("{what}: `{text}` {why}"));
    let address: SocketAddr = text.parse().map_err(|_| bad("is no IP:PORT"))?;
    if address.port() == 0 || address.ip().is_unspecified() {
        return Err(bad("is nowhere: name the address by which other nodes reach this one"));
    }
    Ok(address)
}

async fn read_json<T: DeserializeOwned>(
    gateway: &Gateway,
    request: Request,
) -> Result<T, ApiError> {
    let held = body::read(request.into_body(), MAX_BODY, &gateway.budget).await?;
    let bytes = if held.bytes.is_empty() { b"{}" } else { &held.bytes[..] };
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not what is asked for: {error}")))
}
