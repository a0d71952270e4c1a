//! Faults: why the API refuses, in AWS's shape.
//!
//! In: what went wrong. Out: a status, an exception's name and its body. Never: a function's own error (that is an answer).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{Body, LambdaError, full};

/// Seconds a throttled caller is told to wait.
const RETRY_AFTER: u64 = 1;

/// One refusal (Lambda API reference, "Common errors" and each operation's "Errors").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Validation,
    InvalidParameterValue,
    InvalidRequestContent,
    NotFound,
    Conflict,
    Precondition,
    CodeStorageExceeded,
    RequestTooLarge,
    Throttled(Reason),
    UnknownOperation,
    Forbidden,
    Service,
}

/// Why a call was throttled (Lambda API reference, "TooManyRequestsException").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// All calls of the account.
    Concurrency,
    /// Those that the function has for itself.
    Reserved,
    /// The queue of calls accepted for later is full.
    Queue,
}

// === impl Fault ===
impl Fault {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into() }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Fault::new(Kind::Validation, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Fault::new(Kind::InvalidParameterValue, message)
    }

    pub(super) fn content(message: impl Into<String>) -> Self {
        Fault::new(Kind::InvalidRequestContent, message)
    }

    pub(super) fn not_found(arn: &str) -> Self {
        Fault::new(Kind::NotFound, format!("Function not found: {arn}"))
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Fault::new(Kind::Conflict, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Fault::new(Kind::Forbidden, message)
    }

    pub(super) fn precondition() -> Self {
        Fault::new(
            Kind::Precondition,
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
        )
    }

    pub(super) fn throttled(reason: Reason) -> Self {
        Fault::new(Kind::Throttled(reason), "Rate Exceeded.")
    }

    /// `operation` as the service names it in these words: "InvokeFunction", "UpdateFunctionCode".
    pub(super) fn too_large(most: u64, operation: &str) -> Self {
        Fault::new(
            Kind::RequestTooLarge,
            format!("Request must be smaller than {most} bytes for the {operation} operation"),
        )
    }

    pub(super) fn service(error: &LambdaError) -> Self {
        log::error!(target: "lambda", "{error}");
        // The words may name places on this machine: they are for its log.
        Fault::new(Kind::Service, "An internal error occurred. Please retry your request.")
    }

    pub(super) fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Validation
            | Kind::InvalidParameterValue
            | Kind::InvalidRequestContent
            | Kind::CodeStorageExceeded => StatusCode::BAD_REQUEST,
            Kind::NotFound | Kind::UnknownOperation => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Precondition => StatusCode::PRECONDITION_FAILED,
            Kind::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Service => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Validation => "ValidationException",
            Kind::InvalidParameterValue => "InvalidParameterValueException",
            Kind::InvalidRequestContent => "InvalidRequestContentException",
            Kind::NotFound => "ResourceNotFoundException",
            Kind::Conflict => "ResourceConflictException",
            Kind::Precondition => "PreconditionFailedException",
            Kind::CodeStorageExceeded => "CodeStorageExceededException",
            Kind::RequestTooLarge => "RequestEntityTooLargeException",
            Kind::Throttled(_) => "TooManyRequestsException",
            Kind::UnknownOperation => "UnknownOperationException",
            Kind::Forbidden => "AccessDeniedException",
            Kind::Service => "ServiceException",
        }
    }

    /// The answer: `x-amzn-ErrorType`, and a body with the message under both of its spellings' homes.
    pub(super) fn response(&self) -> Response<Body> {
        let user = if self.status().is_server_error() { "Service" } else { "User" };
        let body = match self.kind {
            Kind::Throttled(reason) => {
                let retry = RETRY_AFTER.to_string();
                json!({ "Type": user, "message": self.message, "Reason": reason.name(), "retryAfterSeconds": retry })
            }
            Kind::Validation => json!({ "message": self.message }),
            // Two shapes of the service's model have `Message`.
            Kind::NotFound | Kind::Service => json!({ "Type": user, "Message": self.message }),
            _ => json!({ "Type": user, "message": self.message }),
        };
        let mut response = Response::new(full(Bytes::from(body.to_string())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.name()));
        if matches!(self.kind, Kind::Throttled(_)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        response
    }
}

// === impl Reason ===
impl Reason {
    fn name(self) -> &'static str {
        match self {
            Reason::Concurrency => "ConcurrentInvocationLimitExceeded",
            Reason::Reserved => "ReservedFunctionConcurrentInvocationLimitExceeded",
            Reason::Queue => "FunctionInvocationRateLimitExceeded",
        }
    }
}
