//! `POST /v1/functions/{user}/{name}/invoke`: the hot path. No JSON on the way of a success.

use std::io::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use tracing::Instrument;

use super::error::ApiError;
use super::extract::Key;
use super::request::Asked;
use super::state::{self, Answer, Gateway};
use super::upload::check_pins;
use super::view::{CALL_HEADER, NODE_HEADER, RESULT_HEADER, SubmittedView};
use super::{body, jobs};
use crate::calls::Finished;
use crate::errno::Errno;

/// Runs a function: its output with its result in a header, or 202 with the call's id.
pub async fn invoke(
    State(gateway): State<Arc<Gateway>>,
    Key(key): Key,
    request: Request,
) -> Answer {
    let (head, body) = request.into_parts();
    let Asked { mut invoke, detached, stream } =
        Asked::parse(key, head.uri.query(), &head.headers)?;
    in_service(&gateway)?;
    check_pins(&invoke.pin, || gateway.handles.consensus.members())?;
    if let Some(job) = &invoke.job {
        let hosts: Vec<_> = job.hosts.iter().map(|host| host.node).collect();
        check_pins(&hosts, || gateway.handles.consensus.members())?;
    }
    let mut held = body::read(body, gateway.options.body_bytes, &gateway.budget).await?;
    invoke.input = std::mem::take(&mut held.bytes);
    if invoke.trace == 0 {
        // Drawn here, so that the span below has it too.
        invoke.trace = rand::random();
    }
    let span = tracing::debug_span!(
        "invoke",
        function = %invoke.key,
        trace = %format_args!("{:032x}", invoke.trace)
    );
    if detached {
        let call = gateway.handles.calls.submit(invoke).instrument(span).await?;
        return state::json(StatusCode::ACCEPTED, &SubmittedView { call: call.to_string() });
    }
    if stream {
        let streamed = gateway.handles.calls.stream(invoke).instrument(span).await?;
        return Ok(jobs::streamed(streamed));
    }
    // Awaited here, not spawned: when the client leaves, this future is dropped and with it the
    // call.
    let finished = gateway.handles.calls.invoke(invoke).instrument(span).await?;
    finish(finished)
}

/// A node that drains answers for no new calls: they would be lost when it is removed.
fn in_service(gateway: &Gateway) -> Result<(), ApiError> {
    let me = gateway.handles.node;
    match gateway.handles.consensus.membership().get(me) {
        Some(member) if member.draining => {
            Err(ApiError::new(Errno::Unavailable, format!("{me} drains: ask another node")))
        }
        _ => Ok(()),
    }
}

/// The response to a call that ended.
fn finish(finished: Finished) -> Answer {
    let result = finished.result.map_err(|error| ApiError::from(error).of_call(finished.call))?;
    let mut response = state::bytes(finished.output).into_response();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(CALL_HEADER), text(finished.call));
    headers.insert(HeaderName::from_static(RESULT_HEADER), HeaderValue::from(u16::from(result)));
    headers.insert(HeaderName::from_static(NODE_HEADER), text(finished.node));
    Ok::<Response, _>(response)
}

/// An id as a header's value, without a string of its own.
pub(super) fn text(id: impl std::fmt::Display) -> HeaderValue {
    let mut buffer = [0; 40];
    let mut rest = &mut buffer[..];
    // Ids have at most 32 characters: they fit.
    let _fits = write!(rest, "{id}");
    let left = rest.len();
    let used = buffer.len() - left;
    HeaderValue::from_bytes(&buffer[..used]).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt;

    use super::*;
    use crate::errno::CallError;
    use crate::id::{CallId, NodeId};

    fn finished(result: Result<u8, CallError>) -> Finished {
        let output = Bytes::from_static(b"\0out");
        Finished { call: CallId(u128::MAX), node: NodeId(u64::MAX), result, output }
    }

    #[tokio::test]
    async fn a_result_of_any_value_is_200_with_the_output() {
        let response = finish(finished(Ok(255))).unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers[RESULT_HEADER], "255");
        assert_eq!(headers[CALL_HEADER], CallId(u128::MAX).to_string());
        assert_eq!(headers[NODE_HEADER], NodeId(u64::MAX).to_string());
        assert_eq!(headers["content-type"], "application/octet-stream");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], b"\0out");
    }

    #[test]
    fn a_call_that_failed_has_the_status_of_its_code_and_its_id() {
        let failed = CallError::new(Errno::Limit, "too much memory");
        let error = finish(finished(Err(failed))).unwrap_err();
        assert_eq!((error.status().as_u16(), error.error().code), (422, Errno::Limit));
        assert!(error.body().contains(&CallId(u128::MAX).to_string()));
    }
}
