//! Gate: whether one more connection may be open, in all and from one address.
//!
//! In: viewer addresses, the caps. Out: permits that count until they are dropped. Never: rates, requests, waiting.

use crate::config::compiled::Limits;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use ipnet::IpNet;
use parking_lot::Mutex;
use pingora::listeners::ConnectionFilter;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Locks the table is split into, so that accepting workers seldom meet.
const SHARDS: usize = 64;

/// Counts open connections. The table holds no more entries than there are connections open.
#[derive(Debug)]
pub struct Gate {
    cap: AtomicUsize,
    cap_per_address: AtomicUsize,
    /// Who that is not for.
    exempt: ArcSwap<Vec<IpNet>>,
    open: AtomicUsize,
    shards: [Mutex<HashMap<Network, usize, ahash::RandomState>>; SHARDS],
    hasher: ahash::RandomState,
    refused_full: AtomicU64,
    refused_address: AtomicU64,
}

/// Who counts as one viewer: an IPv4 address, or the IPv6 /64 that one household or host is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// One open connection; dropping it closes the count.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    network: Network,
}

/// The gate's figures at one moment, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub open: usize,
    /// Connections closed since start because too many were open in all.
    pub refused_full: u64,
    /// Connections closed since start because their address had too many.
    pub refused_address: u64,
}

// === impl Gate ===

impl Gate {
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            cap: AtomicUsize::new(limits.connections),
            cap_per_address: AtomicUsize::new(limits.connections_per_address),
            exempt: ArcSwap::from_pointee(limits.connections_exempt.clone()),
            open: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: ahash::RandomState::new(),
            refused_full: AtomicU64::new(0),
            refused_address: AtomicU64::new(0),
        })
    }

    /// Takes over new caps. Connections that are open stay open.
    pub fn adjust(&self, limits: &Limits) {
        self.cap.store(limits.connections, Ordering::Relaxed);
        self.cap_per_address.store(limits.connections_per_address, Ordering::Relaxed);
        self.exempt.store(Arc::new(limits.connections_exempt.clone()));
    }

    /// How many connections an address may have.
    fn cap_of(&self, address: IpAddr) -> usize {
        let address = address.to_canonical();
        match self.exempt.load().iter().any(|block| block.contains(&address)) {
            true => usize::MAX,
            false => self.cap_per_address.load(Ordering::Relaxed),
        }
    }

    /// Counts one connection from `address` in, unless a cap is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.cap.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::AcqRel);
            self.refused_full.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (network, cap) = (Network::of(address), self.cap_of(address));
        let mut shard = self.shard(network).lock();
        let open = shard.entry(network).or_insert(0);
        if *open < cap {
            *open += 1;
            return Some(Permit { gate: Arc::clone(self), network });
        }
        if *open == 0 {
            shard.remove(&network);
        }
        drop(shard);
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.refused_address.fetch_add(1, Ordering::Relaxed);
        None
    }

    pub fn counts(&self) -> Counts {
        Counts {
            open: self.open.load(Ordering::Relaxed),
            refused_full: self.refused_full.load(Ordering::Relaxed),
            refused_address: self.refused_address.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, network: Network) -> &Mutex<HashMap<Network, usize, ahash::RandomState>> {
        &self.shards[self.hasher.hash_one(network) as usize % SHARDS]
    }
}

/// Closes a connection that could not be admitted before anything is spent on it. Nothing is reserved here: between
/// this look and [`Gate::admit`] others may take the last place.
#[async_trait]
impl ConnectionFilter for Gate {
    async fn should_accept(&self, address: Option<&SocketAddr>) -> bool {
        if self.open.load(Ordering::Relaxed) >= self.cap.load(Ordering::Relaxed) {
            self.refused_full.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let Some(address) = address else { return true };
        let network = Network::of(address.ip());
        let open = self.shard(network).lock().get(&network).copied().unwrap_or(0);
        let free = open < self.cap_of(address.ip());
        if !free {
            self.refused_address.fetch_add(1, Ordering::Relaxed);
        }
        free
    }
}

// === impl Network ===

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        let mut shard = self.gate.shard(self.network).lock();
        if let Some(open) = shard.get_mut(&self.network) {
            *open -= 1;
            if *open == 0 {
                shard.remove(&self.network);
            }
        }
        drop(shard);
        self.gate.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;

    fn gate(connections: usize, connections_per_address: usize) -> Arc<Gate> {
        Gate::new(&Limits { connections, connections_per_address, ..limits() })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_shares_a_cap() {
        for (one, other, shared) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(Network::of(address(one)) == Network::of(address(other)), shared, "{one} {other}");
        }
    }

    #[test]
    fn caps_hold_and_places_come_back() {
        let gate = gate(3, 2);
        let first = gate.admit(address("192.0.2.1")).unwrap();
        let _second = gate.admit(address("192.0.2.1")).unwrap();
        assert!(gate.admit(address("192.0.2.1")).is_none());
        let third = gate.admit(address("192.0.2.2")).unwrap();
        assert!(gate.admit(address("192.0.2.3")).is_none());
        assert_eq!(gate.counts(), Counts { open: 3, refused_full: 1, refused_address: 1 });
        drop(third);
        assert!(gate.admit(address("192.0.2.1")).is_none());
        drop(first);
        assert!(gate.admit(address("192.0.2.1")).is_some());
    }

    #[test]
    fn nothing_is_remembered_of_closed_connections() {
        let gate = gate(1000, 1);
        for last in 0..=255 {
            let permit = gate.admit(IpAddr::from([192, 0, 2, last]));
            assert!(permit.is_some());
        }
        assert_eq!(gate.counts().open, 0);
        assert!(gate.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn a_cap_of_nothing_leaves_no_trace() {
        let gate = gate(10, 0);
        assert!(gate.admit(address("192.0.2.1")).is_none());
        assert!(gate.shards.iter().all(|shard| shard.lock().is_empty()));
        gate.adjust(&limits());
        assert!(gate.admit(address("192.0.2.1")).is_some());
    }

    #[tokio::test]
    async fn who_is_exempt_has_as_many_as_there_are() {
        let connections_exempt = vec!["192.0.2.0/25".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let gate = Gate::new(&Limits { connections_per_address: 1, connections_exempt, ..limits() });
        for (name, exempt) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.200", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            let _first = gate.admit(address(name)).unwrap();
            assert_eq!(gate.should_accept(Some(&SocketAddr::new(address(name), 1))).await, exempt, "{name}");
            assert_eq!(gate.admit(address(name)).is_some(), exempt, "{name}");
        }
        gate.adjust(&Limits { connections_per_address: 1, ..limits() });
        let _first = gate.admit(address("192.0.2.1")).unwrap();
        assert!(gate.admit(address("192.0.2.1")).is_none(), "no more");
    }

    #[tokio::test]
    async fn the_filter_looks_and_takes_nothing() {
        let gate = gate(2, 1);
        let viewer = SocketAddr::from(([192, 0, 2, 1], 1));
        assert!(gate.should_accept(Some(&viewer)).await);
        assert!(gate.should_accept(None).await);
        let _permit = gate.admit(viewer.ip()).unwrap();
        assert!(!gate.should_accept(Some(&viewer)).await);
        let _other = gate.admit(address("192.0.2.2")).unwrap();
        assert!(!gate.should_accept(None).await);
        assert_eq!(gate.counts(), Counts { open: 2, refused_full: 1, refused_address: 1 });
    }
}
