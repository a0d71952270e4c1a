//! Health: decides by asking whether a target is up.
//!
//! In: a target's peer, the rule (path, interval, statuses, rise, fall). Out: changes of its `Condition`.
//! Never: touches the pools that serve requests; a check opens its own connection and closes it.
//!
//! Checks go through pingora's connector with the very peer that requests use: what a check verifies (name, roots, client
//! certificate, protocol) is what a request will meet, and no second TLS client has to be kept in step.

use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use super::target::Condition;
use crate::config::compiled::{Health, StatusRange};

/// Share by which each wait is shortened or lengthened, in percent: many targets or PoPs do not ask in step.
const JITTER_PERCENT: u32 = 10;

/// The up/down machine of one target. A target starts up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Check {
    down: bool,
    /// Checks in a row that spoke against the present state.
    against: u32,
}

/// The target turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Up,
    Down,
}

/// One target's checks: everything the task needs, so that it holds nothing of the set that started it.
#[derive(Debug)]
pub struct Probe {
    pub rule: Health,
    /// What is asked, for the log: "origin a a.example:80".
    pub label: String,
    /// Host header of the check.
    pub host: http::HeaderValue,
    pub condition: Arc<Condition>,
}

// === impl Check ===

impl Check {
    pub fn is_up(&self) -> bool {
        !self.down
    }

    /// One check's result. `rise` good ones in a row turn it up, `fall` bad ones down.
    pub fn step(&mut self, good: bool, rule: &Health) -> Option<Change> {
        if good != self.down {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if self.down { rule.rise } else { rule.fall };
        if self.against < needed.max(1) {
            return None;
        }
        self.against = 0;
        self.down = !self.down;
        Some(if self.down { Change::Down } else { Change::Up })
    }
}

// === impl Probe ===

impl Probe {
    /// Asks until the task is dropped. `peer` is called before each check: a name's address may have changed.
    pub async fn run<F>(self, connector: Arc<Connector>, peer: impl Fn() -> F + Send)
    where
        F: Future<Output = Result<Box<HttpPeer>, String>> + Send,
    {
        // The first check comes soon, but not all targets' at once.
        tokio::time::sleep(self.rule.interval * rand::random_range(0..=JITTER_PERCENT) / 100).await;
        loop {
            let asked = async { self.ask(&connector, peer().await?).await };
            let result = match tokio::time::timeout(self.rule.timeout, asked).await {
                Ok(result) => result,
                Err(_) => Err(format!("health check: no answer within {:?}", self.rule.timeout)),
            };
            let reason = result.clone().err().unwrap_or_default();
            match self.condition.checked(result, &self.rule) {
                Some(Change::Down) => log::warn!("{} is down: {reason}", self.label),
                Some(Change::Up) => log::info!("{} is up", self.label),
                None => {}
            }
            tokio::time::sleep(jittered(self.rule.interval, rand::random_range(0..=2 * JITTER_PERCENT))).await;
        }
    }

    async fn ask(&self, connector: &Connector, peer: Box<HttpPeer>) -> Result<(), String> {
        let failed = |error: Box<pingora::Error>| format!("health check: {error}");
        let mut request = RequestHeader::build("GET", self.rule.path.as_bytes(), None).map_err(failed)?;
        request.insert_header(http::header::HOST, &self.host).map_err(failed)?;
        request.insert_header(http::header::USER_AGENT, "rimward-health").map_err(failed)?;
        let (mut session, _) = connector.get_http_session(&*peer).await.map_err(failed)?;
        session.write_request_header(Box::new(request)).await.map_err(failed)?;
        session.finish_request_body().await.map_err(failed)?;
        session.read_response_header().await.map_err(failed)?;
        let status = session.response_header().map_or(0, |head| head.status.as_u16());
        session.shutdown().await;
        match accepts(&self.rule.statuses, status) {
            true => Ok(()),
            false => Err(format!("health check: status {status}")),
        }
    }
}

// === free functions ===

fn accepts(statuses: &[StatusRange], status: u16) -> bool {
    statuses.iter().any(|range| (range.from..=range.to).contains(&status))
}

/// `interval` moved by ±[`JITTER_PERCENT`]; `roll` is 0 to twice that.
fn jittered(interval: Duration, roll: u32) -> Duration {
    interval * (100 - JITTER_PERCENT + roll) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Health {
        Health {
            path: "/up".into(),
            host: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            statuses: vec![StatusRange { from: 200, to: 399 }],
            rise: 2,
            fall: 3,
        }
    }

    #[test]
    fn rise_and_fall() {
        for (name, results, up) in [
            ("starts up", "", true),
            ("two bad are not enough", "--", true),
            ("three bad", "---", false),
            ("a good one in between starts over", "--+--", true),
            ("one good is not enough", "---+", false),
            ("two good", "---++", true),
            ("a bad one in between starts over", "---+-+", false),
        ] {
            let mut check = Check::default();
            for result in results.chars() {
                check.step(result == '+', &rule());
            }
            assert_eq!(check.is_up(), up, "{name}");
        }
    }

    #[test]
    fn a_turn_is_told_once() {
        let mut check = Check::default();
        let changes: Vec<_> = (0..5).filter_map(|_| check.step(false, &rule())).collect();
        assert_eq!(changes, [Change::Down]);
    }

    #[test]
    fn statuses_and_jitter() {
        let statuses = [StatusRange { from: 200, to: 299 }, StatusRange { from: 401, to: 401 }];
        let accepted: Vec<u16> =
            [199, 200, 299, 300, 401, 402].into_iter().filter(|status| accepts(&statuses, *status)).collect();
        assert_eq!(accepted, [200, 299, 401]);
        assert_eq!(jittered(Duration::from_secs(10), 0), Duration::from_secs(9));
        assert_eq!(jittered(Duration::from_secs(10), 2 * JITTER_PERCENT), Duration::from_secs(11));
    }
}
