//! Reload: load → check → build → swap; any error keeps what serves.
//!
//! In: the configuration's path. Out: a new snapshot in force, or the reason why the old one stays. Never: half of one.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::connectors::http::Connector;

use crate::config;
use crate::config::compiled::{Config, DynamoDb, DynamoEndpoint, Origin};
use crate::listen::{Endpoints, Gate};
use crate::origin::{Names, Origins};

use super::phases::now_ms;
use super::shared::Shared;
use super::snapshot::Snapshot;

/// What a reload needs besides the request path's own state.
pub struct Reload {
    pub connector: Arc<Connector>,
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    names: Arc<Names>,
    endpoints: Arc<Endpoints>,
    gate: Arc<Gate>,
    last: Mutex<Option<(u64, Option<String>)>>,
}

// === impl Reload ===
impl Reload {
    pub fn new(
        shared: Arc<Shared>,
        path: Option<PathBuf>,
        names: Arc<Names>,
        endpoints: Arc<Endpoints>,
        gate: Arc<Gate>,
    ) -> Self {
        Reload {
            connector: Arc::new(Connector::new(None)),
            shared,
            path,
            names,
            endpoints,
            gate,
            last: Mutex::default(),
        }
    }

    /// When the last reload was (milliseconds since the epoch), and why it was refused.
    pub fn last(&self) -> Option<(u64, Option<String>)> {
        self.last.lock().clone()
    }

    /// The files whose change is a reason to reload; `None` without a configuration file.
    pub fn watched(&self) -> Option<Vec<PathBuf>> {
        let path = self.path.clone()?;
        let mut paths = self.shared.live.load().config.sources.clone();
        paths.push(path);
        Some(paths)
    }

    /// Reads the configuration again and puts it in force. `Err` holds the whole message; the old snapshot serves on.
    ///
    /// Must run on a Tokio runtime: health checks of the new origins start here.
    pub fn now(&self) -> Result<String, String> {
        let outcome = blocking(|| self.build());
        self.shared.observer.metrics().reloaded(outcome.is_ok());
        match outcome {
            Ok((snapshot, warnings)) => {
                let digest = snapshot.config.digest.clone();
                let old = self.shared.live.load();
                snapshot.origins.start(&self.connector);
                if let Some(steering) = &snapshot.steering {
                    steering.start(&self.connector);
                }
                self.shared.live.swap(snapshot.clone());
                if let Err(error) = blocking(|| self.shared.guard.read_keys(&snapshot.config)) {
                    log::error!("the API keys stay as they were: {error}");
                }
                old.origins.stop();
                if let Some(steering) = &old.steering {
                    steering.stop();
                }
                *self.last.lock() = Some((now_ms(), None));
                for warning in warnings {
                    log::warn!("{warning}");
                }
                log::info!("configuration {digest} is in force");
                Ok(digest)
            }
            Err(error) => {
                log::error!("reload refused, {} keeps serving:\n{error}", self.shared.live.load().config.digest);
                *self.last.lock() = Some((now_ms(), Some(error.clone())));
                Err(error)
            }
        }
    }

    fn build(&self) -> Result<(Arc<Snapshot>, Vec<String>), String> {
        let Some(path) = &self.path else { return Err("this PoP was started without a configuration file".to_owned()) };
        let config = config::load(path).map_err(|errors| errors.render(false))?;
        let old = self.shared.live.load();
        let mut warnings = config.warnings.clone();
        warnings.extend(needs_restart(&old.config, &config));
        let functions = self
            .shared
            .functions
            .load(&config, Some(&old.functions), self.shared.observer.metrics())
            .map_err(|error| error.to_string())?;
        let integrations = &self.shared.integrations;
        let endpoint = |origin: &Origin| functions.endpoint(integrations, origin);
        let origins = Origins::new(&config.origins, &endpoint, Some(&old.origins), &self.names)
            .and_then(|origins| origins.among(&config.fleet, &config.pop.code, Some(&old.origins)))
            .map_err(|error| error.to_string())?;
        let metrics = self.shared.observer.metrics();
        let guard = &self.shared.guard;
        let snapshot = Snapshot::new(config, Arc::new(origins), functions, guard, integrations, metrics)
            .map_err(|error| error.to_string())?;
        let config = &snapshot.config;
        let waiting = self.endpoints.reload(&config.listeners).map_err(|error| error.to_string())?;
        warnings.extend(waiting.iter().map(|address| later(&format!("listener {address}"))));
        if let (Some(spec), Some(lambda)) = (&config.local_lambda, integrations.local.lambda()) {
            lambda.apply(spec).map_err(|error| format!("the functions of this machine: {error}"))?;
        }
        self.gate.adjust(&config.limits);
        Ok((Arc::new(snapshot), warnings))
    }
}

/// Runs what may take seconds (compiling functions) without holding up the other tasks of this thread.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Keys whose change waits for the next start (or a binary upgrade, which drops no request).
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let admin = |config: &Config| config.admin.as_ref().map(|a| a.address);
    let token = |config: &Config| config.admin.as_ref().and_then(|a| a.token.as_ref().map(|t| t.expose().clone()));
    // What it holds has no order of its own; its text has all of it, and no secret.
    let observe = |config: &Config| format!("{:?}", config.observe);
    // Its text has all of it but the secrets.
    let tables = |config: &Config| {
        let secrets = config.dynamodb.as_ref().and_then(|spec| match &spec.endpoint {
            DynamoEndpoint::Remote { credentials: Some(known), .. } => Some(format!(
                "{} {} {:?}",
                known.access_key.expose(),
                known.secret_key.expose(),
                known.session_token.as_ref().map(|token| token.expose().clone())
            )),
            _ => None,
        });
        let spec = config.dynamodb.clone().map(|spec| DynamoDb { access: spec.access.map(|_| 0), ..spec });
        (format!("{spec:?}"), secrets)
    };
    // Without functions nothing is opened; with them, they change at once.
    let lambda = |config: &Config| config.local_lambda.as_ref().map(|spec| (spec.listen, spec.access.is_some()));
    let names = |config: &Config| config.dns.as_ref().map(|dns| (dns.listen.clone(), dns.connections));
    let disk = |config: &Config| config.store.disk.as_ref().map(|d| (d.path.clone(), d.size));
    [
        ("admin.address", admin(old) != admin(new)),
        ("admin.token", token(old) != token(new)),
        ("cache.memory", old.store.memory != new.store.memory),
        ("cache.disk", disk(old) != disk(new)),
        ("functions.concurrency", old.engine.concurrency != new.engine.concurrency),
        ("functions.memory", old.engine.memory != new.engine.memory),
        ("dns.listen or dns.connections", names(old) != names(new)),
        ("dynamodb", tables(old) != tables(new)),
        ("local_lambda", lambda(old) != lambda(new)),
        ("observe", observe(old) != observe(new)),
        ("pop.drain", old.pop.drain != new.pop.drain),
        ("pop.threads", old.pop.threads != new.pop.threads),
        ("pop.state_dir", old.pop.state_dir != new.pop.state_dir),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(what, _)| later(what))
    .collect()
}

fn later(what: &str) -> String {
    format!("{what} changed: takes effect at the next start (`rimward run --upgrade` drops no request)")
}
