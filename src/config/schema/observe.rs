//! Observe: the tables `[admin]` and `[observe]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: files opened, secrets resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Toggle;
use super::origin::Reference;
use crate::config::units::Percent;

/// The operator's HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// "host:port" it listens on. Anything but loopback needs a `token`.
    pub address: String,
    /// Bearer token asked of every caller: "env:NAME" or "file:path", never the token itself. None unless written.
    pub token: Option<Reference>,
    /// Name of a `[[sigv4]]` with service = "cloudfront-keyvaluestore": its keys open the key-value stores too, and a request that
    /// is signed is checked. None unless written: then who signs is asked for the token, or is on this machine.
    pub access: Option<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { address: "127.0.0.1:9901".into(), token: None, access: None }
    }
}

/// Logs, metrics and traces.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Observe {
    /// What the process says about itself on stderr: "error", "warn", "info", "debug", "trace" or "off".
    pub level: Level,
    /// One line a request; `false` = none.
    pub access_log: Toggle<AccessLog>,
    /// Spans exported with OpenTelemetry. None unless written.
    pub traces: Option<Traces>,
    /// Distinct hosts counted on their own in metrics; the rest is "other".
    pub metric_hosts: usize,
    /// Requests kept in memory for the console and for `GET /requests/ID`, about 1 KiB each; 0 = none.
    pub recent: usize,
}

impl Default for Observe {
    fn default() -> Self {
        Observe { level: Level::Info, access_log: Toggle::Switch(true), traces: None, metric_hosts: 100, recent: 1024 }
    }
}

/// How much the process says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The access log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// "json", "cloudfront-standard" (33 fields, W3C) or "cloudfront-realtime" (tab-separated).
    pub format: LogFormat,
    /// "stdout", "stderr" or a file, relative to this file; reopened on SIGUSR1 and when it was moved away.
    pub to: String,
    /// Lines waiting for the writer, about 500 bytes each; past it lines are dropped and counted.
    pub queue: usize,
    /// Share of requests logged. Errors always are.
    pub sample_percent: Percent,
}

impl Default for AccessLog {
    fn default() -> Self {
        AccessLog { format: LogFormat::Json, to: "stdout".into(), queue: 16_384, sample_percent: Percent::new(100) }
    }
}

/// Form of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Json,
    CloudfrontStandard,
    CloudfrontRealtime,
}

/// Trace export.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Required. OTLP over HTTP, like "http://127.0.0.1:4318/v1/traces".
    pub endpoint: String,
    /// Share of requests traced.
    #[serde(default = "one_percent")]
    pub sample_percent: Percent,
}

fn one_percent() -> Percent {
    Percent::new(1)
}
