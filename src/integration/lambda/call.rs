//! Call: one call of a function, over Lambda's API.
//!
//! In: an event. Out: what the function returned, or why it returned nothing. Never: what the result means.
//!
//! Source: Lambda API Reference, "Invoke" and "InvokeWithResponseStream".

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;

use super::answer::Failure;
use crate::config::compiled::LambdaOrigin;
use crate::integration::IntegrationError;
use crate::integration::aws::{Service, read};
use crate::origin::adapter::Body;

/// Bytes of a whole result: Lambda's 6 MB, and a little for what speaks like it.
const RESULT_MAX: usize = (6 << 20) + 4096;
/// Bytes of an error that are read.
const ERROR_MAX: usize = 64 << 10;

/// A function that can be called.
#[derive(Debug, Clone)]
pub struct Function {
    pub(super) spec: Arc<LambdaOrigin>,
    service: Service,
}

/// What a function returned.
#[derive(Debug, Clone)]
pub struct Said {
    pub result: Bytes,
    pub request_id: String,
}

// === impl Function ===
impl Function {
    pub fn new(spec: &Arc<LambdaOrigin>, service: Service) -> Self {
        Function { spec: Arc::clone(spec), service }
    }

    /// Calls it and waits for the whole result.
    ///
    /// # Errors
    /// It failed, or it was not called.
    pub(super) async fn call(&self, event: Bytes) -> Result<Said, Failure> {
        let response = self.send(event, "invocations", "RequestResponse").await?;
        let (head, body) = response.into_parts();
        let result = self.read(body, RESULT_MAX).await?;
        if head.headers.contains_key("x-amz-function-error") {
            return Err(Failure::Function(String::from_utf8_lossy(&result).into_owned()));
        }
        Ok(Said { result, request_id: request_id(&head.headers) })
    }

    /// Its result as text, or what it threw, as authorizers are understood.
    ///
    /// # Errors
    /// What it threw ("errorMessage"), or why it was not called.
    pub async fn ask(&self, event: String) -> Result<String, String> {
        match self.call(event.into()).await {
            Ok(said) => Ok(String::from_utf8_lossy(&said.result).into_owned()),
            Err(Failure::Function(error)) => {
                let said: Value = serde_json::from_str(&error).unwrap_or_default();
                Err(said.get("errorMessage").and_then(Value::as_str).map_or(error, str::to_owned))
            }
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// Queues the event; the request's id.
    ///
    /// # Errors
    /// It was not accepted.
    pub(super) async fn queue(&self, event: Bytes) -> Result<String, Failure> {
        let response = self.send(event, "invocations", "Event").await?;
        Ok(request_id(response.headers()))
    }

    /// Calls it; the result comes as an event stream.
    ///
    /// # Errors
    /// It was not called.
    pub(super) async fn stream(&self, event: Bytes) -> Result<Response<Body>, Failure> {
        self.send(event, "response-streaming-invocations", "RequestResponse").await
    }

    async fn send(&self, event: Bytes, what: &str, kind: &'static str) -> Result<Response<Body>, Failure> {
        let version = if what == "invocations" { "2015-03-31" } else { "2021-11-15" };
        let name = self.spec.function.replace(':', "%3A");
        let qualifier = self.spec.qualifier.as_ref().map(|q| format!("?Qualifier={}", q.replace('$', "%24")));
        let path = format!("/{version}/functions/{name}/{what}{}", qualifier.unwrap_or_default());
        let mut request = Request::new(event);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|error| Failure::Refused(format!("{path}: {error}")))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert("x-amz-invocation-type", HeaderValue::from_static(kind));
        let response = self.service.send(request, self.spec.timeout).await.map_err(failure)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let words = self.read(body, ERROR_MAX).await.unwrap_or_default();
        Err(refusal(head.status, &head.headers, &String::from_utf8_lossy(&words)))
    }

    async fn read(&self, body: Body, most: usize) -> Result<Bytes, Failure> {
        let host = &self.spec.function;
        match tokio::time::timeout(self.patience(), read(body, host, most)).await {
            Ok(read) => read.map_err(failure),
            Err(_) => Err(Failure::Timeout(format!("{host} stopped in the middle of its answer"))),
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.spec.timeout
    }
}

fn failure(error: IntegrationError) -> Failure {
    match error {
        IntegrationError::Timeout { .. } => Failure::Timeout(error.to_string()),
        IntegrationError::TooLarge { .. } => Failure::Malformed(error.to_string()),
        IntegrationError::NotHere | IntegrationError::Signing { .. } => Failure::Refused(error.to_string()),
        error => Failure::Unreachable(error.to_string()),
    }
}

/// An error of the service, not of the function.
fn refusal(status: StatusCode, headers: &HeaderMap, words: &str) -> Failure {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text("x-amzn-errortype").split(':').next().unwrap_or_default();
    match status {
        StatusCode::TOO_MANY_REQUESTS => Failure::Throttled(text(RETRY_AFTER.as_str()).parse().ok()),
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
        _ => Failure::Refused(format!("{} {kind} {words}", status.as_u16())),
    }
}

fn request_id(headers: &HeaderMap) -> String {
    headers.get("x-amzn-requestid").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned()
}
