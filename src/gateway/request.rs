//! What an invocation asks for, from its query and headers.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::error::ApiError;
use super::jobs::Job;
use super::{query, upload};
use crate::calls::{Invoke, MAX_DEADLINE};
use crate::config::units::parse_duration;
use crate::id::{FunctionKey, Name};
use crate::telemetry::parse_traceparent;

/// Longest `Idempotency-Key`, in bytes.
const MAX_KEY: usize = 256;
/// Longest time a request may wait for a call's end; a client that wants more asks again.
pub const MAX_WAIT: Duration = Duration::from_secs(300);
/// Calls listed when the request does not say.
const DEFAULT_LIST: usize = 1000;
/// Most calls listed at once.
const MAX_LIST: usize = 10_000;

const ALLOWED: &str = "async, timeout, arg, policy, node, mpi, map_by, hosts, tag_output, stream";

/// An invocation, but for its input.
#[derive(Debug)]
pub struct Asked {
    /// The call to make.
    pub invoke: Invoke,
    /// Whether to answer before it ends.
    pub detached: bool,
    /// Whether the answer is what it writes, as it does.
    pub stream: bool,
}

impl Asked {
    /// Reads an invocation of `key`.
    pub fn parse(
        key: FunctionKey,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        let (mut detached, mut stream) = (false, false);
        let mut job = Job::default();
        let mut invoke = Invoke {
            key,
            input: Bytes::new(),
            args: Vec::new(),
            timeout: None,
            policy: None,
            pin: Vec::new(),
            idempotency: idempotency(headers)?,
            trace: trace(headers),
            job: None,
        };
        for (name, value) in query::parse(query)? {
            match name.as_str() {
                "async" => detached = query::switch(&name, &value)?,
                "timeout" => invoke.timeout = Some(timeout(&value)?),
                "arg" => invoke.args.push(argument(value)?),
                "policy" => invoke.policy = Some(upload::policy(&value)?),
                "node" => invoke.pin = upload::pins(&name, &value)?,
                "stream" => stream = query::switch(&name, &value)?,
                _ if job.takes(&name, &value)? => {}
                _ => return Err(query::unknown(&name, ALLOWED)),
            }
        }
        invoke.job = job.gang(&invoke)?;
        if stream && (detached || invoke.idempotency.is_some()) {
            let why = "not with async, nor with an Idempotency-Key: follow the call's log instead";
            return Err(query::bad("stream", why));
        }
        Ok(Self { invoke, detached, stream })
    }
}

/// How long `GET /v1/calls/{id}` waits for the call's end; zero when it does not say.
pub fn wait(query: Option<&str>) -> Result<Duration, ApiError> {
    let mut wait = Duration::ZERO;
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "wait" => wait = parse_duration(&value).map_err(|why| query::bad("wait", why))?,
            _ => return Err(query::unknown(&name, "wait")),
        }
    }
    if wait > MAX_WAIT {
        let why = format!("at most {}s are allowed; ask again for more", MAX_WAIT.as_secs());
        return Err(query::bad("wait", why));
    }
    Ok(wait)
}

/// What `GET /v1/calls` lists.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// How many calls at most.
    pub most: usize,
    /// Whose; all that the caller may see when it does not say.
    pub user: Option<Name>,
}

/// Which calls `GET /v1/calls` lists.
pub fn listed(query: Option<&str>) -> Result<Listed, ApiError> {
    let mut listed = Listed { most: DEFAULT_LIST, user: None };
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "limit" => listed.most = value.parse().unwrap_or(0),
            "user" => listed.user = Some(Name::new(&value)?),
            _ => return Err(query::unknown(&name, "limit, user")),
        }
    }
    if !(1..=MAX_LIST).contains(&listed.most) {
        return Err(query::bad("limit", format!("1 to {MAX_LIST} are allowed")));
    }
    Ok(listed)
}

/// Whether the only parameter that is allowed, a switch, is on.
pub fn flag(query: Option<&str>, flag: &str) -> Result<bool, ApiError> {
    let mut on = false;
    for (name, value) in query::parse(query)? {
        if name != flag {
            return Err(query::unknown(&name, flag));
        }
        on = query::switch(&name, &value)?;
    }
    Ok(on)
}

/// Whose functions `GET /v1/functions` lists; all when it does not say.
pub fn user(query: Option<&str>) -> Result<Option<Name>, ApiError> {
    let mut user = None;
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "user" => user = Some(Name::new(&value)?),
            _ => return Err(query::unknown(&name, "user")),
        }
    }
    Ok(user)
}

/// Refuses parameters where there are none.
pub fn nothing(query: Option<&str>) -> Result<(), ApiError> {
    match query::parse(query)?.first() {
        None => Ok(()),
        Some((name, _)) => Err(query::unknown(name, "none")),
    }
}

fn timeout(value: &str) -> Result<Duration, ApiError> {
    let timeout = parse_duration(value).map_err(|why| query::bad("timeout", why))?;
    if timeout.is_zero() || timeout > MAX_DEADLINE {
        let most = MAX_DEADLINE.as_secs() / 3600;
        return Err(query::bad("timeout", format!("1ms to {most}h are allowed")));
    }
    Ok(timeout)
}

/// C strings end at the first NUL: an argument with one could not be given to `main`.
fn argument(value: String) -> Result<String, ApiError> {
    match value.contains('\0') {
        true => Err(query::bad("arg", "an argument cannot contain a NUL")),
        false => Ok(value),
    }
}

fn idempotency(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::invalid(format!(
            "header Idempotency-Key: 1 to {MAX_KEY} visible ASCII characters are allowed"
        ))),
    }
}

fn trace(headers: &HeaderMap) -> u128 {
    let header = headers.get("traceparent").and_then(|value| value.to_str().ok());
    header.and_then(parse_traceparent).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::id::NodeId;
    use crate::wire::function::Policy;

    fn parse(query: &str, headers: &HeaderMap) -> Result<Asked, ApiError> {
        Asked::parse(FunctionKey::new("alice", "count").unwrap(), Some(query), headers)
    }

    #[test]
    fn an_invocation_takes_all_it_names() {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_static("k 1"));
        let traceparent = "00-0000000000000000000000000000000f-00f067aa0ba902b7-01";
        headers.insert("traceparent", HeaderValue::from_static(traceparent));
        let query = "async&timeout=5s&arg=a&arg=b%20c&arg=&policy=locality&node=2";
        let asked = parse(query, &headers).unwrap();
        assert!(asked.detached);
        let invoke = asked.invoke;
        assert_eq!(invoke.args, ["a", "b c", ""]);
        assert_eq!(invoke.timeout, Some(Duration::from_secs(5)));
        assert_eq!(invoke.policy, Some(Policy::Locality));
        assert_eq!(invoke.pin, [NodeId(2)]);
        assert_eq!(invoke.idempotency.as_deref(), Some("k 1"));
        assert_eq!(invoke.trace, 15);
    }

    #[test]
    fn what_is_not_named_is_left_to_the_function() {
        let asked = parse("", &HeaderMap::new()).unwrap();
        assert!(!asked.detached);
        assert_eq!(
            (asked.invoke.timeout, asked.invoke.policy, asked.invoke.trace),
            (None, None, 0)
        );
        assert!(asked.invoke.pin.is_empty() && asked.invoke.idempotency.is_none());
        assert!(asked.invoke.job.is_none() && !asked.stream);
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let none = HeaderMap::new();
        for query in ["timeout=0s", "timeout=25h", "arg=%00", "node=x", "asnyc", "policy=x"] {
            assert_eq!(parse(query, &none).unwrap_err().status(), 400, "{query}");
        }
        for key in ["", &"x".repeat(MAX_KEY + 1), "\u{e4}"] {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", HeaderValue::from_bytes(key.as_bytes()).unwrap());
            assert_eq!(parse("", &headers).unwrap_err().status(), 400, "{key:?}");
        }
    }

    #[test]
    fn waits_and_lists_are_bounded() {
        assert_eq!(wait(Some("wait=10s")), Ok(Duration::from_secs(10)));
        assert_eq!(wait(None), Ok(Duration::ZERO));
        assert!(wait(Some("wait=1h")).is_err() && wait(Some("wiat=1s")).is_err());
        assert_eq!(listed(None), Ok(Listed { most: DEFAULT_LIST, user: None }));
        let bobs = Listed { most: 5, user: Some(Name::new("bob").unwrap()) };
        assert_eq!(listed(Some("limit=5&user=bob")), Ok(bobs));
        assert!(listed(Some("limit=0")).is_err() && listed(Some("limit=99999")).is_err());
        assert!(user(Some("user=a/b")).is_err());
        assert!(nothing(Some("x=1")).is_err() && nothing(None).is_ok());
    }
}
