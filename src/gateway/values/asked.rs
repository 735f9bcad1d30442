//! What a request about values asks for: whose, which, and its query.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::gateway::access::Principal;
use crate::gateway::error::ApiError;
use crate::gateway::query;
use crate::id::Name;
use crate::wire::shards::{MAX_KEY, StateKey};
use crate::wire::state::{MAX_LISTED, MAX_VALUE};

/// Longest user's name that is quoted in an error.
const MAX_QUOTED: usize = 80;

/// The value that a path names, as `{user}/{*key}`: the caller's own, or any for an admin.
#[derive(Debug)]
pub struct Value(pub StateKey);

/// The user that a path names: the caller, or anyone for an admin.
#[derive(Debug)]
pub struct Whose(pub Name);

impl<S: Send + Sync> FromRequestParts<S> for Whose {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        let user: String = param(&params, "user").chars().take(MAX_QUOTED).collect();
        let user = Name::new(&user)?;
        Principal::from_request_parts(parts, state).await?.check(&user)?;
        Ok(Self(user))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Value {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Whose(user) = Whose::from_request_parts(parts, state).await?;
        let params = params(parts, state).await?;
        let key = StateKey { user: user.to_string(), key: param(&params, "key").to_owned() };
        match key.is_valid() {
            true => Ok(Self(key)),
            false => Err(ApiError::invalid(format!(
                "a key has 1 to {MAX_KEY} bytes, none of them NUL, and this one has {}",
                key.key.len()
            ))),
        }
    }
}

async fn params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, ApiError> {
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|error| ApiError::invalid(format!("the path cannot be read: {error}")))
}

fn param<'a>(params: &'a RawPathParams, name: &str) -> &'a str {
    params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// Where a PUT writes inside a value; the whole value when it does not say.
pub fn offset(query: Option<&str>) -> Result<Option<u64>, ApiError> {
    let mut offset = None;
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "offset" => {
                let number = value.parse().ok().filter(|offset| *offset < MAX_VALUE);
                let why = format!("0 to {} are allowed", MAX_VALUE - 1);
                offset = Some(number.ok_or_else(|| query::bad(&name, why))?);
            }
            _ => return Err(query::unknown(&name, "offset")),
        }
    }
    Ok(offset)
}

/// Which values of a user are listed.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// Keys that begin so.
    pub prefix: String,
    /// Keys behind this one.
    pub after: Option<String>,
    /// At most so many; as many as one answer lists when the request does not say.
    pub most: u32,
}

/// Reads which values are listed.
pub fn listed(query: Option<&str>) -> Result<Listed, ApiError> {
    let mut listed = Listed { prefix: String::new(), after: None, most: MAX_LISTED };
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "prefix" | "after" if value.len() > MAX_KEY => {
                return Err(query::bad(&name, format!("a key has at most {MAX_KEY} bytes")));
            }
            "prefix" => listed.prefix = value,
            "after" => listed.after = Some(value).filter(|after| !after.is_empty()),
            "limit" => listed.most = value.parse().unwrap_or(0),
            _ => return Err(query::unknown(&name, "prefix, after, limit")),
        }
    }
    match (1..=MAX_LISTED).contains(&listed.most) {
        true => Ok(listed),
        false => Err(query::bad("limit", format!("1 to {MAX_LISTED} are allowed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_what_is_wrong_is_refused() {
        assert_eq!(offset(None), Ok(None));
        assert_eq!(offset(Some("offset=4096")), Ok(Some(4096)));
        let all = Listed { prefix: String::new(), after: None, most: MAX_LISTED };
        assert_eq!(listed(None), Ok(all));
        let some = Listed { prefix: "a/".into(), after: Some("a/b".into()), most: 5 };
        assert_eq!(listed(Some("prefix=a%2F&after=a%2fb&limit=5")), Ok(some));
        let far = format!("offset={MAX_VALUE}");
        for query in ["offset=", "offset=-1", "offset=x", "off=1", "info=1", &far] {
            assert_eq!(offset(Some(query)).unwrap_err().status(), 400, "{query}");
        }
        let long = format!("prefix={}", "x".repeat(MAX_KEY + 1));
        for query in ["limit=0", "limit=1001", "limit=x", "user=bob", &long] {
            assert_eq!(listed(Some(query)).unwrap_err().status(), 400, "{query}");
        }
    }
}
