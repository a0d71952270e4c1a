//! Recording: one call, kept to be run again.
//!
//! In: the exchange before the call and after, or the failure. Out: JSON, and from JSON the exchange before. Never: a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::compiled::Generated;
use crate::hooks::engine::Budget;
use crate::hooks::exchange::Exchange;
use crate::hooks::{Api, Failure};

use super::TestEventError;
use super::changes::Change;
use super::message::{Message, Raw};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "what `rimward run` recorded")]
pub struct Recording {
    pub function: String,
    /// The first 12 hex digits of its content hash.
    pub version: String,
    pub api: Contract,
    /// What it was allowed where it was attached. `None`: recorded when that was not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
    /// The exchange before the call.
    pub exchange: Message,
    pub outcome: Outcome,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Went on, with these edits.
    Continue(Vec<Change>),
    Answer {
        status: u16,
        headers: Vec<(String, Raw)>,
        body: Raw,
    },
    /// `reason` is `Failure::reason`.
    Failed {
        reason: String,
        words: String,
    },
}

/// `Budget`, in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    pub cpu_us: u64,
    pub timeout_us: u64,
    pub memory: usize,
}

/// `Api`, in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    Native,
    LambdaEdge,
    Cloudfront,
}

// === impl Recording ===
impl Recording {
    /// `after` is the exchange as the call left it.
    pub fn new(
        function: &str,
        version: &str,
        api: Api,
        budget: Option<Budget>,
        before: Message,
        after: Result<&Exchange, &Failure>,
    ) -> Self {
        Recording {
            function: function.to_owned(),
            version: version.to_owned(),
            api: api.into(),
            allowed: budget.map(Allowed::from),
            exchange: before,
            outcome: Outcome::of(after),
        }
    }

    pub fn read(text: &str) -> Result<Self, TestEventError> {
        serde_json::from_str(text).map_err(|why| TestEventError::Json(why.to_string()))
    }

    /// One line of JSON.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

// === impl Outcome ===
impl Outcome {
    pub fn of(after: Result<&Exchange, &Failure>) -> Self {
        match after {
            Err(failure) => Outcome::Failed { reason: failure.reason().to_owned(), words: failure.to_string() },
            Ok(exchange) => match exchange.answer() {
                Some(Generated { status, headers, body }) => Outcome::Answer {
                    status: status.as_u16(),
                    headers: headers
                        .iter()
                        .map(|(name, value)| (name.to_string(), Raw::of(value.as_bytes())))
                        .collect(),
                    body: Raw::of(body),
                },
                None => Outcome::Continue(exchange.edits().iter().map(Change::of).collect()),
            },
        }
    }
}

// === impl Allowed ===
impl From<Budget> for Allowed {
    fn from(budget: Budget) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Allowed { cpu_us: micros(budget.cpu), timeout_us: micros(budget.timeout), memory: budget.memory }
    }
}

impl From<Allowed> for Budget {
    fn from(allowed: Allowed) -> Self {
        Budget {
            cpu: Duration::from_micros(allowed.cpu_us),
            timeout: Duration::from_micros(allowed.timeout_us),
            memory: allowed.memory,
        }
    }
}

// === impl Contract ===
impl From<Api> for Contract {
    fn from(api: Api) -> Self {
        match api {
            Api::Native => Contract::Native,
            Api::LambdaEdge => Contract::LambdaEdge,
            Api::CloudFront => Contract::Cloudfront,
        }
    }
}

impl From<Contract> for Api {
    fn from(contract: Contract) -> Self {
        match contract {
            Contract::Native => Api::Native,
            Contract::LambdaEdge => Api::LambdaEdge,
            Contract::Cloudfront => Api::CloudFront,
        }
    }
}
