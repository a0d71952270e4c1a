//! Endpoint: which sockets are opened, and which listener a connection came in by.
//!
//! In: `compiled::{Listener, Limits}`. Out: Pingora's listener settings, the listener behind a local address. Never:
//! connections themselves.

use super::error::ListenError;
use super::tls::Terminator;
use crate::config::compiled::{Limits, Listener};
use arc_swap::ArcSwap;
use pingora::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora::protocols::TcpKeepalive;
use pingora::protocols::http::v2::server::H2Options;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes gathered before a write: one write for the head and body of most answers (Pingora's 1,460 make two).
const WRITE_BUFFER: usize = 16 << 10;

/// Bytes read at once below TLS: one record. Plain connections are read without a buffer of their own; the wire reads
/// into its reader's.
const TLS_READ_BUFFER: usize = 16 << 10;

/// Bytes of answers kept for one HTTP/2 stream whose viewer does not take them; times `h2_streams` for a connection.
const H2_SEND_BUFFER: usize = 64 << 10;

/// When a silent peer is asked whether it is still there, how often, and how many times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: usize = 6;

/// One open socket and what is configured for it.
#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// `None` = plain text.
    pub tls: Option<Terminator>,
    listener: ArcSwap<Listener>,
}

/// Every endpoint of the process, in the order configured.
#[derive(Debug)]
pub struct Endpoints(Vec<Endpoint>);

// === impl Endpoint ===

impl Endpoint {
    fn new(listener: &Listener) -> Result<Self, ListenError> {
        let tls = listener.tls.as_ref().map(|tls| Terminator::new(tls, listener.h2)).transpose()?;
        Ok(Self { address: listener.address, tls, listener: ArcSwap::from_pointee(listener.clone()) })
    }

    /// What is configured now.
    pub fn listener(&self) -> Arc<Listener> {
        self.listener.load_full()
    }

    fn config(&self) -> ListenerConfig {
        let read = if self.tls.is_some() { TLS_READ_BUFFER } else { 0 };
        let mut options = TcpSocketOptions::default();
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: KEEPALIVE_IDLE,
            interval: KEEPALIVE_INTERVAL,
            count: KEEPALIVE_COUNT,
            user_timeout: Duration::ZERO,
        });
        ListenerConfig::tcp(self.address.to_string())
            .l4_buffer(L4BufferSettings::new(read, WRITE_BUFFER))
            .tcp_socket_options(options)
    }
}

// === impl Endpoints ===

impl Endpoints {
    /// Reads all certificates; opens nothing.
    ///
    /// # Errors
    /// The first listener whose files cannot be used.
    pub fn new(listeners: &[Listener]) -> Result<Self, ListenError> {
        listeners.iter().map(Endpoint::new).collect::<Result<_, _>>().map(Self)
    }

    /// What Pingora's service is to listen on: one for each endpoint. Always plain TCP; see [`Terminator`].
    pub fn configs(&self) -> impl Iterator<Item = ListenerConfig> {
        self.0.iter().map(Endpoint::config)
    }

    /// The endpoint a connection with this local address came in by: exact, else the wildcard address on its port.
    pub fn of(&self, local: SocketAddr) -> Option<&Endpoint> {
        let exact = self.0.iter().find(|endpoint| endpoint.address == local);
        exact.or_else(|| {
            self.0
                .iter()
                .find(|endpoint| endpoint.address.ip().is_unspecified() && endpoint.address.port() == local.port())
        })
    }

    /// Takes over the certificates, client rules and listener settings of `fresh` for the connections to come.
    ///
    /// Sockets are neither opened nor closed: the addresses returned were added, removed, or changed between plain text
    /// and TLS, and wait for a restart or an upgrade.
    pub fn renew(&self, fresh: &Self) -> Vec<SocketAddr> {
        let mut waiting: Vec<_> = fresh.0.iter().map(|endpoint| endpoint.address).collect();
        for endpoint in &self.0 {
            let new = fresh.0.iter().find(|new| new.address == endpoint.address);
            match (new, &endpoint.tls) {
                (Some(Endpoint { tls: None, listener, .. }), None) => endpoint.listener.store(listener.load_full()),
                (Some(Endpoint { tls: Some(new), listener, .. }), Some(tls)) => {
                    tls.replace(new);
                    endpoint.listener.store(listener.load_full());
                }
                (Some(_), _) => continue,
                (None, _) => {
                    waiting.push(endpoint.address);
                    continue;
                }
            }
            waiting.retain(|address| *address != endpoint.address);
        }
        waiting
    }
}

/// What the HTTP/2 library is to bound by itself: streams at once, field section, streams reset before they are
/// accepted. The rest is the wire's.
pub fn h2_options(limits: &Limits) -> H2Options {
    let mut options = H2Options::default();
    options
        .max_concurrent_streams(limits.h2_streams)
        .max_send_buffer_size(H2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_resets as usize)
        .max_local_error_reset_streams(Some(limits.h2_resets as usize));
    options
}

#[cfg(test)]
mod tests {
    use super::super::tests::certificate;
    use super::*;
    use crate::config::compiled::{ClientAuth, Tls, TlsVersion};
    use std::path::Path;

    fn listener(address: &str, tls: Option<Tls>) -> Listener {
        Listener { address: address.parse().unwrap(), tls, h2: true, trusted_proxies: Vec::new() }
    }

    fn tls(dir: &Path) -> Option<Tls> {
        let certificates = vec![certificate(dir, "a", &["a.example"])];
        Some(Tls { certificates, client_auth: ClientAuth::None, min_version: TlsVersion::V1_2 })
    }

    #[test]
    fn connections_are_told_apart_by_local_address() {
        let listeners = ["0.0.0.0:80", "192.0.2.1:80", "[::]:81", "192.0.2.1:82"].map(|at| listener(at, None));
        let endpoints = Endpoints::new(&listeners).unwrap();
        assert_eq!(endpoints.configs().count(), 4);
        for (local, want) in [
            ("192.0.2.1:80", Some("192.0.2.1:80")),
            ("192.0.2.9:80", Some("0.0.0.0:80")),
            ("[2001:db8::1]:81", Some("[::]:81")),
            ("192.0.2.9:81", Some("[::]:81")),
            ("192.0.2.1:82", Some("192.0.2.1:82")),
            ("192.0.2.9:82", None),
        ] {
            let got = endpoints.of(local.parse().unwrap()).map(|endpoint| endpoint.address.to_string());
            assert_eq!(got.as_deref(), want, "{local}");
        }
    }

    #[test]
    fn a_reload_says_what_waits_for_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let endpoints = Endpoints::new(&[
            listener("192.0.2.1:1", None),
            listener("192.0.2.1:2", None),
            listener("192.0.2.1:3", tls(dir.path())),
        ])
        .unwrap();
        let changed = Listener { h2: false, ..listener("192.0.2.1:3", tls(dir.path())) };
        let same = listener("192.0.2.1:1", None);
        let renew = |listeners: &[Listener]| endpoints.renew(&Endpoints::new(listeners).unwrap());
        let mut waiting = renew(&[same.clone(), changed.clone(), listener("192.0.2.1:4", None)]);
        waiting.sort();
        assert_eq!(waiting, ["192.0.2.1:2".parse().unwrap(), "192.0.2.1:4".parse().unwrap()]);
        assert!(!endpoints.of(changed.address).unwrap().listener().h2);

        let waiting = renew(&[listener("192.0.2.1:1", tls(dir.path()))]);
        assert!(waiting.contains(&same.address));

        std::fs::remove_file(dir.path().join("a.pem")).unwrap();
        let broken = Listener { h2: true, ..changed.clone() };
        assert!(Endpoints::new(&[same, broken]).is_err());
        assert!(!endpoints.of(changed.address).unwrap().listener().h2);
    }
}
