//! Mutant: a world in which one rule does not hold, so that it is seen that the simulation finds that out.
//!
//! In: which rule. Out: what a node without it does. Never: a line of production that knows of it.

use super::world::World;
use crate::cache::purge::Purge;
use crate::fleet::bus::Message;
use crate::fleet::{ToldKey, purge_wire};

/// The rule that does not hold, and what happens without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mutant {
    /// All rules hold.
    #[default]
    None,
    /// What the bus brings twice is applied twice.
    PurgedAgain,
    /// What another node has stored is taken whatever it has seen of purges.
    PeerNotAsked,
    /// While the disk takes nothing, only what could be written is in force.
    NotForeseen,
    /// Nodes do not tell which values of API keys were deleted.
    NoTombstones,
    /// While the disk takes nothing, what others revoked is accepted.
    NotRefused,
    /// Keys and values are noted as told, whatever the bus said.
    NotedUntold,
    /// A hub that lost its disk is not told again of API keys, or of revisions.
    KeysNotReminded,
    RevisionsNotReminded,
    /// Whoever signs a revision is trusted.
    StrangerTrusted,
    /// What others counted of a quota is gone with the process.
    CountsForgotten,
    /// Counts that come again are counted again.
    CountedAgain,
}

// === impl Mutant ===
impl Mutant {
    /// All that break something.
    pub const ALL: [Mutant; 11] = [
        Mutant::PurgedAgain,
        Mutant::PeerNotAsked,
        Mutant::NotForeseen,
        Mutant::NoTombstones,
        Mutant::NotRefused,
        Mutant::NotedUntold,
        Mutant::KeysNotReminded,
        Mutant::RevisionsNotReminded,
        Mutant::StrangerTrusted,
        Mutant::CountsForgotten,
        Mutant::CountedAgain,
    ];

    pub fn told_keys(self, told: &[ToldKey]) -> Vec<ToldKey> {
        let mut told = told.to_vec();
        if self == Mutant::NoTombstones {
            told.iter_mut().for_each(|one| one.gone.clear());
        }
        told
    }

    /// What a process without the rule does not find on its disk.
    pub fn forgets(self) -> Option<&'static str> {
        (self == Mutant::CountsForgotten).then_some("quota.heard")
    }
}

// === impl World ===
impl World {
    /// A message that came before.
    pub fn purge_again(&mut self, n: usize, message: &Message) {
        if self.mutant == Mutant::PurgedAgain {
            for scope in purge_wire::scopes(message) {
                let at = self.stamp(n);
                self.process(n).0.marks.apply(&[Purge { scope, soft: false, at }]);
            }
        }
    }
}
