//! Mapping: which stream calls which function, and how.
//!
//! In: what the API or the configuration said. Out: plain data, as it is kept. Never: rules about what may be said.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::batch::Rules;
use crate::config::compiled::{LambdaEvents, LocalLambda};
use crate::config::event_pattern::EventPattern;

/// One event source mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct Mapping {
    pub uuid: String,
    pub function: String,
    pub qualifier: Option<String>,
    pub source: Source,
    /// Whether it begins with what is written from now on.
    pub latest: bool,
    pub rules: Rules,
    /// A record that fits one of them is called with; empty = every record.
    pub patterns: Vec<EventPattern>,
    /// Who is told of records that are given up: an ARN or a URL.
    pub on_failure: Option<String>,
    pub enabled: bool,
    pub modified_ms: u64,
    /// Of the configuration: the API shows it and changes nothing.
    #[serde(skip)]
    pub configured: bool,
}

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) enum Source {
    /// The ARN of a stream.
    Stream(String),
    /// The name of a table: its stream, whichever that is.
    Table(String),
}

/// How far a mapping has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct Progress {
    /// When it began, in milliseconds since the epoch.
    pub since_ms: u64,
    /// The stream that is read: a table can turn its off and get another.
    #[serde(default)]
    pub stream: Option<String>,
    /// By shard.
    pub shards: BTreeMap<String, Place>,
}

/// How far a shard is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) enum Place {
    /// Up to this sequence number.
    After(String),
    /// To its end.
    End,
}

/// The mappings of the configuration's functions.
pub(in crate::lambda) fn configured(spec: &LocalLambda, now_ms: u64) -> Vec<Mapping> {
    let each = spec.functions.iter().flat_map(|function| {
        let one = |events: &LambdaEvents| Mapping {
            uuid: uuid_of(&function.name, &events.table),
            function: function.name.clone(),
            qualifier: None,
            source: Source::Table(events.table.clone()),
            latest: events.latest,
            rules: Rules {
                batch: events.batch,
                window_ms: millis(events.window),
                bisect: events.bisect,
                report: events.report,
                retries: events.retries,
                age_ms: events.age.map(millis),
                parallel: events.parallel,
            },
            patterns: events.patterns.clone(),
            on_failure: events.on_failure.clone(),
            enabled: true,
            modified_ms: now_ms,
            configured: true,
        };
        function.events.iter().map(one).collect::<Vec<_>>()
    });
    each.collect()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The same for the same function and table, so that its progress is found again (RFC 9562 §5.8).
fn uuid_of(function: &str, table: &str) -> String {
    let hash = xxhash_rust::xxh3::xxh3_128(format!("{}:{function}{table}", function.len()).as_bytes());
    super::super::api::uuid_from(hash, 8)
}

// === impl Mapping ===
impl Mapping {
    /// Whether a record, as the function's event has it, is called with.
    pub(in crate::lambda) fn wants(&self, event: &serde_json::Value) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.fits(event))
    }

    /// Whether both run the same.
    pub(in crate::lambda) fn same(&self, other: &Mapping) -> bool {
        Mapping { modified_ms: other.modified_ms, ..self.clone() } == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_mapping_keeps_its_name() {
        let one = uuid_of("f", "todo");
        assert_eq!(one, uuid_of("f", "todo"));
        assert!(one != uuid_of("ft", "odo") && one != uuid_of("f", "other"));
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'8'));
    }
}
