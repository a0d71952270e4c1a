//! Functions: what the operator granted to each, and where they are attached.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::super::secret::Secret;

pub type FunctionId = usize;

const TYPESCRIPT: [&str; 3] = ["ts", "mts", "cts"];
const SCRIPTS: [&str; 6] = ["tsx", "js", "mjs", "cjs", "jsx", "json"];

/// One edge function.
#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    /// A `.wasm` or `.wat` file, a `.js`, `.mjs` or `.cjs` file, or a directory with a `package.json` or an
    /// `index.js`.
    pub file: PathBuf,
    pub flavor: Flavor,
    pub mode: Mode,
    /// CPU time one call may take.
    pub cpu: Duration,
    /// Wall-clock time one call may take, waiting included.
    pub timeout: Duration,
    /// Bytes of linear memory one instance may have.
    pub memory: usize,
    /// Calls at once; one more fails at once.
    pub concurrency: usize,
    /// Calls an instance serves before it is replaced; 1 = a fresh instance for every call.
    pub reuse: u32,
    pub grants: Grants,
    /// Share of the calls that are recorded for `rimward fn replay`, in 1/10,000; 0 = none.
    pub record: u32,
}

/// What a file that could be either is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// What the file shows: exported handlers of a component, `exports.handler` or a global `handler`.
    Auto,
    LambdaEdge,
    /// CloudFront Functions runtime `cloudfront-js-1.0` or `-2.0`.
    CloudFront1,
    CloudFront2,
}

/// How closely AWS's limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only what keeps a message valid and a PoP safe is refused.
    Extended,
    /// AWS's limits and validation, exactly.
    Strict,
}

/// What a function may reach. What is not granted is a missing import, which fails at deploy; in JavaScript the call fails.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    pub config: Vec<(String, String)>,
    pub secrets: Vec<(String, Secret<Vec<u8>>)>,
    pub kv: Vec<KvGrant>,
    pub geo: bool,
    /// A clock that runs during a call.
    pub clock: bool,
    pub fetch: Option<FetchGrant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvGrant {
    pub store: String,
    pub write: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchGrant {
    pub allow: Vec<FetchHost>,
    /// Private, loopback or link-local addresses that are allowed all the same.
    pub private: Vec<IpNet>,
    pub timeout: Duration,
    /// Requests one call may make.
    pub requests: u32,
    /// Bytes of one answer.
    pub body: usize,
}

/// A host a function may ask: exact, `*.example.com` (any depth below), or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchHost {
    /// Lower case; with its leading `*.` or `*`.
    pub pattern: String,
    /// `None` = 80 and 443.
    pub port: Option<u16>,
}

// === impl Function ===
impl Function {
    /// Whether it is built from `path`, one of the files that the configuration was made of. Of what TypeScript imports nobody knows
    /// before it is bundled: it may be any source beside it.
    pub fn is_built_from(&self, path: &Path) -> bool {
        let beside = || self.file.parent().is_some_and(|directory| path.starts_with(directory));
        path.starts_with(&self.file) || is_typescript(&self.file) && is_script(path) && beside()
    }
}

/// Whether a file is TypeScript.
pub fn is_typescript(path: &Path) -> bool {
    extension(path).is_some_and(|extension| TYPESCRIPT.contains(&extension))
}

/// Whether TypeScript may import a file, or is compiled by what it says.
pub fn is_script(path: &Path) -> bool {
    extension(path).is_some_and(|extension| TYPESCRIPT.contains(&extension) || SCRIPTS.contains(&extension))
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

// === impl FetchHost ===
impl FetchHost {
    /// Whether a request to `host` (lower case, an IPv6 address without brackets) and `port` is meant.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let named = match self.pattern.strip_prefix('*') {
            Some("") => true,
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix) && host.parse::<IpAddr>().is_err(),
            None => self.pattern == host,
        };
        named && self.port.map_or(port == 80 || port == 443, |only| only == port)
    }
}

/// A key-value store of this PoP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvStore {
    pub name: String,
    /// `{"data": [{"key", "value"}]}`: what a new store begins with (CloudFront's import format).
    pub import: Option<PathBuf>,
    pub bounds: KvBounds,
}

/// How large a key-value store may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvBounds {
    /// Bytes of all keys and values. They are held in memory.
    pub store: u64,
    /// Bytes of one key.
    pub key: usize,
    /// Bytes of one value.
    pub value: usize,
    /// Keys one update may change.
    pub batch_keys: usize,
    /// Bytes of keys and values of one update.
    pub batch: usize,
}

// === impl KvBounds ===
impl KvBounds {
    /// CloudFront's (Developer Guide, "Quotas on key value stores").
    pub const STRICT: KvBounds = KvBounds { store: 5 << 20, key: 512, value: 1 << 10, batch_keys: 50, batch: 3 << 20 };
    /// What keeps a PoP's memory and one commit small.
    pub const EXTENDED: KvBounds =
        KvBounds { store: 64 << 20, key: 1 << 10, value: 256 << 10, batch_keys: 1000, batch: 8 << 20 };
}

/// The functions of one behavior, by event, in the order they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    pub viewer_request: Vec<Hook>,
    pub origin_request: Vec<Hook>,
    pub origin_response: Vec<Hook>,
    pub viewer_response: Vec<Hook>,
}

/// One function attached to one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub function: FunctionId,
    pub on_error: OnError,
    /// The function sees the request body, up to the event's bound.
    pub include_body: bool,
    /// Instead of the function's own.
    pub cpu: Option<Duration>,
    pub memory: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The viewer gets the documented status.
    Fail,
    /// As if the function were not there.
    Skip,
}

/// The engine that runs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Functions {
    /// Calls of all functions at once.
    pub concurrency: usize,
    /// Largest linear memory any function may ask for.
    pub memory: usize,
    /// Where compiled artifacts are kept, below the state directory.
    pub artifacts: PathBuf,
    /// Where components from registries are kept.
    pub images: PathBuf,
    /// Where recorded calls are kept, and how many bytes of them.
    pub records: PathBuf,
    pub records_size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_a_function_may_ask() {
        for (pattern, port, host, asked, want) in [
            ("api.example", None, "api.example", 443, true),
            ("api.example", None, "api.example", 80, true),
            ("api.example", None, "api.example", 8080, false),
            ("api.example", Some(8080), "api.example", 8080, true),
            ("api.example", Some(8080), "api.example", 443, false),
            ("*.example", None, "a.b.example", 443, true),
            ("*.example", None, "example", 443, false),
            ("*.0.0.1", None, "127.0.0.1", 80, false),
            ("*", None, "anything.test", 443, true),
            ("api.example", None, "xapi.example", 443, false),
        ] {
            let allowed = FetchHost { pattern: pattern.to_owned(), port };
            assert_eq!(allowed.covers(host, asked), want, "{pattern} {host}:{asked}");
        }
    }
}
