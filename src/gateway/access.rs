//! Who a request is from and what it may do: the one place that decides it.
//!
//! Every route declares an [`Access`] (see `routes.rs`); [`guard`] stands before each handler and
//! enforces it. Whose function or call a path names is checked where the path is read (`extract.rs`),
//! so that no handler gets an id that its caller may not touch.
//!
//! *Open mode*: on loopback, as long as nobody was made a user beside the first admin, a request
//! without a token is the admin's. A token that is wrong, expired or revoked is refused in any mode.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use super::error::ApiError;
use crate::consensus::users::{FIRST_ADMIN, Users};
use crate::errno::Errno;
use crate::id::Name;
use crate::wire::members::TokenHash;
use crate::wire::users::{Quotas, Role};

/// Longest sleep until a token's end: the clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: anybody may ask.
    Open,
    /// A user. What of it is the user's own is decided by the path.
    User,
    /// An admin.
    Admin,
}

/// Who a request is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user's name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Its limits.
    pub quotas: Quotas,
    /// When the user was made, in milliseconds since 1970: what is older was another's.
    pub since_ms: u64,
    /// The token it showed; none in open mode.
    pub token: Option<TokenHash>,
}

impl Principal {
    /// Whether it may do everything.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Whether what is `user`'s is this caller's to see and change. The answer does not tell
    /// whether there is such a user.
    pub fn check(&self, user: &Name) -> Result<(), ApiError> {
        if self.is_admin() || self.name == *user {
            return Ok(());
        }
        let detail = format!("{} may use what is below its own name only", self.name);
        Err(ApiError::new(Errno::Perm, detail))
    }

    /// The user whose things alone it may see; none for an admin, who sees all.
    pub fn only(&self) -> Option<&Name> {
        (!self.is_admin()).then_some(&self.name)
    }
}

/// The caller of a route with [`Access::User`] or [`Access::Admin`].
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Caller>() {
            Some(Caller(known)) => known.clone(),
            None => Err(unauthorized("no token came with the request")),
        }
    }
}

/// The caller of a route for admins: a second lock beside [`guard`].
#[derive(Debug, Clone)]
pub struct Admin(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, state).await?;
        admin(&principal)?;
        Ok(Self(principal))
    }
}

/// Said of a token that is not known to a node without a session.
const UNKNOWN_YET: &str = "this node does not know the token, and has no session with a majority of \
                           the cluster, so it may be new: try again, or ask another node";

/// What is known of a request's caller, beside the request.
#[derive(Debug, Clone)]
pub struct Caller(pub Result<Principal, ApiError>);

/// Knows the users, as they change.
pub struct Door {
    users: watch::Receiver<Arc<Users>>,
    loopback: bool,
    up_to_date: Box<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("loopback", &self.loopback).finish_non_exhaustive()
    }
}

impl Door {
    /// A door of a gateway that only this machine reaches (`loopback`), or also others.
    pub fn new(users: watch::Receiver<Arc<Users>>, loopback: bool) -> Self {
        Self { users, loopback, up_to_date: Box::new(|| true) }
    }

    /// The same of a node that may have started just now: while `up_to_date` is false there may be
    /// tokens that it has not heard of.
    #[must_use]
    pub fn knowing(self, up_to_date: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { up_to_date: Box::new(up_to_date), ..self }
    }

    /// A door that takes everybody for the admin.
    #[cfg(test)]
    pub fn unguarded() -> Self {
        Self::new(watch::channel(Arc::default()).1, true)
    }

    /// Who sends a request with these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let users = self.users.borrow();
        match token(headers)? {
            Some(hash) => known(&users, hash, now_ms()).ok_or_else(|| match (self.up_to_date)() {
                true => unauthorized("the token is wrong, expired or revoked"),
                false => ApiError::new(Errno::Unavailable, UNKNOWN_YET),
            }),
            // Any page may make its reader's browser send requests to this machine.
            None if headers.contains_key(ORIGIN) => {
                Err(unauthorized("a request of a web page needs a token"))
            }
            None if self.loopback && !users.tokens_needed() => Ok(open(&users)?),
            None => Err(unauthorized("no token came with the request")),
        }
    }

    /// Returns when the caller's token is good no more. Callers of open mode showed none.
    pub async fn revoked(&self, principal: &Principal) {
        let Some(hash) = principal.token else { return std::future::pending().await };
        let mut users = self.users.clone();
        loop {
            let now = now_ms();
            let ends = {
                let users = users.borrow_and_update();
                let now_is = known(&users, hash, now);
                if now_is.is_none_or(|p| p.name != principal.name || p.role != principal.role) {
                    return;
                }
                ends_in(&users, principal, now)
            };
            let changed = tokio::time::timeout(ends.unwrap_or(LOOK_AGAIN), users.changed());
            if let Ok(Err(_)) = changed.await {
                // The node stops, and its gateway with it.
                return std::future::pending().await;
            }
        }
    }
}

/// Lets a request pass to its route if its caller may use it; ends it when the caller loses that
/// right while it waits. What admins do is short, and may be the very change that ends their token.
pub async fn guard(
    State((door, access)): State<(Arc<Door>, Access)>,
    request: Request,
    next: Next,
) -> Response {
    if access == Access::Open {
        return next.run(request).await;
    }
    let caller = request.extensions().get::<Caller>().map(|caller| caller.0.clone());
    let caller = caller.unwrap_or_else(|| Err(unauthorized("no token came with the request")));
    let principal = match caller.and_then(|principal| match access {
        Access::Admin => admin(&principal).map(|()| principal),
        Access::Open | Access::User => Ok(principal),
    }) {
        Ok(principal) => principal,
        Err(error) => return error.into_response(),
    };
    if access == Access::Admin {
        return next.run(request).await;
    }
    tokio::select! {
        // Looked at first: a request whose caller is out must not take another step.
        biased;
        () = door.revoked(&principal) => {
            unauthorized("the token was revoked or expired while the request was under way")
                .into_response()
        }
        response = next.run(request) => response,
    }
}

fn admin(principal: &Principal) -> Result<(), ApiError> {
    if principal.is_admin() {
        return Ok(());
    }
    let detail = format!("{} is no admin, and this is for admins only", principal.name);
    Err(ApiError::new(Errno::Perm, detail))
}

/// The token in a request's headers; none if there is no such header.
fn token(headers: &HeaderMap) -> Result<Option<TokenHash>, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(unauthorized("the header Authorization is not `Bearer TOKEN`")),
    };
    if values.next().is_some() {
        return Err(unauthorized("there is more than one header Authorization"));
    }
    Ok(Some(TokenHash::of(token)))
}

fn known(users: &Users, hash: TokenHash, now_ms: u64) -> Option<Principal> {
    let (name, user) = users.owner(hash, now_ms)?;
    let (role, quotas) = (user.role, user.quotas);
    let since_ms = user.created_ms;
    Some(Principal { name: name.clone(), role, quotas, since_ms, token: Some(hash) })
}

/// The caller in open mode; also before the cluster knows of any user.
fn open(users: &Users) -> Result<Principal, ApiError> {
    let name = Name::new(FIRST_ADMIN)?;
    let quotas = users.get(FIRST_ADMIN).map(|user| user.quotas).unwrap_or_default();
    Ok(Principal { name, role: Role::Admin, quotas, since_ms: 0, token: None })
}

/// Time until a token ends by itself; none if it does not soon.
fn ends_in(users: &Users, principal: &Principal, now_ms: u64) -> Option<Duration> {
    let user = users.get(principal.name.as_str())?;
    let token = user.tokens.iter().find(|token| Some(token.hash) == principal.token)?;
    let left = token.expires_ms.checked_sub(now_ms).filter(|_| token.expires_ms > 0)?;
    Some(Duration::from_millis(left).min(LOOK_AGAIN))
}

/// A request whose sender is not known: 401.
pub fn unauthorized(why: &str) -> ApiError {
    let detail = format!(
        "{why}: send `Authorization: Bearer TOKEN`; the command line takes --token or FAASM_TOKEN, \
         and an admin makes tokens with `faasm user token NAME`"
    );
    ApiError::new(Errno::Perm, detail).with_status(StatusCode::UNAUTHORIZED)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
