//! Known: what a node knows of revisions, besides their files.
//!
//! In: manifests whose signatures hold, other nodes' acknowledgements, what became of them here. Out: whether one may be accepted, what is
//! new, what is kept, what the others are to be told. Never: a clock, a disk, a bus, a signature that it checks.

use std::collections::{BTreeMap, BTreeSet};

use super::course::{Ack, Course, Event, Placed};
use super::manifest::{Envelope, Manifest, ManifestError};
use crate::fleet::Message;
use crate::fleet::bus::Digest;

/// Nodes whose acknowledgements are remembered.
const NODES_MAX: usize = 10_000;
/// The end of the subject of a node's acknowledgements.
const SUBJECT: &str = ".revision";

/// Why an act is not accepted here now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{0}")]
    Senseless(String),
}

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub course: Course,
    manifests: BTreeMap<u64, (Envelope, Manifest)>,
    /// By node.
    acks: BTreeMap<String, Ack>,
    /// What this node told last, without its time.
    told: Option<Ack>,
}

// === impl Known ===
impl Known {
    /// A process that begins: it serves `main`. `manifests` are those that it filed.
    pub fn begin(mut course: Course, main: Placed, manifests: BTreeMap<u64, (Envelope, Manifest)>) -> Self {
        course.begun(main);
        Known { course, manifests, acks: BTreeMap::new(), told: None }
    }

    pub fn manifests(&self) -> &BTreeMap<u64, (Envelope, Manifest)> {
        &self.manifests
    }

    pub fn manifest(&self, serial: u64) -> Option<&Manifest> {
        self.manifests.get(&serial).map(|(_, manifest)| manifest)
    }

    /// The newest word of each node.
    pub fn acks(&self) -> &BTreeMap<String, Ack> {
        &self.acks
    }

    /// Whether an act may be published: it is newer than all that is known, and makes sense after it.
    pub fn permits(&self, manifest: &Manifest) -> Result<(), NotNow> {
        manifest.after(self.course.newest())?;
        self.course.permits(&manifest.act).map_err(NotNow::Senseless)
    }

    /// Takes in what the bus brought, or what was accepted here; whether it is new, and so to be filed.
    pub fn arrived(&mut self, envelope: &Envelope, manifest: &Manifest, now_ms: u64, most: usize) -> bool {
        let serial = manifest.serial;
        let here = self.manifests.contains_key(&serial) || !self.course.kept().contains(&serial);
        if self.course.knows(serial) && here {
            return false;
        }
        self.course.take(Event::Arrived { serial, act: manifest.act.clone() }, now_ms, most);
        self.manifests.insert(serial, (envelope.clone(), manifest.clone()));
        true
    }

    /// Takes in a node's acknowledgement. `None`: the message is about something else; `Some(false)`: it cannot be read.
    pub fn heard(&mut self, message: &Message, now_ms: u64, most: usize) -> Option<bool> {
        let node = message.subject.strip_suffix(SUBJECT)?;
        let Ok(ack) = serde_json::from_slice::<Ack>(&message.body) else { return Some(false) };
        self.course.take(Event::Heard(ack.bad.clone()), now_ms, most);
        if self.acks.len() < NODES_MAX || self.acks.contains_key(node) {
            self.acks.insert(node.to_owned(), ack);
        }
        Some(true)
    }

    /// Takes in what became of something here. Gives the numbers whose files and manifests are kept: nobody needs the others.
    pub fn settle(&mut self, event: Event, now_ms: u64, most: usize) -> BTreeSet<u64> {
        self.course.take(event, now_ms, most);
        let newest = self.manifests.keys().rev().take(most).copied();
        let kept: BTreeSet<u64> = newest.chain(self.course.kept()).chain([self.course.newest()]).collect();
        self.manifests.retain(|serial, _| kept.contains(serial));
        kept
    }

    /// What the bus lacks of what is known here, when it has `there` and keeps `most`: a hub that lost its disk has forgotten what it
    /// accepted. The order in which they come again does not matter.
    pub fn lacking(&self, there: &BTreeSet<u64>, most: usize) -> Vec<(u64, Envelope)> {
        let lacking = self.manifests.iter().rev().filter(|(serial, _)| !there.contains(serial));
        let room = most.saturating_sub(there.len());
        let mut lacking: Vec<_> =
            lacking.take(room).map(|(serial, (envelope, _))| (*serial, envelope.clone())).collect();
        lacking.reverse();
        lacking
    }

    /// How far this node is, when the others do not know.
    pub fn untold(&self, pop: &str) -> Option<Ack> {
        self.course.ack(pop).filter(|ack| self.told.as_ref() != Some(ack))
    }

    /// The others know: `ack` is without a time, `dated` with it.
    pub fn told(&mut self, node: &str, ack: Ack, dated: Ack) {
        self.told = Some(ack);
        self.acks.insert(node.to_owned(), dated);
    }

    /// The bus may have forgotten what this node told.
    pub fn tell_again(&mut self) {
        self.told = None;
    }
}

// === impl Ack ===
impl Ack {
    /// The message in which `node` says it.
    pub fn message(&self, node: &str) -> Message {
        let body = bytes::Bytes::from(serde_json::to_vec(self).unwrap_or_default());
        let subject = format!("{node}{SUBJECT}");
        let id = format!("{subject}-{}-{}", self.serial, Digest::of(&body));
        Message { subject, id, body }
    }
}

// === impl Envelope ===
impl Envelope {
    /// The message that brings it everywhere.
    pub fn message(&self, serial: u64) -> Message {
        let body = self.bytes();
        Message { subject: serial.to_string(), id: Digest::of(&body).to_string(), body }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Act, DeployKey};
    use super::*;

    #[test]
    fn what_a_bus_that_lost_its_disk_is_told_again() {
        let (key, _) = DeployKey::make().unwrap();
        let mut known = Known::default();
        for serial in 1..=5 {
            let manifest = Manifest::new(serial, Act::Rollback { serial: 0 }, "ada".to_owned(), String::new(), 1);
            assert!(known.arrived(&manifest.seal(&key), &manifest, 0, 9));
            assert!(!known.arrived(&manifest.seal(&key), &manifest, 0, 9), "it comes again");
        }
        let serials = |there: &[u64], most| {
            let lacking = known.lacking(&there.iter().copied().collect(), most);
            lacking.iter().map(|(serial, _)| *serial).collect::<Vec<_>>()
        };
        assert_eq!(serials(&[], 9), [1, 2, 3, 4, 5]);
        assert_eq!(serials(&[2, 5], 9), [1, 3, 4]);
        assert_eq!(serials(&[], 2), [4, 5], "no more than it keeps");
        assert!(serials(&[3, 4, 5], 3).is_empty(), "it has forgotten the others as it should");
    }
}
