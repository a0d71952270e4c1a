//! Target: decides whether one address of an origin may take requests now.
//!
//! In: the outcomes of real requests and of health checks. Out: usable or not, with the reason for the admin page.
//! Never: I/O; which target is chosen.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::eject::Record;
use super::health::{Change, Check};
use crate::config::compiled::{Eject, Health, OriginId};

/// A target's position in its origin.
pub type TargetId = usize;

/// Names the target that a request was sent to.
#[derive(Debug, Clone)]
pub struct TargetRef {
    pub index: TargetId,
    /// `host:port` as configured, for logs.
    pub name: Arc<str>,
    /// The address connected to; `None` for an origin inside this process.
    pub address: Option<SocketAddr>,
}

/// How an attempt at a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer arrived whole (or its head did, and the viewer went away).
    Ok { status: u16 },
    /// TCP or TLS failed, or took too long.
    ConnectFailed,
    /// The connection broke before the answer was whole.
    ReadFailed,
    /// Connected, but a read or write made no progress in time.
    Timeout,
}

/// One target as the admin page and the metrics show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    pub origin: OriginId,
    pub origin_name: String,
    pub target: Arc<str>,
    /// What active checks say; true without them.
    pub up: bool,
    /// Ejected by failing requests.
    pub resting: bool,
    pub last_error: Option<Arc<str>>,
    pub addresses: Vec<IpAddr>,
}

/// What is known of one target. Shared by the old and the new configuration over a reload.
#[derive(Debug, Default)]
pub struct Condition {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    check: Check,
    record: Record,
    last_error: Option<Arc<str>>,
}

// === impl Outcome ===

impl Outcome {
    /// Whether the target is to blame. 502, 503 and 504 say that it could not do its work; a 500 is its answer.
    pub fn is_failure(self) -> bool {
        !matches!(self, Outcome::Ok { status } if !matches!(status, 502..=504))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Ok { status } => write!(f, "status {status}"),
            Outcome::ConnectFailed => f.write_str("connect failed"),
            Outcome::ReadFailed => f.write_str("read failed"),
            Outcome::Timeout => f.write_str("timed out"),
        }
    }
}

// === impl Condition ===

impl Condition {
    /// Whether the rules in force let requests go here. A rule that the configuration no longer has does not count.
    pub fn usable(&self, now: Instant, health: Option<&Health>, eject: Option<&Eject>) -> bool {
        let state = self.state.lock();
        (health.is_none() || state.check.is_up()) && (eject.is_none() || !state.record.rests(now))
    }

    pub fn rests(&self, now: Instant) -> bool {
        self.state.lock().record.rests(now)
    }

    /// A request's outcome. True when the target should rest, if enough others are left.
    pub fn note(&self, outcome: Outcome, now: Instant, eject: Option<&Eject>) -> bool {
        let mut state = self.state.lock();
        if !outcome.is_failure() {
            state.record.succeeded();
            return false;
        }
        state.last_error = Some(Arc::from(outcome.to_string()));
        eject.is_some_and(|rule| !state.record.rests(now) && state.record.failed(now, rule))
    }

    pub fn rest(&self, now: Instant, rule: &Eject) {
        self.state.lock().record.rest(now, rule);
    }

    /// A health check's result; an error says why it failed.
    pub fn checked(&self, result: Result<(), String>, rule: &Health) -> Option<Change> {
        let mut state = self.state.lock();
        let good = result.is_ok();
        if let Err(reason) = result {
            state.last_error = Some(Arc::from(reason));
        }
        state.check.step(good, rule)
    }

    /// (up, resting, last error)
    pub fn describe(&self, now: Instant, health: Option<&Health>) -> (bool, bool, Option<Arc<str>>) {
        let state = self.state.lock();
        (health.is_none() || state.check.is_up(), state.record.rests(now), state.last_error.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame() {
        for (outcome, want) in [
            (Outcome::Ok { status: 200 }, false),
            (Outcome::Ok { status: 404 }, false),
            (Outcome::Ok { status: 500 }, false),
            (Outcome::Ok { status: 502 }, true),
            (Outcome::Ok { status: 504 }, true),
            (Outcome::ConnectFailed, true),
            (Outcome::ReadFailed, true),
            (Outcome::Timeout, true),
        ] {
            assert_eq!(outcome.is_failure(), want, "{outcome}");
        }
    }
}
