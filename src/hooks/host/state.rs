//! State: one call of one function, as its host calls see it.
//!
//! In: the message, who asks, the deadline. Out: the same after the call. Never: another call's.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use http::header::HeaderValue;

use crate::config::compiled::Grants;
use crate::hooks::exchange::{Exchange, OriginChange, OriginPatch, Request};
use crate::hooks::fields;

use super::Services;
use super::log::Log;

/// A deployed function, as its calls see it.
#[derive(Debug)]
pub struct Identity {
    pub name: String,
    /// First 12 hex digits of the file's SHA-256.
    pub version: String,
    pub grants: Grants,
}

/// One call.
#[derive(Debug)]
pub struct CallState {
    pub exchange: Exchange,
    pub identity: Arc<Identity>,
    pub services: Arc<Services>,
    pub log: Log,
    pub deadline: Instant,
}

// === impl Identity ===
impl Identity {
    /// The environment as C programs know it: `KEY=value` and a NUL each.
    pub fn environ(&self) -> impl Iterator<Item = u8> {
        let entries = self.grants.config.iter();
        entries.flat_map(|(key, value)| key.bytes().chain([b'=']).chain(value.bytes()).chain([0]))
    }
}

// === impl CallState ===
impl CallState {
    pub fn new(exchange: Exchange, identity: &Arc<Identity>, services: &Arc<Services>, deadline: Instant) -> Self {
        CallState { exchange, identity: identity.clone(), services: services.clone(), log: Log::default(), deadline }
    }

    /// The state of the next call that the same instance serves.
    pub fn renew(&mut self, exchange: Exchange, deadline: Instant) {
        self.exchange = exchange;
        self.deadline = deadline;
    }

    /// Takes the message out and leaves an empty one.
    pub fn take_exchange(&mut self) -> Exchange {
        let old = &self.exchange;
        let empty = Request {
            method: http::Method::GET,
            uri: String::new(),
            query: String::new(),
            client_ip: old.request.client_ip,
            version: old.request.version,
            tls: false,
            headers: HeaderMap::new(),
            body: None,
            origin: None,
        };
        let empty = Exchange::request(old.event, &old.site, "", 0, empty);
        std::mem::replace(&mut self.exchange, empty)
    }

    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
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
    pub fn secret(&self, name: &str) -> Option<&[u8]> {
        let (_, secret) = self.identity.grants.secrets.iter().find(|(granted, _)| granted == name)?;
        Some(secret.expose())
    }
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
