//! Origin: the tables `[[origin]]` and `[[origin_group]]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: URLs parsed, secrets resolved.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::access::OneOrMany;
use super::integration::{FunctionOrigin, LambdaOrigin, Sign, TableOperation};
use super::status::StatusRange;
use crate::config::units::{Duration, Percent};

/// Where misses go: one of `url`, `targets`, `lambda`, `dynamodb`, `function` or `generated`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Required. What behaviors and groups call it; also its label in logs and metrics.
    pub name: String,
    /// "http://host:port/base" or "https://…": one server. The path, if any, is put before the request's.
    #[serde(default)]
    pub url: Option<String>,
    /// Several servers of the same content: URLs, or { url, weight }. Their paths must be the same.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// A Lambda function, instead of a server.
    #[serde(default)]
    pub lambda: Option<LambdaOrigin>,
    /// DynamoDB operations, instead of a server: one, or a list with a route each.
    #[serde(default)]
    pub dynamodb: OneOrMany<TableOperation>,
    /// A wasi:http component, instead of a server.
    #[serde(default)]
    pub function: Option<FunctionOrigin>,
    /// A fixed answer, instead of a server.
    #[serde(default)]
    pub generated: Option<Generated>,
    /// Sign every request to `url` (SigV4).
    #[serde(default)]
    pub sign: Option<Sign>,
    /// The `Host` the origin sees: "origin" (the target's own name), "viewer" (what the viewer sent) or a fixed value.
    #[serde(default = "origin_word")]
    pub host: String,
    /// Headers added to every request to this origin, in place of the viewer's. Values are plain, "env:NAME" (read at load)
    /// or "file:path" (its text without surrounding white space); none of them is ever logged. Functions at origin events, and recordings
    /// of their calls, have the plain ones, and of the others the names.
    #[serde(default)]
    pub headers: BTreeMap<String, Reference>,
    /// How long to wait for what.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Attempts in all, the first included (1 = no retry). Only what is safe to repeat is repeated.
    #[serde(default = "three")]
    pub attempts: u32,
    /// Which target is asked: "round-robin" (by weight), "random" or "consistent" (the same URL asks the same target).
    #[serde(default)]
    pub balance: Balance,
    /// "h1", "h2" or "negotiate" (ALPN decides; TLS only).
    #[serde(default)]
    pub protocol: Protocol,
    /// TLS towards https targets.
    #[serde(default)]
    pub tls: OriginTls,
    /// How the targets' names are resolved.
    #[serde(default)]
    pub dns: Dns,
    /// The PoP, by its code, that fills for all others: what is missing elsewhere is asked of a node there that is well, and of
    /// the origin itself when none is. The nodes are those of `fleet.peer`.
    #[serde(default)]
    pub shield: Option<String>,
    /// How many nodes, in the order of `fleet.peer`, are asked for what they have stored before the shield or the origin is.
    #[serde(default)]
    pub ask_peers: usize,
    /// Ask every target regularly whether it is well. None unless written.
    #[serde(default)]
    pub health: Option<Health>,
    /// Let a target rest that fails real requests. None unless written; `eject = {}` takes the defaults.
    #[serde(default)]
    pub eject: Option<Eject>,
}

/// One server of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub weight: u32,
}

/// One server and its share of the requests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedTarget {
    /// Required. "http://host:port" or "https://…".
    pub url: String,
    /// Share of the requests, relative to the other targets' weights; at least 1.
    #[serde(default = "one")]
    pub weight: u32,
}

/// A fixed answer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Generated {
    /// Status of the answer, 200 to 599.
    pub status: u16,
    /// Headers of the answer. `content-length` is added, and `content-type` when it is missing: text/plain for a `body`, by
    /// extension for a `body_file`.
    pub headers: BTreeMap<String, String>,
    /// The answer's body.
    pub body: Option<String>,
    /// File with the answer's body instead, at most 16 MiB; relative to this file.
    pub body_file: Option<String>,
}

impl Default for Generated {
    fn default() -> Self {
        Generated { status: 200, headers: BTreeMap::new(), body: None, body_file: None }
    }
}

/// How long to wait for an origin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To connect, TLS included; per attempt.
    pub connect: Duration,
    /// Until the first byte of the answer, and between two packets of it.
    pub read: Duration,
    /// For one write of the request to make progress.
    pub write: Duration,
    /// How long an unused connection is kept for the next request.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::secs(5),
            read: Duration::secs(30),
            write: Duration::secs(30),
            keepalive: Duration::secs(60),
        }
    }
}

/// Which target is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    #[default]
    RoundRobin,
    Random,
    Consistent,
}

/// HTTP version towards the origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    #[default]
    H1,
    H2,
    Negotiate,
}

/// TLS towards https targets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OriginTls {
    /// Verify the target's certificate and name. Turning it off lets anyone on the way pose as the origin.
    pub verify: bool,
    /// Server name sent and verified instead of the target's host.
    pub sni: Option<String>,
    /// PEM file of authorities to believe instead of the public ones; relative to this file.
    pub ca: Option<String>,
    /// PEM file of the certificate to show to the origin; needs `key`.
    pub cert: Option<String>,
    /// PEM file of that certificate's key; needs `cert`.
    pub key: Option<String>,
}

impl Default for OriginTls {
    fn default() -> Self {
        OriginTls { verify: true, sni: None, ca: None, cert: None, key: None }
    }
}

/// How names are resolved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// An answer is used at least this long.
    pub min_ttl: Duration,
    /// An answer is used at most this long before it is asked for again.
    pub max_ttl: Duration,
    /// Resolvers ("1.1.1.1" or "1.1.1.1:53") instead of the system's.
    pub servers: Vec<String>,
}

impl Default for Dns {
    fn default() -> Self {
        Dns { min_ttl: Duration::secs(5), max_ttl: Duration::secs(300), servers: vec![] }
    }
}

/// Active health checks: GET a path of every target.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Required. Path asked, starting with "/".
    pub path: String,
    /// `Host` sent with the check instead of the target's.
    #[serde(default)]
    pub host: Option<String>,
    /// From one check to the next.
    #[serde(default = "ten_seconds")]
    pub interval: Duration,
    /// A check without an answer for this long failed. At most `interval`.
    #[serde(default = "two_seconds")]
    pub timeout: Duration,
    /// Statuses of a target that is well.
    #[serde(default = "well")]
    pub statuses: Vec<StatusRange>,
    /// Good checks in a row that bring a target back.
    #[serde(default = "two")]
    pub rise: u32,
    /// Failed checks in a row that take a target out.
    #[serde(default = "three")]
    pub fall: u32,
}

/// Passive health: a target that fails real requests rests for a while.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Eject {
    /// Failures (no connection, no answer, 502, 503, 504) within `window` that send a target to rest.
    pub failures: u32,
    /// See `failures`.
    pub window: Duration,
    /// How long it rests.
    pub rest: Duration,
    /// At most this share of the targets rests at once.
    pub max_percent: Percent,
}

impl Default for Eject {
    fn default() -> Self {
        Eject { failures: 5, window: Duration::secs(10), rest: Duration::secs(30), max_percent: Percent::new(50) }
    }
}

/// Origins that stand in for one another.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginGroup {
    /// Required. What behaviors call it; no origin may have the same name.
    pub name: String,
    /// Required. Names of origins, asked in this order (GET, HEAD and OPTIONS only; other methods ask the first alone).
    pub origins: Vec<String>,
    /// Statuses that move on to the next origin. Failing to connect or to answer always does.
    #[serde(default = "failing")]
    pub failover: Vec<StatusRange>,
}

/// Text that may stand for a secret: plain, "env:NAME" or "file:path". Redacted in `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Reference(pub String);

// === impl Reference ===
impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Reference {
    /// Defaults are the only values ever written out, and no default is a secret.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("[redacted]")
    }
}

// === impl Target ===
struct TargetVisitor;

impl<'de> Visitor<'de> for TargetVisitor {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL or { url, weight }")
    }

    fn visit_str<E: Error>(self, url: &str) -> Result<Target, E> {
        Ok(Target { url: url.to_owned(), weight: 1 })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
        let WeightedTarget { url, weight } = WeightedTarget::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Target { url, weight })
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TargetVisitor)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.url)
    }
}

impl JsonSchema for Target {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, schemas.subschema_for::<WeightedTarget>()] })
    }
}

fn origin_word() -> String {
    "origin".into()
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn three() -> u32 {
    3
}

fn two_seconds() -> Duration {
    Duration::secs(2)
}

fn ten_seconds() -> Duration {
    Duration::secs(10)
}

fn well() -> Vec<StatusRange> {
    vec![StatusRange { from: 200, to: 399 }]
}

fn failing() -> Vec<StatusRange> {
    [500, 502, 503, 504].map(|status| StatusRange { from: status, to: status }).to_vec()
}
