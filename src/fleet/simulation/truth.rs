//! Truth: what clients were promised, and what they got.
//!
//! In: what was accepted, what was delivered to whom, what was served. Out: the first promise that was broken. Never: how it is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::Promised;
use crate::cache::object::Stamp;
use crate::cache::purge::Scope;

/// URLs of a world. Their host is one.
pub const URLS: usize = 5;
pub const HOST: &str = "h";

/// A purge that some node said is in force.
#[derive(Debug)]
pub struct Purged {
    /// The moment at which it was asked for: what the origin was asked for before is covered.
    pub began: u64,
    pub covers: [bool; URLS],
}

/// What a node must not serve any more, whatever happens.
#[derive(Debug, Default)]
pub struct Bound {
    /// On its disk: accepted here, or received.
    pub durable: BTreeSet<u64>,
    /// Received by a process that was killed meanwhile.
    pub perhaps: BTreeSet<u64>,
    /// In force in this process, and not on disk yet: a stamp of right before.
    pub forced: BTreeMap<u64, Stamp>,
    /// Handed to this process.
    pub handed: BTreeSet<u64>,
    /// The bus had them when this process began, or was connected anew: until the bus is silent.
    pub awaited: BTreeSet<u64>,
    /// The hub lost them before this node had ever taken in anything: to it, that hub is the first that there was.
    pub excused: BTreeSet<u64>,
    /// Purges that were applied here, and stamps of right before and right after.
    pub applied: Vec<(u64, Stamp, Stamp)>,
}

#[derive(Debug, Default)]
pub struct Truth {
    pub purges: BTreeMap<u64, Purged>,
    /// Purges that the bus had at some time.
    pub published: BTreeSet<u64>,
    /// Those of them that a hub lost.
    pub forgotten: BTreeSet<u64>,
    /// Purges that were refused: nobody may ever hear of them.
    pub refused: BTreeSet<u64>,
    pub bound: Vec<Bound>,
    /// Values by the node that accepted them and the key, and whether the client was told that they are kept; the newest last.
    pub values: BTreeMap<(usize, String), Vec<(String, bool)>>,
    pub refused_values: BTreeSet<String>,
    /// Values that the bus had at some time.
    pub published_values: BTreeSet<String>,
    /// Requests that a ledger counted.
    pub counted: BTreeMap<u64, u64>,
    /// Requests of the quota that a node's disk knows of, others' too.
    pub synced: Vec<u64>,
    /// All that were, on whatever disk.
    pub ever_counted: u64,
    /// When a request was let through by the shared rate (nanoseconds).
    pub admitted: Vec<u64>,
    pub keys: Promised,
    /// Revisions that were accepted, and those that somebody without a key made.
    pub revisions: BTreeSet<u64>,
    pub forged: BTreeSet<u64>,
}

/// What names a purge among all: a scope that it has besides.
pub fn tag(id: u64) -> Scope {
    Scope::Tag(format!("id-{id}").into())
}

pub fn id_of(scope: &Scope) -> Option<u64> {
    match scope {
        Scope::Tag(tag) => tag.strip_prefix("id-")?.parse().ok(),
        _ => None,
    }
}

pub fn uri(url: usize) -> String {
    format!("/{}/{url}", if url.is_multiple_of(2) { "even" } else { "odd" })
}

// === impl Truth ===
impl Truth {
    /// Whether `node` may give a viewer what the origin said of `url` at the moment `fetched`.
    pub fn served(&self, node: usize, url: usize, fetched: u64) -> Result<(), String> {
        let bound = &self.bound[node];
        for (id, purged) in self.purges.iter().filter(|(_, purged)| purged.covers[url] && purged.began > fetched) {
            let why = match id {
                id if bound.durable.contains(id) => "it has it on disk",
                id if bound.handed.contains(id) => "it was handed to it",
                id if bound.awaited.contains(id) => "the bus had it when this node came back",
                _ => continue,
            };
            return Err(format!(
                "node {node} serves url {url} of moment {fetched}, purged by {id} at {}: {why}",
                purged.began
            ));
        }
        Ok(())
    }

    /// The process of a node begins, or hears the bus again.
    pub fn came_back(&mut self, node: usize) {
        let bound = &mut self.bound[node];
        bound.awaited = self.published.difference(&bound.excused).copied().collect();
    }

    /// The bus is silent there.
    pub fn cut(&mut self, node: usize) {
        self.bound[node].awaited.clear();
    }

    pub fn killed(&mut self, node: usize) {
        self.bound[node].handed.clear();
        self.bound[node].forced.clear();
        self.bound[node].awaited.clear();
        self.keys.refused[node].clear();
    }

    pub fn lost(&mut self, node: usize) {
        self.bound[node] = Bound { excused: self.forgotten.clone(), ..Bound::default() };
        self.values.retain(|(of, _), _| *of != node);
        self.synced[node] = 0;
        self.keys.lost(node);
    }
}
