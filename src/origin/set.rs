//! Set: decides for one request which target of an origin it goes to, and hands out the peer.
//!
//! In: the compiled origins, the set before this one (what it knew of its targets), the outcome of each attempt.
//! Out: a peer and the Host header to send; the targets' state. Never: retries, failover, header rewriting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use parking_lot::Mutex;
use pingora::connectors::http::Connector;
use pingora::upstreams::peer::HttpPeer;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::OriginError;
use super::adapter::{About, Adapter, Endpoint};
use super::direct::Direct;
use super::dns::Names;
use super::link::Patience;
use super::nodes::Nodes;
use super::peer::Needs;
use super::pool::Place;
use super::reroute::{Reroute, Reroutes};
use super::target::{Outcome, TargetId, TargetRef, TargetStatus};
use crate::config::compiled::{Fleet, Origin, OriginId, OriginKind, SignedOrigin, Signing, Target};
use crate::public::is_public;

/// Every origin of one configuration, ready to be asked.
#[derive(Debug)]
pub struct Origins {
    /// By `OriginId`.
    lanes: Vec<Lane>,
    /// Health checks. They end when this set is dropped or stopped.
    checks: Mutex<JoinSet<()>>,
    /// Origins that functions made up.
    reroutes: Reroutes,
    names: Arc<Names>,
    /// The fleet's other nodes.
    nodes: Nodes,
}

/// What one request asks of an origin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pick<'a> {
    /// What `Balance::Consistent` goes by: the cache key's hash, or [`Pick::unkeyed`].
    pub hash: u64,
    /// Targets of this origin that this request tried already: passed over while others are left.
    pub tried: &'a [TargetId],
    /// The viewer's Host, for `HostHeader::Viewer`.
    pub viewer_host: Option<&'a HeaderValue>,
    pub needs: Needs,
    /// What an origin inside this process is told of the request.
    pub about: Option<&'a Arc<About>>,
}

// === impl Pick ===
impl Pick<'_> {
    /// The hash of a request that has no cache key: each URL has its target.
    pub fn unkeyed(host: &str, target: &str) -> u64 {
        xxh3_64_with_seed(target.as_bytes(), xxh3_64(host.as_bytes()))
    }
}

/// Answers for an origin that is no plain HTTP server: asked once for each such origin of a configuration.
pub type Endpoints<'a> = &'a dyn Fn(&Origin) -> Option<Arc<dyn Endpoint>>;

/// Where one attempt goes.
#[derive(Debug)]
pub struct Picked {
    pub peer: Box<HttpPeer>,
    pub target: TargetRef,
    /// The Host header to send.
    pub host: HeaderValue,
}

/// Where one attempt goes whose connection is not Pingora's.
#[derive(Debug)]
pub struct Aim {
    pub place: Place,
    pub patience: Patience,
    pub target: TargetRef,
    /// The Host header to send.
    pub host: HeaderValue,
}

#[derive(Debug)]
enum Lane {
    Http(Box<Direct>),
    Adapter(Box<Adapter>),
    /// An adapter too: a server that is asked with a signature.
    Signed {
        adapter: Box<Adapter>,
        spec: Arc<SignedOrigin>,
    },
}

// === impl Origins ===

impl Origins {
    /// Builds every origin of a configuration; a target that `previous` had under the same origin name, host and port keeps
    /// what was known of it. Reads certificate files, sends nothing. `endpoints` makes what answers for origins that are neither
    /// HTTP servers nor `generated`.
    ///
    /// # Errors
    /// A certificate file that cannot be used, a target without a usable name: named in the error.
    pub fn new(
        origins: &[Origin],
        endpoints: Endpoints<'_>,
        previous: Option<&Origins>,
        names: &Arc<Names>,
    ) -> Result<Self, OriginError> {
        let lane = |origin| Lane::new(origin, endpoints, previous, names);
        let lanes = origins.iter().map(lane).collect::<Result<_, _>>()?;
        let (checks, reroutes, nodes) = (Mutex::default(), Reroutes::default(), Nodes::default());
        Ok(Origins { lanes, checks, reroutes, names: Arc::clone(names), nodes })
    }

    /// The same among the other nodes of a fleet; a node that `previous` knew keeps what was known of it.
    ///
    /// # Errors
    /// A node without a usable name.
    pub fn among(self, fleet: &Fleet, pop: &str, previous: Option<&Origins>) -> Result<Self, OriginError> {
        let nodes = Nodes::new(fleet, pop, previous.map(|previous| &previous.nodes), &self.names)?;
        Ok(Origins { nodes, ..self })
    }

    /// The fleet's other nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Starts the health checks on the current tokio runtime; a second call starts them anew. `connector` serves
    /// nothing else: its pools stay empty.
    pub fn start(&self, connector: &Arc<Connector>) {
        let mut checks = JoinSet::new();
        for direct in self.lanes.iter().filter_map(Lane::direct) {
            direct.check(connector, &mut checks);
        }
        // What was there is dropped, and so ended.
        *self.checks.lock() = checks;
    }

    /// Ends the health checks: the set that follows this one does them. Requests already here go on.
    pub fn stop(&self) {
        *self.checks.lock() = JoinSet::new();
    }

    /// The target for the next attempt of a request. Waits only when no address of the target's name is known.
    ///
    /// # Errors
    /// No such origin; no target's name can be resolved.
    pub async fn pick(&self, origin: OriginId, request: &Pick<'_>) -> Result<Picked, OriginError> {
        match self.lanes.get(origin) {
            Some(Lane::Http(direct)) => direct.pick(request).await,
            Some(Lane::Adapter(adapter) | Lane::Signed { adapter, .. }) => {
                Ok(adapter.pick(request.viewer_host, request.about.cloned().unwrap_or_default()))
            }
            None => Err(OriginError::Unknown(origin)),
        }
    }

    /// The Host header that `origin` is sent, whichever of its targets is asked.
    pub fn host(&self, origin: OriginId, viewer_host: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self.lanes.get(origin)? {
            Lane::Http(direct) => direct.first_host(viewer_host),
            Lane::Adapter(_) | Lane::Signed { .. } => Some(Adapter::host(viewer_host)),
        }
    }

    /// The target for the next attempt at an origin that a function described.
    ///
    /// # Errors
    /// As [`Origins::pick`]; an address that is not public, under a name and a port that no configured origin has together; requests to it
    /// are to be signed, and those to `base` are not.
    pub async fn pick_rerouted(
        &self,
        base: OriginId,
        reroute: &Reroute,
        request: &Pick<'_>,
    ) -> Result<Picked, OriginError> {
        let lane = self.lanes.get(base).ok_or(OriginError::Unknown(base))?;
        let reroute = match (lane, &reroute.signing) {
            (Lane::Signed { adapter, spec }, _) => match reroute.signed(spec)? {
                Some(to) => {
                    let signed = self.signed(adapter, to)?;
                    return Ok(signed.pick(request.viewer_host, request.about.cloned().unwrap_or_default()));
                }
                None => reroute.unsigned(spec),
            },
            (_, Some(Signing::On { service, .. })) => {
                return Err(OriginError::Unsigned { service: service.clone(), origin: lane.name().to_owned() });
            }
            // What is asked within this process has no address of its own that could differ in the rest.
            (Lane::Adapter(_), _) if reroute.host.is_none() => return self.pick(base, request).await,
            (Lane::Http(_), _) if reroute.is_same_server() => return self.pick(base, request).await,
            _ => reroute.clone(),
        };
        let configured = lane.direct();
        let reroute = Reroute { base: configured.map_or("", Direct::name).to_owned(), signing: None, ..reroute };
        let made = self.reroutes.find(&reroute, configured.map(Direct::settings), &self.names)?;
        let picked = made.pick(request).await?;
        // Another port of a private host is another service: the operator named the one, not all that listen there.
        let strange = made.settings().targets.get(picked.target.index).filter(|target| !self.is_configured(target));
        match (strange, picked.target.address) {
            (Some(target), Some(address)) if !is_public(address.ip()) => {
                Err(OriginError::Private { host: target.host.clone(), address })
            }
            _ => Ok(picked),
        }
    }

    /// The signed origin that is like `adapter`'s, at another server.
    fn signed(&self, adapter: &Adapter, to: SignedOrigin) -> Result<Adapter, OriginError> {
        let target = to.target();
        let known = self.is_configured(&target);
        // No name: nobody resolves it, who would see that it is not public.
        match target.host.parse::<IpAddr>() {
            Ok(ip) if !known && !is_public(ip) => {
                let address = SocketAddr::new(ip, target.port);
                Err(OriginError::Private { host: target.host, address })
            }
            _ => adapter.at(to, known).ok_or_else(|| OriginError::NoTarget { origin: adapter.name().to_owned() }),
        }
    }

    /// Whether some origin has a target with that name and that port.
    fn is_configured(&self, target: &Target) -> bool {
        self.lanes.iter().any(|lane| match lane {
            Lane::Http(direct) => direct.has_target(&target.host, target.port),
            Lane::Signed { spec, .. } => spec.target().is_at(&target.host, target.port),
            Lane::Adapter(_) => false,
        })
    }

    /// Whether `origin` is asked within this process.
    pub fn is_within(&self, origin: OriginId) -> bool {
        matches!(self.lanes.get(origin), Some(Lane::Adapter(_) | Lane::Signed { .. }))
    }

    /// Whether every target of `origin` speaks HTTP/1.1 without TLS: then [`Origins::aim`] is for it.
    pub fn is_plain(&self, origin: OriginId) -> bool {
        matches!(self.lanes.get(origin), Some(Lane::Http(direct)) if direct.is_plain())
    }

    /// As [`Origins::pick`], for a connection that is not Pingora's.
    ///
    /// # Errors
    /// As [`Origins::pick`]; an origin inside this process.
    pub async fn aim(&self, origin: OriginId, request: &Pick<'_>) -> Result<Aim, OriginError> {
        match self.lanes.get(origin) {
            Some(Lane::Http(direct)) => direct.aim(request).await,
            Some(Lane::Adapter(_) | Lane::Signed { .. }) | None => Err(OriginError::Unknown(origin)),
        }
    }

    /// How the attempt at `target` ended: feeds passive ejection and the choice among a name's addresses.
    pub fn report(&self, origin: OriginId, target: &TargetRef, outcome: Outcome) {
        if let Some(Lane::Http(direct)) = self.lanes.get(origin) {
            direct.report(target, outcome, Instant::now());
        }
    }

    /// Attempts in all that `origin` allows (1 = no retry).
    pub fn attempts(&self, origin: OriginId) -> u32 {
        match self.lanes.get(origin) {
            Some(Lane::Http(direct)) => direct.attempts(),
            Some(Lane::Adapter(_) | Lane::Signed { .. }) | None => 1,
        }
    }

    /// Every target's state, for the admin page and the metrics.
    pub fn status(&self) -> Vec<TargetStatus> {
        let now = Instant::now();
        self.lanes.iter().enumerate().flat_map(|(origin, lane)| lane.status(origin, now)).collect()
    }

    fn direct(&self, name: &str) -> Option<&Direct> {
        self.lanes.iter().filter_map(Lane::direct).find(|direct| direct.name() == name)
    }
}

// === impl Lane ===

impl Lane {
    fn new(
        origin: &Origin,
        endpoints: Endpoints<'_>,
        previous: Option<&Origins>,
        names: &Names,
    ) -> Result<Self, OriginError> {
        match &origin.kind {
            OriginKind::Http(http) => {
                let known = previous.and_then(|previous| previous.direct(&origin.name));
                Ok(Lane::Http(Box::new(Direct::new(&origin.name, http, known, names)?)))
            }
            OriginKind::Generated(generated) => {
                Ok(Lane::Adapter(Box::new(Adapter::generated(&origin.name, generated))))
            }
            OriginKind::Signed(_) | OriginKind::Lambda(_) | OriginKind::Table(_) | OriginKind::Function(_) => {
                match endpoints(origin) {
                    Some(endpoint) => {
                        let adapter = Box::new(Adapter::new(&origin.name, endpoint));
                        Ok(match &origin.kind {
                            OriginKind::Signed(spec) => Lane::Signed { adapter, spec: Arc::clone(spec) },
                            _ => Lane::Adapter(adapter),
                        })
                    }
                    None => Err(OriginError::NoTarget { origin: origin.name.clone() }),
                }
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Lane::Http(direct) => direct.name(),
            Lane::Adapter(adapter) | Lane::Signed { adapter, .. } => adapter.name(),
        }
    }

    fn direct(&self) -> Option<&Direct> {
        match self {
            Lane::Http(direct) => Some(direct),
            Lane::Adapter(_) | Lane::Signed { .. } => None,
        }
    }

    fn status(&self, origin: OriginId, now: Instant) -> Vec<TargetStatus> {
        match self {
            Lane::Http(direct) => direct.status(origin, now),
            Lane::Adapter(adapter) | Lane::Signed { adapter, .. } => vec![adapter.describe(origin)],
        }
    }
}
