//! Calls and their records: `/v1/calls`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use http::StatusCode;

use super::extract::Call;
use super::request;
use super::state::{self, Answer, Gateway};
use super::view::{CallView, CallsView, CancelledView, SummaryView};

/// `GET /v1/calls`: the living calls of all nodes.
pub async fn list(State(gateway): State<Arc<Gateway>>, RawQuery(query): RawQuery) -> Answer {
    let most = request::limit(query.as_deref())?;
    let calls = gateway.handles.calls.list(most).await;
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

/// `GET /v1/calls/{id}/logs`
pub async fn logs(
    State(gateway): State<Arc<Gateway>>,
    Call(call): Call,
    RawQuery(query): RawQuery,
) -> Answer {
    request::nothing(query.as_deref())?;
    Ok(state::bytes(gateway.handles.calls.log(call).await?))
}
