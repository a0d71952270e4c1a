//! Control: what runs beside the request path: reloads, health checks, the operator's API, draining.
//!
//! In: signals, changed files, the admin socket. Out: a snapshot swapped, a process that ends when its last viewer has.
//! Never: a request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::net::TcpListener;

use crate::cache::horizon::{self, Horizon};
use crate::config::watch::{self, Fingerprint};

use super::fleet::Fleet;
use super::naming;
use super::phases::now_nanos;
use super::purging::Purging;
use super::reload::Reload;
use super::revising::Revising;
use super::server::{FLUSH, HANDOVER, Phase, Pop};
use super::services::Services;
use super::shared::Shared;
use super::telling;

/// How often the configuration's files and the functions' are looked at: a change that held still for one more is loaded.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// Between two looks whether listeners are up, and whether the last connection has gone.
const PROBE_EVERY: Duration = Duration::from_millis(10);
const DRAIN_EVERY: Duration = Duration::from_millis(50);
/// How late an idle connection to an origin may be closed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The PoP's background service.
pub(super) struct Control {
    pop: Pop,
    admin: Mutex<Option<(std::net::TcpListener, axum::Router)>>,
    services: Option<Arc<Services>>,
}

#[async_trait]
impl BackgroundService for Control {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let pop = &self.pop;
        let snapshot = pop.shared.live.load();
        snapshot.origins.start(&pop.reload.connector);
        if let Some(steering) = &snapshot.steering {
            steering.start(&pop.reload.connector);
        }
        drop(snapshot);
        tokio::spawn(naming::serve(pop.shared.clone()));
        tokio::spawn(pop.shared.observer.clone().reopen_on_signal().map(|error| log::error!("SIGUSR1: {error}")));
        let admin = self.admin.lock().take();
        if let Some(services) = self.services.clone() {
            tokio::spawn(hand_over(services));
        }
        if let Some((socket, router)) = admin {
            tokio::spawn(serve_admin(socket, router, pop.purging.clone(), pop.fleet.clone(), pop.shared.clone()));
        }
        // A fleet of one has nobody to tell, but revisions to take.
        if pop.revising.is_some() || pop.shared.live.load().config.fleet.bus.is_some() {
            tokio::spawn(pop.fleet.clone().run(if pop.upgrade { HANDOVER } else { Duration::ZERO }));
        }
        tokio::spawn(announce(pop.shared.clone(), pop.phase.clone()));
        if let Some(revising) = pop.revising.clone() {
            tokio::spawn(revise(revising, pop.fleet.clone()));
        }
        tokio::spawn(watch_signals(pop.reload.clone()));
        tokio::spawn(watch_files(pop.reload.clone()));
        tokio::spawn(sweep(pop.shared.clone()));
        if let Some(horizon) = pop.horizon.clone() {
            tokio::spawn(raise(horizon, pop.shared.clone()));
        }
        tokio::spawn(tend(pop.shared.clone()));
        tokio::spawn(telling::run(pop.shared.clone(), pop.phase.clone(), pop.revising.clone()));
        while !*shutdown.borrow() {
            if shutdown.changed().await.is_err() {
                return;
            }
        }
        *pop.phase.lock() = Some("draining");
        self.drain().await;
    }
}

// === impl Control ===
impl Control {
    pub(super) fn new(
        pop: Pop,
        admin: Option<(std::net::TcpListener, axum::Router)>,
        services: Option<Arc<Services>>,
    ) -> Self {
        Control { pop, admin: Mutex::new(admin), services }
    }

    /// Ends the process as soon as the last connection has; Pingora's grace period is the bound.
    async fn drain(&self) {
        loop {
            tokio::time::sleep(DRAIN_EVERY).await;
            if self.pop.gate.counts().open == 0 {
                break;
            }
        }
        if let Some(services) = &self.services {
            services.close().await;
        }
        self.pop.shared.tiers.invalidated().flush(FLUSH);
        self.pop.shared.observer.shutdown(FLUSH);
        std::process::exit(0);
    }
}

async fn watch_signals(reload: Arc<Reload>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return log::error!("SIGHUP cannot be watched: {error}"),
    };
    while hangups.recv().await.is_some() {
        // The reload logs its own outcome.
        let _ = reload.now();
    }
}

async fn watch_files(reload: Arc<Reload>) {
    let Some(paths) = reload.watched() else { return };
    let (mut paths, mut seen) = (paths.clone(), Fingerprint::of(&paths));
    loop {
        seen = watch::changes(&paths, seen, WATCH_EVERY).await;
        let _ = reload.now();
        let now = reload.watched().unwrap_or_default();
        if now != paths {
            // Other files from here on: what they look like now is what was just read.
            seen = Fingerprint::of(&now);
            paths = now;
        }
    }
}

/// Follows the revisions of the fleet, until this process hands over.
async fn revise(revising: Arc<Revising>, fleet: Arc<Fleet>) {
    use tokio::signal::unix::{SignalKind, signal};
    let bus = fleet.bus().await;
    let handed_over = async {
        match signal(SignalKind::quit()) {
            Ok(mut quits) => drop(quits.recv().await),
            Err(error) => {
                log::error!("SIGQUIT cannot be watched: {error}");
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        () = revising.run(bus) => {}
        () = handed_over => fleet.close().await,
    }
}

/// Keeps issuers' keys fresh, and counts on disk.
async fn tend(shared: Arc<Shared>) {
    shared.guard.run().await;
}

/// Closes connections to origins that nobody used for too long.
async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        shared.pool.sweep(std::time::Instant::now());
    }
}

/// Keeps the bound of stamps ahead of the clock.
async fn raise(horizon: Arc<Horizon>, shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(horizon::EVERY).await;
        let (horizon, shared) = (horizon.clone(), shared.clone());
        // A panic has its own word in the log.
        let _ = tokio::task::spawn_blocking(move || horizon.raise(&shared.stamps, now_nanos())).await;
    }
}

/// Lets go of functions and tables when this process hands over: its successor waits for them.
async fn hand_over(services: Arc<Services>) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::quit()) {
        Ok(mut quits) => {
            quits.recv().await;
            services.close().await;
        }
        Err(error) => log::error!("SIGQUIT cannot be watched: {error}"),
    }
}

/// The operator's API, until this process hands over: its successor then answers on the same address.
async fn serve_admin(
    socket: std::net::TcpListener,
    router: axum::Router,
    purging: Arc<Purging>,
    fleet: Arc<Fleet>,
    shared: Arc<Shared>,
) {
    use tokio::signal::unix::{SignalKind, signal};
    let handed_over = async move {
        match signal(SignalKind::quit()) {
            Ok(mut quits) => {
                quits.recv().await;
                purging.close();
                fleet.close().await;
                shared.functions.close();
            }
            Err(error) => {
                log::error!("SIGQUIT cannot be watched: {error}");
                std::future::pending().await
            }
        }
    };
    let served = match TcpListener::from_std(socket) {
        Ok(socket) => {
            axum::serve(socket, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(handed_over)
                .await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        log::error!("the admin API ended: {error}");
    }
}

/// Says that this PoP is ready once every listener takes connections.
async fn announce(shared: Arc<Shared>, phase: Phase) {
    let listeners = shared.live.load().config.listeners.clone();
    let admin = shared.live.load().config.admin.as_ref().map(|admin| admin.address);
    for listener in &listeners {
        let mut address = listener.address;
        if address.ip().is_unspecified() {
            let loopback: IpAddr =
                if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }
    let mut phase = phase.lock();
    if *phase == Some("starting") {
        *phase = None;
        let scheme = |tls: bool| if tls { "https" } else { "http" };
        let viewers = listeners.iter().map(|one| format!("{}://{}", scheme(one.tls.is_some()), one.address));
        let operators = admin.map(|address| format!("admin http://{address}"));
        log::info!("ready: {}", viewers.chain(operators).collect::<Vec<_>>().join(", "));
    }
}
