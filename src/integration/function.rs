//! Function: a `wasi:http` component as an origin.
//!
//! In: a request on the adapter lane. Out: what the component answers, as it writes it. Never: how it runs (`hooks::engine`).

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::hooks::engine::Web;
use crate::origin::adapter::{About, Body, Endpoint, whole};

/// Bytes of a request's body.
const BODY_MAX: usize = 6 << 20;
/// The connection's own.
const FRAMING: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

#[async_trait::async_trait]
impl Endpoint for Arc<Web> {
    async fn answer(&self, request: Request<Incoming>, about: &About) -> Response<Body> {
        let (mut head, mut body) = request.into_parts();
        let content = match Limited::new(&mut body, BODY_MAX).collect().await {
            Ok(content) => content.to_bytes(),
            Err(_) => {
                // The proxy may still be writing.
                while let Some(Ok(_)) = body.frame().await {}
                return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large\n");
            }
        };
        FRAMING.iter().for_each(|name| drop(head.headers.remove(name)));
        match self.serve(Request::from_parts(head, content), about.tls).await {
            Ok(mut response) => {
                let length = response.headers().get(CONTENT_LENGTH).cloned();
                FRAMING.iter().for_each(|name| drop(response.headers_mut().remove(name)));
                if let Some(length) = length {
                    // Its own promise: a body that is shorter is broken off.
                    response.headers_mut().insert(CONTENT_LENGTH, length);
                }
                response
            }
            Err(failure) => {
                log::warn!("function origin {}: {failure} ({})", self.name(), about.request_id);
                let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                plain(status, "the function failed\n")
            }
        }
    }

    fn patience(&self) -> Duration {
        self.timeout().saturating_add(Duration::from_secs(1))
    }
}

fn plain(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(words));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
