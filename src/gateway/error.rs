//! Errors of the HTTP API: each has a status, a code and a detail, and is answered as JSON.
//!
//! | code | status | | code | status |
//! |---|---|---|---|---|
//! | `FAASM_EINVAL` | 400 | | `FAASM_EPERM` | 403 |
//! | `FAASM_ENOENT` | 404 | | `FAASM_ELOCKED` | 423 |
//! | `FAASM_EEXIST` | 409 | | `FAASM_ELOCKLOST` | 409 |
//! | `FAASM_ENOMEM` | 503 | | `FAASM_EDEADLK` | 409 |
//! | `FAASM_EFULL` | 503, Retry-After | | `FAASM_ESTALE` | 409 |
//! | `FAASM_ETIMEDOUT` | 504 | | `FAASM_EAGAIN` | 503, Retry-After |
//! | `FAASM_ECANCELLED` | 409 | | `FAASM_ETOOBIG` | 413 |
//! | `FAASM_EHOSTLOST` | 502 | | `FAASM_EUNAVAILABLE` | 503, Retry-After |
//! | `FAASM_EFAILED` | 500 | | `FAASM_EIO` | 500 |
//! | `FAASM_ELIMIT` | 422 | | `FAASM_ENOSYS` | 501 |
//! | `FAASM_EQUOTA` | 429, Retry-After | | | |
//!
//! What HTTP itself has a status for keeps it: 405 (`FAASM_ENOSYS`, with `Allow`), 408 for a body
//! that comes too slowly (`FAASM_ETIMEDOUT`), 414 and 431 for long heads (`FAASM_ETOOBIG`), 401 for a
//! request without a valid token (`FAASM_EPERM`), 507 for an upload that the disks have no room for
//! (`FAASM_EFULL`), 412 for a condition that does not hold (`FAASM_EEXIST`), 416 for a range outside
//! of the value (`FAASM_EINVAL`). `FAASM_EQUOTA` is 403 where waiting does not help: for the functions
//! that a user may register, and the bytes of its state.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::status::StatusCode;

use super::view::{CALL_HEADER, ErrorBody, ErrorView};
use crate::consensus::ProposeError;
use crate::errno::{CallError, Errno};
use crate::files::BlobError;
use crate::function::ModuleError;
use crate::id::{CallId, IdError};

/// Seconds after which a client may try again: longer than a change of leader usually takes.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What a request is answered instead of a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    error: CallError,
    call: Option<CallId>,
    allow: Option<Box<str>>,
    retry_after: Option<u32>,
    closes: bool,
}

impl ApiError {
    /// An error with the status of its code.
    pub fn new(code: Errno, detail: impl Into<String>) -> Self {
        CallError::new(code, detail).into()
    }

    /// A request that cannot be understood: 400.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Errno::Inval, detail)
    }

    /// With a status of HTTP's own.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Of a call that was made.
    pub fn of_call(mut self, call: CallId) -> Self {
        self.call = Some(call);
        self
    }

    /// A method that the path does not have: 405.
    pub fn method(allow: &str) -> Self {
        let detail = format!("this path has no such method: use {allow}");
        let mut error = Self::new(Errno::NoSys, detail).with_status(StatusCode::METHOD_NOT_ALLOWED);
        error.allow = Some(allow.into());
        error
    }

    /// The same request may succeed after this time.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after = Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        self
    }

    /// The connection ends with it.
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its code and detail.
    pub fn error(&self) -> &CallError {
        &self.error
    }

    /// The response's body.
    pub fn body(&self) -> String {
        let mut view = ErrorView::from(&self.error);
        view.call = self.call.map(|call| call.to_string());
        // Strings only: it cannot fail, and an empty body would still carry the status.
        serde_json::to_string(&ErrorBody { error: view }).unwrap_or_default()
    }
}

/// The status of a code.
pub fn status_of(code: Errno) -> StatusCode {
    match code {
        Errno::Inval => StatusCode::BAD_REQUEST,
        Errno::NoEnt => StatusCode::NOT_FOUND,
        Errno::Perm => StatusCode::FORBIDDEN,
        Errno::Locked => StatusCode::LOCKED,
        Errno::TooBig => StatusCode::PAYLOAD_TOO_LARGE,
        Errno::Limit => StatusCode::UNPROCESSABLE_ENTITY,
        Errno::Quota => StatusCode::TOO_MANY_REQUESTS,
        Errno::Failed | Errno::Io => StatusCode::INTERNAL_SERVER_ERROR,
        Errno::NoSys => StatusCode::NOT_IMPLEMENTED,
        Errno::HostLost => StatusCode::BAD_GATEWAY,
        Errno::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        Errno::NoMem | Errno::Full | Errno::Again | Errno::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Errno::Exist | Errno::Cancelled | Errno::LockLost | Errno::DeadLk | Errno::Stale => {
            StatusCode::CONFLICT
        }
    }
}

/// Whether the same request may succeed a moment later.
fn worth_retrying(code: Errno) -> bool {
    matches!(code, Errno::Full | Errno::Again | Errno::Unavailable | Errno::Quota)
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        Self {
            status: status_of(error.code),
            error,
            call: None,
            allow: None,
            retry_after: None,
            closes: false,
        }
    }
}

impl From<IdError> for ApiError {
    fn from(error: IdError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        let code = match error {
            ProposeError::NoQuorum(_) | ProposeError::Stopping => Errno::Unavailable,
            ProposeError::Full => Errno::Full,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        let code = match error {
            BlobError::NotFound(..) => Errno::NoEnt,
            BlobError::TooFewCopies { .. } => Errno::Unavailable,
            BlobError::TooBig(_) => Errno::TooBig,
            BlobError::Full(_) => Errno::Full,
            BlobError::Unavailable(_) | BlobError::NotElsewhere { .. } => Errno::Unavailable,
            BlobError::Bucket(_) | BlobError::Io(_) => Errno::Io,
            BlobError::TimedOut(_) => Errno::TimedOut,
        };
        let told = Self::new(code, error.to_string());
        match error {
            BlobError::Full(_) => told.with_status(StatusCode::INSUFFICIENT_STORAGE),
            _ => told,
        }
    }
}

impl From<ModuleError> for ApiError {
    fn from(error: ModuleError) -> Self {
        let code = match error {
            ModuleError::Invalid(_) => Errno::Inval,
            ModuleError::Unavailable(_) => Errno::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        } else if worth_retrying(self.error.code) && self.status != StatusCode::FORBIDDEN {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        if let Some(Ok(allow)) = self.allow.as_deref().map(HeaderValue::try_from) {
            headers.insert(ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"faasm\""));
        }
        // Who is not known, or has too many, holds no connection.
        if self.closes || self.status == StatusCode::UNAUTHORIZED {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(Ok(call)) = self.call.map(|call| HeaderValue::try_from(call.to_string())) {
            headers.insert(CALL_HEADER, call);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_of_failure_and_the_table_says_which() {
        let table: String =
            include_str!("error.rs").lines().take_while(|line| line.starts_with("//!")).collect();
        for code in Errno::ALL {
            let status = status_of(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}: {status}");
            let retry = if worth_retrying(*code) { ", Retry-After" } else { "" };
            let cell = format!("| `{code}` | {}{retry} |", status.as_u16());
            assert!(table.contains(&cell), "the table lacks {cell}");
        }
    }

    #[test]
    fn an_error_is_json_with_code_detail_and_call() {
        let error = ApiError::new(Errno::Failed, "it \"trapped\"").of_call(CallId(1));
        let body: ErrorBody = serde_json::from_str(&error.body()).unwrap();
        assert_eq!(body.error.code, "FAASM_EFAILED");
        assert_eq!(body.error.detail, "it \"trapped\"");
        assert_eq!(body.error.call, Some(CallId(1).to_string()));
        let response = error.into_response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[CALL_HEADER], CallId(1).to_string());
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    }

    #[test]
    fn what_may_pass_soon_says_when_to_try_again() {
        let response = ApiError::from(ProposeError::NoQuorum("x".into())).into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (503, &RETRY_SECONDS)
        );
        let response = ApiError::method("GET, PUT").into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET, PUT"))
        );
    }
}
