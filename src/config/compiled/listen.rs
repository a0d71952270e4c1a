//! Listen: where viewers connect, and how much they may take.
//!
//! In: nothing (built only by `config::compile`). Out: plain data that cannot be wrong. Never: raw text, I/O, defaults.

use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: Option<Tls>,
    /// HTTP/2: by ALPN with TLS, by prior knowledge (h2c) without.
    pub h2: bool,
    /// Addresses whose `X-Forwarded-For` is believed: the right-most hop in it that is none of them is the viewer.
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Clone)]
pub struct Tls {
    /// The first is the default when SNI names none of them.
    pub certificates: Vec<Certificate>,
    pub client_auth: ClientAuth,
    pub min_version: TlsVersion,
}

#[derive(Debug, Clone)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// A certificate is verified when the viewer sends one.
    Optional {
        ca: PathBuf,
    },
    /// No certificate, no connection.
    Required {
        ca: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Bounds on what a viewer may cost before any rule is asked. All have safe defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Who that is not for.
    pub connections_exempt: Vec<IpNet>,
    /// From the first byte of a request to the end of its header section.
    pub header_timeout: Duration,
    pub header_count: usize,
    /// Of a whole head, request line included.
    pub header_size: usize,
    pub uri_size: usize,
    /// Between requests on a kept connection, and between two bytes of a tunnel.
    pub idle_timeout: Duration,
    /// Between two bytes of a request body.
    pub body_timeout: Duration,
    /// Bytes a second a request body must average once `body_grace` has passed; 0 = no minimum.
    pub body_min_rate: u64,
    pub body_grace: Duration,
    pub body_size: u64,
    /// Held at once to be checked against their signatures: of all viewers, and of one address.
    pub signed_bodies: usize,
    pub signed_bodies_per_address: usize,
    /// How long such a body may take.
    pub signed_body_timeout: Duration,
    /// How long one write to a viewer may make no progress.
    pub write_timeout: Duration,
    pub requests_per_connection: u32,
    pub h2_streams: u32,
    /// Streams a viewer may reset within `h2_reset_window` before its connection is closed.
    pub h2_resets: u32,
    pub h2_reset_window: Duration,
}
