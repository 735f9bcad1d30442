//! The registry: `/v1/functions`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, Request, State};
use bytes::Bytes;
use http::StatusCode;

use super::access::{Principal, now_ms};
use super::error::ApiError;
use super::extract::Key;
use super::state::{self, Answer, Gateway};
use super::view::{DeletedView, FunctionView, FunctionsView};
use super::{body, request, upload};
use crate::errno::Errno;
use crate::id::{BlobHash, FunctionKey};
use crate::wire::consensus::{Command, Response};
use crate::wire::function::FunctionEntry;

/// Longest time a module may take to compile: 256 MiB of code on a slow machine.
const COMPILE: Duration = Duration::from_secs(300);
/// Longest time until a majority of a module's copies is durable.
const STORE: Duration = Duration::from_secs(60);
/// Longest time until a change is applied: far above a change of leader.
const PROPOSE: Duration = Duration::from_secs(5);
/// Longest time until every live node has applied it: above the length of a session, after which a
/// silent node does not count any more.
const SPREAD: Duration = Duration::from_secs(15);

/// `GET /v1/functions`: the caller's own, or all for an admin.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    principal: Principal,
    RawQuery(query): RawQuery,
) -> Answer {
    let user = request::user(query.as_deref())?;
    user.as_ref().map_or(Ok(()), |user| principal.check(user))?;
    let user = user.or(principal.only().cloned());
    let functions = gateway.handles.consensus.functions(user.as_ref().map(|user| user.as_str()));
    let functions = functions.iter().map(|(key, entry)| FunctionView::new(key, entry)).collect();
    state::json(StatusCode::OK, &FunctionsView { functions })
}

/// `GET /v1/functions/{user}/{name}`
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Key(key): Key,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    let entry = gateway.handles.consensus.function(&key).ok_or_else(|| missing(&key))?;
    state::json(StatusCode::OK, &FunctionView::new(&key, &entry))
}

/// `PUT /v1/functions/{user}/{name}`: returns when a majority of the module's copies is durable
/// and every node with a live session knows the function.
pub async fn put(State(gateway): State<Arc<Gateway>>, Key(key): Key, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let (limits, options) = upload::parse(head.uri.query())?;
    let handles = &gateway.handles;
    upload::check_pins(&options.pin, || handles.consensus.members())?;
    let held = body::read(body, gateway.options.body_bytes, &gateway.budget).await?;
    let wasm = held.bytes.clone();
    upload::check_module(&wasm)?;
    let size = wasm.len() as u64;
    let hash = hash(wasm.clone()).await?;
    let compiling = handles.functions.compile(hash, wasm.clone());
    tokio::time::timeout(COMPILE, compiling).await.map_err(|_| slow_compile())??;
    handles.blobs.put(wasm, Instant::now() + STORE).await?;
    let mut entry =
        FunctionEntry { wasm: hash, size, version: 0, uploaded_ms: now_ms(), limits, options };
    let (user, name) = (key.user.to_string(), key.name.to_string());
    let command = Command::PutFunction { user, name, entry: entry.clone() };
    entry.version = change(&gateway, &key, command).await?;
    tracing::info!(function = %key, hash = %hash, version = entry.version, "function uploaded");
    state::json(StatusCode::OK, &FunctionView::new(&key, &entry))
}

/// `DELETE /v1/functions/{user}/{name}`
pub async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Key(key): Key,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    let (user, name) = (key.user.to_string(), key.name.to_string());
    change(&gateway, &key, Command::DeleteFunction { user, name }).await?;
    tracing::info!(function = %key, "function deleted");
    state::json(StatusCode::OK, &DeletedView { deleted: key.to_string() })
}

/// Makes a change of the registry, and waits until every live node has it. Gives its log index.
async fn change(gateway: &Gateway, key: &FunctionKey, command: Command) -> Result<u64, ApiError> {
    let consensus = &gateway.handles.consensus;
    let applied = consensus.propose(command, Instant::now() + PROPOSE).await?;
    match applied.response {
        Response::Done | Response::Joined(_) | Response::Lock(_) => {}
        Response::NotFound => return Err(missing(key)),
        Response::Refused(why) => return Err(ApiError::invalid(why)),
        Response::OverQuota(why) => {
            return Err(ApiError::new(Errno::Quota, why).with_status(StatusCode::FORBIDDEN));
        }
    }
    let everywhere = consensus.wait_applied_everywhere(applied.index, Instant::now() + SPREAD);
    everywhere.await.map_err(|error| {
        let detail = format!("the change of {key} is made, but not every node has it yet: {error}");
        ApiError::new(Errno::Unavailable, detail)
    })?;
    Ok(applied.index)
}

/// Hashing megabytes takes longer than a control thread may be held.
async fn hash(bytes: Bytes) -> Result<BlobHash, ApiError> {
    let hashing = tokio::task::spawn_blocking(move || BlobHash::of(&bytes));
    hashing.await.map_err(|error| ApiError::new(Errno::Failed, format!("hashing failed: {error}")))
}

fn missing(key: &FunctionKey) -> ApiError {
    let detail = format!("there is no function {key}; `faasm functions {}` lists them", key.user);
    ApiError::new(Errno::NoEnt, detail)
}

fn slow_compile() -> ApiError {
    let detail = format!("the module did not compile within {} s", COMPILE.as_secs());
    ApiError::new(Errno::TimedOut, detail)
}
