//! Behavior: what is done with the requests that a pattern matches.
//!
//! In: nothing (built only by `config::compile`). Out: plain data that cannot be wrong. Never: raw text, I/O, defaults.

use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::time::Duration;

use super::{GroupId, Hooks, Identity, Limit, OriginId, Rule};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    Origin(OriginId),
    Group(GroupId),
}

/// What is done with the requests that a pattern matches.
#[derive(Debug, Clone)]
pub struct Behavior {
    /// Unique label for logs and metrics; the pattern itself unless named.
    pub name: String,
    pub pattern: Pattern,
    pub action: Action,
    pub methods: Vec<Method>,
    pub viewer_protocol: ViewerProtocol,
    pub cache: CachePolicy,
    pub request: RequestPolicy,
    pub response: ResponsePolicy,
    pub compress: Option<Compress>,
    pub errors: Vec<ErrorPage>,
    /// Served for "/" (no leading slash inside).
    pub root_object: Option<String>,
    /// Appended to every path that ends with '/'.
    pub index: Option<String>,
    pub rewrite: PathRewrite,
    pub hooks: Hooks,
    /// `None` = everybody.
    pub access: Option<Rule>,
    /// Every one must allow a request.
    pub limits: Vec<Limit>,
    /// API Gateway's stage; "" unless written.
    pub stage: String,
    pub identity: Identity,
    /// The canary whose answers are kept apart from everybody else's; `None` = it is none.
    pub canary: Option<u64>,
    /// Each principal has its own answers in the cache.
    pub per_principal: bool,
}

/// CloudFront's path pattern after an optional host: `*` = any run, `?` = exactly one, case-sensitive path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// Lower case, without port; `None` = any host. A leading `*.` matches any depth of subdomains.
    pub host: Option<String>,
    /// Starts with '/' (or is "*").
    pub path: String,
}

impl Pattern {
    /// Whether requests for `host` may come here. It is in lower case, without port.
    pub fn serves(&self, host: &str) -> bool {
        match self.host.as_deref() {
            None | Some("*") => true,
            Some(own) => match own.strip_prefix('*') {
                Some(domain) => host.len() > domain.len() && host.ends_with(domain),
                None => host == own,
            },
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    Forward(Upstream),
    Redirect(Redirect),
}

#[derive(Debug, Clone)]
pub struct Redirect {
    pub status: StatusCode,
    /// `$scheme $host $path $query $uri` are replaced; `$uri` is path and query.
    pub to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewerProtocol {
    AllowAll,
    HttpsOnly,
    RedirectToHttps,
}

/// Which parts of a request, besides host and path, are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    None,
    All,
    Only(Vec<String>),
    AllExcept(Vec<String>),
}

// === impl Select ===
impl Select {
    /// Whether the query parameter or cookie of that name is taken; names are compared as sent, case-sensitive (CloudFront).
    pub fn names(&self, name: &[u8]) -> bool {
        let listed = |list: &[String]| list.iter().any(|item| item.as_bytes() == name);
        match self {
            Select::None => false,
            Select::All => true,
            Select::Only(list) => listed(list),
            Select::AllExcept(list) => !listed(list),
        }
    }
}

#[derive(Debug, Clone)]
pub struct CachePolicy {
    pub enabled: bool,
    pub min_ttl: Duration,
    pub default_ttl: Duration,
    pub max_ttl: Duration,
    pub key: KeyPolicy,
    /// Used when the origin's answer names none (RFC 5861).
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    /// Serve a stale object when the origin has not answered after this long, and let it go on answering.
    pub soft_timeout: Option<Duration>,
    /// Share of the time since Last-Modified, in percent, when nothing else names a lifetime; 0 = never guess (RFC 9111 §4.2.2).
    pub heuristic_percent: u8,
    /// Lifetime of answers with an error status that name none (CloudFront's ErrorCachingMinTTL).
    pub error_ttl: Duration,
    pub request_directives: RequestDirectives,
    pub set_cookie: SetCookie,
    pub max_object: u64,
    /// Response headers that carry purge tags (`Surrogate-Key`, `Cache-Tag`, …).
    pub tag_headers: Vec<HeaderName>,
    /// One request to the origin for many viewers of the same object.
    pub collapse: bool,
}

#[derive(Debug, Clone)]
pub struct KeyPolicy {
    pub headers: Vec<HeaderName>,
    pub cookies: Select,
    pub query: Select,
    /// Sort query parameters by name before they enter the key.
    pub sort_query: bool,
    /// Leave the host out: several hosts share one object.
    pub ignore_host: bool,
}

/// What a viewer's own Cache-Control / Pragma may do to a shared cache (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestDirectives {
    /// CloudFront's way: none of them counts.
    Ignore,
    /// All of them count.
    Honor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetCookie {
    /// An answer that sets a cookie is not stored.
    Refuse,
    /// It is stored without the cookie; the one viewer who caused the miss gets it.
    Strip,
    /// It is stored with it, as RFC 9111 §7.3 allows.
    Store,
}

/// What goes on to the origin besides the cache key's parts.
#[derive(Debug, Clone)]
pub struct RequestPolicy {
    pub headers: ForwardHeaders,
    pub cookies: Select,
    pub query: Select,
    /// Emit `Forwarded` (RFC 7239) next to `X-Forwarded-For`.
    pub forwarded: bool,
    pub body_size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardHeaders {
    /// CloudFront's default rewriting: strips Accept*, Referer, Cookie, Authorization (GET/HEAD), sets User-Agent.
    Default,
    /// Everything the viewer sent except hop-by-hop fields.
    All,
    AllExcept(Vec<HeaderName>),
    /// The default set plus these.
    Only(Vec<HeaderName>),
}

#[derive(Debug, Clone, Default)]
pub struct ResponsePolicy {
    /// Applied first.
    pub remove: Vec<HeaderName>,
    pub set: Vec<SetHeader>,
    pub cors: Option<Cors>,
    pub server_timing: bool,
    /// Tell viewers of a nearer PoP.
    pub steer: bool,
}

#[derive(Debug, Clone)]
pub struct SetHeader {
    pub name: HeaderName,
    pub value: HeaderValue,
    /// Replace what the origin sent (else only when absent).
    pub over: bool,
}

#[derive(Debug, Clone)]
pub struct Cors {
    pub origins: Origins,
    pub methods: Vec<Method>,
    pub headers: CorsHeaders,
    pub expose: Vec<HeaderName>,
    pub credentials: bool,
    pub max_age: Option<Duration>,
    pub over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    /// Exact origins, or `https://*.example.com`.
    List(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsHeaders {
    Any,
    List(Vec<HeaderName>),
}

#[derive(Debug, Clone)]
pub struct Compress {
    /// In order of preference.
    pub codings: Vec<Coding>,
    pub min_size: u64,
    pub max_size: u64,
    /// Media types, lower case, exact or `type/*`.
    pub types: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

// === impl Coding ===
impl Coding {
    /// As registered with IANA (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }
}

#[derive(Debug, Clone)]
pub struct ErrorPage {
    pub statuses: Vec<StatusCode>,
    /// What the viewer sees instead (`None` = the same).
    pub respond: Option<StatusCode>,
    pub page: Page,
    /// How long the substituted answer is kept (CloudFront's ErrorCachingMinTTL).
    pub ttl: Duration,
}

#[derive(Debug, Clone)]
pub enum Page {
    /// Fetched through the behaviors like any request.
    Path(String),
    /// Read at load.
    File { content_type: HeaderValue, body: bytes::Bytes },
}

#[derive(Debug, Clone, Default)]
pub struct PathRewrite {
    pub strip_prefix: Option<String>,
    pub add_prefix: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_a_pattern() {
        for (host, asked, want) in [
            (None, "a.example", true),
            (Some("*"), "a.example", true),
            (Some("a.example"), "a.example", true),
            (Some("a.example"), "b.example", false),
            (Some("*.example"), "a.example", true),
            (Some("*.example"), "a.b.example", true),
            (Some("*.example"), "example", false),
            (Some("*.example"), "an-example", false),
            (Some("*.example"), ".example", false),
        ] {
            let pattern = Pattern { text: String::new(), host: host.map(str::to_owned), path: "*".to_owned() };
            assert_eq!(pattern.serves(asked), want, "{host:?} {asked}");
        }
    }
}
