//! Signed: an HTTP origin whose requests are signed, their bodies too.
//!
//! In: a request on the adapter lane. Out: the origin's answer, as it comes. Never: a signature over what was not read: the body is read
//! to its end first, so that a POST to a function URL carries its hash (CloudFront leaves that to the viewer).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::aws::{self, Clients};
use crate::config::compiled::SignedOrigin;
use crate::origin::adapter::{About, Body, Endpoint, whole};

/// What belongs to a connection, or would be a second signature.
const LEFT_OUT: [HeaderName; 8] =
    [AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// One signed origin.
#[derive(Debug)]
pub struct Signed {
    spec: Arc<SignedOrigin>,
    clients: Clients,
    /// The configuration names its server.
    known: bool,
}

// === impl Signed ===
impl Signed {
    pub fn new(spec: &Arc<SignedOrigin>, clients: &Clients) -> Self {
        Signed { spec: Arc::clone(spec), clients: clients.clone(), known: true }
    }

    async fn ask(&self, request: Request<Incoming>) -> Result<Response<Body>, (StatusCode, String)> {
        let (head, mut body) = request.into_parts();
        let read = Limited::new(&mut body, self.spec.body).collect().await;
        let content = match read {
            Ok(content) => content.to_bytes(),
            Err(error) => {
                // The proxy may still be writing.
                while let Some(Ok(_)) = body.frame().await {}
                return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the body cannot be signed: {error}")));
            }
        };
        let mut request = Request::new(content);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        let spec = &self.spec;
        let signature = head.headers.get(AUTHORIZATION).filter(|_| !spec.always).cloned();
        *request.headers_mut() = kept(head.headers, signature.is_some());
        aws::address(&mut request, &spec.base);
        if let Some(host) = &spec.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        match signature {
            Some(own) => drop(request.headers_mut().insert(AUTHORIZATION, own)),
            None => aws::signed(&mut request, &spec.credentials, &spec.service, &spec.region, SystemTime::now())
                .map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?,
        }
        let client = if self.known { &self.clients.any } else { &self.clients.public };
        client.send(request, spec.timeout).await.map_err(|error| match error {
            super::IntegrationError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, error.to_string()),
            error => (StatusCode::BAD_GATEWAY, error.to_string()),
        })
    }
}

#[async_trait::async_trait]
impl Endpoint for Signed {
    async fn answer(&self, request: Request<Incoming>, _: &About) -> Response<Body> {
        match self.ask(request).await {
            Ok(mut response) => {
                for name in [CONNECTION, TRANSFER_ENCODING] {
                    response.headers_mut().remove(name);
                }
                *response.version_mut() = http::Version::HTTP_11;
                response
            }
            Err((status, why)) => {
                log::warn!("signed origin {}: {why}", self.spec.base);
                let mut response = Response::new(whole(Bytes::new()));
                *response.status_mut() = status;
                response
            }
        }
    }

    fn at(&self, to: SignedOrigin, known: bool) -> Option<Arc<dyn Endpoint>> {
        Some(Arc::new(Signed { spec: Arc::new(to), clients: self.clients.clone(), known }))
    }

    fn patience(&self) -> Duration {
        self.spec.timeout.saturating_add(Duration::from_secs(1))
    }
}

/// What is sent: text, and nothing of somebody else's signature, unless the request goes on with it.
fn kept(mut headers: HeaderMap, theirs: bool) -> HeaderMap {
    const SIGNATURE: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
    let odd: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, value)| value.to_str().is_err() || (!theirs && SIGNATURE.contains(&name.as_str())))
        .map(|(name, _)| name.clone())
        .collect();
    odd.iter().chain(&LEFT_OUT).for_each(|name| drop(headers.remove(name)));
    headers
}
