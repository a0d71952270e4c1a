//! Peer: decides how a connection to a target is made, limited and shared.
//!
//! In: an HTTP origin's settings, one of its targets, a request's needs. Out: pingora's `HttpPeer`.
//! Never: resolves a name, opens a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use xxhash_rust::xxh3::Xxh3;

use super::OriginError;
use super::tls::Material;
use super::tunnel::Tunnels;
use crate::config::compiled::{HttpOrigin, Target, UpstreamProtocol};

/// Streams on one HTTP/2 connection to an origin: RFC 9113 §6.5.2 asks servers to allow at least 100.
const H2_STREAMS: usize = 100;
/// Between pings on a quiet HTTP/2 connection: a dead one is found before a request waits on it.
const H2_PING: Duration = Duration::from_secs(30);
/// Kernel keep-alive on origin connections: first probe, between probes, probes before the connection is given up.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const KEEPALIVE_COUNT: usize = 3;

/// What a request asks of its connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// An HTTP/1.1 upgrade: never HTTP/2 (pingora has no RFC 8441).
    pub upgrade: bool,
    /// gRPC: HTTP/2 where the origin may speak it.
    pub grpc: bool,
}

/// One target's peers, all but the address.
#[derive(Debug, Clone)]
pub struct Template {
    base: HttpPeer,
    protocol: UpstreamProtocol,
    digest: u64,
}

// === impl Template ===

impl Template {
    /// The connection settings of `target` under its origin's. `origin` is the origin's name: connections are never
    /// shared between origins.
    pub fn new(origin: &str, http: &HttpOrigin, target: &Target, tls: &Material) -> Self {
        // Never empty: pingora skips verification when there is no server name.
        let sni = match &http.tls.sni {
            Some(sni) => sni.clone(),
            None => bare(&target.host).to_owned(),
        };
        let unset = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), target.port);
        let mut base = HttpPeer::new(unset, target.tls, if target.tls { sni } else { String::new() });
        if target.tls {
            base.client_cert_key = tls.client.clone();
        }
        let options = &mut base.options;
        options.connection_timeout = Some(http.connect_timeout);
        // `connect_timeout` bounds TCP and TLS together.
        options.total_connection_timeout = Some(http.connect_timeout);
        options.read_timeout = Some(http.read_timeout);
        options.write_timeout = Some(http.write_timeout);
        options.idle_timeout = Some(http.keepalive_timeout);
        options.verify_cert = http.tls.verify;
        options.verify_hostname = http.tls.verify;
        options.ca = tls.roots.clone();
        options.max_h2_streams = H2_STREAMS;
        options.h2_ping_interval = Some(H2_PING);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: KEEPALIVE_IDLE,
            interval: KEEPALIVE_INTERVAL,
            count: KEEPALIVE_COUNT,
            #[cfg(target_os = "linux")]
            user_timeout: Duration::ZERO,
        });
        let mut digest = Xxh3::new();
        digest.update(origin.as_bytes());
        digest.update(&[0xff, u8::from(http.tls.verify), u8::from(target.tls)]);
        digest.update(&tls.digest.to_le_bytes());
        Template { base, protocol: http.protocol, digest: digest.digest() }
    }

    /// The peer for one attempt at `address`.
    pub fn peer(&self, address: IpAddr, needs: Needs) -> Box<HttpPeer> {
        let mut peer = Box::new(self.base.clone());
        let address = SocketAddr::new(address, self.port());
        peer._address = pingora::protocols::l4::socket::SocketAddr::Inet(address);
        peer.options.alpn = alpn(self.protocol, peer.is_tls(), needs);
        peer.group_key = group_key(self.digest, &peer.options.alpn);
        if needs.upgrade {
            peer.options.custom_l4 = Some(Arc::new(Tunnels));
            // Never a connection that was opened for other requests.
            peer.group_key = !peer.group_key;
        }
        peer
    }

    /// The peer of one health check: a connection that is never shared.
    pub fn probe(&self, address: IpAddr, timeout: Duration) -> Box<HttpPeer> {
        let mut peer = self.peer(address, Needs::default());
        // One stream a connection: pingora keeps connections with streams to spare in a pool.
        peer.options.max_h2_streams = 1;
        peer.options.read_timeout = Some(timeout);
        peer.options.write_timeout = Some(timeout);
        peer
    }

    /// What connections to this target under these settings have in common.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn port(&self) -> u16 {
        match &self.base._address {
            pingora::protocols::l4::socket::SocketAddr::Inet(address) => address.port(),
            pingora::protocols::l4::socket::SocketAddr::Unix(_) => 0,
        }
    }
}

// === free functions ===

/// The target's own name as a Host header, with its port when that is not the scheme's (RFC 9110 §7.2).
///
/// # Errors
/// The configured host cannot be a field value.
pub fn host_header(origin: &str, target: &Target) -> Result<HeaderValue, OriginError> {
    let default = if target.tls { 443 } else { 80 };
    let host = bare(&target.host);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let value = if target.port == default { host } else { format!("{host}:{}", target.port) };
    HeaderValue::from_str(&value).map_err(|_| OriginError::Host { origin: origin.to_owned(), value })
}

/// A host without the brackets of an IPv6 literal.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn alpn(protocol: UpstreamProtocol, tls: bool, needs: Needs) -> ALPN {
    match protocol {
        _ if needs.upgrade => ALPN::H1,
        UpstreamProtocol::H1 => ALPN::H1,
        UpstreamProtocol::H2 => ALPN::H2,
        // Without TLS there is nothing to negotiate with.
        UpstreamProtocol::Negotiate if !tls => ALPN::H1,
        UpstreamProtocol::Negotiate if needs.grpc => ALPN::H2,
        UpstreamProtocol::Negotiate => ALPN::H2H1,
    }
}

/// pingora's pool key leaves out roots and ALPN: both enter here. Stable over reloads, so pools are too.
fn group_key(digest: u64, alpn: &ALPN) -> u64 {
    let kind = match alpn {
        ALPN::H1 => 1,
        ALPN::H2 => 2,
        ALPN::H2H1 => 3,
        ALPN::Custom(_) => 4,
    };
    xxhash_rust::xxh3::xxh3_64_with_seed(&digest.to_le_bytes(), kind)
}
