//! Snapshot: everything one request needs of the configuration, immutable.
//!
//! In: a compiled configuration. Out: routes, origins and per-behavior data behind one `Arc`. Never: changes after it is built.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderName;

use crate::access::{Guards, Used};

use crate::behavior::headers::HeadEdits;
use crate::behavior::viewer;
use crate::config::At;
use crate::config::compiled::{Asks, Behavior, BehaviorId, Config};
use crate::fleet::revision::takes;
use crate::geo::Place;
use crate::integration::Integrations;
use crate::integration::lambda::Function;
use crate::limit::Limits;
use crate::observe::{BehaviorMetrics, Metrics, OriginMetrics, Whence};
use crate::origin::Origins;
use crate::route::Table;

use super::edge::Signature;
use super::functions::{Chains, LoadError, Set};
use super::guard::Guard;
use super::steering::Steering;
use super::tally::Tally;

/// One configuration as the request path uses it.
pub struct Snapshot {
    pub config: Config,
    pub routes: Table,
    pub origins: Arc<Origins>,
    pub served: Vec<Arc<Served>>,
    /// By `OriginId`.
    pub origin_metrics: Vec<Arc<OriginMetrics>>,
    pub signature: Signature,
    pub functions: Set,
    pub guards: Guards,
    /// By `AuthorizerId`: the Lambda function that decides, where it is one.
    pub authorizers: Vec<Option<Function>>,
    pub bounds: Limits,
    /// Some behavior has an access rule.
    pub guarded: bool,
    /// Any behavior has limits of its own.
    pub limiting: bool,
    /// What no query is written down with: the secrets that any behavior's rule looks for.
    pub secrets: Arc<Used>,
    /// The fields in which some behavior says who asks.
    identities: Vec<HeaderName>,
    pub tally: Arc<Tally>,
    /// The PoPs that viewers are led to, where the configuration has them.
    pub steering: Option<Steering>,
}

/// Whether the functions that authorizers ask can be asked.
///
/// # Errors
/// One that has no Lambda handler.
pub fn answering(config: &Config, functions: &Set) -> Result<(), LoadError> {
    for (position, authorizer) in config.access.authorizers.iter().enumerate() {
        let Asks::Function { id, .. } = authorizer.asks else { continue };
        let answers = functions.loaded.get(id).is_some_and(|loaded| loaded.function.answers_lambda());
        if !answers {
            let words = "its function has no Lambda handler: exports.handler, or lambda_handler in Python";
            let at = At::default().key("authorizer").index(position).key("function");
            return Err(LoadError::at(config, &at, format!("authorizer '{}': {words}", authorizer.name)));
        }
    }
    Ok(())
}

/// One behavior with what is computed once from it.
pub struct Served {
    pub behavior: Arc<Behavior>,
    /// Header edits that no request changes, over plain and over TLS connections; `None` sends hits down the full path.
    pub edits: [Option<HeadEdits>; 2],
    pub metrics: Arc<BehaviorMetrics>,
    pub chains: Chains,
    /// Functions see its hits.
    pub hooked: bool,
    /// Its position in the configuration.
    pub index: usize,
    /// A limit of its own, or of all, concerns its requests.
    pub limited: bool,
    /// `CloudFront-…` fields that its requests get.
    pub viewer_fields: Vec<HeaderName>,
    /// Of the whole snapshot.
    pub tally: Arc<Tally>,
    /// Of the whole snapshot.
    pub secrets: Arc<Used>,
}

impl Snapshot {
    /// # Errors
    /// A function attached to an event that it has no handler for; a key that cannot be used.
    pub fn new(
        config: Config,
        origins: Arc<Origins>,
        functions: Set,
        guard: &Guard,
        integrations: &Integrations,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let tally = Arc::new(Tally::new(!config.fleet.trust.is_empty()));
        let rules = config.behaviors.iter().filter_map(|behavior| behavior.access.as_ref());
        let secrets: Vec<Used> = rules.map(|rule| Used::may_hold(rule, &config.access)).collect();
        let secrets = Arc::new(Used::any_of(&secrets));
        let guards = Guards::new(&config, &guard.tokens).map_err(LoadError::Access)?;
        let bounds = guard.bounds(&config)?;
        answering(&config, &functions)?;
        let authorizers = config.access.authorizers.iter().map(|authorizer| match &authorizer.asks {
            Asks::Function { .. } => None,
            Asks::Lambda(spec) => Some(integrations.function(spec)),
        });
        let authorizers = authorizers.collect();
        let routes = Table::new(&config.behaviors);
        let identities = identities(&config);
        let counters = metrics.behaviors(config.behaviors.iter().map(|b| b.name.as_str()));
        let served = config
            .behaviors
            .iter()
            .zip(counters)
            .enumerate()
            .map(|(index, (behavior, metrics))| {
                let chains = Chains::new(&config, behavior, &functions.loaded)?;
                let identity = &behavior.identity;
                let viewer_fields = viewer::wanted(behavior);
                // What a viewer's request has to be changed by before anything looks at it.
                let told = identity.header.is_some() || !identity.claims.is_empty() || !viewer_fields.is_empty();
                let keyed = |name: &HeaderName| identities.iter().any(|own| viewer::alike(own.as_str(), name.as_str()));
                // A field that is taken out must not be looked up by.
                let told = told || behavior.cache.key.headers.iter().any(keyed);
                let hooked = !chains.viewer_request.is_empty() || !chains.viewer_response.is_empty();
                let limited = !behavior.limits.is_empty() || config.rates.account.is_some();
                let edits = [false, true].map(|tls| HeadEdits::new(&behavior.response, tls).filter(|_| !told));
                let behavior = behavior.clone();
                Ok(Arc::new(Served {
                    behavior,
                    edits,
                    metrics,
                    chains,
                    hooked,
                    index,
                    limited,
                    viewer_fields,
                    tally: tally.clone(),
                    secrets: Arc::clone(&secrets),
                }))
            })
            .collect::<Result<_, LoadError>>()?;
        let origin_metrics = metrics.origins(config.origins.iter().map(|o| o.name.as_str()));
        let signature = Signature::new(&config.pop.code);
        let guarded = config.behaviors.iter().any(|behavior| behavior.access.is_some());
        let limiting = config.behaviors.iter().any(|behavior| !behavior.limits.is_empty());
        let steering = config.dns.as_ref().map(|dns| guard.pops.steering(dns, &config.pop.code, &guard.limits));
        // Nothing more is found in them.
        let config = Config { texts: Arc::default(), ..config };
        Ok(Snapshot {
            config,
            routes,
            origins,
            served,
            origin_metrics,
            signature,
            functions,
            guards,
            authorizers,
            bounds,
            guarded,
            limiting,
            secrets,
            identities,
            tally,
            steering,
        })
    }

    /// Whether only the edge may send a field of this name to functions and origins, whatever behavior serves the request: an origin that
    /// several behaviors share takes it for the edge's word.
    pub fn is_edges(&self, name: &str) -> bool {
        viewer::is_ours(name) || self.identities.iter().any(|own| viewer::alike(own.as_str(), name))
    }

    /// What is known of where an address is.
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        self.functions.geo.as_ref()?.lookup(address)
    }

    /// The country of an address, ISO 3166-1 alpha-2.
    pub fn country(&self, address: IpAddr) -> Option<[u8; 2]> {
        <[u8; 2]>::try_from(self.place(address)?.country?.as_bytes()).ok()
    }

    /// What the log says of where an address is.
    pub fn whence(&self, address: IpAddr) -> Whence {
        let place = self.place(address).unwrap_or_default();
        Whence { country: place.country.and_then(|code| code.as_bytes().try_into().ok()), asn: place.asn }
    }

    /// The behavior with this index; indexes come from this snapshot's own routes.
    pub fn behavior(&self, id: BehaviorId) -> &Arc<Served> {
        &self.served[id]
    }
}

fn identities(config: &Config) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = config.behaviors.iter().flat_map(|behavior| behavior.identity.names()).collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

// === impl Served ===
impl Served {
    /// Whether a copy of a request that it serves has to be told what the request became.
    pub fn changes(&self) -> bool {
        !self.chains.viewer_request.is_empty() || self.behavior.access.is_some() || !self.viewer_fields.is_empty()
    }
}

/// The snapshot in force. Requests load it once and keep what they loaded.
pub struct Live {
    main: ArcSwap<Snapshot>,
    /// There is a canary: the only thing that requests ask while there is none.
    shared_out: AtomicBool,
    canary: ArcSwapOption<Canary>,
}

/// A snapshot for some of the viewers.
#[derive(Debug)]
pub struct Canary {
    pub snapshot: Arc<Snapshot>,
    pub serial: u64,
    pub percent: u8,
}

impl Live {
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Live { main: ArcSwap::new(snapshot), shared_out: AtomicBool::new(false), canary: ArcSwapOption::empty() }
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.main.load_full()
    }

    /// A borrow without touching the reference count, for the fast lane.
    pub fn peek(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.main.load()
    }

    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        self.main.store(snapshot);
    }

    /// The canary, if this viewer is one of those who get it; always the same for a viewer.
    pub fn canary_of(&self, viewer: impl FnOnce() -> Option<IpAddr>) -> Option<Arc<Snapshot>> {
        if !self.shared_out.load(Ordering::Acquire) {
            return None;
        }
        let canary = self.canary.load();
        let canary = canary.as_ref()?;
        takes(viewer()?, canary.serial, canary.percent).then(|| canary.snapshot.clone())
    }

    pub fn canary(&self) -> Option<Arc<Canary>> {
        self.canary.load_full()
    }

    pub fn set_canary(&self, canary: Option<Arc<Canary>>) {
        let any = canary.is_some();
        self.canary.store(canary);
        self.shared_out.store(any, Ordering::Release);
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshot").field(&self.config.digest).finish()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.peek().config.digest).finish()
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Served").field(&self.behavior.name).finish()
    }
}
