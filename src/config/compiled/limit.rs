//! Limit: how often, units read.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;

/// Keys, plans, and what holds for all of them.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// In the order written.
    pub plans: Vec<UsagePlan>,
    /// Keys written in the configuration; `rimward keys` adds others while it runs.
    pub api_keys: Vec<ApiKey>,
    /// All requests of this PoP that reach a behavior (API Gateway's account limit).
    pub account: Option<Quota>,
    /// Requests a second of one address (IPv6: one /64) before anything else is looked at; an estimate that may be a few
    /// percent off. `None` = no bound.
    pub per_address: Option<NonZeroU32>,
    /// Distinct keys that one limit remembers; past it the one closest to a full bucket is forgotten.
    pub keys: usize,
    /// API keys that `rimward keys create` may make.
    pub stored_keys: usize,
}

/// A token bucket: holds `burst` tokens, gains one every `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    pub every: Duration,
    pub burst: NonZeroU32,
}

/// One limit of a behavior.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// In the `RateLimit` field and the log.
    pub name: String,
    pub per: Per,
    pub quota: Option<Quota>,
    /// Requests at once.
    pub concurrency: Option<NonZeroU32>,
    /// The rate holds for all nodes of the fleet together.
    pub shared: bool,
}

/// What has a bucket of its own. A request without the named part shares one bucket with its like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Per {
    Behavior,
    /// The viewer's address, cut to this many bits.
    Address {
        v4: u8,
        v6: u8,
    },
    ApiKey,
    Principal,
    Claim(String),
    Header(HeaderName),
}

/// API Gateway's usage plan.
#[derive(Debug, Clone)]
pub struct UsagePlan {
    pub name: String,
    /// A key's requests, over all stages of the plan.
    pub throttle: Option<Quota>,
    pub quota: Option<PeriodQuota>,
    /// Stages that the plan opens; empty = every one.
    pub stages: Vec<String>,
    /// Per stage, path and method: a key's requests to it.
    pub methods: Vec<MethodThrottle>,
    /// Rates hold for all nodes of the fleet together.
    pub shared: bool,
}

/// Whether plans that open these stages (none = every one) both open one: a key has one plan for each (API Gateway,
/// "CreateUsagePlanKey").
pub fn stages_clash(one: &[String], other: &[String]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().any(|stage| other.contains(stage))
}

#[derive(Debug, Clone, PartialEq)]
pub struct MethodThrottle {
    /// `None` = every stage of the plan.
    pub stage: Option<String>,
    /// A path pattern, as a behavior's.
    pub path: String,
    /// `None` = ANY.
    pub method: Option<http::Method>,
    pub quota: Quota,
}

/// Requests a period; periods begin at midnight UTC (WEEK: Monday; MONTH: the first).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodQuota {
    pub limit: u64,
    /// Taken off in the period in which the key is first seen.
    pub offset: u64,
    pub period: Period,
    /// It holds for all nodes of the fleet together.
    pub shared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    Day,
    Week,
    Month,
}

/// An API key of the configuration. The key itself is never kept, only its hash.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Names the principal.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub enabled: bool,
    /// Names of plans.
    pub plans: Vec<String>,
}
