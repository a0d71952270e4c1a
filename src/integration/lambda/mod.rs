//! Lambda: a Lambda function as an origin.
//!
//! In: a request on the adapter lane. Out: what the function answered, as HTTP; streamed where it streams. Never: how the function runs.

mod answer;
mod binary;
mod call;
mod event;
pub(super) mod route;
mod stream;
mod streamed;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

pub use self::call::{Function, Said};

use self::answer::{Answered, Failure};
use self::event::Asked;
use super::aws::Service;
use crate::config::compiled::{Invoke, LambdaOrigin};
use crate::origin::adapter::{About, Body, Endpoint, whole};

/// Bytes of a request's body: Lambda's event has at most 6 MB, in which a body may be base64.
const BODY_MAX: usize = 6 << 20;

/// A Lambda function that answers requests.
#[derive(Debug)]
pub struct Lambda {
    /// The origin's.
    name: String,
    function: Function,
}

// === impl Lambda ===
impl Lambda {
    pub fn new(name: &str, spec: &Arc<LambdaOrigin>, service: Service) -> Self {
        Lambda { name: name.to_owned(), function: Function::new(spec, service) }
    }

    async fn ask(&self, request: Request<Incoming>, about: &About) -> Result<Response<Body>, Failure> {
        let spec = &self.function.spec;
        let (head, mut body) = request.into_parts();
        let content = match Limited::new(&mut body, BODY_MAX).collect().await {
            Ok(content) => content.to_bytes(),
            Err(_) => {
                // The proxy may still be writing.
                while let Some(Ok(_)) = body.frame().await {}
                return Err(Failure::TooLarge);
            }
        };
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let asked = Asked {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            fields: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
            body: content,
            now_ms: now_ms(),
        };
        let route = route::find(&spec.routes, &asked.method, &asked.path).ok_or(Failure::NoRoute)?;
        let event = event::event(&asked, about, &route, spec);
        match spec.invoke {
            Invoke::Buffered => {
                let said = self.function.call(event.into()).await?;
                let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
                Ok(self::response(answer::answer(&said.result, accept, spec)?, &said.request_id))
            }
            Invoke::Event => {
                let request_id = self.function.queue(event.into()).await?;
                let status = StatusCode::ACCEPTED;
                Ok(self::response(
                    Answered { status, headers: http::HeaderMap::new(), body: Bytes::new() },
                    &request_id,
                ))
            }
            Invoke::Streamed => streamed::ask(&self.function, event.into()).await,
        }
    }
}

#[async_trait::async_trait]
impl Endpoint for Lambda {
    async fn answer(&self, request: Request<Incoming>, about: &About) -> Response<Body> {
        match self.ask(request, about).await {
            Ok(response) => response,
            Err(failure) => {
                log::warn!(
                    "origin {}: function {}: {failure} ({})",
                    self.name,
                    self.function.spec.function,
                    about.request_id
                );
                response(answer::failed(&failure, self.function.spec.payload), "")
            }
        }
    }

    fn patience(&self) -> Duration {
        self.function.spec.timeout.saturating_add(Duration::from_secs(2))
    }
}

fn response(answered: Answered, request_id: &str) -> Response<Body> {
    // RFC 9110 §15.3.5, §15.4.5: these answers have no content.
    let without = matches!(answered.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(whole(if without { Bytes::new() } else { answered.body }));
    *response.status_mut() = answered.status;
    *response.headers_mut() = answered.headers;
    if let Ok(id) = HeaderValue::from_str(request_id)
        && !id.is_empty()
    {
        response.headers_mut().entry("x-amzn-requestid").or_insert(id);
    }
    response
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
