//! Model: what is known of a function, as it is kept.
//!
//! In: what the API or the configuration said. Out: plain data. Never: rules about what may be said.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::name::LATEST;
use super::super::shift::Shift;

/// One function with its versions and all that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::lambda) struct Function {
    pub name: String,
    pub latest: Revision,
    pub versions: BTreeMap<u64, Revision>,
    /// The number that the next published version gets; numbers are never used again.
    pub next: u64,
    pub aliases: BTreeMap<String, Alias>,
    /// Calls kept for this function.
    pub reserved: Option<usize>,
    /// By alias or `$LATEST`.
    pub urls: BTreeMap<String, UrlConfig>,
    /// By version, alias or `$LATEST`.
    pub events: BTreeMap<String, EventConfig>,
    pub tags: BTreeMap<String, String>,
}

/// The state of a function at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::lambda) struct Revision {
    pub runtime: String,
    pub handler: String,
    pub role: String,
    pub description: String,
    /// Seconds.
    pub timeout: u64,
    /// MB.
    pub memory: u32,
    /// MB of /tmp; kept and shown, as disks here have no such bound.
    pub ephemeral: u32,
    pub environment: BTreeMap<String, String>,
    /// Where calls accepted for later end that failed for good; an ARN or a URL.
    pub dead_letter: Option<String>,
    pub architecture: String,
    /// Base64 of the package's SHA-256, and its bytes.
    pub code_sha256: String,
    pub code_size: u64,
    /// Milliseconds since the epoch.
    pub modified_ms: u64,
    pub revision_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::lambda) struct Alias {
    /// `$LATEST` or a number.
    pub version: String,
    pub description: String,
    /// A second version and its share of the calls, 0 to 1.
    pub weights: BTreeMap<String, f64>,
    pub revision_id: String,
    /// The last move to another version, which sets the weights while it is in progress.
    #[serde(default)]
    pub shift: Option<Shift>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct UrlConfig {
    pub id: String,
    /// `AWS_IAM` or `NONE`.
    pub auth: String,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub mode: String,
    /// As it was said; `None` = none.
    pub cors: Option<serde_json::Value>,
    pub created_ms: u64,
    pub modified_ms: u64,
}

/// What is done with calls accepted for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct EventConfig {
    pub retries: Option<u32>,
    /// Seconds.
    pub age: Option<u64>,
    pub on_failure: Option<String>,
    pub on_success: Option<String>,
    pub modified_ms: u64,
}

// === impl Function ===
impl Function {
    pub(in crate::lambda) fn new(name: String, latest: Revision) -> Self {
        Function {
            name,
            latest,
            versions: BTreeMap::new(),
            next: 1,
            aliases: BTreeMap::new(),
            reserved: None,
            urls: BTreeMap::new(),
            events: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// `$LATEST` or a number.
    pub(in crate::lambda) fn revision(&self, version: &str) -> Option<&Revision> {
        match version {
            LATEST => Some(&self.latest),
            number => self.versions.get(&super::super::name::version(number)?),
        }
    }

    /// Every state that there is.
    pub(in crate::lambda) fn revisions(&self) -> impl Iterator<Item = (String, &Revision)> {
        let published = self.versions.iter().map(|(number, revision)| (number.to_string(), revision));
        std::iter::once((LATEST.to_owned(), &self.latest)).chain(published)
    }
}

// === impl Revision ===
impl Revision {
    pub(in crate::lambda) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

// === impl Alias ===
impl Alias {
    /// The version for a call that drew `dice`, from 0 to below 1.
    pub(in crate::lambda) fn pick(&self, dice: f64) -> &str {
        let mut below = 0.0;
        for (version, weight) in &self.weights {
            below += weight;
            if dice < below {
                return version;
            }
        }
        &self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_share_the_calls() {
        let alias = |weights: &[(&str, f64)]| Alias {
            version: "1".into(),
            description: String::new(),
            weights: weights.iter().map(|(version, weight)| ((*version).to_owned(), *weight)).collect(),
            revision_id: String::new(),
            shift: None,
        };
        for (weights, dice, want) in [
            (&[][..], 0.0, "1"),
            (&[("2", 0.1)], 0.0, "2"),
            (&[("2", 0.1)], 0.0999, "2"),
            (&[("2", 0.1)], 0.1, "1"),
            (&[("2", 1.0)], 0.9999, "2"),
            (&[("2", 0.0)], 0.0, "1"),
        ] {
            assert_eq!(alias(weights).pick(dice), want, "{weights:?} {dice}");
        }
    }
}
