//! Values of the state: `/v1/state`, and what is known of locks and shards.
//!
//! A value goes through piece by piece, in and out: a body counts to the budget of all bodies with
//! what is in memory of it, and must keep the pace of [`body`](super::body). A GET sends one
//! version; a PUT is seen as a whole or not at all.

mod asked;
mod conditions;
mod outgoing;
pub mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{FromRef, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue,
};
use http::{Method, StatusCode};

use self::asked::{Value, Whose};
use self::conditions::{Conditions, Part, Verdict, etag, part};
use self::view::{InfoView, LockView, LocksView, ShardView, ShardsView, ValueView, ValuesView};
use super::access::Principal;
use super::body::{Budget, Pieces};
use super::error::ApiError;
use super::request;
use super::state::{self, Answer, Gateway};
use super::view::DeletedView;
use crate::errno::Errno;
use crate::state::global::{Global, StateError};
use crate::state::overview::{Overview, Tools};
use crate::state::stream::{Commit, Door, Writer, room};
use crate::wire::shards::StateKey;
use crate::wire::state::{Extent, List, MAX_VALUE, Only, Refusal, Stat, Version};

/// Longest time for a list of all shards.
const LIST: Duration = Duration::from_secs(15);
/// Longest wait for what other nodes say of their copies.
const COPIES: Duration = Duration::from_secs(3);
/// Longest time for the table of locks.
const LOCKS: Duration = Duration::from_secs(5);
/// How often a GET begins anew because the value changed under it.
const TRIES: usize = 8;

/// What the routes of this file have.
#[derive(Clone)]
pub struct Values {
    /// Reads and writes.
    pub global: Arc<dyn Global>,
    /// Lists and tables.
    pub overview: Arc<dyn Overview>,
    /// Memory for bodies.
    pub budget: Budget,
}

impl FromRef<Arc<Gateway>> for Values {
    fn from_ref(gateway: &Arc<Gateway>) -> Self {
        let handles = &gateway.handles;
        let tools = Tools::new(handles.state.clone(), handles.consensus.clone());
        let (global, overview) = (handles.state.global(), Arc::new(tools));
        Self { global, overview, budget: gateway.budget.clone() }
    }
}

/// `GET /v1/state/{user}`: the user's values.
pub async fn list(
    State(values): State<Values>,
    Whose(user): Whose,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked::Listed { prefix, after, most } = asked::listed(query.as_deref())?;
    let user = user.to_string();
    let after = after.map(|key| StateKey { user: user.clone(), key });
    let list = List { user, prefix, after, most };
    let listed = values.overview.list(list, Instant::now() + LIST).await;
    let listed = listed.map_err(|error| told(error, "the list"))?;
    let full = listed.len() >= usize::try_from(most).unwrap_or(usize::MAX);
    let next = listed.last().filter(|_| full).map(|last| last.key.key.clone());
    let values = listed.iter().map(ValueView::listed).collect();
    state::json(StatusCode::OK, &ValuesView { values, next })
}

/// `GET /v1/state/{user}/{*key}`, and HEAD: the bytes, or a range of them; `?info` tells about it.
pub async fn get(
    State(values): State<Values>,
    Value(key): Value,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    if request::flag(query.as_deref(), "info")? {
        return info(&values, key).await;
    }
    let conditions = Conditions::parse(&headers)?;
    let door = Door::new(values.global.clone(), key);
    let told = |error| told(error, door.key());
    let found = door.stat().await.map_err(told)?.ok_or_else(|| missing(door.key()))?;
    let (mut now, mut len) = (found.version, found.len);
    for _ in 0..TRIES {
        let part = match conditions.of_read(now) {
            Verdict::Holds => match method == Method::HEAD {
                true => Part::Whole,
                false => part(&headers, now, len),
            },
            Verdict::NotModified => return Ok(bare(StatusCode::NOT_MODIFIED, now)),
            Verdict::Failed => return Err(failed(door.key())),
        };
        let range = match part {
            Part::Whole => Extent { off: 0, len },
            Part::Some(range) => range,
            Part::Outside => return Ok(outside(now, len)),
        };
        if method == Method::HEAD || range.len == 0 {
            return Ok(head(now, part, len, Body::empty()));
        }
        // Taken before there are bytes to hold.
        let share = values.budget.share(outgoing::held(range.len))?;
        let first = door.first(range).await.map_err(told)?;
        if first.version == now {
            let body = outgoing::body(door.clone(), range, first, share);
            return Ok(head(now, part, len, body));
        }
        (now, len) = (first.version, first.len);
    }
    Err(told(StateError::Refused(Refusal::Again)))
}

/// `PUT /v1/state/{user}/{*key}`: the body is the value from then on; with `?offset=` it is written
/// into the value, from there on.
pub async fn put(State(values): State<Values>, Value(key): Value, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let offset = asked::offset(head.uri.query())?;
    let conditions = Conditions::parse(&head.headers)?;
    if head.headers.contains_key(CONTENT_RANGE) {
        let detail = "a part of a value is written with ?offset=N, not with Content-Range";
        return Err(ApiError::invalid(detail));
    }
    let start = offset.unwrap_or(0);
    check_len(start, HttpBody::size_hint(&body).lower())?;
    let door = Door::new(values.global.clone(), key);
    let told = |error| told(error, door.key());
    let before = door.stat().await.map_err(told)?;
    let only = only(&conditions, before.as_ref(), offset.is_some(), door.key())?;
    let mut pieces = Pieces::new(body, &values.budget);
    let mut writer = Writer::new(door.clone(), start);
    loop {
        let at = start.saturating_add(writer.taken());
        let Some(held) = pieces.next(usize::try_from(room(at)).unwrap_or(usize::MAX)).await? else {
            break;
        };
        check_len(at, held.bytes.len() as u64)?;
        writer.piece(held.bytes.clone(), held).await.map_err(told)?;
    }
    let commit = Commit { replace: offset.is_none(), only };
    let written = writer.commit(commit).await.map_err(told)?;
    let generation = before.map(|stat| stat.version.generation);
    let status = match generation == Some(written.version.generation) {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let mut answer = state::json(status, &ValueView::written(door.key(), &written))?;
    answer.headers_mut().extend(tag(written.version));
    Ok(answer)
}

/// `DELETE /v1/state/{user}/{*key}`
pub async fn delete(
    State(values): State<Values>,
    Value(key): Value,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    request::nothing(query.as_deref())?;
    let conditions = Conditions::parse(&headers)?;
    let door = Door::new(values.global.clone(), key);
    let told = |error| told(error, door.key());
    let only = match conditions.any() {
        false => Only::Any,
        true => {
            let now = door.stat().await.map_err(told)?;
            only(&conditions, now.as_ref(), true, door.key())?
        }
    };
    door.delete(only).await.map_err(told)?;
    state::json(StatusCode::OK, &DeletedView { deleted: door.key().to_string() })
}

/// `GET /v1/locks`: the global locks on the caller's values, or on all for an admin.
pub async fn locks(
    State(values): State<Values>,
    principal: Principal,
    RawQuery(query): RawQuery,
) -> Answer {
    let user = request::user(query.as_deref())?;
    user.as_ref().map_or(Ok(()), |user| principal.check(user))?;
    let user = user.as_ref().or(principal.only()).map(|user| user.as_str());
    let locks = values.overview.locks(Instant::now() + LOCKS).await;
    let locks = locks.map_err(|error| told(error, "the list"))?;
    let locks = locks.iter().filter(|lock| user.is_none_or(|user| lock.key.user == user));
    state::json(StatusCode::OK, &LocksView { locks: locks.map(LockView::from).collect() })
}

/// `GET /v1/shards`: who holds which part of the state.
pub async fn shards(State(values): State<Values>, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let shards = values.overview.shards();
    let shards = shards.iter().map(|(id, shard)| ShardView::new(*id, shard)).collect();
    state::json(StatusCode::OK, &ShardsView { shards })
}

async fn info(values: &Values, key: StateKey) -> Answer {
    let door = Door::new(values.global.clone(), key);
    let by = Instant::now() + COPIES;
    let copies = values.overview.copies(door.key().clone(), by);
    let locks = values.overview.locks(Instant::now() + LOCKS);
    let (stat, copies, locks) = tokio::join!(door.stat(), copies, locks);
    let stat = stat.map_err(|error| told(error, door.key()))?;
    let stat = stat.ok_or_else(|| missing(door.key()))?;
    let id = door.key().shard();
    let shards = values.overview.shards();
    let shard = shards.iter().find(|(known, _)| *known == id);
    let shard = shard.map(|(id, shard)| ShardView::new(*id, shard));
    let locks = locks.map_err(|error| told(error, door.key()))?;
    let lock = locks.iter().find(|lock| lock.key == **door.key());
    state::json(StatusCode::OK, &InfoView::new(door.key(), &stat, shard, &copies, lock))
}

/// What must be there when a change is made. `inside`: it is for a value that is there.
fn only(
    conditions: &Conditions,
    now: Option<&Stat>,
    inside: bool,
    key: &StateKey,
) -> Result<Only, ApiError> {
    // A condition does not count where the answer is no success without it.
    if inside && now.is_none() {
        return Err(missing(key));
    }
    conditions.of_write(now.map(|stat| stat.version)).ok_or_else(|| failed(key))
}

/// The answer with bytes of a value.
fn head(version: Version, part: Part, len: u64, body: Body) -> Response {
    let (status, sent) = match part {
        Part::Some(range) => (StatusCode::PARTIAL_CONTENT, range.len),
        _ => (StatusCode::OK, len),
    };
    let mut response = bare(status, version);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(sent));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Part::Some(range) = part {
        let last = range.off.saturating_add(range.len).saturating_sub(1);
        headers.extend(text(CONTENT_RANGE, format!("bytes {}-{last}/{len}", range.off)));
    }
    *response.body_mut() = body;
    response
}

fn outside(version: Version, len: u64) -> Response {
    let detail = format!("the value has {len} bytes, and none of them is in the range");
    let error = ApiError::invalid(detail).with_status(StatusCode::RANGE_NOT_SATISFIABLE);
    let mut response = error.into_response();
    response.headers_mut().extend(text(CONTENT_RANGE, format!("bytes */{len}")));
    response.headers_mut().extend(tag(version));
    response
}

fn bare(status: StatusCode, version: Version) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().extend(tag(version));
    response
}

fn tag(version: Version) -> Option<(HeaderName, HeaderValue)> {
    text(ETAG, etag(version))
}

fn text(name: HeaderName, value: String) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::try_from(value).ok().map(|value| (name, value))
}

fn check_len(at: u64, more: u64) -> Result<(), ApiError> {
    if at.saturating_add(more) <= MAX_VALUE {
        return Ok(());
    }
    let detail = format!("a value has at most {MAX_VALUE} bytes");
    Err(ApiError::new(Errno::TooBig, detail))
}

fn missing(key: &StateKey) -> ApiError {
    let detail = format!("there is no value {}; `faasm state ls {}` lists them", key, key.user);
    ApiError::new(Errno::NoEnt, detail)
}

fn failed(key: &StateKey) -> ApiError {
    let detail = format!("{key} is not what If-Match or If-None-Match ask for: nothing was done");
    ApiError::new(Errno::Exist, detail).with_status(StatusCode::PRECONDITION_FAILED)
}

/// An answer of the state, as one of HTTP.
fn told(error: StateError, what: impl std::fmt::Display) -> ApiError {
    let code = error.errno();
    let StateError::Refused(refusal) = error else {
        return ApiError::new(code, format!("{what}: {error}"));
    };
    let detail = match refusal {
        Refusal::Missing => {
            let detail = format!("there is no value {what}; `faasm state ls USER` lists them");
            return ApiError::new(Errno::NoEnt, detail);
        }
        Refusal::Mismatch(_) => {
            let detail = format!("{what} changed meanwhile: nothing was done");
            let status = StatusCode::PRECONDITION_FAILED;
            return ApiError::new(code, detail).with_status(status);
        }
        Refusal::NoSpace => {
            let detail = format!("{what}: the disks of the nodes that keep it are full");
            let status = StatusCode::INSUFFICIENT_STORAGE;
            return ApiError::new(Errno::Full, detail).with_status(status);
        }
        Refusal::TooBig(why) => {
            let detail = format!("{what}: {why}");
            return ApiError::new(code, detail).with_status(StatusCode::FORBIDDEN);
        }
        Refusal::Locked => {
            format!("a call holds the global write lock on {what}; `faasm locks` shows which")
        }
        Refusal::Again => format!("{what} changed too often while it was read or written"),
        Refusal::Invalid(why) | Refusal::Unavailable(why) => format!("{what}: {why}"),
        other => format!("{what}: {other:?}"),
    };
    ApiError::new(code, detail)
}

#[cfg(test)]
mod tests;
