//! Endpoint: decides what an origin inside this process answers.
//!
//! In: one HTTP/1.1 request on a pipe. Out: one response, then the end of the connection.
//! Never: keeps a connection for a second exchange, holds a request body in memory.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use crate::config::compiled::Generated;

/// Fields of one request at most: pingora's own 256 and those that the edge adds. hyper's default is 100.
const HEADERS_MAX: usize = 320;

/// What is at the other end.
#[derive(Debug)]
pub enum Endpoint {
    /// The same answer to every request.
    Generated(Arc<Generated>),
}

// === impl Endpoint ===

impl Endpoint {
    /// Serves one exchange. Errors are the proxy's to see: it sees the connection end.
    pub async fn serve(&self, half: DuplexStream) {
        let exchange = service_fn(|request| self.answer(request));
        let mut connection = http1::Builder::new();
        connection.keep_alive(false).max_headers(HEADERS_MAX);
        let served = connection.serve_connection(TokioIo::new(half), exchange).await;
        if let Err(error) = served {
            log::debug!("adapter connection ended: {error}");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut body = request.into_body();
        // The proxy may still be writing: an answer before the end would break its pipe.
        while let Some(Ok(_)) = body.frame().await {}
        Ok(match self {
            Endpoint::Generated(generated) => fixed(generated),
        })
    }
}

// === free functions ===

/// hyper sets the length, and leaves the body out for HEAD and for statuses that have none.
fn fixed(generated: &Generated) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(generated.body.clone()));
    *response.status_mut() = generated.status;
    // Framing is the connection's: a length written in the configuration could only contradict the body.
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];
    for (name, value) in generated.headers.iter().filter(|(name, _)| !framing.contains(name)) {
        response.headers_mut().append(name, value.clone());
    }
    if matches!(generated.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        *response.body_mut() = Full::default();
    }
    response
}
