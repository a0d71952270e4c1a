//! Listener: the tables `[pop]`, `[[listener]]` and `[limits]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: addresses parsed, files read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{ByteSize, Duration};

/// Who and where this process is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pop {
    /// IATA code of the place, like "FRA": names this PoP in headers, logs and metrics.
    pub code: String,
    /// Addresses ("host:port", the host an IP) to accept plain HTTP on: HTTP/1.1, and HTTP/2 by prior knowledge. The short
    /// form of a `[[listener]]` with nothing but an address. Left out, and with no `[[listener]]` either: ["127.0.0.1:8080"].
    pub listen: Option<Vec<String>>,
    /// Worker threads; 0 = one a core.
    pub threads: usize,
    /// Directory for the disk cache's index, the purge log and the upgrade socket; relative to this file.
    pub state_dir: String,
    /// How long requests in flight may take to finish on shutdown or upgrade.
    pub drain: Duration,
}

impl Default for Pop {
    fn default() -> Self {
        Pop { code: "LOC".into(), listen: None, threads: 0, state_dir: "state".into(), drain: Duration::secs(30) }
    }
}

/// One address to accept viewers on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Required. "host:port", the host an IP: `"0.0.0.0:443"`, `"[::]:443"`.
    pub address: String,
    /// Speak TLS on this address.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Offer HTTP/2: by ALPN with TLS, by prior knowledge (h2c) without.
    #[serde(default = "yes")]
    pub h2: bool,
    /// Proxies in front of us, as addresses or CIDR blocks: their `X-Forwarded-For` is believed, and the right-most hop in it that is
    /// none of them is the viewer. A port behind it, and quotes, are left out; a hop that is no address ("unknown") is 0.0.0.0, which only
    /// a list with it names. From everybody else the field is ignored; `Forwarded` always is.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
}

/// TLS towards viewers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Required. Certificates by server name; the first is shown when SNI names none of them. Reloaded when a file changes.
    pub certificates: Vec<Certificate>,
    /// Whether viewers show a certificate: "none", "optional" (verified when sent) or "required".
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// PEM file of the authorities that sign viewers' certificates. Required unless `client_auth` is "none".
    #[serde(default)]
    pub client_ca: Option<String>,
    /// Oldest TLS version accepted: "1.2" or "1.3".
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Required. PEM file: the certificate, then its intermediates; relative to this file.
    pub cert: String,
    /// Required. PEM file of the private key (PKCS#8, PKCS#1 or SEC1); relative to this file.
    pub key: String,
}

/// Whether viewers show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    #[default]
    None,
    Optional,
    Required,
}

/// Oldest TLS version accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// Bounds on what viewers may cost before any rule is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once, over all listeners; past it new ones are closed at once. About 20 KiB each.
    pub connections: usize,
    /// Connections open at once from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Addresses and CIDR blocks that `connections_per_address` is not for: the fleet's other nodes and load balancers, on whose connections
    /// come the requests of many viewers. That a request is a node's is known only once it is read.
    pub connections_exempt: Vec<String>,
    /// From the first byte of a request to the end of its header section; then 408 and close. For the first of a connection, from its
    /// beginning.
    pub header_timeout: Duration,
    /// Header lines in one request; more are refused with 431.
    pub header_count: usize,
    /// Bytes of one request's head: the request line (over HTTP/2 the pseudo fields) and the header section; more are refused with 431.
    /// CloudFront's bound.
    pub header_size: ByteSize,
    /// Bytes of the request target (path and query); longer ones are refused with 414. CloudFront's bound.
    pub uri_size: ByteSize,
    /// Silence allowed between requests on a kept connection, and between two bytes of a tunnel (WebSocket).
    pub idle_timeout: Duration,
    /// Silence allowed between two bytes of a request body.
    pub body_timeout: Duration,
    /// Bytes a second that a request body must average once `body_grace` has passed; 0 = no minimum. Over HTTP/2 a slower one ends its
    /// stream; gRPC is held to none.
    pub body_min_rate: ByteSize,
    /// How long a request body may be slower than `body_min_rate`.
    pub body_grace: Duration,
    /// Bytes of one request body; larger ones are refused with 413. A behavior may only lower it.
    pub body_size: ByteSize,
    /// Bytes of bodies held at once until their requests end: those that are read whole to be checked against their signatures (without
    /// `x-amz-content-sha256`, or because functions see them), and those that origin-request functions see, beyond 64 KiB. Past it they
    /// are refused with 503.
    pub signed_bodies: ByteSize,
    /// The same of one address (IPv6: one /64).
    pub signed_bodies_per_address: ByteSize,
    /// How long such a body may take to arrive; then 408.
    pub signed_body_timeout: Duration,
    /// How long one write to a viewer may make no progress.
    pub write_timeout: Duration,
    /// Requests served on one connection before it is closed.
    pub requests_per_connection: u32,
    /// HTTP/2 streams open at once on one connection.
    pub h2_streams: u32,
    /// HTTP/2 streams a viewer may reset within `h2_reset_window` before its connection is closed (rapid reset, CVE-2023-44487).
    pub h2_resets: u32,
    /// See `h2_resets`.
    pub h2_reset_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 50_000,
            connections_per_address: 1_024,
            connections_exempt: Vec::new(),
            header_timeout: Duration::secs(10),
            header_count: 100,
            header_size: ByteSize::kib(32),
            uri_size: ByteSize::kib(8),
            idle_timeout: Duration::secs(60),
            body_timeout: Duration::secs(30),
            body_min_rate: ByteSize::bytes(240),
            body_grace: Duration::secs(10),
            body_size: ByteSize::gib(1),
            signed_bodies: ByteSize::mib(64),
            signed_bodies_per_address: ByteSize::mib(32),
            signed_body_timeout: Duration::secs(120),
            write_timeout: Duration::secs(30),
            requests_per_connection: 10_000,
            h2_streams: 128,
            h2_resets: 200,
            h2_reset_window: Duration::secs(30),
        }
    }
}

fn yes() -> bool {
    true
}
