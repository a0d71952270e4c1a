//! Response: a behavior's `response` table.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: header syntax, the presets' values (compile knows them).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Methods;
use crate::config::units::Duration;

/// What is changed in the answer to the viewer: removal first, then `set_default`, `security`, `set` and CORS.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// Headers taken off.
    pub remove: Vec<String>,
    /// Headers set, in place of the origin's.
    pub set: BTreeMap<String, String>,
    /// Headers set when the origin sent none of that name.
    pub set_default: BTreeMap<String, String>,
    /// Cross-origin resource sharing; preflight requests are answered here.
    pub cors: Option<Cors>,
    /// Add `Server-Timing` with CloudFront's metrics: the cache's verdict, PoP, request id, the origin's times. Hits of such a
    /// behavior take the full path.
    pub server_timing: bool,
    /// Tell viewers over TLS of a PoP of `[dns]` that is well and nearer to them, with `Alt-Svc` (RFC 7838): for anycast addresses,
    /// which bring some viewers to the wrong PoP. Hits of such a behavior take the full path.
    pub steer: bool,
    /// "none", or "managed": CloudFront's SecurityHeadersPolicy (HSTS for a year, nosniff, frames from the same origin only,
    /// strict-origin-when-cross-origin, XSS filter).
    pub security: Security,
}

/// A preset of security headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    #[default]
    None,
    Managed,
}

/// Cross-origin resource sharing (Fetch standard, "CORS protocol").
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins allowed: exact (`"https://app.example.com"`), `"https://*.example.com"`, or "*" for any.
    pub origins: Vec<String>,
    /// Methods allowed, "all" or a list.
    pub methods: Methods,
    /// Request headers allowed; ["*"] = any.
    pub headers: Vec<String>,
    /// Response headers that scripts may read besides the safe ones.
    pub expose: Vec<String>,
    /// Allow cookies and `Authorization`. Not together with `origins = ["*"]`.
    pub credentials: bool,
    /// How long a browser may remember the preflight's answer.
    pub max_age: Option<Duration>,
    /// Replace what the origin itself sent about CORS.
    #[serde(rename = "override")]
    pub over: bool,
}

impl Default for Cors {
    fn default() -> Self {
        Cors {
            origins: vec!["*".into()],
            methods: Methods::Only(vec!["GET".into(), "HEAD".into(), "OPTIONS".into()]),
            headers: vec![],
            expose: vec![],
            credentials: false,
            max_age: None,
            over: true,
        }
    }
}
