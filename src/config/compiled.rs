//! What runs: the configuration after every name is resolved, every unit read and every bound checked.
//!
//! In: nothing (built only by `config::compile`). Out: plain data that cannot be wrong. Never: raw text, I/O, defaults.

mod access;
mod dns;
mod dynamodb;
mod fleet;
mod function;
mod integration;
mod lambda;
mod limit;
mod mapping;

pub use access::*;
pub use dns::*;
pub use dynamodb::*;
pub use fleet::*;
pub use function::*;
pub use integration::*;
pub use lambda::*;
pub use limit::*;
pub use mapping::*;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::secret::Secret;

/// One whole configuration. Indexes (`OriginId`, `GroupId`, `BehaviorId`) are positions in its vectors.
#[derive(Debug, Clone)]
pub struct Config {
    pub pop: Pop,
    pub listeners: Vec<Listener>,
    pub limits: Limits,
    pub store: Store,
    pub origins: Vec<Origin>,
    pub groups: Vec<OriginGroup>,
    /// In the order written: the first whose pattern matches serves the request.
    pub behaviors: Vec<Arc<Behavior>>,
    /// Edge functions, in the order written.
    pub functions: Vec<Function>,
    pub engine: Functions,
    pub kv_stores: Vec<KvStore>,
    /// Lambda functions of this machine; `None` = nothing of them is written.
    pub local_lambda: Option<LocalLambda>,
    /// What access rules name.
    pub access: Access,
    pub rates: Rates,
    pub dynamodb: Option<DynamoDb>,
    /// MaxMind databases.
    pub geo: Vec<PathBuf>,
    /// `None`: no names are answered.
    pub dns: Option<GeoDns>,
    /// Always there: without `[fleet]`, a fleet of one.
    pub fleet: Fleet,
    pub admin: Option<Admin>,
    pub observe: Observe,
    /// First 12 hex digits of the XXH3-128 of the configuration's texts and the pages they name: names the revision in logs
    /// and `/status`.
    pub digest: String,
    /// Every file this configuration was read from (itself, includes, certificates, secrets, pages): what to watch.
    pub sources: Vec<PathBuf>,
    /// What is legal but most likely not meant, one line each with its place.
    pub warnings: Vec<String>,
}

pub type OriginId = usize;
pub type GroupId = usize;
pub type BehaviorId = usize;

/// Who and where this process is.
#[derive(Debug, Clone)]
pub struct Pop {
    /// IATA code, upper case: appears in `Via`, `Cache-Status`, `X-Amz-Cf-Pop`, logs and metrics.
    pub code: String,
    /// Worker threads; 0 = one a core.
    pub threads: usize,
    /// Where caches, the purge log and the upgrade socket live.
    pub state_dir: PathBuf,
    /// How long in-flight requests may take to finish on shutdown or upgrade.
    pub drain: Duration,
}

#[derive(Debug, Clone)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: Option<Tls>,
    /// HTTP/2: by ALPN with TLS, by prior knowledge (h2c) without.
    pub h2: bool,
    /// Addresses whose `X-Forwarded-For` / `Forwarded` chain is kept and whose left-most hop is the viewer.
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Clone)]
pub struct Tls {
    /// The first is the default when SNI names none of them.
    pub certificates: Vec<Certificate>,
    pub client_auth: ClientAuth,
    pub min_version: TlsVersion,
}

#[derive(Debug, Clone)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// A certificate is verified when the viewer sends one.
    Optional {
        ca: PathBuf,
    },
    /// No certificate, no connection.
    Required {
        ca: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Bounds on what a viewer may cost before any rule is asked. All have safe defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Who that is not for.
    pub connections_exempt: Vec<IpNet>,
    /// From the first byte of a request (or the end of the last one) to the end of its header section.
    pub header_timeout: Duration,
    pub header_count: usize,
    pub header_size: usize,
    pub uri_size: usize,
    /// Between requests on a kept connection, and between two bytes of a tunnel.
    pub idle_timeout: Duration,
    /// Between two bytes of a request body.
    pub body_timeout: Duration,
    /// Bytes a second a request body must average once `body_grace` has passed; 0 = no minimum.
    pub body_min_rate: u64,
    pub body_grace: Duration,
    pub body_size: u64,
    /// How long one write to a viewer may make no progress.
    pub write_timeout: Duration,
    pub requests_per_connection: u32,
    pub h2_streams: u32,
    /// Streams a viewer may reset within `h2_reset_window` before its connection is closed.
    pub h2_resets: u32,
    pub h2_reset_window: Duration,
}

/// The cache tiers, shared by every behavior.
#[derive(Debug, Clone)]
pub struct Store {
    pub memory: u64,
    pub disk: Option<Disk>,
    /// How long a request waits for another one's fill before it asks the origin itself.
    pub collapse_timeout: Duration,
    /// Distinct purge scopes remembered; past it the oldest fold into "everything older than it".
    pub purge_scopes: usize,
}

#[derive(Debug, Clone)]
pub struct Disk {
    pub path: PathBuf,
    pub size: u64,
}

/// Where misses go.
#[derive(Debug, Clone)]
pub struct Origin {
    pub name: String,
    pub kind: OriginKind,
    /// Added to every request (replacing the viewer's). Values may be secrets: never logged.
    pub headers: Vec<(HeaderName, Secret<HeaderValue>)>,
    /// Prefix put before the request's path ("" = none, else starts with '/' and does not end with it).
    pub path: String,
    pub tier: Tier,
}

/// Which nodes of the fleet are asked before an origin is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tier {
    /// Code of the PoP that fills for the others, upper case.
    pub shield: Option<String>,
    /// How many nodes are asked for what they have stored.
    pub ask_peers: usize,
}

#[derive(Debug, Clone)]
pub enum OriginKind {
    Http(Box<HttpOrigin>),
    Signed(Arc<SignedOrigin>),
    Lambda(Arc<LambdaOrigin>),
    Table(Arc<TableOrigin>),
    /// A `wasi:http` component; its name is the origin's.
    Function(Arc<Function>),
    Generated(Arc<Generated>),
}

#[derive(Debug, Clone)]
pub struct HttpOrigin {
    pub targets: Vec<Target>,
    pub host: HostHeader,
    pub balance: Balance,
    pub protocol: UpstreamProtocol,
    pub connect_timeout: Duration,
    /// Until the first byte of the answer, and between two packets of it.
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Attempts in all at one origin (1 = no retry).
    pub attempts: u32,
    pub tls: OriginTls,
    pub dns: Dns,
    pub health: Option<Health>,
    pub eject: Option<Eject>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address, lower case, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub weight: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// The target's own name (with its port when it is not the scheme's): CloudFront's default.
    Origin,
    /// What the viewer sent.
    Viewer,
    Fixed(HeaderValue),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    Random,
    /// Ketama on the cache key's URL: the same object always asks the same target.
    Consistent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    H1,
    H2,
    /// ALPN decides (TLS only).
    Negotiate,
}

#[derive(Debug, Clone)]
pub struct OriginTls {
    pub verify: bool,
    pub sni: Option<String>,
    /// PEM bundle instead of the public roots.
    pub ca: Option<PathBuf>,
    pub client: Option<Certificate>,
}

/// Clamps on a DNS answer's TTL.
#[derive(Debug, Clone)]
pub struct Dns {
    pub min_ttl: Duration,
    pub max_ttl: Duration,
    /// Resolver addresses instead of the system's.
    pub servers: Vec<SocketAddr>,
}

#[derive(Debug, Clone)]
pub struct Health {
    pub path: String,
    pub host: Option<HeaderValue>,
    pub interval: Duration,
    pub timeout: Duration,
    pub statuses: Vec<StatusRange>,
    /// Answers in a row that turn a target up / down.
    pub rise: u32,
    pub fall: u32,
}

/// Passive health: a target that fails real requests rests for a while.
#[derive(Debug, Clone)]
pub struct Eject {
    pub failures: u32,
    pub window: Duration,
    pub rest: Duration,
    /// At most this share of the targets rests at once, in percent.
    pub max_percent: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    pub from: u16,
    pub to: u16,
}

/// A fixed answer written in the configuration.
#[derive(Debug, Clone)]
pub struct Generated {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: bytes::Bytes,
}

#[derive(Debug, Clone)]
pub struct OriginGroup {
    pub name: String,
    /// Asked in this order.
    pub members: Vec<OriginId>,
    /// Statuses that move on to the next member (connect and read failures always do).
    pub failover: Vec<StatusCode>,
}

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

#[derive(Debug, Clone)]
pub struct Admin {
    pub address: SocketAddr,
    /// `None` = loopback only, no token.
    pub token: Option<Secret<String>>,
}

#[derive(Debug, Clone)]
pub struct Observe {
    pub access_log: Option<AccessLog>,
    /// error, warn, info, debug, trace.
    pub level: log::LevelFilter,
    pub traces: Option<Traces>,
    /// Distinct hosts counted on their own in metrics; the rest is `other`.
    pub metric_hosts: usize,
    /// Requests kept in memory; 0 = none.
    pub recent: usize,
}

#[derive(Debug, Clone)]
pub struct AccessLog {
    pub format: LogFormat,
    pub to: LogTarget,
    /// Lines waiting for the writer; past it lines are dropped and counted.
    pub queue: usize,
    /// Share of requests logged, 0–100 percent. Errors are always logged.
    pub sample_percent: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// CloudFront's 33-field standard log.
    CloudfrontStandard,
    /// CloudFront's real-time log fields, tab-separated.
    CloudfrontRealtime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    /// Reopened on SIGUSR1 and when the file was moved away.
    File(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Traces {
    /// OTLP over HTTP, e.g. `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    pub sample_percent: u8,
}
