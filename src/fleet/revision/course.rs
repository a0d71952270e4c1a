//! Course: how a node goes from one revision to the next, and back.
//!
//! In: manifests in any order and any number of times, what building them came to, verdicts. Out: what is to be served, and what the others
//! are told. Never: a clock, a disk, a bus; an order of arrival that matters.
//!
//! What is to be served follows from the *set* of acts that are known, taken in the order of their serial numbers, less those that were
//! found bad. So it does not matter how often or in which order they came, and an old manifest that somebody publishes again has its place
//! in the past.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::manifest::Act;

/// How long what is new is watched after it took over.
pub const WATCH_MS: u64 = 60_000;
/// Verdicts remembered of acts that are not known (yet).
const VERDICTS_MAX: usize = 256;
/// Acts that a node still says what became of.
const PAST_MAX: usize = 256;
/// Bytes of a reason: of this node's refusal, of a verdict that every node tells.
const REFUSAL_MAX: usize = 16 << 10;
const VERDICT_MAX: usize = 512;

/// Which files, and which act put them there; both 0: the node's own files alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub act: u64,
    pub revision: u64,
}

/// What a node serves, or is to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub main: Placed,
    /// And for how many percent of its viewers.
    pub canary: Option<(Placed, u8)>,
}

/// What happens to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Arrived {
        serial: u64,
        act: Act,
    },
    /// This is served now.
    Built(Want),
    /// It cannot be built here.
    Refused {
        act: u64,
        why: String,
    },
    /// It does worse than what was there.
    Judged {
        act: u64,
        why: String,
    },
    /// What another node found bad.
    Heard(BTreeMap<u64, String>),
    /// The others were told this.
    Told(Ack),
}

/// What became of the newest act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckState {
    Applied,
    Canary,
    Refused,
    RolledBack,
}

/// What became of an act at a node, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    pub state: AckState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
}

/// How far a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The newest act that it knows.
    pub serial: u64,
    pub state: AckState,
    /// Why it was refused or rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The revision that its viewers get; 0 = its own files alone.
    pub serves: u64,
    pub pop: String,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Acts that must not be served, and why: told with every ack, since only the newest one is kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bad: BTreeMap<u64, String>,
    /// What became of earlier acts: told with every ack too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub past: BTreeMap<u64, Past>,
}

/// All that a node knows of revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// Acts up to this one are forgotten; what they came to is `base`.
    floor: u64,
    base: Standing,
    acts: BTreeMap<u64, Act>,
    bad: BTreeMap<u64, String>,
    refused: BTreeMap<u64, String>,
    /// What the others were told of each act.
    told: BTreeMap<u64, Past>,
    running: Want,
    /// The act that is watched, and until when.
    watch: Option<(u64, u64)>,
}

/// What some acts come to, for all PoPs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    main: Placed,
    canary: Option<(Placed, Vec<String>, u8)>,
}

// === impl Standing ===
impl Standing {
    /// `void`: the act is bad, or cannot be built here: it ends what it would have ended, and puts nothing in its place.
    fn after(mut self, serial: u64, act: &Act, void: bool) -> Self {
        let canary = self.canary.take();
        let place = |revision| Placed { act: serial, revision };
        match act {
            _ if void => {}
            Act::Deploy => self.main = place(serial),
            Act::Canary { pops, percent } => self.canary = Some((place(serial), pops.clone(), *percent)),
            Act::Promote { serial: promoted } => {
                if canary.is_some_and(|(canary, _, _)| canary.revision == *promoted) {
                    self.main = place(*promoted);
                }
            }
            Act::Rollback { serial: target } => self.main = place(*target),
        }
        self
    }

    fn at(self, pop: &str) -> Want {
        let here = |pops: &[String]| pops.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(pop));
        let canary = self.canary.filter(|(_, pops, _)| here(pops)).map(|(placed, _, percent)| (placed, percent));
        Want { main: self.main, canary }
    }
}

// === impl Course ===
impl Course {
    /// Takes in what happened. `most`: acts that are kept.
    pub fn take(&mut self, event: Event, now_ms: u64, most: usize) {
        match event {
            Event::Arrived { serial, act } => {
                if serial > self.floor && !self.acts.contains_key(&serial) {
                    self.acts.insert(serial, act);
                    // What was refused for want of its files can be built now.
                    let acts = &self.acts;
                    self.refused.retain(|act, _| match acts.get(act) {
                        Some(Act::Promote { serial: of } | Act::Rollback { serial: of }) => *of != serial,
                        _ => true,
                    });
                }
                while self.acts.len() > most.max(1) {
                    let Some((serial, act)) = self.acts.pop_first() else { break };
                    let void = self.void(serial);
                    self.base = std::mem::take(&mut self.base).after(serial, &act, void);
                    self.floor = serial;
                    self.bad.remove(&serial);
                    self.refused.remove(&serial);
                    self.told.remove(&serial);
                }
            }
            Event::Built(want) => {
                if want.main != self.running.main {
                    let act = want.main.act;
                    let new = matches!(self.acts.get(&act), Some(Act::Deploy | Act::Promote { .. }));
                    // What is gone back to was served before.
                    let forward = new && act > self.running.main.act;
                    self.watch = forward.then(|| (act, now_ms.saturating_add(WATCH_MS)));
                }
                self.running = want;
            }
            Event::Refused { act, why } => {
                if self.acts.contains_key(&act) {
                    self.refused.insert(act, cut(why, REFUSAL_MAX));
                } else if self.base.main.act == act {
                    // Its act is forgotten; the node's own files are left.
                    self.base.main = Placed::default();
                } else if self.base.canary.as_ref().is_some_and(|(placed, _, _)| placed.act == act) {
                    self.base.canary = None;
                }
            }
            Event::Judged { act, why } => {
                if self.watched(now_ms).any(|watched| watched == act) {
                    self.bad.insert(act, cut(why, VERDICT_MAX));
                }
            }
            Event::Heard(bad) => {
                for (act, why) in bad {
                    if act > self.floor {
                        self.bad.entry(act).or_insert_with(|| cut(why, VERDICT_MAX));
                    }
                }
                while self.bad.len() > VERDICTS_MAX {
                    self.bad.pop_first();
                }
            }
            Event::Told(ack) => {
                let why = ack.why.map(|why| cut(why, VERDICT_MAX));
                self.told.insert(ack.serial, Past { state: ack.state, why, at_ms: ack.at_ms });
                while self.told.len() > PAST_MAX {
                    self.told.pop_first();
                }
            }
        }
    }

    /// The newest act that is known.
    pub fn newest(&self) -> u64 {
        self.acts.last_key_value().map_or(self.floor, |(serial, _)| *serial)
    }

    pub fn knows(&self, serial: u64) -> bool {
        serial <= self.floor || self.acts.contains_key(&serial)
    }

    /// What this PoP is to serve.
    pub fn want(&self, pop: &str) -> Want {
        self.standing().at(pop)
    }

    pub fn running(&self) -> &Want {
        &self.running
    }

    /// What is to be done: this is to be served, and is not.
    pub fn work(&self, pop: &str) -> Option<Want> {
        let want = self.want(pop);
        (want != self.running).then_some(want)
    }

    /// Says what a process that begins serves: what it was started with, and no canary yet.
    pub fn begun(&mut self, main: Placed) {
        self.running = Want { main, canary: None };
    }

    /// Acts whose files are new here and are to be judged: canaries for as long as they last, others for [`WATCH_MS`].
    pub fn watched(&self, now_ms: u64) -> impl Iterator<Item = u64> + use<> {
        let main = self.watch.filter(|(act, until)| *act == self.running.main.act && now_ms < *until);
        let canary = self.running.canary.map(|(placed, _)| placed.act);
        main.map(|(act, _)| act).into_iter().chain(canary)
    }

    /// What the others are told, once nothing is left to do; without a time.
    pub fn ack(&self, pop: &str) -> Option<Ack> {
        let serial = self.newest();
        if serial == 0 || self.work(pop).is_some() {
            return None;
        }
        let of = |verdicts: &BTreeMap<u64, String>| verdicts.get(&serial).cloned();
        let (state, why) = match (of(&self.bad), of(&self.refused)) {
            (Some(why), _) => (AckState::RolledBack, Some(why)),
            (None, Some(why)) => (AckState::Refused, Some(why)),
            (None, None) if self.running.canary.is_some() => (AckState::Canary, None),
            (None, None) => (AckState::Applied, None),
        };
        let serves = self.running.main.revision;
        let past = self.told.range(..serial).map(|(serial, past)| (*serial, past.clone())).collect();
        Some(Ack { serial, state, why, serves, pop: pop.to_owned(), at_ms: 0, bad: self.bad.clone(), past })
    }

    /// When the others were told the same of that act.
    pub fn told_at(&self, ack: &Ack) -> Option<u64> {
        self.told.get(&ack.serial).filter(|past| past.state == ack.state).map(|past| past.at_ms)
    }

    /// Revisions whose files are needed, or may be again.
    pub fn kept(&self) -> BTreeSet<u64> {
        let brought = self.acts.iter().map(|(serial, act)| match act {
            Act::Deploy | Act::Canary { .. } => *serial,
            Act::Promote { serial } | Act::Rollback { serial } => *serial,
        });
        let canaries = [self.base.canary.as_ref().map(|(placed, _, _)| *placed), self.running.canary.map(|(p, _)| p)];
        let placed = [self.base.main, self.running.main].into_iter().chain(canaries.into_iter().flatten());
        brought.chain(placed.map(|placed| placed.revision)).filter(|revision| *revision > 0).collect()
    }

    /// Whether an act makes sense after all that is known; else why not.
    pub fn permits(&self, act: &Act) -> Result<(), String> {
        let canary = self.standing().canary.map(|(placed, _, _)| placed.revision);
        match act {
            Act::Deploy | Act::Canary { .. } => Ok(()),
            Act::Promote { serial } if canary == Some(*serial) => Ok(()),
            Act::Promote { serial } => Err(format!("{serial} is no canary that runs")),
            Act::Rollback { serial } if *serial == 0 || self.kept().contains(serial) => Ok(()),
            Act::Rollback { serial } => Err(format!("revision {serial} is not kept")),
        }
    }

    /// The revision for everybody, and the one that was it before; 0 = each node's own files alone.
    pub fn mains(&self) -> (u64, u64) {
        let (mut standing, mut before) = (self.base.clone(), 0);
        for (serial, act) in &self.acts {
            let was = standing.main.revision;
            standing = standing.after(*serial, act, self.void(*serial));
            if standing.main.revision != was {
                before = was;
            }
        }
        (standing.main.revision, before)
    }

    /// The canary that runs in some PoP.
    pub fn canary(&self) -> Option<u64> {
        self.standing().canary.map(|(placed, _, _)| placed.revision)
    }

    fn standing(&self) -> Standing {
        let acts = self.acts.iter();
        acts.fold(self.base.clone(), |standing, (serial, act)| standing.after(*serial, act, self.void(*serial)))
    }

    fn void(&self, serial: u64) -> bool {
        self.bad.contains_key(&serial) || self.refused.contains_key(&serial)
    }
}

/// A reason of bounded length.
fn cut(mut why: String, most: usize) -> String {
    let mut end = most.min(why.len());
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    why.truncate(end);
    why
}

#[cfg(test)]
mod tests;
