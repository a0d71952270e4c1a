//! Aws: a request to an AWS API, signed and sent.
//!
//! In: a request without its authority, where to. Out: the answer's head, and its body as it comes. Never: a retry: who asks knows what is
//! safe to ask again.

mod resolver;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use self::resolver::{Reach, Resolver};
use super::{IntegrationError, Local};
use crate::config::compiled::{AwsRemote, Credentials};
use crate::origin::adapter::{Body, BodyError};

/// Time to connect, TLS not included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections kept to one host.
const IDLE_MAX: usize = 64;
/// How long they are kept: less than AWS's own minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections to AWS and to what speaks like it.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Arc<Pool<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>>,
}

/// Those that a process has.
#[derive(Debug, Clone)]
pub struct Clients {
    /// For what the configuration names.
    pub any: Client,
    /// For names that functions made up: it connects to no address that is not public.
    pub public: Client,
}

/// Who answers an AWS API.
#[derive(Debug, Clone)]
pub enum Service {
    Remote {
        client: Client,
        remote: Arc<AwsRemote>,
    },
    /// This process: no network, no signature.
    Local(Arc<Local>),
}

// === impl Clients ===
impl Clients {
    /// They trust the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). Reads them from disk.
    ///
    /// # Errors
    /// The TLS library does not work here.
    pub fn new() -> Result<Self, IntegrationError> {
        let tls = trusting()?;
        let client = |reach| Client::new(tls.clone(), Resolver { system: GaiResolver::new(), reach });
        Ok(Clients { any: client(Reach::Any), public: client(Reach::Public) })
    }
}

fn trusting() -> Result<ClientConfig, IntegrationError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        builder.map_err(|error| IntegrationError::Tls(error.to_string()))
    };
    let tls = match builder()?.with_native_roots() {
        Ok(builder) => builder,
        Err(error) => {
            log::warn!("services cannot be asked over https: {error}");
            builder()?.with_root_certificates(RootCertStore::empty())
        }
    };
    Ok(tls.with_no_client_auth())
}

// === impl Client ===
impl Client {
    fn new(tls: ClientConfig, resolver: Resolver) -> Self {
        let mut connector = HttpConnector::new_with_resolver(resolver);
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Client { pool: Arc::new(pool) }
    }

    /// Sends `request`, whose address is whole, and waits for the answer's head.
    ///
    /// # Errors
    /// No connection, or none that lasted; no answer within `patience`.
    pub async fn send(&self, request: Request<Bytes>, patience: Duration) -> Result<Response<Body>, IntegrationError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        match tokio::time::timeout(patience, self.pool.request(request.map(Full::new))).await {
            Ok(Ok(response)) => Ok(response.map(|body| body.map_err(|error| error.into()).boxed_unsync())),
            Ok(Err(error)) => Err(IntegrationError::Unreachable { host, reason: causes(&error) }),
            Err(_) => Err(IntegrationError::Timeout { host, after: patience }),
        }
    }
}

// === impl Service ===
impl Service {
    /// Sends a request for Lambda's API, whose address is a path, and waits for the answer's head.
    ///
    /// # Errors
    /// As [`Client::send`]; the request cannot be signed.
    pub async fn send(&self, request: Request<Bytes>, patience: Duration) -> Result<Response<Body>, IntegrationError> {
        match self {
            Service::Remote { client, remote } => {
                let mut request = request;
                address(&mut request, &remote.base);
                if let Some(credentials) = &remote.credentials {
                    signed(&mut request, credentials, "lambda", &remote.region, SystemTime::now())?;
                }
                client.send(request, patience).await
            }
            Service::Local(local) => {
                let lambda = local.lambda().ok_or(IntegrationError::NotHere)?;
                match tokio::time::timeout(patience, lambda.handle(request)).await {
                    Ok(response) => Ok(response.map(|body| body.map_err(BodyError::from).boxed_unsync())),
                    Err(_) => Err(IntegrationError::Timeout { host: "the function".to_owned(), after: patience }),
                }
            }
        }
    }
}

/// Gives a request's path the authority of `base`, and the Host field that goes with it.
pub fn address(request: &mut Request<Bytes>, base: &Uri) {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    if let Some(Ok(host)) = base.authority().map(|authority| HeaderValue::from_str(authority.as_str())) {
        request.headers_mut().insert(HOST, host);
    }
}

/// Signs a request (SigV4, in the Authorization field): Host, `Content-Type`, `X-Amz-…`, and its body's SHA-256.
///
/// # Errors
/// A part that cannot be signed.
pub fn signed(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    service: &str,
    region: &str,
    now: SystemTime,
) -> Result<(), IntegrationError> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let refuse = |reason: String| IntegrationError::Signing { host: host.clone(), reason };
    let token = credentials.session_token.as_ref().map(|token| token.expose().clone());
    let identity = AwsCredentials::new(
        credentials.access_key.expose().as_str(),
        credentials.secret_key.expose().as_str(),
        token,
        None,
        "rimward",
    )
    .into();
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    let mut fields = Vec::with_capacity(request.headers().len());
    // Others may be changed on the way.
    let covered = |name: &str| name == "host" || name == "content-type" || name.starts_with("x-amz-");
    for (name, value) in request.headers().iter().filter(|(name, _)| covered(name.as_str())) {
        fields.push((name.as_str(), value.to_str().map_err(|_| refuse(format!("field {name} is not ASCII")))?));
    }
    let uri = request.uri().to_string();
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), uri.as_str(), fields.into_iter(), body)
        .map_err(|error| refuse(error.to_string()))?;
    let (instructions, _) = sign(signable, &params.into()).map_err(|error| refuse(error.to_string()))?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// Reads a body of at most `most` bytes to its end.
///
/// # Errors
/// It is longer, or it breaks off.
pub async fn read(mut body: Body, host: &str, most: usize) -> Result<Bytes, IntegrationError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| IntegrationError::Broken { host: host.to_owned(), reason: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most.saturating_sub(whole.len()) {
            return Err(IntegrationError::TooLarge { host: host.to_owned(), most });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The words of an error and of what caused it: hyper's own say little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
