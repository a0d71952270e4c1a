//! Remote: tables that AWS keeps, or a cluster that speaks like it.
//!
//! In: calls. Out: its replies. Never: a call sent twice: SDKs decide on that; a body without a bound.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use super::super::fault::{DynamoError, Fault};
use super::super::front::Clock;
use super::super::op::Op;
use super::{Call, Engine, Reply, Swept};
use crate::config::compiled::Credentials;

/// Bytes of an answer: BatchGetItem's 16 MB, and the JSON around them.
const ANSWER_MAX: usize = 64 << 20;
/// How long an answer may take; SDKs give up after a minute by default.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_MAX: usize = 256;
const JSON: &str = "application/x-amz-json-1.0";

/// The engine.
pub struct Remote {
    url: String,
    /// AWS has the streams at another host.
    streams: String,
    region: String,
    identity: Option<Identity>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Calls under way.
    turns: Semaphore,
    calls: u32,
    clock: Clock,
}

// === impl Remote ===
impl Remote {
    /// Nothing is asked yet. `calls`: how many may be under way.
    ///
    /// # Errors
    /// The TLS library does not work here.
    pub fn new(
        url: &str,
        region: &str,
        credentials: Option<&Credentials>,
        calls: usize,
        clock: Clock,
    ) -> Result<Remote, DynamoError> {
        let failed = |error: &dyn std::fmt::Display| DynamoError::Endpoint(error.to_string());
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let tls = tls.with_native_roots().map_err(|error| failed(&error))?.with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        let identity = credentials.map(|own| {
            let token = own.session_token.as_ref().map(|token| token.expose().clone());
            AwsCredentials::new(own.access_key.expose(), own.secret_key.expose(), token, None, "rimward").into()
        });
        Ok(Remote {
            url: format!("{url}/"),
            streams: format!("{}/", streams(url)),
            region: region.to_owned(),
            identity,
            client,
            turns: Semaphore::new(calls),
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
            clock,
        })
    }

    fn request(&self, op: Op, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Fault> {
        let url = if op.of_streams() { &self.streams } else { &self.url };
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| Fault::internal())?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        let target = HeaderValue::from_str(&op.target()).map_err(|_| Fault::internal())?;
        headers.insert(HeaderName::from_static("x-amz-target"), target);
        if let Some(identity) = &self.identity {
            self.sign(&mut request, identity, url).map_err(|error| {
                log::error!("dynamodb: a request cannot be signed: {error}");
                Fault::internal()
            })?;
        }
        Ok(request.map(Full::new))
    }

    fn sign(
        &self,
        request: &mut Request<Bytes>,
        identity: &Identity,
        url: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let time: SystemTime = UNIX_EPOCH + (self.clock)();
        let params = SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            // Both services sign for it (botocore's models, `signingName`).
            .name("dynamodb")
            .time(time)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new("POST", url, headers, SignableBody::Bytes(request.body()))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Fault> {
        let broken = |error: &dyn std::fmt::Display| {
            log::warn!("dynamodb: {} does not answer: {error}", self.url);
            Fault::unavailable()
        };
        let answer = self.client.request(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(|error| broken(&error))?;
        Ok((status, body.to_bytes()))
    }
}

/// Where the streams of the tables at `url` are.
fn streams(url: &str) -> String {
    match url.ends_with(".amazonaws.com") {
        true => url.replacen("://dynamodb.", "://streams.dynamodb.", 1),
        false => url.to_owned(),
    }
}

#[async_trait]
impl Engine for Remote {
    async fn call(&self, call: Call) -> Result<Reply, Fault> {
        let Ok(_turn) = self.turns.try_acquire() else { return Err(Fault::unavailable()) };
        let body = serde_json::to_vec(&call.request).map_err(|_| Fault::internal())?;
        let request = self.request(call.op, body)?;
        let (status, body) = match tokio::time::timeout(TIMEOUT, self.send(request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                log::warn!("dynamodb: {} takes too long", self.url);
                return Err(Fault::unavailable());
            }
        };
        match status.is_success() {
            true => Ok(Reply { body: body.into(), consumed: Vec::new() }),
            false => Err(Fault::read(status.as_u16(), &body)),
        }
    }

    fn meters(&self) -> bool {
        false
    }

    async fn sweep(&self) -> Result<Swept, Fault> {
        Ok(Swept::default())
    }

    async fn close(&self) {
        if let Ok(_all) = self.turns.acquire_many(self.calls).await {
            self.turns.close();
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
