//! Names: decides which address of an origin's host is connected to next.
//!
//! In: a host as configured, its DNS settings, which addresses failed lately.
//! Out: an address, from the cache whenever one is known; an error that names host and reason.
//! Never: blocks a worker, asks twice at once for one name, forgets a good answer because a resolver is down.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::OriginError;
use super::known::{Known, Step};
use super::resolver::{ADDRESSES_MAX, Resolver};
use crate::config::compiled::Dns;

/// Distinct (host, DNS settings) pairs alive at once. They come from the configuration only; about 1 KiB each.
pub const NAMES_MAX: usize = 4096;
/// How long an address that refused a connection is passed over while the name has others.
pub const ADDRESS_REST: Duration = Duration::from_secs(10);

/// Every name that the running configurations use. One per process: it outlives reloads, so answers do too.
#[derive(Debug, Default)]
pub struct Names {
    known: Mutex<HashMap<Key, Weak<Name>>>,
    counts: Arc<Counts>,
}

/// What the names did since the process started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lookups sent to a resolver.
    pub lookups: AtomicU64,
    /// Of these, failed.
    pub failures: AtomicU64,
    /// Requests that used an answer past its TTL because the lookup failed.
    pub last_good: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    servers: Vec<SocketAddr>,
    min_ttl: Duration,
    max_ttl: Duration,
}

/// One host and what is known of it.
#[derive(Debug)]
pub struct Name {
    host: String,
    source: Source,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Source {
    /// An IP literal or `localhost`: never looked up.
    Fixed(Arc<[IpAddr]>),
    Looked(Box<Looked>),
}

#[derive(Debug)]
struct Looked {
    resolver: Resolver,
    min_ttl: Duration,
    max_ttl: Duration,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    /// The running lookup.
    pending: Option<watch::Receiver<Option<Found>>>,
    /// At most one entry an address of the answer.
    resting: Vec<(IpAddr, Instant)>,
    cursor: usize,
}

type Found = Result<Arc<[IpAddr]>, Arc<str>>;

// === impl Names ===

impl Names {
    /// The counters, for metrics.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The shared record of `host` under `dns`. Sends nothing; reads the system's resolver settings when `dns` names none.
    ///
    /// # Errors
    /// The system's resolver settings cannot be read; [`NAMES_MAX`] names are in use.
    pub fn name(&self, host: &str, dns: &Dns) -> Result<Arc<Name>, OriginError> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let key = Key { host, servers: dns.servers.clone(), min_ttl: dns.min_ttl, max_ttl: dns.max_ttl };
        let mut known = self.known.lock();
        if let Some(name) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(name);
        }
        known.retain(|_, name| name.strong_count() > 0);
        if known.len() >= NAMES_MAX {
            return Err(OriginError::TooManyNames { limit: NAMES_MAX });
        }
        let source = match fixed(&key.host) {
            Some(addresses) => Source::Fixed(addresses),
            None => Source::Looked(Box::new(Looked {
                resolver: Resolver::new(&key.host, &key.servers)?,
                min_ttl: dns.min_ttl,
                max_ttl: dns.max_ttl.max(dns.min_ttl),
                counts: Arc::clone(&self.counts),
            })),
        };
        let name = Arc::new(Name { host: key.host.clone(), source, state: Mutex::default() });
        known.insert(key, Arc::downgrade(&name));
        Ok(name)
    }
}

// === impl Name ===

impl Name {
    /// The next address to connect to: round robin, passing over those that [`Name::failed`] named lately.
    ///
    /// # Errors
    /// No answer is known and none could be had.
    pub async fn address(self: &Arc<Self>) -> Result<IpAddr, OriginError> {
        let addresses = self.addresses().await?;
        let now = Instant::now();
        let mut state = self.state.lock();
        state.resting.retain(|(_, until)| *until > now);
        // A literal or `localhost` keeps its order: 127.0.0.1 first, ::1 only when that failed.
        let start = match self.source {
            Source::Fixed(_) => 0,
            Source::Looked(_) => {
                state.cursor = state.cursor.wrapping_add(1);
                state.cursor
            }
        };
        choose(&addresses, start, |address| state.resting.iter().any(|(resting, _)| *resting == address))
            .ok_or_else(|| self.error("the answer holds no address"))
    }

    /// A connection to `address` failed: pass it over for [`ADDRESS_REST`].
    pub fn failed(&self, address: IpAddr) {
        let mut state = self.state.lock();
        state.resting.retain(|(resting, _)| *resting != address);
        if state.resting.len() < ADDRESSES_MAX {
            state.resting.push((address, Instant::now() + ADDRESS_REST));
        }
    }

    /// The addresses known now, for the admin page.
    pub fn known(&self) -> Vec<IpAddr> {
        match &self.source {
            Source::Fixed(addresses) => addresses.to_vec(),
            Source::Looked(_) => {
                self.state.lock().known.addresses().map(|addresses| addresses.to_vec()).unwrap_or_default()
            }
        }
    }

    async fn addresses(self: &Arc<Self>) -> Result<Arc<[IpAddr]>, OriginError> {
        let looked = match &self.source {
            Source::Fixed(addresses) => return Ok(Arc::clone(addresses)),
            Source::Looked(looked) => looked,
        };
        let mut pending = {
            let mut state = self.state.lock();
            let running = state.running();
            match state.known.step(Instant::now(), running.is_some()) {
                Step::Serve(addresses) => return Ok(addresses),
                Step::Refresh(addresses) => {
                    self.look_up(&mut state);
                    return Ok(addresses);
                }
                Step::LastGood(addresses) => {
                    looked.counts.last_good.fetch_add(1, Ordering::Relaxed);
                    return Ok(addresses);
                }
                Step::Fail(reason) => return Err(self.error(&reason)),
                Step::Wait => running.unwrap_or_else(|| self.look_up(&mut state)),
            }
        };
        let found = match pending.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        match found {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(reason)) => match self.state.lock().known.last_good(Instant::now()) {
                Some(addresses) => {
                    looked.counts.last_good.fetch_add(1, Ordering::Relaxed);
                    Ok(addresses)
                }
                None => Err(self.error(&reason)),
            },
            None => Err(self.error("the lookup was given up")),
        }
    }

    /// Starts the one lookup of this name. It runs on its own task: a request that goes away does not end it.
    fn look_up(self: &Arc<Self>, state: &mut State) -> watch::Receiver<Option<Found>> {
        let (done, pending) = watch::channel(None);
        state.pending = Some(pending.clone());
        let name = Arc::clone(self);
        tokio::spawn(async move {
            let found = name.ask().await;
            let now = Instant::now();
            let result = match &found {
                Ok((addresses, _)) => Ok(Arc::clone(addresses)),
                Err(reason) => Err(Arc::clone(reason)),
            };
            {
                let mut state = name.state.lock();
                state.pending = None;
                match found {
                    Ok((addresses, ttl)) => state.known.learn(addresses, ttl, now),
                    Err(reason) => {
                        log::warn!("cannot resolve origin {}: {reason}", name.host);
                        state.known.fail(reason, now);
                    }
                }
            }
            done.send_replace(Some(result));
        });
        pending
    }

    async fn ask(&self) -> Result<(Arc<[IpAddr]>, Duration), Arc<str>> {
        let Source::Looked(looked) = &self.source else { return Err(Arc::from("not a name")) };
        looked.counts.lookups.fetch_add(1, Ordering::Relaxed);
        match looked.resolver.ask(&self.host).await {
            Ok((addresses, ttl)) => Ok((addresses.into(), ttl.clamp(looked.min_ttl, looked.max_ttl))),
            Err(reason) => {
                looked.counts.failures.fetch_add(1, Ordering::Relaxed);
                Err(Arc::from(reason))
            }
        }
    }

    fn error(&self, reason: &str) -> OriginError {
        OriginError::Name { host: self.host.clone(), reason: reason.to_owned() }
    }
}

// === impl State ===

impl State {
    /// The running lookup. One whose task is gone (its runtime ended) does not count.
    fn running(&self) -> Option<watch::Receiver<Option<Found>>> {
        self.pending.as_ref().filter(|pending| pending.has_changed().is_ok()).cloned()
    }
}

// === free functions ===

/// The addresses of a host that needs no lookup (RFC 6761 §6.3 for `localhost`).
fn fixed(host: &str) -> Option<Arc<[IpAddr]>> {
    if host == "localhost" || host.ends_with(".localhost") {
        return Some(Arc::from([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]));
    }
    host.parse().ok().map(|address: IpAddr| Arc::from([address]))
}

/// The first address from `start` on that does not rest; when all rest, the one at `start`.
fn choose(addresses: &[IpAddr], start: usize, rests: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let count = addresses.len();
    let at = |step: usize| addresses.get(start.wrapping_add(step).checked_rem(count)?).copied();
    (0..count).filter_map(at).find(|address| !rests(*address)).or_else(|| at(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_whose_task_is_gone_does_not_block_the_name() {
        let (done, pending) = watch::channel(None);
        let state = State { pending: Some(pending), ..State::default() };
        assert!(state.running().is_some());
        drop(done);
        assert!(state.running().is_none());
    }

    #[test]
    fn the_next_address() {
        let all: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].iter().map(|a| a.parse().unwrap()).collect();
        for (name, count, start, resting, want) in [
            ("from the start", 3, 0, &[][..], Some(0)),
            ("round", 3, 4, &[], Some(1)),
            ("over one that rests", 3, 1, &[1], Some(2)),
            ("over the end", 3, 2, &[2], Some(0)),
            ("all rest", 3, 1, &[0, 1, 2], Some(1)),
            ("the counter wraps", 3, usize::MAX, &[], Some(usize::MAX % 3)),
            ("none", 0, 1, &[], None),
        ] {
            let rests = |address| resting.iter().any(|index: &usize| all[*index] == address);
            assert_eq!(choose(&all[..count], start, rests), want.map(|index: usize| all[index]), "{name}");
        }
    }
}
