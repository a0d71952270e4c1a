//! Nodes: decides which of the fleet's nodes are well, and how they are reached.
//!
//! In: the fleet's peers, the outcome of each question. Out: the nodes to ask for a key, a peer to connect to. Never: a question of its
//! own; what a node is asked.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::OriginError;
use super::direct::Direct;
use super::dns::Names;
use super::set::{Pick, Picked};
use super::target::{Outcome, TargetRef};
use super::tier::{self, Hops, Mode, Node, Rules};
use crate::config::compiled::{
    Balance, Dns, Eject, Fleet, FleetPeer, HostHeader, HttpOrigin, OriginTls, Target, Tier, UpstreamProtocol,
};

/// What a node that is gone costs a viewer, at most.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a node may take to say that it has nothing, and between two parts of what it has.
const ANSWER: Duration = Duration::from_secs(2);
/// What a node that fills may take longer than its origin.
const MARGIN: Duration = Duration::from_secs(2);
/// An unused connection is kept so long.
const IDLE: Duration = Duration::from_secs(60);
/// Failures in a row, within a time, that let a node rest, and how long it does.
const BREAKER: Eject =
    Eject { failures: 2, window: Duration::from_secs(10), rest: Duration::from_secs(5), max_percent: 100 };

/// The fleet's other nodes.
#[derive(Debug, Default)]
pub struct Nodes {
    me: String,
    pop: String,
    shard: bool,
    /// In the order written.
    each: Vec<Reached>,
}

/// One of them.
#[derive(Debug)]
struct Reached {
    peer: FleetPeer,
    /// An origin of one target.
    lane: Direct,
}

// === impl Nodes ===
impl Nodes {
    /// `known`: the same before a reload.
    ///
    /// # Errors
    /// A node whose name cannot be used.
    pub fn new(fleet: &Fleet, pop: &str, known: Option<&Nodes>, names: &Names) -> Result<Self, OriginError> {
        let each = fleet.peers.iter().map(|peer| {
            let known = known.and_then(|known| known.each.iter().find(|node| node.peer == *peer));
            // No origin has a name with a line break: connections to nodes are never an origin's.
            let name = format!("node\n{}", peer.node);
            let lane = Direct::new(&name, &settings(peer), known.map(|node| &node.lane), names)?;
            Ok(Reached { peer: peer.clone(), lane })
        });
        let each = each.collect::<Result<_, OriginError>>()?;
        Ok(Nodes { me: fleet.node.clone(), pop: pop.to_owned(), shard: fleet.shard, each })
    }

    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// The nodes to ask for a key before its origin, as [`tier::hops`] has them.
    pub fn hops(&self, hash: u64, tier: &Tier, via: &[String]) -> Hops {
        let now = Instant::now();
        let rules = Rules { shield: tier.shield.as_deref(), ask_peers: tier.ask_peers, shard: self.shard };
        let peers: SmallVec<[Node<'_>; 8]> = self
            .each
            .iter()
            .map(|node| Node { name: &node.peer.node, pop: &node.peer.pop, usable: !node.lane.rests(now) })
            .collect();
        tier::hops(Node { name: &self.me, pop: &self.pop, usable: true }, hash, rules, &peers, via)
    }

    /// A node's name.
    pub fn name(&self, index: usize) -> &str {
        self.each.get(index).map_or("", |node| &node.peer.node)
    }

    /// How to reach a node. `patience`: what an origin may take to answer.
    ///
    /// # Errors
    /// No such node; its name cannot be resolved.
    pub async fn pick(&self, index: usize, mode: Mode, patience: Duration) -> Result<Picked, OriginError> {
        let node = self.each.get(index).ok_or(OriginError::Unknown(index))?;
        let mut picked = node.lane.pick(&Pick::default()).await?;
        picked.peer.options.read_timeout = Some(match mode {
            Mode::Fill => patience.saturating_add(MARGIN),
            Mode::Cached => ANSWER,
        });
        Ok(picked)
    }

    /// How a question ended.
    pub fn report(&self, index: usize, target: &TargetRef, outcome: Outcome) {
        if let Some(node) = self.each.get(index) {
            node.lane.report(target, outcome, Instant::now());
        }
    }
}

fn settings(peer: &FleetPeer) -> HttpOrigin {
    HttpOrigin {
        targets: vec![Target { host: peer.host.clone(), port: peer.port, tls: peer.tls, weight: 1 }],
        host: HostHeader::Origin,
        balance: Balance::RoundRobin,
        protocol: UpstreamProtocol::H1,
        connect_timeout: CONNECT,
        read_timeout: ANSWER,
        write_timeout: ANSWER,
        keepalive_timeout: IDLE,
        attempts: 1,
        tls: OriginTls { verify: true, sni: None, ca: peer.ca.clone(), client: None },
        dns: Dns { min_ttl: Duration::from_secs(5), max_ttl: Duration::from_secs(300), servers: Vec::new() },
        health: None,
        eject: Some(BREAKER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        let peer = |node: &str, pop: &str, port| FleetPeer {
            node: node.into(),
            pop: pop.into(),
            host: "127.0.0.1".into(),
            port,
            tls: false,
            ca: None,
        };
        Fleet {
            node: "nrt-1".into(),
            bus: None,
            secret: None,
            trust: Vec::new(),
            peers: vec![peer("fra-1", "FRA", 1), peer("fra-2", "FRA", 2)],
            shard: false,
            purge_retention: Duration::from_secs(1),
            revisions: 1,
            revision_size: 1,
            exchange: Duration::from_secs(1),
            silence: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn a_node_that_fails_is_passed_over_also_after_a_reload() {
        let (names, tier) = (Names::default(), Tier { shield: Some("FRA".into()), ask_peers: 0 });
        let nodes = Nodes::new(&fleet(), "NRT", None, &names).unwrap();
        let first = nodes.hops(7, &tier, &[])[0].peer;
        let picked = nodes.pick(first, Mode::Fill, Duration::from_secs(30)).await.unwrap();
        assert_eq!(picked.peer.options.read_timeout, Some(Duration::from_secs(32)));
        for _ in 0..BREAKER.failures {
            assert_eq!(nodes.hops(7, &tier, &[])[0].peer, first);
            nodes.report(first, &picked.target, Outcome::ConnectFailed);
        }
        assert_eq!(nodes.hops(7, &tier, &[])[0].peer, 1 - first);
        let next = Nodes::new(&fleet(), "NRT", Some(&nodes), &names).unwrap();
        assert_eq!(next.hops(7, &tier, &[])[0].peer, 1 - first);
        assert_eq!(next.name(first), fleet().peers[first].node);
    }
}
