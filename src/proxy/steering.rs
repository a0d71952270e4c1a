//! Steering: which PoPs are well, and what viewers and resolvers are told for it.
//!
//! In: `[dns]`, health checks, where an address is. Out: answers to questions, `Alt-Svc` values, counts by PoP. Never: a socket of
//! its own (`naming` has those; checks go through the connector they are given).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use parking_lot::Mutex;
use pingora::connectors::http::Connector;
use pingora::upstreams::peer::HttpPeer;
use tokio::task::JoinSet;

use crate::config::compiled::{GeoDns, Health, Quota};
use crate::geo::dns::{Hints, PopId, Reply, Transport, Zone, network, point, refer_to_tcp, respond};
use crate::geo::{Db, Place};
use crate::limit::{Buckets, Registry, Scope};
use crate::observe::NameNumbers;
use crate::origin::health::Probe;
use crate::origin::target::Condition;

/// Networks whose answers are counted.
const NETWORKS: usize = 65_536;

/// What outlives a reload: one for the life of the process.
#[derive(Debug, Default)]
pub struct Known {
    pops: Mutex<HashMap<(String, SocketAddr), Arc<Seen>>>,
    /// Answers that lead to no PoP, and those that refer to TCP.
    others: AtomicU64,
    referred: AtomicU64,
}

/// What is known of one PoP.
#[derive(Debug, Default)]
struct Seen {
    condition: Arc<Condition>,
    answers: AtomicU64,
}

/// The zone of one configuration.
#[derive(Debug)]
pub struct Steering {
    zone: Zone,
    hints: Hints,
    health: Option<Health>,
    tls: Option<String>,
    pops: Vec<(SocketAddr, Arc<Seen>)>,
    rate: Arc<Buckets>,
    checks: Mutex<JoinSet<()>>,
}

// === impl Known ===
impl Known {
    pub fn steering(&self, spec: &GeoDns, pop: &str, limits: &Registry) -> Steering {
        let mut known = self.pops.lock();
        let mut seen = |code: &str, probe| known.entry((code.to_owned(), probe)).or_default().clone();
        let pops: Vec<_> = spec.pops.iter().map(|pop| (pop.probe, seen(&pop.code, pop.probe))).collect();
        // Those of the configuration that serves until now are held by it.
        known.retain(|_, seen| Arc::strong_count(seen) > 1);
        let quota = Quota { every: Duration::from_secs(1) / spec.rate.get(), burst: spec.rate };
        Steering {
            zone: Zone::new(spec),
            hints: Hints::new(spec, pop),
            health: spec.health.clone(),
            tls: spec.health_tls.clone(),
            pops,
            rate: limits.buckets(Scope::Names, quota, NETWORKS),
            checks: Mutex::default(),
        }
    }

    /// What was answered since the process started.
    pub fn numbers(&self, steering: &Steering) -> NameNumbers {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let pops = steering.pops.iter().enumerate().map(|(id, (_, seen))| {
            let code = steering.zone.pops().code(id).unwrap_or_default().to_owned();
            (code, load(&seen.answers), steering.is_up(id))
        });
        NameNumbers { pops: pops.collect(), others: load(&self.others), referred: load(&self.referred) }
    }
}

// === impl Steering ===
impl Steering {
    /// The answer to one message; `None`: there is none to give.
    pub fn answer(
        &self,
        known: &Known,
        geo: Option<&Db>,
        (bytes, from, transport): (&[u8], IpAddr, Transport),
        now_ns: u64,
    ) -> Option<Vec<u8>> {
        if transport == Transport::Udp && !self.allowed(from, now_ns) {
            known.referred.fetch_add(1, Ordering::Relaxed);
            return refer_to_tcp(bytes);
        }
        let locate = |address| point(&geo?.lookup(address)?);
        let Reply { bytes, pop, .. } = respond(&self.zone, bytes, (from, transport), &locate, &|id| self.is_up(id))?;
        let counter = pop.and_then(|id| self.pops.get(id)).map_or(&known.others, |(_, seen)| &seen.answers);
        counter.fetch_add(1, Ordering::Relaxed);
        Some(bytes)
    }

    /// What a viewer at this place is told of a nearer PoP.
    pub fn hint(&self, place: &Place) -> Option<&HeaderValue> {
        self.hints.for_viewer(point(place)?, &|id| self.is_up(id))
    }

    fn allowed(&self, from: IpAddr, now_ns: u64) -> bool {
        let key = match network(from, u8::MAX).0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.rate.check(&key.octets(), now_ns).allowed
    }

    fn is_up(&self, id: PopId) -> bool {
        let condition = self.pops.get(id).map(|(_, seen)| &seen.condition);
        condition.is_some_and(|condition| condition.usable(Instant::now(), self.health.as_ref(), None))
    }

    /// Starts the checks on the current runtime; a second call starts them anew.
    pub fn start(&self, connector: &Arc<Connector>) {
        let mut checks = JoinSet::new();
        if let Some(rule) = &self.health {
            let name = self.zone.apex().to_ascii();
            let name = name.trim_end_matches('.');
            let host = rule.host.clone().or_else(|| HeaderValue::from_str(name).ok());
            for (id, (probe, seen)) in self.pops.iter().enumerate() {
                let code = self.zone.pops().code(id).unwrap_or_default();
                let (address, sni, timeout) = (*probe, self.tls.clone(), rule.timeout);
                let probe = Probe {
                    rule: rule.clone(),
                    label: format!("PoP {code} at {address}"),
                    host: host.clone().unwrap_or(HeaderValue::from_static("localhost")),
                    condition: seen.condition.clone(),
                };
                let peer = move || {
                    let mut peer = HttpPeer::new(address, sni.is_some(), sni.clone().unwrap_or_default());
                    peer.options.connection_timeout = Some(timeout);
                    peer.options.read_timeout = Some(timeout);
                    futures::future::ready(Ok(Box::new(peer)))
                };
                checks.spawn(probe.run(connector.clone(), peer));
            }
        }
        *self.checks.lock() = checks;
    }

    /// Ends the checks: what follows this one does them.
    pub fn stop(&self) {
        *self.checks.lock() = JoinSet::new();
    }
}
