//! Resolver: asks DNS once for a host's addresses.
//!
//! In: a host, the servers to ask. Out: addresses this machine can reach, with their TTL; or the reason there are none.
//! Never: remembers an answer (`dns` does).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::OriginError;

/// Addresses kept of one answer.
pub const ADDRESSES_MAX: usize = 32;
/// One lookup, all retries included.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the system's servers, or those named.
pub struct Resolver(TokioResolver);

// === impl Resolver ===

impl Resolver {
    /// Reads the system's settings when `servers` is empty; sends nothing.
    pub fn new(host: &str, servers: &[SocketAddr]) -> Result<Self, OriginError> {
        let error =
            |error: &dyn std::fmt::Display| OriginError::Resolver { host: host.to_owned(), reason: error.to_string() };
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|e| error(&e))?
        } else {
            let servers = servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        // Ours is the only cache: a second one below it would hide expiry from it.
        options.cache_size = 0;
        options.try_tcp_on_error = true;
        if !servers.is_empty() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        Ok(Resolver(builder.build().map_err(|e| error(&e))?))
    }

    /// At least one address, and how long they hold.
    pub async fn ask(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let answer = match tokio::time::timeout(LOOKUP_TIMEOUT, self.0.lookup_ip(host)).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err(format!("no answer within {LOOKUP_TIMEOUT:?}")),
        };
        let ttl = answer.valid_until().saturating_duration_since(Instant::now());
        let addresses = usable(answer.iter().take(ADDRESSES_MAX).collect(), routed);
        match addresses.is_empty() {
            false => Ok((addresses, ttl)),
            true => Err("the answer holds no address".to_owned()),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

// === free functions ===

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = server.port();
            connection
        })
        .collect();
    NameServerConfig::new(server.ip(), true, connections)
}

/// RFC 6724 §6 rule 1, as `getaddrinfo` does it: leave out addresses this machine has no route to, unless none is left.
fn usable(addresses: Vec<IpAddr>, reachable: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let routed: Vec<IpAddr> = addresses.iter().copied().filter(|address| reachable(*address)).collect();
    if routed.is_empty() { addresses } else { routed }
}

/// Whether the kernel has a route: connecting a datagram socket sends nothing and does not wait.
fn routed(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 53))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_route_are_left_out() {
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        for (name, all, reachable, want) in [
            ("both families", vec![v6, v4], [true, true], vec![v6, v4]),
            ("no IPv6 here", vec![v6, v4], [true, false], vec![v4]),
            (
                "nothing is better than the wrong thing, something better than nothing",
                vec![v6],
                [true, false],
                vec![v6],
            ),
        ] {
            let routed = |address: IpAddr| reachable[usize::from(address.is_ipv6())];
            assert_eq!(usable(all, routed), want, "{name}");
        }
    }

    #[test]
    fn the_loopback_has_a_route() {
        assert!(routed(Ipv4Addr::LOCALHOST.into()));
    }
}
