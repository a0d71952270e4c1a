//! Tier: decides which nodes of the fleet are asked before the origin is.
//!
//! In: this node, a key's hash, an origin's rules, the other nodes and which of them are well, the way a request came.
//! Out: nodes to ask, in order; the origin comes after them. Never: a node the request came through, a clock, I/O.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Nodes that a request may come through before it goes straight to the origin. The longest way that is meant has three: a node, the
/// key's node in its PoP, a node of the shield that has not the same idea of who is well.
pub const VIA_MAX: usize = 4;

/// What a node is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Answer, and ask the origin where need be.
    Fill,
    /// Answer what is stored and fresh, or nothing.
    Cached,
}

/// What an origin and the fleet say of tiers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// The PoP that fills for the others.
    pub shield: Option<&'a str>,
    /// How many nodes are asked for what they have.
    pub ask_peers: usize,
    /// Keys are spread over the nodes of one PoP.
    pub shard: bool,
}

/// A node of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    pub name: &'a str,
    pub pop: &'a str,
    pub usable: bool,
}

/// One node to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Its position among the peers.
    pub peer: usize,
    pub mode: Mode,
}

/// Nodes to ask, in order. None = the origin is asked.
pub type Hops = SmallVec<[Hop; 4]>;

/// The nodes that are asked for a key before its origin. `via` are those that the request came through, the last one having asked `me`.
pub fn hops(me: Node<'_>, hash: u64, rules: Rules<'_>, peers: &[Node<'_>], via: &[String]) -> Hops {
    let mut hops = Hops::new();
    let passed = |node: &Node<'_>| via.iter().any(|name| name == node.name);
    if via.len() >= VIA_MAX || passed(&me) {
        return hops;
    }
    let open = |node: &Node<'_>| node.usable && !passed(node);
    let asker = via.last().and_then(|name| peers.iter().find(|node| node.name == name));
    let from_here = asker.is_some_and(|node| node.pop == me.pop);
    // Who asks within the PoP has found that this is the key's node: its word counts, even where ours would be another.
    if rules.shard && !from_here {
        let own = peers.iter().enumerate().filter(|(_, node)| node.pop == me.pop && open(node));
        let owner = owner(hash, own.map(|(i, node)| (Some(i), node.name)).chain([(None, me.name)]));
        if let Some(Some(peer)) = owner {
            hops.push(Hop { peer, mode: Mode::Fill });
        }
    }
    let shield = rules.shield.filter(|shield| *shield != me.pop);
    // The key's node asks them itself.
    if hops.is_empty() && (via.is_empty() || from_here) {
        let others = peers.iter().enumerate().filter(|(_, node)| open(node) && Some(node.pop) != shield);
        hops.extend(others.take(rules.ask_peers).map(|(peer, _)| Hop { peer, mode: Mode::Cached }));
    }
    if let Some(shield) = shield {
        let its = peers.iter().enumerate().filter(|(_, node)| node.pop == shield && open(node));
        hops.extend(owner(hash, its.map(|(i, node)| (i, node.name))).map(|peer| Hop { peer, mode: Mode::Fill }));
    }
    hops
}

/// The node that a key belongs to, by rendezvous hashing: each node draws a number from its name and the key, and the highest wins. When
/// a node comes or goes, only its own keys move.
fn owner<'n, T>(hash: u64, nodes: impl Iterator<Item = (T, &'n str)>) -> Option<T> {
    nodes.max_by_key(|(_, name)| (xxh3_64_with_seed(name.as_bytes(), hash), *name)).map(|(node, _)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn node(name: &'static str, pop: &'static str) -> Node<'static> {
        Node { name, pop, usable: true }
    }

    fn down(name: &'static str, pop: &'static str) -> Node<'static> {
        Node { usable: false, ..node(name, pop) }
    }

    /// The hops by name; "?" = only what is stored.
    fn names(me: Node<'_>, hash: u64, rules: Rules<'_>, peers: &[Node<'_>], via: &[&str]) -> String {
        let via: Vec<String> = via.iter().map(|name| (*name).to_owned()).collect();
        let word = |hop: &Hop| format!("{}{}", peers[hop.peer].name, if hop.mode == Mode::Cached { "?" } else { "" });
        hops(me, hash, rules, peers, &via).iter().map(word).collect::<Vec<_>>().join(" ")
    }

    const SHIELD: Rules<'static> = Rules { shield: Some("FRA"), ask_peers: 0, shard: false };

    #[test]
    fn the_shield() {
        let (nrt, iad, fra) = (node("nrt-1", "NRT"), node("iad-1", "IAD"), node("fra-1", "FRA"));
        for (name, me, peers, via, want) in [
            ("another PoP fills", nrt, vec![iad, fra], vec![], "fra-1"),
            ("its own node asks the origin", fra, vec![iad, nrt], vec![], ""),
            ("asked by another PoP too", fra, vec![iad, nrt], vec!["nrt-1"], ""),
            ("none is well", nrt, vec![iad, down("fra-1", "FRA")], vec![], ""),
            ("the other one is well", nrt, vec![down("fra-1", "FRA"), node("fra-2", "FRA")], vec![], "fra-2"),
            ("there is none", nrt, vec![iad], vec![], ""),
            ("never back to where it came from", nrt, vec![iad, fra], vec!["fra-1"], ""),
            ("a loop ends here", nrt, vec![iad, fra], vec!["nrt-1", "iad-1"], ""),
            ("so does too long a way", nrt, vec![iad, fra], vec!["a", "b", "c", "d"], ""),
            ("a way that may grow", nrt, vec![iad, fra], vec!["a", "b", "c"], "fra-1"),
        ] {
            assert_eq!(names(me, 7, SHIELD, &peers, &via), want, "{name}");
        }
    }

    #[test]
    fn peers_are_asked_first() {
        let rules = |shield, ask_peers, shard| Rules { shield, ask_peers, shard };
        let (nrt, iad, fra, sin) =
            (node("nrt-1", "NRT"), node("iad-1", "IAD"), node("fra-1", "FRA"), node("sin-1", "SIN"));
        for (name, rules, peers, via, want) in [
            ("none", rules(None, 0, false), vec![iad, fra], vec![], ""),
            ("in their order", rules(None, 2, false), vec![iad, fra, sin], vec![], "iad-1? fra-1?"),
            (
                "those that are well",
                rules(None, 2, false),
                vec![down("iad-1", "IAD"), fra, sin],
                vec![],
                "fra-1? sin-1?",
            ),
            ("then the shield, once", rules(Some("FRA"), 2, false), vec![fra, iad, sin], vec![], "iad-1? sin-1? fra-1"),
            ("not for another PoP", rules(Some("FRA"), 2, false), vec![fra, iad, sin], vec!["sin-1"], "fra-1"),
        ] {
            assert_eq!(names(nrt, 7, rules, &peers, &via), want, "{name}");
        }
    }

    #[test]
    fn one_node_of_a_pop_fills_a_key() {
        let (one, two) = (node("nrt-1", "NRT"), node("nrt-2", "NRT"));
        let (fra, iad) = (node("fra-1", "FRA"), node("iad-1", "IAD"));
        let rules = Rules { shield: Some("FRA"), ask_peers: 1, shard: true };
        let theirs = (0..).find(|hash| names(one, *hash, rules, &[two, fra, iad], &[]).starts_with("nrt-2 ")).unwrap();
        for (name, me, peers, via, want) in [
            ("its owner is asked, who asks the others", one, vec![two, fra, iad], vec![], "nrt-2 fra-1"),
            ("the owner itself", two, vec![one, fra, iad], vec![], "nrt-1? fra-1"),
            ("asked by its neighbour", two, vec![one, fra, iad], vec!["nrt-1"], "iad-1? fra-1"),
            ("asked by its neighbour, whatever we think", one, vec![two, fra, iad], vec!["nrt-2"], "iad-1? fra-1"),
            ("the owner is down", one, vec![down("nrt-2", "NRT"), fra, iad], vec![], "iad-1? fra-1"),
        ] {
            assert_eq!(names(me, theirs, rules, &peers, &via), want, "{name}");
        }
    }

    #[test]
    fn a_new_node_takes_its_share_of_the_keys_and_no_other() {
        const KEYS: u64 = 20_000;
        for count in [1_usize, 2, 4, 9] {
            let all: Vec<String> = (0..=count).map(|i| format!("nrt-{i}")).collect();
            let among =
                |names: &[String], hash| owner(hash, names.iter().map(|name| (name.clone(), name.as_str()))).unwrap();
            let mut moved = 0_u64;
            let mut shares = vec![0_u64; count + 1];
            for key in 0..KEYS {
                let hash = xxh3_64_with_seed(&key.to_le_bytes(), 0);
                let (before, after) = (among(&all[..count], hash), among(&all, hash));
                shares[all.iter().position(|name| *name == after).unwrap()] += 1;
                if before != after {
                    moved += 1;
                    assert_eq!(after, all[count], "a key only moves to the new node");
                }
            }
            let fair = KEYS / (count as u64 + 1);
            // Three standard deviations of a fair draw are less than a tenth here.
            assert!(moved.abs_diff(fair) < fair / 10, "{moved} of {KEYS} keys moved to one of {}", count + 1);
            assert!(shares.iter().all(|share| share.abs_diff(fair) < fair / 10), "{shares:?}");
        }
    }
}
