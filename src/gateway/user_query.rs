//! What a request about users asks for, from its query.

use std::time::Duration;

use super::error::ApiError;
use super::query;
use crate::config::units::{UnitError, parse_duration, parse_size};
use crate::consensus::users::MAX_LABEL;
use crate::wire::users::{Quotas, Role};

const ALLOWED: &str = "role, functions, bytes, running, requests";

/// A change of a user: what is named.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What it may do.
    pub role: Option<Role>,
    functions: Option<u32>,
    bytes: Option<u64>,
    running: Option<u32>,
    requests: Option<u32>,
}

impl Changed {
    /// The quotas, where they are not named as they were.
    pub fn quotas(&self, old: Quotas) -> Quotas {
        Quotas {
            functions: self.functions.unwrap_or(old.functions),
            bytes: self.bytes.unwrap_or(old.bytes),
            running: self.running.unwrap_or(old.running),
            requests: self.requests.unwrap_or(old.requests),
        }
    }
}

/// A new token.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    /// What people call it.
    pub label: String,
    /// After which time it is void; never when none is named.
    pub expires: Option<Duration>,
}

/// Reads a change of a user.
pub fn changed(query: Option<&str>) -> Result<Changed, ApiError> {
    let mut asked = Changed::default();
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "role" => asked.role = Some(value.parse().map_err(|why| query::bad("role", why))?),
            "functions" => asked.functions = Some(count(&name, &value)?),
            "running" => asked.running = Some(count(&name, &value)?),
            "requests" => asked.requests = Some(count(&name, &value)?),
            "bytes" => {
                asked.bytes = Some(parse_size(&value).map_err(|why| query::bad("bytes", why))?);
            }
            _ => return Err(query::unknown(&name, ALLOWED)),
        }
    }
    Ok(asked)
}

/// Reads what a new token is to be.
pub fn token(query: Option<&str>) -> Result<NewToken, ApiError> {
    let mut asked = NewToken::default();
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "label" if value.len() <= MAX_LABEL && !value.contains(char::is_control) => {
                asked.label = value;
            }
            "label" => {
                let why = format!("at most {MAX_LABEL} bytes of printable text are allowed");
                return Err(query::bad("label", why));
            }
            "expires" => {
                let after = parse_days(&value).map_err(|why| query::bad("expires", why))?;
                if after.is_zero() {
                    return Err(query::bad("expires", "a time above 0 is allowed"));
                }
                asked.expires = Some(after);
            }
            _ => return Err(query::unknown(&name, "label, expires")),
        }
    }
    Ok(asked)
}

/// Reads a duration, which here can be one of days: `30d`.
pub fn parse_days(text: &str) -> Result<Duration, UnitError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days) => Ok(Duration::from_secs(86_400) * days),
        None => parse_duration(text),
    }
}

fn count(name: &str, value: &str) -> Result<u32, ApiError> {
    value.parse().map_err(|_| query::bad(name, format!("`{value}` is no whole number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let old = Quotas { functions: 1, bytes: 2, running: 3, requests: 4 };
        let asked = changed(Some("role=admin&bytes=1MiB&requests=0")).unwrap();
        assert_eq!(asked.role, Some(Role::Admin));
        let expected = Quotas { functions: 1, bytes: 1 << 20, running: 3, requests: 0 };
        assert_eq!(asked.quotas(old), expected);
        assert_eq!(changed(None).unwrap().quotas(old), old);
    }

    #[test]
    fn tokens_have_a_label_and_an_end() {
        let asked = token(Some("label=ci%20job&expires=30m")).unwrap();
        let expires = Some(Duration::from_secs(1800));
        assert_eq!(asked, NewToken { label: "ci job".into(), expires });
        let month = token(Some("expires=30d")).unwrap().expires;
        assert_eq!(month, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(token(None).unwrap(), NewToken::default());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for query in ["role=root", "functions=-1", "bytes=x", "requests=1.5", "name=x"] {
            assert_eq!(changed(Some(query)).unwrap_err().status(), 400, "{query}");
        }
        let long = format!("label={}", "x".repeat(MAX_LABEL + 1));
        for query in ["expires=0s", "expires=x", "label=%0a", "role=user", &long] {
            assert_eq!(token(Some(query)).unwrap_err().status(), 400, "{query}");
        }
    }
}
