//! Server: puts the rooms together and runs them until told to stop.
//!
//! In: a compiled configuration. Out: a PoP that serves, reloads and drains. Never: a request's own decisions.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use tokio::sync::Notify;

use crate::cache::horizon::Horizon;
use crate::cache::store::Tiers;
use crate::config::compiled::{Config, Origin};
use crate::durable::private_dir;
use crate::integration::Integrations;
use crate::listen::{Endpoints, Gate, h2_options};
use crate::observe::metrics::{EventSourceNumbers, TableNumbers, TargetNumbers};
use crate::observe::{Numbers, Observer};
use crate::origin::{Names, Origins};

use super::control::Control;
use super::fleet::Fleet;
use super::front::Front;
use super::functions::Functions;
use super::guard::Guard;
use super::naming::bind_udp;
use super::phases::{Phases, now_ms, now_nanos};
use super::purging::Purging;
use super::reload::Reload;
use super::revising::Revising;
use super::services::{self, Services};
use super::shared::Shared;
use super::snapshot::{Live, Snapshot};
use super::streams::Streams;
use super::{importing, warming};

/// Connections that may wait for the admin API.
const BACKLOG: i32 = 128;
/// How long a successor waits for what its predecessor still holds.
pub(super) const HANDOVER: Duration = Duration::from_secs(30);
/// Seconds that Pingora waits for a predecessor's sockets (its `MAX_RETRY`, and the first look).
const HANDED_OVER: u8 = 6;
/// Where viewers' addresses are written.
const LISTENER_KEY: &str = "pop.listen, or the listener's address";
const ADMIN_KEY: &str = "admin.address";
/// How long the log may take to be written out at the end.
pub(super) const FLUSH: Duration = Duration::from_secs(5);
/// Pingora's bound on rounds of one request through `upstream_peer`; ours are counted per origin.
const ROUNDS_MAX: usize = 64;
/// Idle connections kept to all origins together.
const POOL: usize = 1024;

/// Why a PoP could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error("cannot use the state directory {}: {source}", path.display())]
    State { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Functions(#[from] super::functions::LoadError),
    #[error(transparent)]
    Observe(#[from] crate::observe::ObserveError),
    #[error(transparent)]
    Store(#[from] crate::cache::store::StoreError),
    #[error(transparent)]
    Fleet(#[from] crate::fleet::FleetError),
    #[error(transparent)]
    Origin(#[from] crate::origin::OriginError),
    #[error(transparent)]
    Services(#[from] super::services::ServiceError),
    #[error(transparent)]
    Integration(#[from] crate::integration::IntegrationError),
    #[error(transparent)]
    Listen(#[from] crate::listen::ListenError),
    /// `key` of the configuration has the address.
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, key: &'static str, source: std::io::Error },
}

/// How to start.
#[derive(Debug, Default)]
pub struct Start {
    /// The file or directory the configuration came from; `None` = it cannot be reloaded.
    pub path: Option<PathBuf>,
    /// The directory of the revision that it was read together with.
    pub revision: Option<PathBuf>,
    /// Take the listening sockets over from the process that runs now.
    pub upgrade: bool,
}

/// Why traffic should go elsewhere (starting, draining); `None` = it is served.
pub type Phase = Arc<Mutex<Option<&'static str>>>;

/// A PoP that is put together, and what the operator's API needs of it.
pub struct Pop {
    pub shared: Arc<Shared>,
    pub reload: Arc<Reload>,
    pub purging: Arc<Purging>,
    pub fleet: Arc<Fleet>,
    /// `None` = no key is trusted.
    pub revising: Option<Arc<Revising>>,
    /// `None` = nothing is stored on disk.
    pub(super) horizon: Option<Arc<Horizon>>,
    pub started_ms: u64,
    pub(super) phase: Phase,
    pub(super) gate: Arc<Gate>,
    endpoints: Arc<Endpoints>,
    pub(super) upgrade: bool,
}

// === impl Pop ===
impl Pop {
    /// Opens everything the configuration names; nothing listens yet.
    pub fn open(config: Config, start: Start) -> Result<Self, StartError> {
        let state = config.pop.state_dir.clone();
        private_dir(&state).map_err(|source| StartError::State { path: state.clone(), source })?;
        if std::fs::metadata(&state).is_ok_and(|meta| meta.mode() & 0o005 != 0) {
            let path = state.display();
            log::warn!(
                "every user of this machine can read {path}, with its tables and cached answers: chmod o-rwx {path}"
            );
        }
        let observer = Arc::new(Observer::start(&config.observe, &config.pop.code)?);
        let tiers = Tiers::open(&config.store)?;
        let names = Arc::new(Names::default());
        let integrations = Integrations::new()?;
        let endpoints = Arc::new(Endpoints::new(&config.listeners)?);
        let gate = Gate::new(&config.limits);
        let told = config.fleet.bus.is_some().then(|| Arc::new(Notify::new()));
        let functions = Functions::new(&state, told.clone());
        // Beside a process that hands over, compiling leaves the machine to that one's requests.
        functions.starting(!start.upgrade);
        let loaded = functions.load(&config, None, observer.metrics())?;
        let endpoint = |origin: &Origin| loaded.endpoint(&integrations, origin);
        let origins = Arc::new(Origins::new(&config.origins, &endpoint, None, &names)?.among(
            &config.fleet,
            &config.pop.code,
            None,
        )?);
        let guard = Guard::new(&state, &config, told.clone())?;
        let snapshot = Arc::new(Snapshot::new(config, origins, loaded, &guard, &integrations, observer.metrics())?);
        functions.starting(false);
        warming::warm(&snapshot, None);
        let live = Live::new(snapshot);
        let shared = Arc::new(Shared::new(live, tiers, observer, functions, guard, integrations));
        let (begun, first) = (start.revision.is_some(), shared.live.load().config.clone());
        let reload =
            Arc::new(Reload::new(shared.clone(), start.path, start.revision, names, endpoints.clone(), gate.clone()));
        // Only what is on disk outlives the process that fetched it.
        let horizon = first.store.disk.is_some();
        let horizon = horizon.then(|| Arc::new(Horizon::open(&state.join("stamps"), &shared.stamps, now_nanos())));
        let purging = Arc::new(Purging::new(shared.clone(), first.fleet.bus.is_some()));
        let fleet = Arc::new(Fleet::new(shared.clone(), purging.clone(), &first, told));
        let revising = Revising::new(&first, begun, reload.clone(), shared.clone());
        let phase = Arc::new(Mutex::new(Some("starting")));
        let (started_ms, upgrade) = (now_ms(), start.upgrade);
        let pop =
            Pop { shared, reload, purging, fleet, revising, horizon, started_ms, phase, gate, endpoints, upgrade };
        if !pop.upgrade {
            pop.try_addresses()?;
        }
        pop.publish_numbers();
        let shared = Arc::downgrade(&pop.shared);
        let whence =
            move |address| shared.upgrade().map(|shared| shared.live.peek().whence(address)).unwrap_or_default();
        pop.shared.observer.look_up(Box::new(whence));
        Ok(pop)
    }

    /// See [`Phase`].
    pub fn phase(&self) -> Phase {
        self.phase.clone()
    }

    fn publish_numbers(&self) {
        let (shared, gate, fleet) = (self.shared.clone(), self.gate.clone(), self.fleet.clone());
        self.shared
            .observer
            .metrics()
            .read_numbers(move || Numbers { fleet: fleet.numbers(), ..numbers(&shared, &gate) });
    }

    /// Binds every address once: Pingora would try for half a minute, then panic; and the admin address is shared with the
    /// process that hands over, and with no other.
    fn try_addresses(&self) -> Result<(), StartError> {
        let config = &self.shared.live.load().config;
        let listeners = config.listeners.iter().map(|listener| (listener.address, LISTENER_KEY));
        let admin = config.admin.as_ref().map(|admin| (admin.address, ADMIN_KEY));
        let apis = services::apis(config).into_iter().map(|(api, address, _)| (address, api.key()));
        for (address, key) in listeners.chain(admin).chain(apis) {
            bind(address, false).map_err(|source| StartError::Bind { address, key, source })?;
        }
        for &address in config.dns.iter().flat_map(|dns| &dns.listen) {
            let tried = bind(address, false).and_then(|_| bind_udp(address, false));
            tried.map_err(|source| StartError::Bind { address, key: "dns.listen", source })?;
        }
        Ok(())
    }

    /// Serves until a signal ends it: SIGTERM drains, SIGQUIT hands the sockets to a process started with `--upgrade` and
    /// drains, SIGINT stops at once. `admin` answers the operator when the configuration has an admin address.
    pub fn run(self, admin: Option<(SocketAddr, axum::Router)>) -> Result<(), StartError> {
        let config = self.shared.live.load().config.clone();
        let threads = match config.pop.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let handover = config.pop.state_dir.join("upgrade.sock");
        let conf = ServerConf {
            threads,
            max_retries: ROUNDS_MAX,
            upstream_keepalive_pool_size: POOL,
            grace_period_seconds: Some(config.pop.drain.as_secs().max(1)),
            graceful_shutdown_timeout_seconds: Some(1),
            pid_file: config.pop.state_dir.join("rimward.pid").display().to_string(),
            upgrade_sock: handover.display().to_string(),
            ..ServerConf::default()
        };
        let opt = Opt { upgrade: self.upgrade, ..Opt::default() };
        let mut server = Server::new_with_opt_and_conf(Some(opt), conf);
        if self.upgrade {
            // Pingora waits a few seconds, and then ends the process in its own words.
            log::info!(
                "waiting at {} for the sockets of the process that runs with this state_dir: send it SIGQUIT within {HANDED_OVER} s; \
                 where none runs, start without --upgrade",
                handover.display()
            );
        }
        // With `--upgrade`: waits here until the process that runs gives its sockets.
        server.bootstrap();
        let admin = match admin {
            None => None,
            Some((address, router)) => {
                let socket = bind(address, true);
                Some((socket.map_err(|source| StartError::Bind { address, key: ADMIN_KEY, source })?, router))
            }
        };
        self.purging
            .open(&config.pop.state_dir.join("purges.redb"), if self.upgrade { HANDOVER } else { Duration::ZERO })?;
        self.shared
            .functions
            .attach(if self.upgrade { HANDOVER } else { Duration::ZERO })
            .map_err(|error| importing::placed(&config, error))?;
        let unread = self.shared.live.load().functions.kv.unread(&config.kv_stores);
        unread.iter().for_each(|warning| log::warn!("{warning}"));
        let services =
            Services::open(&self.shared, &config, if self.upgrade { HANDOVER } else { Duration::ZERO })?.map(Arc::new);
        let mut proxy = HttpProxy::new(Phases(self.shared.clone()), server.configuration.clone());
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(config.limits.idle_timeout);
        proxy.server_options = Some(options);
        proxy.h2_options = Some(h2_options(&config.limits));
        proxy.handle_init_modules();
        let proxy = Arc::new(proxy);
        let front = Front {
            shared: self.shared.clone(),
            streams: Arc::new(Streams { shared: self.shared.clone(), proxy: proxy.clone() }),
            proxy,
            gate: self.gate.clone(),
            endpoints: self.endpoints.clone(),
        };
        let mut service = Service::new("viewers".to_owned(), front);
        for listener in self.endpoints.configs() {
            service.add_listener(listener);
        }
        service.set_connection_filter(self.gate.clone());
        server.add_service(service);
        let (observer, tiers) = (self.shared.observer.clone(), self.shared.tiers);
        server.add_service(background_service("control", Control::new(self, admin, services)));
        server.run(RunArgs::default());
        tiers.invalidated().flush(FLUSH);
        observer.shutdown(FLUSH);
        Ok(())
    }
}

/// A listening socket on `address`. `shared`: also while a process that hands over still holds it.
pub(super) fn bind(address: SocketAddr, shared: bool) -> std::io::Result<std::net::TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What gauges show at this moment.
fn numbers(shared: &Shared, gate: &Gate) -> Numbers {
    let (stats, counts) = (shared.tiers.stats(), gate.counts());
    let targets = shared.live.load().origins.status().into_iter().map(|target| TargetNumbers {
        origin: target.origin_name,
        target: target.target.to_string(),
        up: target.up && !target.resting,
    });
    Numbers {
        connections: counts.open as u64,
        refused_total: counts.refused_full,
        refused_per_address: counts.refused_address,
        memory_evictions: stats.evictions,
        disk_evictions: stats.disk_evictions,
        memory_bytes: stats.memory_bytes,
        memory_objects: stats.memory_objects,
        disk_bytes: stats.disk_bytes,
        disk_objects: stats.disk_objects,
        fills_in_flight: stats.fills_in_flight,
        targets: targets.collect(),
        tables: shared.integrations.local.dynamo().map(tables),
        event_sources: shared.integrations.local.lambda().map(event_sources).unwrap_or_default(),
        fleet: None,
        names: shared.live.load().steering.as_ref().map(|steering| shared.guard.pops.numbers(steering)),
    }
}

fn event_sources(local: &crate::lambda::Lambda) -> Vec<EventSourceNumbers> {
    let each = local.sources().into_iter().map(|source| EventSourceNumbers {
        uuid: source.uuid,
        function: source.function,
        records: source.records,
        given_up: source.given_up,
        lag_ms: u64::try_from(source.lag.as_millis()).unwrap_or(u64::MAX),
    });
    each.collect()
}

fn tables(tables: &crate::dynamo::Dynamo) -> TableNumbers {
    let now = tables.numbers();
    let crate::dynamo::Followings { lags: follow_lags, passed: follow_passed } = now.follow.unwrap_or_default();
    TableNumbers {
        throttled: now.throttled + now.unprocessed,
        denied: now.denied,
        // Whole units: a fraction is another call's.
        read_units: now.read_units as u64,
        write_units: now.write_units as u64,
        expired: now.expired,
        replicated: now.replicated,
        items: now.items,
        queries: now.queries,
        follow_lags,
        follow_passed,
        calls: now.calls,
    }
}
