//! Calls and their records: `/v1/calls`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use http::StatusCode;

use super::access::Principal;
use super::extract::Call;
use super::jobs;
use super::request::{self, Listed};
use super::state::{self, Answer, Gateway};
use super::view::{CallView, CallsView, CancelledView, SummaryView};

/// `GET /v1/calls`: the living calls of all nodes: the caller's own, or all for an admin.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    principal: Principal,
    RawQuery(query): RawQuery,
) -> Answer {
    let Listed { most, user } = request::listed(query.as_deref())?;
    user.as_ref().map_or(Ok(()), |user| principal.check(user))?;
    let calls = &gateway.handles.calls;
    let calls = match user.as_ref().or(principal.only()) {
        None => calls.list(most).await,
        Some(user) => calls.list_of(user, most).await,
    };
    let calls = calls.iter().map(SummaryView::from).collect();
    state::json(StatusCode::OK, &CallsView { calls })
}

/// `GET /v1/calls/{id}`: the record, after a wait for its end if `?wait` says so.
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Call(call): Call,
    RawQuery(query): RawQuery,
) -> Answer {
    let wait = request::wait(query.as_deref())?;
    let calls = &gateway.handles.calls;
    let record = match wait.is_zero() {
        true => calls.record(call).await?,
        false => calls.wait(call, wait).await?,
    };
    state::json(StatusCode::OK, &CallView::from(&record))
}

/// `DELETE /v1/calls/{id}`: cancels the call and all below it.
pub async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    Call(call): Call,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    gateway.handles.calls.cancel(call).await?;
    state::json(StatusCode::OK, &CancelledView { cancelled: call.to_string() })
}

/// `GET /v1/calls/{id}/output`
pub async fn output(
    State(gateway): State<Arc<Gateway>>,
    Call(call): Call,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    Ok(state::bytes(gateway.handles.calls.output(call).await?))
}

/// `GET /v1/calls/{id}/logs`: when it ended; with `?follow` from now on, as it is written.
pub async fn logs(
    State(gateway): State<Arc<Gateway>>,
    Call(call): Call,
    RawQuery(query): RawQuery,
) -> Answer {
    let calls = &gateway.handles.calls;
    if request::flag(query.as_deref(), "follow")? {
        return Ok(jobs::followed(calls.follower(call).await?));
    }
    Ok(state::bytes(calls.log(call).await?))
}
