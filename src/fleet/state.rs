//! State: how each node is.
//!
//! In: readings of a node's totals; what nodes say of themselves. Out: rates of the last seconds; everyone's newest word, and when it came.
//! Never: a clock, I/O.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::bus::Message;
use crate::observe::metrics::change::{self, Change};
use crate::observe::metrics::totals::Totals;

/// What the subject of such a message ends with.
const SUFFIX: &str = ".state";
/// Readings that rates are made of, one an exchange.
const READINGS: usize = 6;
/// Nodes remembered.
pub const NODES_MAX: usize = 1024;

/// What a node says of itself, every `fleet.exchange`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// `fleet.node`.
    pub node: String,
    /// `pop.code`.
    pub pop: String,
    /// By the node's own clock: milliseconds since the epoch.
    pub at_ms: u64,
    pub version: String,
    /// Names the configuration that runs.
    pub digest: String,
    /// Serial of the revision that runs; `None` = the node's own files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Why traffic should go elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// The purges that are in force here: the text of a [`super::Vector`].
    #[serde(default)]
    pub purged: String,
    pub traffic: Traffic,
}

/// Rates over the last few seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests a second.
    pub requests_s: f64,
    pub bytes_out_s: f64,
    /// Of the requests that the cache was asked for: 0–1; `None` = there were none.
    pub hit_ratio: Option<f64>,
    /// Answers with a 5xx status: 0–1.
    pub error_share: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub connections: u64,
}

/// Makes rates of readings.
#[derive(Debug, Default)]
pub struct Meter(VecDeque<Totals>);

/// The newest state of every node.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<String, Heard>>);

/// What a node said, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub state: NodeState,
    /// By this node's clock.
    pub heard_ms: u64,
}

// === impl NodeState ===
impl NodeState {
    /// For the topic of acknowledgements, which keeps the newest of each node.
    pub fn message(&self) -> Message {
        Message {
            subject: format!("{}{SUFFIX}", self.node),
            id: format!("{}{SUFFIX}-{}", self.node, self.at_ms),
            body: Bytes::from(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// `None`: the message is about something else, or unreadable.
    pub fn read(message: &Message) -> Option<NodeState> {
        let node = message.subject.strip_suffix(SUFFIX)?;
        serde_json::from_slice(&message.body).ok().filter(|state: &NodeState| state.node == node)
    }
}

// === impl Meter ===
impl Meter {
    /// Takes one more reading.
    pub fn read(&mut self, totals: Totals, connections: u64) -> Traffic {
        let first = self.0.front().unwrap_or(&totals);
        let change = Change::between(first, &totals);
        let seconds = totals.at_ms.saturating_sub(first.at_ms) as f64 / 1000.0;
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let millis = |share| change::quantile(&change.buckets, &totals.bounds_s, share).map(|q| q.seconds() * 1000.0);
        let traffic = Traffic {
            requests_s: rate(change.requests),
            bytes_out_s: rate(change.bytes_out),
            hit_ratio: share(change.hits, change.cacheable),
            error_share: share(change.errors, change.requests),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            connections,
        };
        self.0.push_back(totals);
        if self.0.len() > READINGS {
            self.0.pop_front();
        }
        traffic
    }
}

// === impl Board ===
impl Board {
    /// Takes the newest word of a node: whoever calls keeps the order of the bus. The first word of a node counts as old as it says
    /// it is: what the bus kept of a node that is long gone is delivered anew to every process that starts.
    pub fn hear(&self, state: NodeState, now_ms: u64) {
        let mut nodes = self.0.lock();
        let heard_ms = if nodes.contains_key(&state.node) { now_ms } else { now_ms.min(state.at_ms) };
        if nodes.len() >= NODES_MAX && !nodes.contains_key(&state.node) {
            let longest = nodes.iter().min_by_key(|(_, heard)| heard.heard_ms).map(|(node, _)| node.clone());
            longest.and_then(|node| nodes.remove(&node));
        }
        nodes.insert(state.node.clone(), Heard { state, heard_ms });
    }

    /// Everyone, by name.
    pub fn nodes(&self) -> Vec<Heard> {
        self.0.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(at_ms: u64, hits: u64, misses: u64) -> Totals {
        serde_json::from_value(json!({
            "at_ms": at_ms, "pop": "FRA", "bounds_s": [0.001, 0.01],
            "behaviors": [{"name": "*", "cache": {"hit": hits, "miss": misses}, "errors": misses / 2, "bytes_in": 0,
                           "bytes_out": hits * 10, "buckets": [hits, misses, 0]}],
            "origins": [], "paths": []
        }))
        .unwrap()
    }

    #[test]
    fn rates_are_those_of_the_last_readings() {
        let mut meter = Meter::default();
        assert_eq!(meter.read(reading(0, 1000, 0), 3), Traffic { connections: 3, ..Traffic::default() });
        let got = meter.read(reading(2000, 1090, 10), 4);
        assert_eq!((got.requests_s, got.bytes_out_s, got.connections), (50.0, 450.0, 4));
        assert_eq!((got.hit_ratio, got.error_share), (Some(0.9), Some(0.05)));
        assert!(got.p50_ms.is_some_and(|ms| ms < 1.0) && got.p99_ms.is_some_and(|ms| ms > 1.0), "{got:?}");
        // What is older than the readings kept is forgotten.
        for n in 1..=READINGS as u64 {
            meter.read(reading(2000 + n * 1000, 1090, 10), 0);
        }
        let quiet = meter.read(reading(20_000, 1090, 10), 0);
        assert_eq!((quiet.requests_s, quiet.hit_ratio), (0.0, None));
    }

    #[test]
    fn what_is_told_is_read() {
        let traffic = Traffic { requests_s: 1.5, p99_ms: Some(3.0), ..Traffic::default() };
        let state = NodeState { node: "fra".into(), revision: Some(7), traffic, ..NodeState::default() };
        let message = state.message();
        assert_eq!(NodeState::read(&message), Some(state));
        for wrong in [
            Message { subject: "fra.seen".into(), ..message.clone() },
            Message { subject: "nrt.state".into(), ..message.clone() },
            Message { body: Bytes::from_static(b"{}"), ..message },
        ] {
            assert_eq!(NodeState::read(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_restart_is_no_negative_rate() {
        let mut meter = Meter::default();
        meter.read(reading(0, 1000, 0), 0);
        assert_eq!(meter.read(reading(1000, 20, 0), 0).requests_s, 20.0);
    }

    #[test]
    fn the_newest_word_counts_and_the_longest_silent_goes() {
        let board = Board::default();
        let state = |node: &str, at_ms| NodeState { node: node.into(), at_ms, ..NodeState::default() };
        board.hear(state("fra", 1), 100);
        assert_eq!(board.nodes()[0].heard_ms, 1, "kept by the bus, perhaps for long");
        board.hear(state("fra", 2), 200);
        let nodes = board.nodes();
        assert_eq!((nodes.len(), nodes[0].state.at_ms, nodes[0].heard_ms), (1, 2, 200));
        for n in 0..NODES_MAX {
            board.hear(state(&format!("n{n}"), 300), 300 + n as u64);
        }
        let nodes = board.nodes();
        assert_eq!(nodes.len(), NODES_MAX);
        assert!(nodes.iter().all(|heard| heard.state.node != "fra"));
    }
}
