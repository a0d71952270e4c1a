//! Hearing: which nodes there are, which of them are heard, and what of them is new.
//!
//! In: a message's node, process and number; now. Out: whether it counts; the share of this node. Never: a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limit::pace::Share;

/// Nodes that are remembered.
const NODES_MAX: usize = 1000;
/// How long a node that nobody configured is missed after it was last heard: for good would lower the rates of those that stay,
/// shortly would raise them in each part of a fleet that is cut.
const MISSED_FOR: Duration = Duration::from_secs(86_400);
/// Numbers before the newest that are told apart.
const WINDOW: u64 = 64;

/// See the module's documentation. Times are nanoseconds of one clock.
#[derive(Debug)]
pub struct Hearing {
    own: String,
    configured: BTreeSet<String>,
    /// Longer without a message: not heard.
    quiet: u64,
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
struct Node {
    at: u64,
    process: Process,
    /// The one before: its last messages may come again.
    before: Option<Process>,
}

/// One process of a node, and which of its messages were seen.
#[derive(Debug, Clone, Copy)]
struct Process {
    boot: u64,
    newest: u64,
    /// Bit `n`: the message `newest - n` was seen.
    seen: u64,
}

// === impl Hearing ===
impl Hearing {
    pub fn new(own: String, peers: impl IntoIterator<Item = String>, exchange: Duration, silence: Duration) -> Self {
        let quiet = u64::try_from(silence.max(exchange * 2).as_nanos()).unwrap_or(u64::MAX);
        Hearing { own, configured: peers.into_iter().collect(), quiet, nodes: BTreeMap::new() }
    }

    /// Takes in a message; whether it is another node's, and was not seen before.
    pub fn hear(&mut self, node: &str, boot: u64, sequence: u64, now: u64) -> bool {
        if node == self.own || (!self.nodes.contains_key(node) && self.nodes.len() >= NODES_MAX) {
            return false;
        }
        let first = || Node { at: now, process: Process::new(boot), before: None };
        let known = self.nodes.entry(node.to_owned()).or_insert_with(first);
        known.at = now.max(known.at);
        if let Some(before) = known.before.as_mut().filter(|before| before.boot == boot) {
            return before.take(sequence);
        }
        if known.process.boot != boot {
            known.before = Some(known.process);
            known.process = Process::new(boot);
        }
        known.process.take(sequence)
    }

    /// How many nodes are heard, this one included, of how many there are.
    pub fn share(&mut self, now: u64) -> Share {
        let missed = u64::try_from(MISSED_FOR.as_nanos()).unwrap_or(u64::MAX);
        let configured = &self.configured;
        self.nodes.retain(|name, node| configured.contains(name) || now.saturating_sub(node.at) <= missed);
        let heard = self.nodes.values().filter(|node| now.saturating_sub(node.at) <= self.quiet).count();
        let silent = configured.iter().filter(|name| **name != self.own && !self.nodes.contains_key(*name)).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Share::new(count(heard + 1), count(self.nodes.len() + silent + 1))
    }
}

// === impl Process ===
impl Process {
    fn new(boot: u64) -> Self {
        Process { boot, newest: 0, seen: 0 }
    }

    /// Whether it was not seen before. One that is too old to know was, most likely.
    fn take(&mut self, sequence: u64) -> bool {
        if sequence > self.newest {
            let ahead = sequence - self.newest;
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 } | 1;
            self.newest = sequence;
            return true;
        }
        let behind = self.newest - sequence;
        let bit = if behind < WINDOW && sequence > 0 { 1 << behind } else { return false };
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn hearing(peers: &[&str]) -> Hearing {
        let peers = peers.iter().map(ToString::to_string);
        Hearing::new("a".into(), peers, Duration::from_secs(1), Duration::from_secs(2))
    }

    #[test]
    fn each_message_counts_once() {
        let mut hearing = hearing(&[]);
        let mut fresh = |boot, sequence| hearing.hear("b", boot, sequence, 0);
        let got: Vec<bool> = [1, 2, 2, 5, 4, 4, 3, 3, 1, 100, 36, 37, 37, 0].iter().map(|&n| fresh(7, n)).collect();
        let want = [1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0].map(|n| n == 1);
        assert_eq!(got, want);
        // Another process of the same node; the last messages of the one before come again, or late.
        assert_eq!(
            [fresh(8, 1), fresh(7, 100), fresh(7, 101), fresh(8, 1), fresh(8, 2)],
            [true, false, true, false, true]
        );
        assert!(!hearing.hear("a", 1, 1, 0), "its own");
    }

    #[test]
    fn shares() {
        let mut hearing = hearing(&["b", "a"]);
        let at = |hearing: &mut Hearing, seconds: u64| {
            let share = hearing.share(seconds * SECOND);
            (share.heard, share.known)
        };
        assert_eq!(at(&mut hearing, 0), (1, 2), "b is not heard yet");
        hearing.hear("b", 1, 1, SECOND);
        hearing.hear("c", 1, 1, SECOND);
        assert_eq!(at(&mut hearing, 3), (3, 3));
        hearing.hear("b", 1, 1, 4 * SECOND);
        assert_eq!(at(&mut hearing, 5), (2, 3), "what comes twice is heard too");
        assert_eq!(at(&mut hearing, 86_401), (1, 3));
        assert_eq!(at(&mut hearing, 86_402), (1, 2), "c is forgotten, b is configured");
        for n in 0..2000 {
            hearing.hear(&format!("n{n}"), 1, 1, 86_402 * SECOND);
        }
        assert_eq!(at(&mut hearing, 86_402).1, NODES_MAX as u32 + 1);
    }
}
