//! State: one call of one function, as its host calls see it.
//!
//! In: the message, who asks, the deadline. Out: the same after the call. Never: another call's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderValue;

use crate::config::compiled::{FetchGrant, Grants, KvGrant};
use crate::geo::Place;
use crate::hooks::exchange::{Exchange, OriginChange, OriginPatch};
use crate::hooks::fields;
use crate::hooks::lines::Lines;

use super::fetch::{Incoming, Outgoing, Share};
use super::flights::Flights;
use super::kv::{Change, Entry, KvHandle};
use super::log::Log;
use super::random::Random;
use super::{HostError, Services};

/// What a function is told that may ask nobody.
const NO_FETCH: &str = "fetch was not granted; add `grants.fetch = { allow = [\"host\"] }` to the function";
/// Characters of a name that an error repeats.
const NAME_SHOWN: usize = 64;

/// A deployed function, as its calls see it.
#[derive(Debug)]
pub struct Identity {
    pub name: String,
    /// First 12 hex digits of the file's SHA-256.
    pub version: String,
    pub grants: Grants,
    /// Its part of the connections of all functions.
    pub fetch: Share,
    /// Where its code was before it was compiled to JavaScript.
    pub lines: Lines,
}

/// One call.
#[derive(Debug)]
pub struct CallState {
    pub exchange: Box<Exchange>,
    pub identity: Arc<Identity>,
    pub services: Arc<Services>,
    pub log: Log,
    pub random: Random,
    pub deadline: Instant,
    /// Requests this call made.
    fetched: u32,
    /// Those that its code did not wait for yet.
    pub flights: Flights,
    pub budget: Overrun,
    /// Of what was thrown, as the engine told it: lines of what was compiled.
    pub stack: Option<String>,
}

/// Whether the call's CPU time is used up, and whether its code asks. An engine that does can throw where its code is; any other code is
/// stopped where nobody knows the names of what it runs.
#[derive(Debug, Default)]
pub struct Overrun {
    asked: bool,
    over: bool,
}

// === impl Identity ===
impl Identity {
    /// The environment as C programs know it: `KEY=value` and a NUL each.
    pub fn environ(&self) -> impl Iterator<Item = u8> {
        let entries = self.grants.config.iter();
        entries.flat_map(|(key, value)| key.bytes().chain([b'=']).chain(value.bytes()).chain([0]))
    }
}

// === impl Overrun ===
impl Overrun {
    /// What its code asks.
    pub fn is_over(&mut self) -> bool {
        self.asked = true;
        self.over
    }

    /// Says that the time is used up. False: its code never asked, and would not hear it.
    pub fn say(&mut self) -> bool {
        self.over = self.asked;
        self.over
    }

    pub fn was_said(&self) -> bool {
        self.over
    }
}

// === impl CallState ===
impl CallState {
    pub fn new(exchange: Box<Exchange>, identity: &Arc<Identity>, services: &Arc<Services>, deadline: Instant) -> Self {
        CallState {
            exchange,
            identity: identity.clone(),
            random: Random::new(services.seed),
            services: services.clone(),
            log: Log::default(),
            deadline,
            fetched: 0,
            flights: Flights::default(),
            budget: Overrun::default(),
            stack: None,
        }
    }

    /// The state of the next call that the same instance serves.
    pub fn renew(&mut self, exchange: Box<Exchange>, deadline: Instant) {
        self.exchange = exchange;
        self.random = Random::new(self.services.seed);
        self.deadline = deadline;
        self.fetched = 0;
        self.budget = Overrun::default();
        self.stack = None;
    }

    /// Takes the message out and leaves an empty one: the call is over, and what it asked for is given up.
    pub fn take_exchange(&mut self) -> Box<Exchange> {
        self.flights = Flights::default();
        let empty = Box::new(Exchange::empty(self.exchange.event, &self.exchange.site));
        std::mem::replace(&mut self.exchange, empty)
    }

    /// Wall-clock milliseconds left.
    pub fn remaining_ms(&self) -> u32 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
    }

    /// Milliseconds since the epoch: of the call's beginning, or of now with the grant.
    pub fn now_ms(&self) -> u64 {
        if !self.identity.grants.clock {
            return self.exchange.now_ms;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    pub fn config(&self, key: &str) -> Option<&str> {
        self.identity.grants.config.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A secret that was granted.
    pub fn secret(&self, name: &str) -> Result<&[u8], HostError> {
        let granted = self.identity.grants.secrets.iter().find(|(granted, _)| granted == name);
        granted.map(|(_, secret)| secret.expose().as_slice()).ok_or_else(|| denied("secret", "secrets", name))
    }

    /// A store that was granted.
    pub fn store(&self, name: &str) -> Result<&KvHandle, HostError> {
        self.kv_grant(name)?;
        self.services.kv.get(name).ok_or_else(|| HostError::Failed(format!("there is no store '{name}'")))
    }

    pub async fn put(&self, store: &str, key: String, value: Bytes) -> Result<(), HostError> {
        self.writable(store)?.write(Change::Put(Entry { key, value })).await
    }

    pub async fn delete(&self, store: &str, key: String) -> Result<(), HostError> {
        self.writable(store)?.write(Change::Delete(key)).await
    }

    /// Where an address is. `None`: not an address, or not known.
    pub fn place(&self, address: &str) -> Result<Option<Place>, HostError> {
        if !self.identity.grants.geo {
            return Err(HostError::Denied("geo was not granted; add `grants.geo = true` to the function".to_owned()));
        }
        let address = address.parse::<IpAddr>().ok();
        Ok(address.and_then(|address| self.services.geo.as_ref()?.lookup(address)))
    }

    /// Requests to hosts that were granted, all at once; each counts.
    pub async fn fetch(&mut self, requests: Vec<Outgoing>) -> Result<Vec<Result<Incoming, HostError>>, HostError> {
        self.count(requests.len())?;
        let grant = granted(&self.identity)?;
        Ok(self.identity.fetch.send_all(grant, requests, self.deadline).await)
    }

    /// Sends a request without waiting for its answer; gives its number.
    pub fn start(&mut self, request: Outgoing) -> Result<u32, HostError> {
        self.count(1)?;
        let (identity, deadline) = (Arc::clone(&self.identity), self.deadline);
        let bytes = request.body.len();
        let answer = async move { identity.fetch.send(granted(&identity)?, request, deadline).await };
        self.flights.start(bytes, answer)
    }

    /// Whether this call may make as many requests more.
    ///
    /// # Errors
    /// It may not, or none at all.
    pub fn may_fetch(&self, more: usize) -> Result<(), HostError> {
        match more <= self.fetches_left()? {
            true => Ok(()),
            false => {
                let most = granted(&self.identity)?.requests;
                Err(HostError::Denied(format!("one call may make {most} requests")))
            }
        }
    }

    /// Requests that this call may still make.
    ///
    /// # Errors
    /// The function may ask nobody.
    pub fn fetches_left(&self) -> Result<usize, HostError> {
        let left = granted(&self.identity)?.requests.saturating_sub(self.fetched);
        Ok(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Counts requests to be made.
    fn count(&mut self, requests: usize) -> Result<(), HostError> {
        self.may_fetch(requests)?;
        self.fetched = self.fetched.saturating_add(u32::try_from(requests).unwrap_or(u32::MAX));
        Ok(())
    }

    fn writable(&self, name: &str) -> Result<&KvHandle, HostError> {
        match self.kv_grant(name)?.write {
            true => self.store(name),
            false => Err(HostError::Denied(format!("store '{name}' was granted for reading only"))),
        }
    }

    fn kv_grant(&self, name: &str) -> Result<&KvGrant, HostError> {
        self.identity.grants.kv.iter().find(|grant| grant.store == name).ok_or_else(|| denied("store", "kv", name))
    }
}

fn granted(identity: &Identity) -> Result<&FetchGrant, HostError> {
    identity.grants.fetch.as_ref().ok_or_else(|| HostError::Denied(NO_FETCH.to_owned()))
}

fn denied(what: &str, key: &str, name: &str) -> HostError {
    let shown: String = name.chars().take(NAME_SHOWN).collect();
    HostError::Denied(format!("{what} '{shown}' was not granted; add it to the function's `grants.{key}`"))
}

/// The lines of one field, as a function may see them.
pub fn lines<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h HeaderValue> {
    let hidden = match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => fields::hidden(&name.to_ascii_lowercase()),
        false => fields::hidden(name),
    };
    headers.get_all(name).iter().filter(move |_| !hidden)
}

/// Another origin of the configuration, or a group.
pub fn choose(name: String) -> OriginChange {
    OriginChange::To(OriginPatch { base: Some(name), ..OriginPatch::default() })
}
