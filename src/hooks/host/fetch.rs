//! Fetch: HTTP requests of functions to hosts they were granted.
//!
//! In: a grant, a request, a deadline. Out: the whole answer, or why there is none. Never: a host, port or address that the grant
//! does not have, a redirect that is followed, a body without a bound, a connection that another grant opened.

mod connect;
mod names;
mod request;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming as Received};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use parking_lot::Mutex;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::sync::Semaphore;

use super::HostError;
use crate::config::compiled::FetchGrant;
use connect::{Connector, Refused};
use names::Names;

/// Connections of all functions at once, idle ones included; a request waits for one within its time.
const CONNECTIONS_MAX: usize = 1024;
/// Of these, one function's: one that asks slow hosts leaves room for the others.
const SHARE_MAX: usize = 256;
/// Idle connections kept to one host and port, of one function.
const IDLE_MAX: usize = 8;
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer's head that are read before it has to be whole; what one more read brings is not counted.
const HEAD_MAX: usize = 64 << 10;

/// A request as a function makes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Bytes,
    /// `None` = what the grant allows, which is also the most.
    pub timeout: Option<Duration>,
}

/// An answer as a function gets it: redirects and compressed bodies as they are, without hop-by-hop fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

type Pool = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// One per process: what the functions' shares have in common.
#[derive(Debug, Clone)]
pub struct Fetcher {
    tls: Arc<ClientConfig>,
    names: Arc<Names>,
    turns: Arc<Semaphore>,
}

/// One function's part of it, for as long as the function is loaded.
#[derive(Debug)]
pub struct Share {
    common: Fetcher,
    turns: Arc<Semaphore>,
    /// With the private addresses that are allowed: a connection to one is no way in under a grant without it.
    pool: Mutex<Option<(Vec<IpNet>, Pool)>>,
}

// === impl Fetcher ===
impl Fetcher {
    /// Trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). Reads them from disk.
    ///
    /// # Errors
    /// The TLS library does not work here.
    pub fn new() -> Result<Self, HostError> {
        let tls = match builder()?.with_native_roots() {
            Ok(builder) => builder,
            Err(error) => {
                log::warn!("functions cannot ask over https: {error}");
                builder()?.with_root_certificates(RootCertStore::empty())
            }
        };
        Ok(Self::with_tls(tls.with_no_client_auth()))
    }

    /// The same with other trust.
    pub fn with_tls(tls: ClientConfig) -> Self {
        let turns = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Fetcher { tls: Arc::new(tls), names: Arc::new(Names::new()), turns }
    }

    /// The part of one function.
    pub fn share(&self) -> Share {
        self.share_of(SHARE_MAX)
    }

    fn share_of(&self, connections: usize) -> Share {
        Share { common: self.clone(), turns: Arc::new(Semaphore::new(connections)), pool: Mutex::default() }
    }
}

// === impl Share ===
impl Share {
    /// Sends one request and reads the whole answer. Dropping the future gives the request up. How many requests one call makes
    /// is counted by whoever calls this.
    pub async fn send(&self, grant: &FetchGrant, outgoing: Outgoing, deadline: Instant) -> Result<Incoming, HostError> {
        let allowed = outgoing.timeout.map_or(grant.timeout, |asked| asked.min(grant.timeout));
        let until = deadline.min(Instant::now() + allowed);
        let request = request::build(grant, outgoing)?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let exchange = async {
            let response = self.pool(&grant.private).request(request).await.map_err(|error| failed(&host, &error))?;
            let (head, body) = response.into_parts();
            let body = read(&host, body, grant.body).await?;
            Ok(Incoming { status: head.status.as_u16(), headers: end_to_end(&head.headers), body })
        };
        match tokio::time::timeout_at(until.into(), exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HostError::Timeout(format!("{host} did not answer in time"))),
        }
    }

    /// All at once; the results are in the order of the requests.
    pub async fn send_all(
        &self,
        grant: &FetchGrant,
        outgoing: Vec<Outgoing>,
        deadline: Instant,
    ) -> Vec<Result<Incoming, HostError>> {
        join_all(outgoing.into_iter().map(|one| self.send(grant, one, deadline))).await
    }

    /// A function has one grant, so this is made once.
    fn pool(&self, private: &[IpNet]) -> Pool {
        let mut kept = self.pool.lock();
        if let Some((_, pool)) = kept.as_ref().filter(|(allowed, _)| allowed == private) {
            return pool.clone();
        }
        let Fetcher { tls, names, turns } = &self.common;
        let connector =
            Connector { names: names.clone(), own: self.turns.clone(), turns: turns.clone(), private: private.into() };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(tls))
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(HEAD_MAX)
            .build(connector);
        *kept = Some((private.to_vec(), pool.clone()));
        pool
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, HostError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.map_err(|error| HostError::Failed(error.to_string()))
}

/// The whole body, of at most `limit` bytes.
async fn read(host: &str, mut body: Received, limit: usize) -> Result<Bytes, HostError> {
    let too_large = || HostError::TooLarge(format!("{host} answers with more than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HostError::Failed(format!("{host} broke off its answer: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - whole.len() {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn end_to_end(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let kept = headers.iter().filter(|(name, _)| !request::hop_by_hop(headers, name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn failed(host: &str, error: &hyper_util::client::legacy::Error) -> HostError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut words = String::new();
    while let Some(inner) = cause {
        match inner.downcast_ref::<Refused>() {
            Some(Refused::Address) => {
                return HostError::Denied(format!(
                    "{host} has no address that functions may ask; `grants.fetch.private` names private networks that they may"
                ));
            }
            Some(Refused::Name(reason)) => return HostError::Failed(format!("cannot resolve {host}: {reason}")),
            Some(Refused::Connect(reason)) => return HostError::Failed(format!("cannot connect to {host}: {reason}")),
            None => {}
        }
        words = inner.to_string();
        cause = inner.source();
    }
    HostError::Failed(format!("{host}: {words}"))
}

#[cfg(test)]
mod tests;
