//! Users and their tokens, for admins: `/v1/users`. A change is answered when every node with a live
//! session has applied it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use http::StatusCode;

use super::access::{Admin, Principal, now_ms};
use super::error::ApiError;
use super::extract::{Named, TokenName};
use super::request;
use super::state::{self, Answer, Gateway};
use super::user_query::{self, Changed};
use super::user_view::{NewTokenView, TokenView, UserView, UsersView, WhoamiView};
use super::view::DeletedView;
use crate::errno::Errno;
use crate::id::Name;
use crate::wire::consensus::{Command, Response};
use crate::wire::members::TokenHash;
use crate::wire::token;
use crate::wire::users::{Role, Token, UserCommand};

/// Longest time until a change is applied: far above a change of leader.
const PROPOSE: Duration = Duration::from_secs(5);
/// Longest time until every live node has applied it: above the length of a session, after which a
/// silent node does not count any more.
const SPREAD: Duration = Duration::from_secs(15);
/// The label of the token that a new user gets.
const FIRST_LABEL: &str = "first";

/// `GET /v1/whoami`
pub async fn whoami(principal: Principal, RawQuery(query): RawQuery) -> Answer {
    request::nothing(query.as_deref())?;
    let view = WhoamiView {
        user: principal.name.to_string(),
        role: principal.role.to_string(),
        quotas: principal.quotas,
        token: principal.token.map(|token| token.name()),
    };
    state::json(StatusCode::OK, &view)
}

/// `GET /v1/users`
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    let users = gateway.handles.consensus.users();
    let users = users.all().iter().map(|(name, user)| UserView::new(name, user)).collect();
    state::json(StatusCode::OK, &UsersView { users })
}

/// `PUT /v1/users/{user}`: makes a user; the answer has its first token, which nobody keeps.
pub async fn add(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = user_query::changed(query.as_deref())?;
    let quotas = asked.quotas(Default::default());
    let role = asked.role.unwrap_or(Role::User);
    let put =
        UserCommand::Put { name: name.to_string(), role, quotas, now_ms: now_ms(), new: true };
    change(&gateway, &name, put).await?;
    tracing::info!(user = %name, %role, "user made");
    new_token(&gateway, &name, FIRST_LABEL.to_owned(), 0).await
}

/// `PATCH /v1/users/{user}`: changes what the query names.
pub async fn set(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked: Changed = user_query::changed(query.as_deref())?;
    let consensus = &gateway.handles.consensus;
    let old = consensus.users().get(name.as_str()).cloned().ok_or_else(|| missing(&name))?;
    let (role, quotas) = (asked.role.unwrap_or(old.role), asked.quotas(old.quotas));
    let put =
        UserCommand::Put { name: name.to_string(), role, quotas, now_ms: now_ms(), new: false };
    change(&gateway, &name, put).await?;
    tracing::info!(user = %name, %role, "user changed");
    let users = consensus.users();
    let user = users.get(name.as_str()).ok_or_else(|| missing(&name))?;
    state::json(StatusCode::OK, &UserView::new(&name, user))
}

/// `DELETE /v1/users/{user}`: with its tokens, functions and running calls.
pub async fn remove(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    change(&gateway, &name, UserCommand::Remove { name: name.to_string() }).await?;
    tracing::info!(user = %name, "user removed");
    state::json(StatusCode::OK, &DeletedView { deleted: name.to_string() })
}

/// `POST /v1/users/{user}/tokens`: the answer has the token, which nobody keeps.
pub async fn give_token(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = user_query::token(query.as_deref())?;
    let expires = asked.expires.map_or(0, |after| {
        now_ms().saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    });
    new_token(&gateway, &name, asked.label, expires).await
}

/// `DELETE /v1/users/{user}/tokens/{token}`
pub async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    Named(name): Named,
    TokenName(token): TokenName,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    if token.is_empty() {
        return Err(ApiError::invalid("the path names no token"));
    }
    remove_token(&gateway, &name, token).await
}

/// `DELETE /v1/users/{user}/tokens`: all of them.
pub async fn revoke_all(
    State(gateway): State<Arc<Gateway>>,
    _: Admin,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    remove_token(&gateway, &name, String::new()).await
}

async fn remove_token(gateway: &Gateway, name: &Name, token: String) -> Answer {
    let deleted = if token.is_empty() { "all tokens".to_owned() } else { token.clone() };
    change(gateway, name, UserCommand::RemoveToken { name: name.to_string(), token }).await?;
    tracing::info!(user = %name, token = %deleted, "token revoked");
    state::json(StatusCode::OK, &DeletedView { deleted })
}

async fn new_token(gateway: &Gateway, name: &Name, label: String, expires_ms: u64) -> Answer {
    let text = token::draw();
    let hash = TokenHash::of(&text);
    let token = Token { hash, label, created_ms: now_ms(), expires_ms };
    let view = TokenView::from(&token);
    change(gateway, name, UserCommand::PutToken { name: name.to_string(), token }).await?;
    tracing::info!(user = %name, token = %hash.name(), "token made");
    let view = NewTokenView { user: name.to_string(), token: text, about: view };
    state::json(StatusCode::OK, &view)
}

/// Makes a change of the users, and waits until every live node has it.
async fn change(gateway: &Gateway, name: &Name, command: UserCommand) -> Result<(), ApiError> {
    let consensus = &gateway.handles.consensus;
    let applied = consensus.propose(Command::User(command), Instant::now() + PROPOSE).await?;
    match applied.response {
        Response::Done | Response::Joined(_) | Response::Lock(_) => {}
        Response::NotFound => return Err(missing(name)),
        Response::Refused(why) | Response::OverQuota(why) => {
            return Err(ApiError::new(Errno::Exist, why));
        }
    }
    let everywhere = consensus.wait_applied_everywhere(applied.index, Instant::now() + SPREAD);
    everywhere.await.map_err(|error| {
        let detail = format!("the change of {name} is made, but not every node has it: {error}");
        ApiError::new(Errno::Unavailable, detail)
    })
}

fn missing(name: &Name) -> ApiError {
    let detail = format!("there is no user {name}, or no such token; `faasm user ls` lists them");
    ApiError::new(Errno::NoEnt, detail)
}
