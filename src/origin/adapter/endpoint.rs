//! Endpoint: what answers requests inside this process, served as HTTP/1.1 on a pipe.
//!
//! In: one HTTP/1.1 request on a pipe. Out: one response, then the end of the connection. Never: keeps a connection for a second
//! exchange.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use super::About;
use crate::config::compiled::{Generated, SignedOrigin};

/// Fields of one request at most: pingora's own 256 and those that the edge adds. hyper's default is 100.
const HEADERS_MAX: usize = 320;

/// How long an endpoint that does not say may make no progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a body ends before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer. One that ends in an error is a truncated answer: it is not kept, and viewers see that it is not whole.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// What is at the other end of the pipe.
#[async_trait::async_trait]
pub trait Endpoint: std::fmt::Debug + Send + Sync {
    /// Answers one request. The request's body is read to its end first: the proxy may still be writing, and an answer ahead of
    /// the end would break its pipe.
    async fn answer(&self, request: Request<Incoming>, about: &About) -> Response<Body>;

    /// The same for another server, where it asks one and signs. Of one that the configuration does not know, no address is asked that is
    /// not public.
    fn at(&self, _to: SignedOrigin, _known: bool) -> Option<Arc<dyn Endpoint>> {
        None
    }

    /// How long it may be silent.
    fn patience(&self) -> Duration {
        STALL_TIMEOUT
    }
}

/// Serves one exchange. Errors are the proxy's to see: it sees the connection end.
pub async fn serve(endpoint: &dyn Endpoint, about: &About, half: DuplexStream) {
    let exchange = service_fn(async |request| Ok::<_, Infallible>(endpoint.answer(request, about).await));
    let mut connection = http1::Builder::new();
    connection.keep_alive(false).max_headers(HEADERS_MAX);
    if let Err(error) = connection.serve_connection(TokioIo::new(half), exchange).await {
        log::debug!("adapter connection ended: {error}");
    }
}

/// A body that is there already.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

// === the same answer to every request ===

#[async_trait::async_trait]
impl Endpoint for Arc<Generated> {
    async fn answer(&self, request: Request<Incoming>, _: &About) -> Response<Body> {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        fixed(self)
    }
}

/// hyper sets the length, and leaves the body out for HEAD and for statuses that have none.
fn fixed(generated: &Generated) -> Response<Body> {
    let without = matches!(generated.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(whole(if without { Bytes::new() } else { generated.body.clone() }));
    *response.status_mut() = generated.status;
    // Framing is the connection's: a length written in the configuration could only contradict the body.
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];
    for (name, value) in generated.headers.iter().filter(|(name, _)| !framing.contains(name)) {
        response.headers_mut().append(name, value.clone());
    }
    response
}
