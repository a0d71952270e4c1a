//! Function: the tables `[functions]`, `[[function]]`, `[[kv_store]]`, and a behavior's `hooks`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: files read, names resolved.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::origin::Reference;
use crate::config::units::{ByteSize, Duration, Percent};

/// The engine that runs edge functions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Functions {
    /// Calls of all functions at once; one more fails at once.
    pub concurrency: usize,
    /// Largest `memory` that a function may have. Address space for it is reserved once a call that may run at once.
    pub memory: ByteSize,
    /// Disk space for recorded calls (`record`); past it the oldest are dropped.
    pub records: ByteSize,
}

impl Default for Functions {
    fn default() -> Self {
        Functions { concurrency: 500, memory: ByteSize::mib(256), records: ByteSize::mib(64) }
    }
}

/// An edge function.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Required. What hooks call it; also its label in logs and metrics.
    pub name: String,
    /// Required. A component or module (.wasm, .wat), a JavaScript file (.js, .mjs, .cjs), or a directory with a package.json or an
    /// index.js; relative to this file. A changed file is loaded at once; one that cannot be loaded changes nothing. Or a component in
    /// a registry, by its manifest's digest: "oci://HOST/REPOSITORY@sha256:…"; it is pulled once and kept in `pop.state_dir`.
    pub file: String,
    /// What a JavaScript file is: "lambda-edge", "cloudfront-1.0", "cloudfront-2.0", or "auto" (a global `handler` is a
    /// CloudFront function, an exported one Lambda@Edge).
    #[serde(default)]
    pub flavor: Flavor,
    /// "extended" refuses only what would break a message; "strict" has AWS's validation and its quotas: of messages, of CloudFront
    /// functions' code, memory and number of stores, of Lambda@Edge functions' memory, time and code; neither has `grants` of config,
    /// secrets or geo, nor a CloudFront function of fetch; and a behavior has one such function an event, and not both APIs at its viewers' events. What values a store takes is `kv_store.mode`.
    #[serde(default)]
    pub mode: Mode,
    /// CPU time one call may take.
    #[serde(default = "fifty_ms")]
    pub cpu: Duration,
    /// Time one call may take, waiting included.
    #[serde(default = "five_seconds")]
    pub timeout: Duration,
    /// Linear memory of one instance.
    #[serde(default = "megabytes")]
    pub memory: ByteSize,
    /// Calls of this function at once; one more fails at once, whatever other functions do.
    #[serde(default = "hundred")]
    pub concurrency: usize,
    /// Calls an instance serves before it is replaced. 1 gives every call a fresh instance; more is faster, and lets what one
    /// call leaves behind be seen by the next.
    #[serde(default = "once")]
    pub reuse: u32,
    /// What the function may reach. WebAssembly that imports what is not granted is refused when it is loaded; in JavaScript the call
    /// fails.
    #[serde(default)]
    pub grants: Grants,
    /// Share of the calls that are recorded for `rimward fn replay`, with the whole message.
    #[serde(default)]
    pub record: Percent,
}

/// What a JavaScript file is taken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flavor {
    #[default]
    Auto,
    LambdaEdge,
    #[serde(rename = "cloudfront-1.0")]
    CloudFront1,
    #[serde(rename = "cloudfront-2.0")]
    CloudFront2,
}

/// How closely AWS's limits are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Extended,
    Strict,
}

/// What a function may reach. Log, configuration, crypto and a clock that stands still during a call need no grant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Keys and values the function reads as its configuration, or environment.
    pub config: BTreeMap<String, String>,
    /// Secrets by the name the function asks for: "env:NAME" or "file:path".
    pub secrets: BTreeMap<String, Reference>,
    /// Key-value stores: their names, or { store, write = true }.
    pub kv: Vec<KvGrant>,
    /// Look addresses up in the geo databases.
    pub geo: bool,
    /// A clock that runs during a call.
    pub clock: bool,
    /// HTTP requests of its own.
    pub fetch: Option<Fetch>,
}

/// A store, and whether it may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvGrant {
    pub store: String,
    pub write: bool,
}

/// A store that a function may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenKv {
    /// Required. Name of a key-value store.
    pub store: String,
    /// Whether the function may change it.
    #[serde(default)]
    pub write: bool,
}

/// HTTP requests a function may make.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Required. Hosts: "api.example.com", "*.example.com" or "*", with a port where it is not 80 or 443 ("api.test:8080").
    pub allow: Vec<String>,
    /// Networks that are reached although they are private, loopback or link-local: "10.1.0.0/16".
    #[serde(default)]
    pub private: Vec<String>,
    /// Time one request may take.
    #[serde(default = "two_seconds")]
    pub timeout: Duration,
    /// Requests one call may make.
    #[serde(default = "ten")]
    pub requests: u32,
    /// Bytes of one answer, or of one request.
    #[serde(default = "one_mib")]
    pub body: ByteSize,
}

/// A key-value store of this PoP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvStore {
    /// Required. What grants call it.
    pub name: String,
    /// File with what a new store begins with, in CloudFront's format: {"data": [{"key", "value"}]}; relative to this file. It is not
    /// read again: `rimward kv import` sets its keys.
    #[serde(default)]
    pub import: Option<String>,
    /// "strict" has CloudFront's quotas (5 MB, keys of 512 bytes, values of 1 KB); "extended" larger ones (64 MiB, 1 KiB, 256 KiB).
    #[serde(default)]
    pub mode: Mode,
}

/// Functions at the four events, each a name, a table, or a list of them that run in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Before the cache is asked: may rewrite the request, or answer it.
    pub viewer_request: Chain,
    /// Before an origin is asked: may rewrite what it is sent, choose another, or answer; that answer is cached.
    pub origin_request: Chain,
    /// When an origin has answered: what it makes of the answer is cached.
    pub origin_response: Chain,
    /// Before the viewer is answered: what it changes is not cached.
    pub viewer_response: Chain,
}

/// The functions of one event, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain(pub Vec<Hook>);

/// A function at an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Required. Name of a function.
    pub function: String,
    /// "fail" answers 502 or 503 when the call fails; "skip" goes on as if the function were not there.
    #[serde(default)]
    pub on_error: OnError,
    /// Show the function the request's body (its first 40 KiB, at origin-request 1 MiB where it has a Content-Length), and let it be
    /// replaced.
    #[serde(default)]
    pub include_body: bool,
    /// CPU time here, instead of the function's own.
    #[serde(default)]
    pub cpu: Option<Duration>,
    /// Memory here, instead of the function's own.
    #[serde(default)]
    pub memory: Option<ByteSize>,
}

/// What a failed call means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    #[default]
    Fail,
    Skip,
}

// === impl KvGrant ===
struct KvGrantVisitor;

impl<'de> Visitor<'de> for KvGrantVisitor {
    type Value = KvGrant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a store or { store, write }")
    }

    fn visit_str<E: Error>(self, store: &str) -> Result<KvGrant, E> {
        Ok(KvGrant { store: store.to_owned(), write: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KvGrant, A::Error> {
        let WrittenKv { store, write } = WrittenKv::deserialize(MapAccessDeserializer::new(map))?;
        Ok(KvGrant { store, write })
    }
}

impl<'de> Deserialize<'de> for KvGrant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(KvGrantVisitor)
    }
}

impl Serialize for KvGrant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.store)
    }
}

impl JsonSchema for KvGrant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KvGrant".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, schemas.subschema_for::<WrittenKv>()] })
    }
}

// === impl Chain ===
/// One function of a chain: its name, or a table.
#[derive(Debug)]
struct Link(Hook);

struct LinkVisitor;

impl<'de> Visitor<'de> for LinkVisitor {
    type Value = Link;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a function or { function, on_error, … }")
    }

    fn visit_str<E: Error>(self, function: &str) -> Result<Link, E> {
        Ok(Link(Hook::named(function)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Link, A::Error> {
        Hook::deserialize(MapAccessDeserializer::new(map)).map(Link)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LinkVisitor)
    }
}

struct ChainVisitor;

impl<'de> Visitor<'de> for ChainVisitor {
    type Value = Chain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a function, { function, on_error, … }, or a list of them")
    }

    fn visit_str<E: Error>(self, function: &str) -> Result<Chain, E> {
        Ok(Chain(vec![Hook::named(function)]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Chain, A::Error> {
        Ok(Chain(vec![Hook::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Chain, A::Error> {
        let links: Vec<Link> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(Chain(links.into_iter().map(|link| link.0).collect()))
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ChainVisitor)
    }
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|hook| &hook.function))
    }
}

impl JsonSchema for Chain {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Chain".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let name = serde_json::json!({ "type": "string" });
        let hook = schemas.subschema_for::<Hook>();
        json_schema!({ "anyOf": [name, hook, { "type": "array", "items": { "anyOf": [name, hook] } }] })
    }
}

// === impl Hook ===
impl Hook {
    fn named(function: &str) -> Self {
        Hook { function: function.to_owned(), on_error: OnError::Fail, include_body: false, cpu: None, memory: None }
    }
}

fn fifty_ms() -> Duration {
    Duration::millis(50)
}

fn five_seconds() -> Duration {
    Duration::secs(5)
}

fn two_seconds() -> Duration {
    Duration::secs(2)
}

fn megabytes() -> ByteSize {
    ByteSize::mib(128)
}

fn one_mib() -> ByteSize {
    ByteSize::mib(1)
}

fn hundred() -> usize {
    100
}

fn ten() -> u32 {
    10
}

fn once() -> u32 {
    1
}
