//! Direct: decides which target of one HTTP origin an attempt goes to.
//!
//! In: the origin's settings, its targets' conditions, what a request tried already. Out: a peer and its Host header.
//! Never: another origin's targets, a connection of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use http::HeaderValue;
use pingora::connectors::http::Connector;
use pingora::upstreams::peer::HttpPeer;
use smallvec::SmallVec;
use tokio::task::JoinSet;

use super::balance::Balance;
use super::dns::{Name, Names};
use super::health::Probe;
use super::link::Patience;
use super::peer::{self, Template};
use super::set::{Aim, Pick, Picked};
use super::target::{Condition, Outcome, TargetId, TargetRef, TargetStatus};
use super::tls::Material;
use super::{OriginError, eject};
use crate::config::compiled::{HostHeader, HttpOrigin, OriginId, UpstreamProtocol};

/// What makes a target usable, best first: (it must be healthy, it must not have been tried). When none is healthy all
/// are asked: a target that seems dead beats refusing every viewer.
const LADDER: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

/// The direct lane of one origin.
#[derive(Debug)]
pub struct Direct {
    name: String,
    http: HttpOrigin,
    balance: Balance,
    places: Vec<Place>,
}

/// One target with all that is needed to reach it.
#[derive(Debug)]
struct Place {
    /// `host:port`.
    label: Arc<str>,
    name: Arc<Name>,
    template: Arc<Template>,
    /// Its own name as a Host header.
    host: HeaderValue,
    tls: bool,
    condition: Arc<Condition>,
}

// === impl Direct ===

impl Direct {
    /// `known`: the same origin before a reload.
    pub fn new(name: &str, http: &HttpOrigin, known: Option<&Direct>, names: &Names) -> Result<Self, OriginError> {
        if http.targets.is_empty() {
            return Err(OriginError::NoTarget { origin: name.to_owned() });
        }
        let tls = Material::load(&http.tls)?;
        let mut places = Vec::with_capacity(http.targets.len());
        for target in &http.targets {
            let label: Arc<str> = Arc::from(format!("{}:{}", target.host, target.port));
            let same = |place: &&Place| place.label == label && place.tls == target.tls;
            let known = known.and_then(|known| known.places.iter().find(same));
            places.push(Place {
                name: names.name(&target.host, &http.dns)?,
                template: Arc::new(Template::new(name, http, target, &tls)),
                host: peer::host_header(name, target)?,
                tls: target.tls,
                condition: known.map(|place| Arc::clone(&place.condition)).unwrap_or_default(),
                label,
            });
        }
        let weights: Vec<(String, u32)> =
            places.iter().zip(&http.targets).map(|(place, target)| (place.label.to_string(), target.weight)).collect();
        Ok(Direct { name: name.to_owned(), balance: Balance::new(http.balance, &weights), http: http.clone(), places })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn settings(&self) -> &HttpOrigin {
        &self.http
    }

    /// Whether one of its targets has that host name (lower case) and that port.
    pub fn has_target(&self, host: &str, port: u16) -> bool {
        self.http.targets.iter().any(|target| target.is_at(host, port))
    }

    /// Attempts in all that a request may make here.
    pub fn attempts(&self) -> u32 {
        self.http.attempts.max(1)
    }

    /// Whether every target rests.
    pub fn rests(&self, now: Instant) -> bool {
        self.places.iter().all(|place| place.condition.rests(now))
    }

    /// Starts this origin's health checks, if it has any.
    pub fn check(&self, connector: &Arc<Connector>, checks: &mut JoinSet<()>) {
        let Some(rule) = &self.http.health else { return };
        for place in &self.places {
            let host = match (&rule.host, &self.http.host) {
                (Some(host), _) | (None, HostHeader::Fixed(host)) => host.clone(),
                (None, HostHeader::Origin | HostHeader::Viewer) => place.host.clone(),
            };
            let probe = Probe {
                rule: rule.clone(),
                label: format!("origin {} {}", self.name, place.label),
                host,
                condition: Arc::clone(&place.condition),
            };
            let (name, template, timeout) = (Arc::clone(&place.name), Arc::clone(&place.template), rule.timeout);
            let peer = move || -> BoxFuture<'static, Result<Box<HttpPeer>, String>> {
                let (name, template) = (Arc::clone(&name), Arc::clone(&template));
                Box::pin(async move {
                    let address = name.address().await.map_err(|error| format!("health check: {error}"))?;
                    Ok(template.probe(address, timeout))
                })
            };
            checks.spawn(probe.run(Arc::clone(connector), peer));
        }
    }

    /// The target for the next attempt, and the peer to connect to.
    pub async fn pick(&self, request: &Pick<'_>) -> Result<Picked, OriginError> {
        let (place, target, address) = self.choose(request).await?;
        let peer = place.template.peer(address, request.needs);
        Ok(Picked { peer, target, host: self.host(place, request.viewer_host) })
    }

    /// The same for a connection that is not Pingora's.
    pub async fn aim(&self, request: &Pick<'_>) -> Result<Aim, OriginError> {
        let (place, target, address) = self.choose(request).await?;
        let patience = Patience {
            connect: self.http.connect_timeout,
            read: self.http.read_timeout,
            write: self.http.write_timeout,
            idle: self.http.keepalive_timeout,
        };
        let at = (place.template.digest(), (address, place.template.port()).into());
        Ok(Aim { place: at, patience, target, host: self.host(place, request.viewer_host) })
    }

    /// Whether every target speaks HTTP/1.1 without TLS.
    pub fn is_plain(&self) -> bool {
        self.http.protocol != UpstreamProtocol::H2 && self.places.iter().all(|place| !place.tls)
    }

    async fn choose(&self, request: &Pick<'_>) -> Result<(&Place, TargetRef, IpAddr), OriginError> {
        let mut nameless: SmallVec<[TargetId; 8]> = SmallVec::new();
        let mut last = OriginError::NoTarget { origin: self.name.clone() };
        // A target whose name cannot be resolved costs no attempt: the next one is asked.
        for _ in 0..self.places.len() {
            let usable = self.usable(request.tried, &nameless, Instant::now());
            let Some(index) = self.balance.choose(&usable, request.hash, rand::random()) else { break };
            let Some(place) = self.places.get(index) else { break };
            match place.name.address().await {
                Ok(address) => {
                    let at = (address, place.template.port()).into();
                    return Ok((
                        place,
                        TargetRef { index, name: Arc::clone(&place.label), address: Some(at) },
                        address,
                    ));
                }
                Err(error) => {
                    self.blame(place, Outcome::ConnectFailed, Instant::now());
                    nameless.push(index);
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// The Host header, as the first target gets it.
    pub fn first_host(&self, viewer: Option<&HeaderValue>) -> Option<HeaderValue> {
        self.places.first().map(|place| self.host(place, viewer))
    }

    /// How an attempt ended.
    pub fn report(&self, target: &TargetRef, outcome: Outcome, now: Instant) {
        let Some(place) = self.places.get(target.index) else { return };
        if let (Outcome::ConnectFailed, Some(address)) = (outcome, target.address) {
            place.name.failed(address.ip());
        }
        self.blame(place, outcome, now);
    }

    pub fn status(&self, origin: OriginId, now: Instant) -> Vec<TargetStatus> {
        let describe = |place: &Place| {
            let (up, rests, last_error) = place.condition.describe(now, self.http.health.as_ref());
            TargetStatus {
                origin,
                origin_name: self.name.clone(),
                target: Arc::clone(&place.label),
                up,
                resting: rests && self.http.eject.is_some(),
                last_error,
                addresses: place.name.known(),
            }
        };
        self.places.iter().map(describe).collect()
    }

    /// The targets of the highest rung of [`LADDER`] that has any.
    fn usable(&self, tried: &[TargetId], nameless: &[TargetId], now: Instant) -> SmallVec<[bool; 16]> {
        let (health, eject) = (self.http.health.as_ref(), self.http.eject.as_ref());
        let healthy: SmallVec<[bool; 16]> =
            self.places.iter().map(|place| place.condition.usable(now, health, eject)).collect();
        let rung = |(must_be_healthy, must_be_new): (bool, bool)| {
            let usable = |(index, healthy): (usize, &bool)| {
                let passed_over = (must_be_healthy && !healthy) || (must_be_new && tried.contains(&index));
                !passed_over && !nameless.contains(&index)
            };
            healthy.iter().enumerate().map(usable).collect::<SmallVec<[bool; 16]>>()
        };
        LADDER.into_iter().map(rung).find(|usable| usable.contains(&true)).unwrap_or_default()
    }

    fn host(&self, place: &Place, viewer: Option<&HeaderValue>) -> HeaderValue {
        match &self.http.host {
            HostHeader::Origin => place.host.clone(),
            HostHeader::Viewer => viewer.unwrap_or(&place.host).clone(),
            HostHeader::Fixed(host) => host.clone(),
        }
    }

    fn blame(&self, place: &Place, outcome: Outcome, now: Instant) {
        let wants_rest = place.condition.note(outcome, now, self.http.eject.as_ref());
        let Some(rule) = self.http.eject.as_ref().filter(|_| wants_rest) else { return };
        let resting = self.places.iter().filter(|place| place.condition.rests(now)).count();
        if eject::may_rest(resting, self.places.len(), rule) {
            place.condition.rest(now, rule);
            log::warn!("origin {} {} rests for {:?}: {outcome}", self.name, place.label, rule.rest);
        }
    }
}
