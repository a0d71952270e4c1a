//! Cache: the table `[cache]` and a behavior's `cache`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: TTLs compared, names parsed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Selection;
use crate::config::units::{ByteSize, Duration, Percent};

/// The cache tiers, shared by every behavior.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Bytes of answers (fields, body, bookkeeping) kept in memory; past it the least useful are dropped. One body takes an
    /// eighth of them at most; a larger one goes to the disk tier.
    pub memory: ByteSize,
    /// A second tier on disk, that survives a restart. None unless written.
    pub disk: Option<Disk>,
    /// How long a request waits for another one that fetches the same object, before it asks the origin itself. Where a stale
    /// object serves when the origin fails, it gets that one instead, after half as long again at most.
    pub collapse_timeout: Duration,
    /// Distinct purges (URLs, prefixes, hosts, tags) remembered one by one, about 100 bytes each; past it the oldest fold
    /// into "everything stored before it", which purges more than was asked, never less.
    pub purge_scopes: usize,
}

impl Default for Store {
    fn default() -> Self {
        Store { memory: ByteSize::mib(256), disk: None, collapse_timeout: Duration::secs(5), purge_scopes: 100_000 }
    }
}

/// The disk tier.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Required. Directory of the cache's blocks; relative to this file.
    pub path: String,
    /// Required. Bytes used on disk at most. One body takes an eighth of them at most.
    pub size: ByteSize,
}

/// How answers to a behavior's requests are kept. `cache = false` keeps none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRules {
    /// Lifetime of answers that name none themselves (CloudFront's default TTL). Left out: one day, or the nearer of
    /// `min_ttl` and `max_ttl`; for origins that are functions or tables, not at all.
    pub ttl: Option<Duration>,
    /// Answers live at least this long. Above 0 it overrides even the origin's `no-store` and `private`, as in CloudFront.
    pub min_ttl: Duration,
    /// Answers live at most this long, whatever they say.
    pub max_ttl: Duration,
    /// What, besides method, host and path, makes two requests ask for the same object. All of it is sent to the origin too.
    pub key: Key,
    /// How long after its lifetime an object is still served while it is fetched anew, when the answer names no
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// How long after its lifetime an object is served when the origin fails, when the answer names no `stale-if-error`
    /// (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// Serve a stale object (within `stale_if_error`) when the origin has not answered after this long, and let it go on
    /// answering. None unless written.
    pub soft_timeout: Option<Duration>,
    /// Lifetime as a share of the time since `Last-Modified`, for answers that name none (RFC 9111 §4.2.2); 0 = `ttl` alone.
    pub heuristic_percent: Percent,
    /// Lifetime of error answers that name none (CloudFront's error caching minimum TTL). For as long the origin is
    /// not asked again about a stale object that stands in for its failure.
    pub error_ttl: Duration,
    /// Whether a viewer's own `Cache-Control` and `Pragma` count: "ignore" (CloudFront's way) or "honor" (RFC 9111 §5.2.1).
    pub request_directives: RequestDirectives,
    /// An answer with `Set-Cookie` is: "refuse" = not stored, "strip" = stored without it, "store" = stored with it.
    pub set_cookie: SetCookie,
    /// Larger answers pass through without being stored; so do those larger than an eighth of every tier.
    pub max_object: ByteSize,
    /// Response headers that carry purge tags, separated by spaces or commas. At most 10.
    pub tag_headers: Vec<String>,
    /// Let one request fetch what several viewers miss at once. Without it, `stale_while_revalidate` and `soft_timeout` have
    /// no effect: nothing would hold their requests to the origin down to one.
    pub collapse: bool,
    /// Where `access` says who asks, each of them has answers of its own in the cache. `true` keeps one for all: only for what
    /// does not depend on who asks.
    pub shared: bool,
}

impl Default for CacheRules {
    fn default() -> Self {
        CacheRules {
            ttl: None,
            min_ttl: Duration::secs(0),
            max_ttl: Duration::days(365),
            key: Key::default(),
            stale_while_revalidate: Duration::secs(0),
            stale_if_error: Duration::secs(0),
            soft_timeout: None,
            heuristic_percent: Percent::new(0),
            error_ttl: Duration::secs(10),
            request_directives: RequestDirectives::Ignore,
            set_cookie: SetCookie::Refuse,
            max_object: ByteSize::gib(1),
            tag_headers: vec!["surrogate-key".into(), "cache-tag".into()],
            collapse: true,
            shared: false,
        }
    }
}

/// What makes two requests ask for the same object.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Key {
    /// Request headers, by name. `Vary` needs no entry here.
    pub headers: Vec<String>,
    /// Cookies: "none", "all", `[names]` or `{ except = [names] }`.
    pub cookies: Selection,
    /// Query parameters: "none", "all", `[names]` or `{ except = [names] }`. Unlike CloudFront's managed policies the default
    /// is all of them: a name left out is not sent to the origin either.
    pub query: Selection,
    /// Sort the query's parameters by name first, so that their order does not matter.
    pub sort_query: bool,
    /// Leave the host out: several hosts share their objects. The origin is not told the host then, and cannot have
    /// `host = "viewer"`.
    pub ignore_host: bool,
}

impl Default for Key {
    fn default() -> Self {
        Key { headers: vec![], cookies: Selection::None, query: Selection::All, sort_query: false, ignore_host: false }
    }
}

/// What a viewer's own cache directives may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestDirectives {
    Ignore,
    Honor,
}

/// What happens to an answer with `Set-Cookie`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SetCookie {
    Refuse,
    Strip,
    Store,
}
