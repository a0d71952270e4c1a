//! Observe: what the operator sees, and asks.
//!
//! In: nothing (built only by `config::compile`). Out: plain data that cannot be wrong. Never: raw text, I/O, defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::SignerId;
use crate::config::secret::Secret;

#[derive(Debug, Clone)]
pub struct Admin {
    pub address: SocketAddr,
    /// `None` = loopback only, no token.
    pub token: Option<Secret<String>>,
    /// Whose keys open the key-value stores besides: a position in `Access::signers`.
    pub access: Option<SignerId>,
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
