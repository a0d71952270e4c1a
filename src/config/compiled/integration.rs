//! Integration: origins that are no plain HTTP servers.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use super::super::iam::Policy;
use super::super::secret::Secret;
use super::{Mapping, Target};

/// A Lambda function as an origin.
#[derive(Debug, Clone)]
pub struct LambdaOrigin {
    /// Name, partial or full ARN, as Lambda's API takes it.
    pub function: String,
    /// Version or alias.
    pub qualifier: Option<String>,
    pub endpoint: AwsEndpoint,
    pub payload: Payload,
    pub invoke: Invoke,
    /// None = every request is taken.
    pub routes: Vec<RouteKey>,
    /// Lower case; "*/*" is all.
    pub binary: Vec<String>,
    pub stage_variables: Vec<(String, String)>,
    pub timeout: Duration,
}

/// Who answers an AWS API.
#[derive(Debug, Clone)]
pub enum AwsEndpoint {
    /// This process.
    Local,
    Remote(Arc<AwsRemote>),
}

/// An AWS API over the network.
#[derive(Debug, Clone)]
pub struct AwsRemote {
    /// Scheme and authority; no path.
    pub base: Uri,
    pub region: String,
    /// `None` sends requests unsigned.
    pub credentials: Option<Credentials>,
}

/// What signs requests to AWS, or to what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key: Secret<String>,
    pub secret_key: Secret<String>,
    pub session_token: Option<Secret<String>>,
}

/// An HTTP origin whose requests are signed, bodies too.
#[derive(Debug, Clone)]
pub struct SignedOrigin {
    /// Scheme and authority; no path.
    pub base: Uri,
    pub service: String,
    pub region: String,
    pub credentials: Credentials,
    /// Bytes of a request body.
    pub body: usize,
    /// Until the answer's head.
    pub timeout: Duration,
    /// In place of a signature that the request has, too.
    pub always: bool,
    /// Sent, and signed, in place of the server's name.
    pub host: Option<HeaderValue>,
}

// === impl SignedOrigin ===
impl SignedOrigin {
    /// The one server that it is.
    pub fn target(&self) -> Target {
        let tls = self.base.scheme_str() == Some("https");
        let host = self.base.host().unwrap_or_default();
        Target {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: self.base.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            weight: 1,
        }
    }
}

/// Whether what a function sends to an origin of its making carries a signature (SigV4) of the edge's (CloudFront Developer Guide,
/// "Restrict access to an AWS origin": origin access control). Recordings of calls have it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    Off,
    /// As at the origin that it differs from; `None`: for that one's region.
    Kept {
        region: Option<String>,
    },
    /// With that origin's keys, in place of a viewer's signature too or (not `always`) where there is none.
    On {
        service: String,
        region: Option<String>,
        always: bool,
    },
}

// === impl Signing ===
impl Signing {
    /// Whether requests are signed to an origin of which `said` is said; `signed`: those to the one that it differs from are.
    pub fn holds(said: Option<&Signing>, signed: bool) -> bool {
        match said {
            Some(Signing::On { .. }) => true,
            Some(Signing::Off) => false,
            Some(Signing::Kept { .. }) | None => signed,
        }
    }

    /// What holds when `next` is said after `before`.
    pub fn then(before: Option<Signing>, next: Option<Signing>) -> Option<Signing> {
        let old = match &before {
            Some(Signing::Kept { region } | Signing::On { region, .. }) => region.clone(),
            Some(Signing::Off) | None => None,
        };
        match (before, next) {
            (before, None) => before,
            (Some(Signing::Off), Some(Signing::Kept { .. })) | (_, Some(Signing::Off)) => Some(Signing::Off),
            (Some(Signing::On { service, always, .. }), Some(Signing::Kept { region }))
            | (_, Some(Signing::On { service, always, region })) => {
                Some(Signing::On { service, always, region: region.or(old) })
            }
            (_, Some(Signing::Kept { region })) => Some(Signing::Kept { region: region.or(old) }),
        }
    }
}

/// Whether a region may be called that: a signature has it between slashes.
pub fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// DynamoDB operations as an origin.
#[derive(Debug, Clone)]
pub struct TableOrigin {
    /// By operation; empty = there is one, for every request.
    pub routes: Vec<RouteKey>,
    /// At least one.
    pub operations: Vec<TableOperation>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct TableOperation {
    pub mapping: Mapping,
    pub stage_variables: Vec<(String, String)>,
    /// What it may do; `None` = everything.
    pub policy: Option<Arc<Policy>>,
}

/// Shape of a function's event and result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// API Gateway REST API, payload format 1.0.
    Rest1,
    /// API Gateway HTTP API, payload format 2.0.
    Http2,
    FunctionUrl,
    /// Application load balancer; `multi`: `lambda.multi_value_headers.enabled`.
    Alb {
        multi: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invoke {
    Buffered,
    Streamed,
    Event,
}

/// "GET /todos/{id}".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteKey {
    /// As written: what events call `routeKey`.
    pub text: String,
    /// `None` = ANY.
    pub method: Option<String>,
    /// `None` = `$default`.
    pub segments: Option<Vec<RouteSegment>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteSegment {
    Text(String),
    /// `{name}`
    One(String),
    /// `{name+}`: the rest of the path, at least one segment. The last segment only.
    Rest(String),
}
