//! Fetch: an issuer's key set from its URL.
//!
//! In: a URL, how long it may take. Out: at most [`SET_MAX`] bytes, or why not. Never: a redirect that is followed, a connection
//! that is kept: there is one fetch an hour.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use super::keys::SET_MAX;

/// Bytes of an answer's head.
const HEAD_MAX: usize = 64 << 10;

/// Asks for key sets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// Why there is no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("status {0}")]
    Status(u16),
    #[error("more than {SET_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Failed(String),
}

// === impl Fetcher ===
impl Fetcher {
    /// Trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). Reads them from disk.
    ///
    /// # Errors
    /// The TLS library does not work here.
    pub fn new() -> Result<Self, rustls::Error> {
        let builder = || {
            let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
        };
        let trusting = builder()?.with_native_roots().or_else(|error| {
            log::warn!("key sets cannot be fetched over https: {error}");
            Ok::<_, rustls::Error>(builder()?.with_root_certificates(RootCertStore::empty()))
        })?;
        Ok(Self::with_tls(trusting.with_no_client_auth()))
    }

    /// The same with other trust.
    pub fn with_tls(tls: ClientConfig) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(HEAD_MAX)
            .build(connector);
        Fetcher { client }
    }

    /// The body that `uri` answers with.
    ///
    /// # Errors
    /// See `FetchError`.
    pub async fn get(&self, uri: &Uri, timeout: Duration) -> Result<Bytes, FetchError> {
        match tokio::time::timeout(timeout, self.ask(uri)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Timeout(timeout)),
        }
    }

    async fn ask(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("rimward-jwks"));
        let response = self.client.request(request).await.map_err(|error| FetchError::Failed(words(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = response.into_body();
        if body.size_hint().lower() > SET_MAX as u64 {
            return Err(FetchError::TooLarge);
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| FetchError::Failed(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > SET_MAX - whole.len() {
                return Err(FetchError::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }
}

/// The last cause says most: "connection refused", "invalid peer certificate".
fn words(error: &legacy::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
