//! Limit: a behavior's `limit`, and the tables `[rates]`, `[[usage_plan]]` and `[[api_key]]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: names resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::Rate;

/// What holds for all limits of this PoP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// All requests that reach a behavior, as API Gateway's account limit: { rate = "10000/s", burst = 5000 }.
    pub account: Option<Bucket>,
    /// Requests a second of one address (of one /64, IPv6) before anything else is looked at; 0 = no bound. An estimate.
    pub per_address: u32,
    /// Distinct keys one limit remembers. Past it, the one nearest to a full bucket is forgotten first.
    pub keys: usize,
    /// API keys that `rimward keys create` may make.
    pub stored_keys: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Rates { account: None, per_address: 0, keys: 1 << 20, stored_keys: 10_000 }
    }
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Required. How fast it fills: "50/s", "100/m", "0.5/s".
    pub rate: Rate,
    /// How many requests may come at once. Left out: those of one second, at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// How often somebody may come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// In the `RateLimit` field and the log. Left out: made of `per`.
    #[serde(default)]
    pub name: Option<String>,
    /// Required. What has a bucket of its own: "address", "api_key", "principal", "behavior", { claim = "tenant" },
    /// { header = "x-device" } or { network = { v4 = 24, v6 = 48 } }. Requests without it share one.
    pub per: Per,
    /// How fast the bucket fills: "50/s", "100/m", "0.5/s".
    #[serde(default)]
    pub rate: Option<Rate>,
    /// How many requests may come at once. Left out: those of one second, at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Requests that may be in progress.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// The rate holds for all nodes of the fleet together, but for what they admit before they hear of each other: at most
    /// (nodes − 1) × (burst + rate × (`fleet.exchange` + the bus's delay)) more. `concurrency` is always this node's.
    #[serde(default)]
    pub shared: bool,
}

/// What has a bucket of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// The viewer's address (IPv6: its /64).
    Address,
    /// The API key.
    ApiKey,
    /// Whoever asks, however that was shown.
    Principal,
    /// All requests of this behavior share one.
    Behavior,
    /// The viewer's address, cut to so many bits.
    Network(Bits),
    /// A claim of the token, or of the authorizer's context.
    Claim(String),
    /// A request header.
    Header(String),
}

/// Bits of an address that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bits {
    /// Bits of an IPv4 address.
    pub v4: u8,
    /// Bits of an IPv6 address.
    pub v6: u8,
}

impl Default for Bits {
    fn default() -> Self {
        Bits { v4: 32, v6: 64 }
    }
}

/// A usage plan: what an API key may use, and how much.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsagePlan {
    /// Required. What keys call it.
    pub name: String,
    /// How fast one key's bucket fills, over all stages of the plan: "50/s".
    #[serde(default)]
    pub rate: Option<Rate>,
    /// How many requests of one key may come at once. Left out: those of one second, at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Requests of one key a day, week or month.
    #[serde(default)]
    pub quota: Option<PlanQuota>,
    /// Stages (`behavior.stage`) that the plan opens. Left out: all.
    #[serde(default)]
    pub stages: Vec<String>,
    /// Limits of one key for one method.
    #[serde(default)]
    pub method: Vec<PlanMethod>,
    /// Rates and quota hold for all nodes of the fleet together, but for what they admit before they hear of each other: of a quota at
    /// most what nodes − 1 of them admit in `fleet.exchange` + the bus's delay, with a `rate` (nodes − 1) × (burst + rate × that
    /// time). Counts are exact once they have. Left out: each node counts for itself, and a key may use its quota at each.
    #[serde(default)]
    pub shared: bool,
}

/// Requests a period. Periods begin at midnight UTC.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanQuota {
    /// Required.
    pub limit: u64,
    /// Required. "day", "week" (from Monday) or "month".
    pub period: Period,
    /// Taken off in the first period of a key.
    #[serde(default)]
    pub offset: u64,
}

/// A quota's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    Day,
    Week,
    Month,
}

/// A limit of a plan for one method.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanMethod {
    /// Required. Path pattern, like a behavior's: "/pets/*".
    pub path: String,
    /// "GET". Left out: any.
    #[serde(default)]
    pub method: Option<String>,
    /// A stage of the plan. Left out: all.
    #[serde(default)]
    pub stage: Option<String>,
    /// Required. How fast the bucket fills: "50/s".
    pub rate: Rate,
    /// How many requests may come at once. Left out: those of one second, at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// An API key. `rimward keys create` makes others while the PoP runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Required. Names who asks.
    pub name: String,
    /// Required. SHA-256 of the key, in hex: `printf %s "$KEY" | sha256sum`.
    pub sha256: String,
    /// Usage plans, at most one a stage.
    #[serde(default)]
    pub plans: Vec<String>,
    /// Turn it off without forgetting it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}
