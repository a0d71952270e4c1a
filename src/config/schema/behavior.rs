//! Behavior: the table `[[behavior]]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: patterns parsed, names resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Identity, OneOrMany, Rule};
use super::cache::CacheRules;
use super::choice::{HeaderSelection, Methods, Selection, Toggle};
use super::function::Hooks;
use super::limit::Limit;
use super::response::Response;
use super::status::StatusRange;
use crate::config::units::{ByteSize, Duration};

/// What is done with the requests that a pattern matches.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Behavior {
    /// Label in logs and metrics. Left out: the pattern itself.
    #[serde(default)]
    pub name: Option<String>,
    /// Required. "host/path", "/path" (any host) or "*" (everything). In the path `*` is any run of characters and `?` exactly
    /// one (one that has to be encoded counts as its code: "%20" is three); case matters, the query does not, nor what is encoded without need. A host "*.example.com" is any subdomain. At most 255 characters.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Name of the origin or group that answers. Left out: the only origin, when there is just one.
    #[serde(default)]
    pub origin: Option<String>,
    /// Answer with a redirect instead of asking an origin.
    #[serde(default)]
    pub redirect: Option<Redirect>,
    /// Methods let through, "all" or a list; others are answered 403 as in CloudFront.
    #[serde(default = "reading")]
    pub methods: Methods,
    /// "allow-all", "https-only" (plain HTTP is answered 403) or "redirect-to-https".
    #[serde(default)]
    pub viewer_protocol: ViewerProtocol,
    /// How answers are kept; `false` = not at all.
    #[serde(default = "caching")]
    pub cache: Toggle<CacheRules>,
    /// What of the request goes on to the origin, besides what is in the cache key.
    #[serde(default)]
    pub forward: Forward,
    /// What is changed in the answer.
    #[serde(default)]
    pub response: Response,
    /// Compress answers that the origin did not: `true`, `false` or a table.
    #[serde(default = "off")]
    pub compress: Toggle<Compress>,
    /// What viewers see instead of the origin's errors.
    #[serde(default)]
    pub errors: Vec<ErrorPage>,
    /// Object served for "/", like "index.html"; no leading "/".
    #[serde(default)]
    pub root_object: Option<String>,
    /// File name appended to every path that ends with "/", like "index.html".
    #[serde(default)]
    pub index: Option<String>,
    /// Taken off the start of the path before the origin is asked: "/api".
    #[serde(default)]
    pub strip_prefix: Option<String>,
    /// Put before the path (after `strip_prefix`) before the origin is asked: "/v2".
    #[serde(default)]
    pub add_prefix: Option<String>,
    /// Edge functions that run at its events.
    #[serde(default)]
    pub hooks: Hooks,
    /// Who may come in: "api_key", { jwt = "customers" }, `{ any = [rules] }`, `{ all = [rules] }` or `{ none = [rules] }`. Left out:
    /// everybody.
    #[serde(default)]
    pub access: Option<Rule>,
    /// How often: a table, or a list of them that must all allow it.
    #[serde(default)]
    pub limit: OneOrMany<Limit>,
    /// API Gateway's stage: what usage plans open.
    #[serde(default)]
    pub stage: Option<String>,
    /// What of who asks goes on, to functions and to the origin.
    #[serde(default)]
    pub identity: Identity,
}

impl Behavior {
    /// The behavior of a configuration that writes none: everything to the only origin.
    pub fn everything() -> Self {
        Behavior {
            name: None,
            pattern: "*".into(),
            origin: None,
            redirect: None,
            methods: reading(),
            viewer_protocol: ViewerProtocol::default(),
            cache: caching(),
            forward: Forward::default(),
            response: Response::default(),
            compress: off(),
            errors: vec![],
            root_object: None,
            index: None,
            strip_prefix: None,
            add_prefix: None,
            hooks: Hooks::default(),
            access: None,
            limit: OneOrMany::default(),
            stage: None,
            identity: Identity::default(),
        }
    }
}

/// A redirect.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "found")]
    pub status: u16,
    /// Required. Where to; `$scheme $host $path $query $uri` are replaced (`$uri` is path and query).
    pub to: String,
}

/// Which schemes a behavior serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ViewerProtocol {
    #[default]
    AllowAll,
    HttpsOnly,
    RedirectToHttps,
}

/// What of the request goes on to the origin, besides what is in the cache key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Forward {
    /// "default" (CloudFront's rewriting: no Accept*, Referer, Cookie, nor Authorization on GET), "all", `[names]` besides the
    /// default ones, or `{ except = [names] }`. Left out: "default", or "all" with `cache = false`. Those that name another host,
    /// scheme or path than the request's (`Forwarded`, `X-Forwarded-Port`, `X-Original-URL` and the like) go only where a list
    /// of names or the cache key has them.
    pub headers: Option<HeaderSelection>,
    /// Cookies: "none", "all", `[names]` or `{ except = [names] }`. Left out: "none", or "all" with `cache = false`.
    pub cookies: Option<Selection>,
    /// Query parameters: "none", "all", `[names]` or `{ except = [names] }`. Left out: "none" (those in the cache key go anyway),
    /// or "all" with `cache = false`.
    pub query: Option<Selection>,
    /// Send `Forwarded` (RFC 7239) next to `X-Forwarded-For`.
    pub forwarded: bool,
    /// Bytes of one request body; larger ones are refused with 413. Left out: `limits.body_size`.
    pub body_size: Option<ByteSize>,
}

/// How answers are compressed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compress {
    /// "br", "zstd", "gzip", in order of preference among those the viewer takes.
    pub codings: Vec<Coding>,
    /// Smaller answers are left alone. CloudFront's bound.
    pub min_size: ByteSize,
    /// Larger answers are left alone. CloudFront's bound.
    pub max_size: ByteSize,
    /// Media types, exact or "type/*". The default is CloudFront's list and application/wasm.
    pub types: Vec<String>,
}

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    Br,
    Zstd,
    Gzip,
}

impl Default for Compress {
    fn default() -> Self {
        Compress {
            codings: vec![Coding::Br, Coding::Zstd, Coding::Gzip],
            min_size: ByteSize::bytes(1_000),
            max_size: ByteSize::bytes(10_000_000),
            types: COMPRESSIBLE.map(str::to_owned).to_vec(),
        }
    }
}

/// Types CloudFront compresses ("Serving compressed files" in its developer guide), and WebAssembly.
const COMPRESSIBLE: [&str; 45] = [
    "application/dash+xml",
    "application/eot",
    "application/font",
    "application/font-sfnt",
    "application/javascript",
    "application/json",
    "application/opentype",
    "application/otf",
    "application/pkcs7-mime",
    "application/protobuf",
    "application/rss+xml",
    "application/truetype",
    "application/ttf",
    "application/vnd.apple.mpegurl",
    "application/vnd.mapbox-vector-tile",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "application/x-font-opentype",
    "application/x-font-truetype",
    "application/x-font-ttf",
    "application/x-httpd-cgi",
    "application/x-javascript",
    "application/x-mpegurl",
    "application/x-opentype",
    "application/x-otf",
    "application/x-perl",
    "application/x-ttf",
    "font/eot",
    "font/opentype",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/js",
    "text/plain",
    "text/richtext",
    "text/tab-separated-values",
    "text/xml",
    "text/x-component",
    "text/x-script",
];

/// What viewers see instead of some errors.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorPage {
    /// Required. Statuses (400 to 599) this page stands for: 404, or a range like "500-504".
    pub status: Vec<StatusRange>,
    /// Status the viewer sees. Left out: the origin's.
    #[serde(default)]
    pub respond: Option<u16>,
    /// Path fetched through the behaviors, like "/errors/404.html".
    #[serde(default)]
    pub page: Option<String>,
    /// File sent instead, at most 16 MiB, read at load; relative to this file.
    #[serde(default)]
    pub file: Option<String>,
    /// How long the substituted answer is kept (CloudFront's error caching minimum TTL).
    #[serde(default = "ten_seconds")]
    pub ttl: Duration,
}

fn reading() -> Methods {
    Methods::Only(vec!["GET".into(), "HEAD".into()])
}

fn caching() -> Toggle<CacheRules> {
    Toggle::Switch(true)
}

fn off() -> Toggle<Compress> {
    Toggle::Switch(false)
}

fn found() -> u16 {
    302
}

fn ten_seconds() -> Duration {
    Duration::secs(10)
}
