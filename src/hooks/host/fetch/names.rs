//! Names: the addresses of a host that a function asks.
//!
//! In: a host. Out: its addresses, remembered for as long as DNS says. Never: blocks a worker, decides what may be asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::TokioResolver;

/// Addresses tried of one answer.
const ADDRESSES_MAX: usize = 8;
/// Answers remembered: about 1 KiB each.
const ANSWERS_MAX: u64 = 1024;

/// Asks the system's servers.
pub struct Names(Result<TokioResolver, String>);

// === impl Names ===
impl Names {
    /// Reads the system's settings; where they cannot be read, only addresses and `localhost` have an answer.
    pub fn new() -> Self {
        let built = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.cache_size = ANSWERS_MAX;
            options.try_tcp_on_error = true;
            builder.build()
        });
        Names(built.map_err(|error| error.to_string()))
    }

    /// At least one address. `host` is a URL's: an IPv6 address is in brackets.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        // RFC 6761 §6.3
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        }
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        let answer = resolver.lookup_ip(host).await.map_err(|error| error.to_string())?;
        let addresses: Vec<IpAddr> = answer.iter().take(ADDRESSES_MAX).collect();
        if addresses.is_empty() { Err("the answer holds no address".to_owned()) } else { Ok(addresses) }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}
