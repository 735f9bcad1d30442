//! MPI jobs over HTTP: how many ranks and where, and what they write, as they do.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::error::ApiError;
use super::invoke::text;
use super::query;
use super::view::CALL_HEADER;
use crate::calls::Invoke;
use crate::calls::gang::follow::{Follower, Streamed};
use crate::calls::gang::{Gang, Host, MapBy};

/// Most hosts of a job.
const MAX_HOSTS: usize = 1024;

/// The parameters of an invocation that are about a job.
#[derive(Debug, Default)]
pub struct Job {
    ranks: Option<u32>,
    map_by: Option<MapBy>,
    hosts: Vec<Host>,
    tag_output: bool,
}

impl Job {
    /// Takes a parameter; whether it is one of these.
    pub fn takes(&mut self, name: &str, value: &str) -> Result<bool, ApiError> {
        match name {
            "mpi" => {
                let ranks =
                    value.parse().map_err(|_| query::bad(name, "give a number of ranks"))?;
                self.ranks = Some(ranks);
            }
            "map_by" => {
                let map_by = value.parse().map_err(|why: String| query::bad(name, why))?;
                self.map_by = Some(map_by);
            }
            "hosts" => {
                let hosts: Result<Vec<Host>, String> = value.split(',').map(str::parse).collect();
                self.hosts = hosts.map_err(|why| query::bad(name, why))?;
                if self.hosts.len() > MAX_HOSTS {
                    return Err(query::bad(name, format!("at most {MAX_HOSTS} are allowed")));
                }
            }
            "tag_output" => self.tag_output = query::switch(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The job, if one is asked for.
    pub fn gang(self, invoke: &Invoke) -> Result<Option<Gang>, ApiError> {
        let Some(ranks) = self.ranks else {
            let wants = self.map_by.is_some() || !self.hosts.is_empty() || self.tag_output;
            return match wants {
                true => Err(ApiError::invalid("map_by, hosts and tag_output go with mpi=N")),
                false => Ok(None),
            };
        };
        if invoke.policy.is_some() || !invoke.pin.is_empty() {
            return Err(query::bad("mpi", "use map_by and hosts instead of policy and node"));
        }
        let (map_by, hosts) = (self.map_by.unwrap_or_default(), self.hosts);
        let gang = Gang { ranks, map_by, hosts, tag_output: self.tag_output };
        gang.check().map_err(|why| query::bad("mpi", why))?;
        Ok(Some(gang))
    }
}

/// The answer to a call whose output is read while it runs: what it writes, as it does; then the
/// body ends, and the call's record has its result. A reader that leaves before cancels it.
pub fn streamed(call: Streamed) -> Response {
    let id = text(call.call);
    let body = Body::from_stream(stream::unfold(call, |mut call| async move {
        match call.next().await {
            Some(part) => Some((Ok::<_, Infallible>(part), call)),
            None => {
                // Its record is there when the body ends.
                let _ended = call.result().await;
                None
            }
        }
    }));
    let mut response = plain(body);
    response.headers_mut().insert(HeaderName::from_static(CALL_HEADER), id);
    response
}

/// The log of a call, from its beginning and as it grows.
pub fn followed(follower: Follower) -> Response {
    plain(Body::from_stream(stream::unfold(follower, |mut follower| async move {
        match follower.next().await {
            Ok(Some(part)) => Some((Ok(part), follower)),
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), follower)),
        }
    })))
}

fn plain(body: Body) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::gateway::request::Asked;
    use crate::id::{FunctionKey, NodeId};

    fn parse(query: &str) -> Result<Option<Gang>, ApiError> {
        let key = FunctionKey::new("alice", "ring").unwrap();
        Asked::parse(key, Some(query), &HeaderMap::new()).map(|asked| asked.invoke.job)
    }

    #[test]
    fn a_job_takes_all_it_names() {
        let job = parse("mpi=8&map_by=node&hosts=n1,n2:4&tag_output&stream&arg=x").unwrap();
        let hosts =
            vec![Host { node: NodeId(1), slots: None }, Host { node: NodeId(2), slots: Some(4) }];
        let expected = Gang { ranks: 8, map_by: MapBy::Node, hosts, tag_output: true };
        assert_eq!(job, Some(expected));
        assert_eq!(parse("mpi=1").unwrap(), Some(Gang::of(1)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for query in [
            "mpi=0",
            "mpi=x",
            "mpi=5000",
            "mpi=2&map_by=core",
            "mpi=2&hosts=x",
            "mpi=2&hosts=n1:1",
            "map_by=node",
            "tag_output",
            "mpi=2&node=1",
            "mpi=2&policy=spread",
            "mpi=2&stream&async",
        ] {
            assert_eq!(parse(query).unwrap_err().status(), 400, "{query}");
        }
    }
}
