//! Roll: the nodes of the fleet, and how much each has seen.
//!
//! In: what nodes say of themselves, now. Out: who has not seen a purge yet. Never: a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Message, Vector};

/// What the subject of such a message ends with.
const SUFFIX: &str = ".seen";
/// Nodes that are remembered; the one silent longest makes room.
const NODES_MAX: usize = 1024;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub node: String,
    pub pop: String,
    /// Its own lineage, hex.
    pub lineage: String,
    /// Text of its [`Vector`].
    pub seen: String,
    /// By its clock, milliseconds since the epoch.
    pub at_ms: u64,
}

/// Every node that said something, and when, by this node's clock.
#[derive(Debug, Clone, Default)]
pub struct Roll {
    nodes: BTreeMap<String, (Standing, Vector, u64)>,
}

// === impl Standing ===
impl Standing {
    pub fn message(&self) -> Message {
        Message {
            subject: format!("{}{SUFFIX}", self.node),
            id: format!("{}-{}-{}", self.lineage, self.at_ms, self.seen.len()),
            body: Bytes::from(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// `None`: the message is about something else, or unreadable.
    fn read(message: &Message) -> Option<(Standing, Vector)> {
        let node = message.subject.strip_suffix(SUFFIX)?;
        let standing: Standing = serde_json::from_slice(&message.body).ok()?;
        let seen = Vector::parse(&standing.seen).ok()?;
        (standing.node == node).then_some((standing, seen))
    }
}

// === impl Roll ===
impl Roll {
    /// Takes in a message of the acknowledgements' topic; says whether it was one of these.
    pub fn take(&mut self, message: &Message, now_ms: u64) -> bool {
        let Some((standing, seen)) = Standing::read(message) else { return false };
        if self.nodes.len() >= NODES_MAX
            && !self.nodes.contains_key(&standing.node)
            && let Some(silent) = self.nodes.iter().min_by_key(|(_, (.., at))| *at).map(|(node, _)| node.clone())
        {
            self.nodes.remove(&silent);
        }
        self.nodes.insert(standing.node.clone(), (standing, seen, now_ms));
        true
    }

    /// Nodes that have seen number `n` of a lineage, and those that have not; those silent for longer than `forget` are left out.
    pub fn seen(&self, lineage: u64, n: u64, now_ms: u64, forget: Duration) -> (Vec<String>, Vec<String>) {
        let known = self.nodes.iter().filter(|(_, (standing, ..))| {
            // By its own clock: what the bus kept of a node that is long gone is delivered anew to every process that starts.
            u128::from(now_ms.saturating_sub(standing.at_ms)) <= forget.as_millis()
        });
        let (seen, missing): (Vec<_>, Vec<_>) = known.partition(|(_, (_, vector, _))| vector.get(lineage) >= n);
        let names = |each: Vec<(&String, _)>| each.into_iter().map(|(node, _)| node.clone()).collect();
        (names(seen), names(missing))
    }

    /// What each node said last, and when that was heard (milliseconds since the epoch, this node's clock).
    pub fn nodes(&self) -> impl Iterator<Item = (&Standing, u64)> {
        self.nodes.values().map(|(standing, _, heard_ms)| (standing, *heard_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(node: &str, seen: &str, at_ms: u64) -> Message {
        let (node, pop, lineage, seen) = (node.into(), "FRA".into(), "7".into(), seen.into());
        Standing { node, pop, lineage, seen, at_ms }.message()
    }

    #[test]
    fn who_has_seen_it() {
        let mut roll = Roll::default();
        for message in [standing("fra", "7:3", 1000), standing("nrt", "7:2", 1000), standing("old", "7:9", 10)] {
            assert!(roll.take(&message, 1000));
        }
        let forget = Duration::from_millis(500);
        let names = |each: &[&str]| each.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(roll.seen(7, 3, 1000, forget), (names(&["fra"]), names(&["nrt"])));
        assert_eq!(roll.seen(7, 2, 1000, forget), (names(&["fra", "nrt"]), names(&[])));
        assert_eq!(roll.seen(8, 1, 1000, forget), (names(&[]), names(&["fra", "nrt"])));
        roll.take(&standing("nrt", "7:3,8:1", 1100), 1100);
        assert_eq!(roll.seen(7, 3, 1100, forget), (names(&["fra", "nrt"]), names(&[])));
    }

    #[test]
    fn what_is_about_something_else() {
        let mut roll = Roll::default();
        let good = standing("fra", "7:3", 1);
        for message in [
            Message { subject: "fra.revision".into(), ..good.clone() },
            Message { subject: "nrt.seen".into(), ..good.clone() },
            Message { body: Bytes::from_static(b"{}"), ..good.clone() },
            standing("fra", "7:x", 1),
        ] {
            assert!(!roll.take(&message, 1), "{message:?}");
        }
    }

    #[test]
    fn nodes_are_bounded() {
        let mut roll = Roll::default();
        for n in 0..=NODES_MAX as u64 {
            roll.take(&standing(&format!("n{n}"), "", n), n);
        }
        assert_eq!((roll.nodes().count(), roll.nodes.contains_key("n0")), (NODES_MAX, false));
    }
}
