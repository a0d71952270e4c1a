//! Dns: the zone and its PoPs, places known, records read.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use hickory_proto::rr::{LowerName, Name, Record};

use super::Health;

/// An authoritative name server.
#[derive(Debug, Clone)]
pub struct GeoDns {
    pub listen: Vec<SocketAddr>,
    /// Lower case, fully qualified, like every name here.
    pub zone: Name,
    /// At least one.
    pub ns: Vec<Name>,
    pub contact: Name,
    /// Names answered with a PoP.
    pub steered: Vec<LowerName>,
    /// Names below which everything that is not there is answered with a PoP.
    pub wildcards: Vec<LowerName>,
    pub ttl: Duration,
    pub nearest: bool,
    /// Of the zone file; none of them contradicts the others or the above.
    pub records: Vec<Record>,
    /// At least one.
    pub pops: Vec<DnsPop>,
    pub health: Option<Health>,
    /// TLS name that `health` asks under.
    pub health_tls: Option<String>,
    pub hint: DnsHint,
    pub rate: NonZeroU32,
    pub connections: NonZeroU32,
}

/// A PoP that viewers can be sent to.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsPop {
    /// IATA code, upper case.
    pub code: String,
    /// At least one.
    pub addresses: Vec<IpAddr>,
    pub weight: u32,
    /// Degrees.
    pub latitude: f64,
    pub longitude: f64,
    /// Where `health` asks.
    pub probe: SocketAddr,
}

/// What an `Alt-Svc` field names besides the PoP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHint {
    pub protocol: String,
    pub port: u16,
    pub max_age: Duration,
}
