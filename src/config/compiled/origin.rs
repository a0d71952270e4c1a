//! Origin: where answers come from.
//!
//! In: nothing (built only by `config::compile`). Out: plain data that cannot be wrong. Never: raw text, I/O, defaults.

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Certificate, Function, LambdaOrigin, OriginId, SignedOrigin, TableOrigin};
use crate::config::secret::Secret;

/// Where misses go.
#[derive(Debug, Clone)]
pub struct Origin {
    pub name: String,
    pub kind: OriginKind,
    /// Added to every request (replacing the viewer's). Values may be secrets: never logged.
    pub headers: Vec<(HeaderName, Secret<HeaderValue>)>,
    /// Prefix put before the request's path ("" = none, else starts with '/' and does not end with it).
    pub path: String,
    pub tier: Tier,
}

/// Which nodes of the fleet are asked before an origin is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tier {
    /// Code of the PoP that fills for the others, upper case.
    pub shield: Option<String>,
    /// How many nodes are asked for what they have stored.
    pub ask_peers: usize,
}

#[derive(Debug, Clone)]
pub enum OriginKind {
    Http(Box<HttpOrigin>),
    Signed(Arc<SignedOrigin>),
    Lambda(Arc<LambdaOrigin>),
    Table(Arc<TableOrigin>),
    /// A `wasi:http` component; its name is the origin's.
    Function(Arc<Function>),
    Generated(Arc<Generated>),
}

#[derive(Debug, Clone)]
pub struct HttpOrigin {
    pub targets: Vec<Target>,
    pub host: HostHeader,
    pub balance: Balance,
    pub protocol: UpstreamProtocol,
    pub connect_timeout: Duration,
    /// Until the first byte of the answer, and between two packets of it.
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Attempts in all at one origin (1 = no retry).
    pub attempts: u32,
    pub tls: OriginTls,
    pub dns: Dns,
    pub health: Option<Health>,
    pub eject: Option<Eject>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address, lower case, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub weight: u32,
}

// === impl Target ===
impl Target {
    /// Whether it is the server of that name (lower case) and port.
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// Scheme and authority, with the port where it is not the scheme's.
    ///
    /// # Errors
    /// The name is none that an address may have.
    pub fn uri(&self) -> Result<Uri, http::Error> {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let authority = if self.port == usual { host } else { format!("{host}:{}", self.port) };
        Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// The target's own name (with its port when it is not the scheme's): CloudFront's default.
    Origin,
    /// What the viewer sent.
    Viewer,
    Fixed(HeaderValue),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    Random,
    /// Ketama on the cache key's URL: the same object always asks the same target.
    Consistent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    H1,
    H2,
    /// ALPN decides (TLS only).
    Negotiate,
}

#[derive(Debug, Clone)]
pub struct OriginTls {
    pub verify: bool,
    pub sni: Option<String>,
    /// PEM bundle instead of the public roots.
    pub ca: Option<PathBuf>,
    pub client: Option<Certificate>,
}

/// Clamps on a DNS answer's TTL.
#[derive(Debug, Clone)]
pub struct Dns {
    pub min_ttl: Duration,
    pub max_ttl: Duration,
    /// Resolver addresses instead of the system's.
    pub servers: Vec<SocketAddr>,
}

#[derive(Debug, Clone)]
pub struct Health {
    pub path: String,
    pub host: Option<HeaderValue>,
    pub interval: Duration,
    pub timeout: Duration,
    pub statuses: Vec<StatusRange>,
    /// Answers in a row that turn a target up / down.
    pub rise: u32,
    pub fall: u32,
}

/// Passive health: a target that fails real requests rests for a while.
#[derive(Debug, Clone)]
pub struct Eject {
    pub failures: u32,
    pub window: Duration,
    pub rest: Duration,
    /// At most this share of the targets rests at once, in percent.
    pub max_percent: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    pub from: u16,
    pub to: u16,
}

/// A fixed answer written in the configuration.
#[derive(Debug, Clone)]
pub struct Generated {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: bytes::Bytes,
}

#[derive(Debug, Clone)]
pub struct OriginGroup {
    pub name: String,
    /// Asked in this order.
    pub members: Vec<OriginId>,
    /// Statuses that move on to the next member (connect and read failures always do).
    pub failover: Vec<StatusCode>,
}
