//! Dns: the table `[dns]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: names resolved, a zone file read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::Health;
use crate::config::units::Duration;

/// An authoritative name server that answers with the PoP to go to. Needs `geo.databases` to know what is near.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeoDns {
    /// Required. "address:port" to answer on, with UDP and TCP: ["0.0.0.0:53"].
    pub listen: Vec<String>,
    /// Required. The zone that is answered for, like "edge.example". Its parent zone delegates it to `ns`.
    pub zone: String,
    /// Required. Names of the zone's servers, as the parent zone has them. One within the zone needs an address: of `records`, or
    /// as a PoP's own name ("fra.edge.example").
    pub ns: Vec<String>,
    /// Mail address of who looks after the zone. Left out: hostmaster@ZONE.
    #[serde(default)]
    pub contact: Option<String>,
    /// Names that are answered with a PoP's addresses, within the zone: "@" is the zone itself, "*" every name that is not there.
    #[serde(default = "apex")]
    pub names: Vec<String>,
    /// How long such an answer may be kept.
    #[serde(default = "half_a_minute")]
    pub ttl: Duration,
    /// "nearest" to the viewer's network, by great circle, or "weighted" by `weight`. A network of unknown place is answered by
    /// weight too.
    #[serde(default)]
    pub policy: DnsPolicy,
    /// A zone file (RFC 1035, section 5) with more records: A, AAAA, CAA, CNAME, HTTPS, MX, SRV, SVCB, TXT, the zone's own NS
    /// and SOA. "@" stands for the zone as a record's own name; in its data the name is written out.
    #[serde(default)]
    pub records: Option<String>,
    /// Required. Where viewers can be sent. Every one also has a name: its code in lower case, within the zone.
    pub pop: Vec<DnsPop>,
    /// Asks every PoP whether it is well; viewers are sent to those that are, and to all when none is. Left out: all are.
    #[serde(default)]
    pub health: Option<Health>,
    /// Port that `health` asks at.
    #[serde(default = "web")]
    pub health_port: u16,
    /// Ask with TLS, under the zone's name.
    #[serde(default)]
    pub health_tls: bool,
    /// What `response.steer` tells viewers.
    #[serde(default)]
    pub hint: DnsHint,
    /// Answers a second to one network (IPv4 /24, IPv6 /56) over UDP; past it the answer is "ask again with TCP", which is no
    /// longer than the question.
    #[serde(default = "two_hundred")]
    pub rate: u32,
    /// TCP connections at once.
    #[serde(default = "two_hundred")]
    pub connections: u32,
}

fn apex() -> Vec<String> {
    vec!["@".into()]
}

fn half_a_minute() -> Duration {
    Duration::secs(30)
}

fn web() -> u16 {
    80
}

fn two_hundred() -> u32 {
    200
}

/// How a PoP is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsPolicy {
    #[default]
    Nearest,
    Weighted,
}

/// A PoP that viewers can be sent to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsPop {
    /// Required. Its `pop.code`. The catalogue of `geo/pops.toml` says where that is.
    pub code: String,
    /// Required. Its addresses, IPv4 and IPv6.
    pub addresses: Vec<String>,
    /// Its share of the viewers that are answered by weight; 0 = none, as long as others are well.
    #[serde(default = "hundred")]
    pub weight: u32,
    /// Degrees, north positive: for codes that the catalogue does not have, or instead.
    #[serde(default)]
    pub latitude: Option<f64>,
    /// Degrees, east positive.
    #[serde(default)]
    pub longitude: Option<f64>,
    /// "address:port" that `health` asks instead of the first of `addresses`.
    #[serde(default)]
    pub probe: Option<String>,
}

fn hundred() -> u32 {
    100
}

/// An alternative service (RFC 7838) for viewers that arrive at a PoP which is not the nearest, as anycast may have it: the same
/// URL moves without a redirect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DnsHint {
    /// What is spoken there, by its ALPN name.
    pub protocol: String,
    /// Its port.
    pub port: u16,
    /// How long a viewer may remember it.
    pub max_age: Duration,
}

impl Default for DnsHint {
    fn default() -> Self {
        DnsHint { protocol: "h2".into(), port: 443, max_age: Duration::secs(60) }
    }
}
