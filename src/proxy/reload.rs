//! Reload: load → check → build → warm → swap; any error keeps what serves.
//!
//! In: the configuration's path, revisions to read together with it. Out: new snapshots in force, or the reason why the old ones stay. Never:
//! half of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::connectors::http::Connector;

use crate::config::compiled::{Config, DynamoDb, DynamoEndpoint, Origin};
use crate::hooks::oci;
use crate::listen::{Endpoints, Gate};
use crate::origin::{Names, Origins};

use super::phases::now_ms;
use super::shared::Shared;
use super::snapshot::{Canary, Snapshot};
use super::{importing, warming};

/// What a reload needs besides the request path's own state.
pub struct Reload {
    pub connector: Arc<Connector>,
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    names: Arc<Names>,
    endpoints: Arc<Endpoints>,
    gate: Arc<Gate>,
    last: Mutex<Option<(u64, Option<String>)>>,
    /// What is in force; held while it changes.
    roots: Mutex<Roots>,
}

/// Directories of revisions that are read together with the node's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// `None` = the own files alone.
    pub main: Option<PathBuf>,
    pub canary: Option<CanaryRoot>,
}

/// What some of the viewers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryRoot {
    pub root: PathBuf,
    pub serial: u64,
    pub percent: u8,
}

/// Which of them is refused, and the whole message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Main(String),
    #[error("{0}")]
    Canary(String),
}

// === impl Reload ===
impl Reload {
    /// `main` is the directory that the configuration in force was read together with.
    pub fn new(
        shared: Arc<Shared>,
        path: Option<PathBuf>,
        main: Option<PathBuf>,
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
            roots: Mutex::new(Roots { main, canary: None }),
        }
    }

    /// When the last reload was (milliseconds since the epoch), and why it was refused.
    pub fn last(&self) -> Option<(u64, Option<String>)> {
        self.last.lock().clone()
    }

    /// The files whose change is a reason to reload; `None` without a configuration file. A revision's files never change.
    pub fn watched(&self) -> Option<Vec<PathBuf>> {
        let path = self.path.clone()?;
        let main = self.roots.lock().main.clone();
        let of_revision = |path: &Path| main.as_ref().is_some_and(|main| path.starts_with(main));
        let config = &self.shared.live.load().config;
        let mut paths: Vec<_> = config.sources.iter().filter(|path| !of_revision(path)).cloned().collect();
        paths.push(path);
        Some(paths)
    }

    /// Reads the configuration again, with the revisions that are in force, and puts it in force. `Err` holds the whole message; the old
    /// snapshots serve on.
    ///
    /// Must run on a Tokio runtime: health checks of the new origins start here.
    pub fn now(&self) -> Result<String, String> {
        let mut roots = self.roots.lock();
        let same = roots.clone();
        let outcome = self.apply(&mut roots, same, true);
        self.shared.observer.metrics().reloaded(outcome.is_ok());
        let error = outcome.err().map(|refused| refused.to_string());
        *self.last.lock() = Some((now_ms(), error.clone()));
        let digest = self.shared.live.load().config.digest.clone();
        match error {
            None => Ok(digest),
            Some(error) => {
                log::error!("reload refused, {digest} keeps serving:\n{error}");
                Err(error)
            }
        }
    }

    /// Has other revisions read together with the node's own files. `Err`: everything is as it was.
    ///
    /// Must run on a Tokio runtime, as [`Reload::now`].
    pub fn revise(&self, to: Roots) -> Result<(), Refused> {
        let mut roots = self.roots.lock();
        let outcome = self.apply(&mut roots, to, false);
        self.shared.observer.metrics().reloaded(outcome.is_ok());
        outcome
    }

    /// Goes from `roots` to `to`. `again`: also what is the same is read.
    fn apply(&self, roots: &mut Roots, to: Roots, again: bool) -> Result<(), Refused> {
        let live = &self.shared.live;
        let (old, old_canary) = (live.load(), live.canary());
        let root = |canary: &Option<CanaryRoot>| canary.as_ref().map(|canary| canary.root.clone());
        let main = match again || to.main != roots.main {
            true => {
                // What is promoted has its functions already.
                let promoted = to.main.is_some() && to.main == root(&roots.canary);
                let kin = old_canary.as_ref().filter(|_| promoted).map_or(&old, |canary| &canary.snapshot);
                Some(blocking(|| self.build(to.main.as_deref(), None, kin)).map_err(Refused::Main)?)
            }
            false => None,
        };
        let canary = match &to.canary {
            None => None,
            Some(wanted) => {
                let same = !again && root(&to.canary) == root(&roots.canary);
                let kept = old_canary.as_ref().filter(|canary| same && canary.serial == wanted.serial);
                let snapshot = match kept {
                    Some(canary) => canary.snapshot.clone(),
                    None => {
                        let kin = main.as_ref().map_or(&old, |(main, _)| main);
                        let built = blocking(|| self.build(Some(&wanted.root), Some(wanted.serial), kin));
                        built.map_err(Refused::Canary)?.0
                    }
                };
                Some(Arc::new(Canary { snapshot, serial: wanted.serial, percent: wanted.percent }))
            }
        };
        if let Some((snapshot, warnings)) = main {
            let warnings = blocking(|| self.commit(&old, &snapshot, warnings)).map_err(Refused::Main)?;
            self.start(&snapshot);
            live.swap(snapshot.clone());
            if let Err(error) = blocking(|| self.shared.guard.read_keys(&snapshot.config)) {
                log::error!("the API keys stay as they were: {error}");
            }
            stop(&old);
            warnings.iter().for_each(|warning| log::warn!("{warning}"));
            log::info!("configuration {} is in force", snapshot.config.digest);
            let news = snapshot.config.covered.iter().filter(|part| !old.config.covered.contains(part));
            news.for_each(|part| log::info!("{part} is the revision's now, and may be deleted here"));
        }
        let stays = |old: &Arc<Canary>| canary.as_ref().is_some_and(|new| Arc::ptr_eq(&new.snapshot, &old.snapshot));
        if let Some(new) = canary.as_ref().filter(|_| !old_canary.as_ref().is_some_and(stays)) {
            self.start(&new.snapshot);
            log::info!("configuration {} is in force for {} % of the viewers", new.snapshot.config.digest, new.percent);
        }
        live.set_canary(canary.clone());
        if let Some(old) = old_canary.filter(|old| !stays(old)) {
            stop(&old.snapshot);
        }
        *roots = to;
        Ok(())
    }

    /// Starts the checks of a snapshot that comes into force.
    fn start(&self, snapshot: &Snapshot) {
        snapshot.origins.start(&self.connector);
        if let Some(steering) = &snapshot.steering {
            steering.start(&self.connector);
        }
    }

    /// The own files and those in `root` as one snapshot, with what is the same in `kin` kept. Nothing is in force yet.
    fn build(
        &self,
        root: Option<&Path>,
        canary: Option<u64>,
        kin: &Snapshot,
    ) -> Result<(Arc<Snapshot>, Vec<String>), String> {
        let Some(path) = &self.path else { return Err("this PoP was started without a configuration file".to_owned()) };
        let roots: Vec<&Path> = std::iter::once(path.as_path()).chain(root).collect();
        let mut config = oci::load(&roots, |line| log::info!("{line}")).map_err(|errors| errors.render(false))?;
        if canary.is_some() {
            for behavior in &mut config.behaviors {
                Arc::make_mut(behavior).canary = canary;
            }
        }
        let mut warnings = config.warnings.clone();
        let functions = self
            .shared
            .functions
            .load(&config, Some(&kin.functions), self.shared.observer.metrics())
            .map_err(|error| importing::placed(&config, error).to_string())?;
        warnings.extend(functions.kv.unread(&config.kv_stores));
        let integrations = &self.shared.integrations;
        let endpoint = |origin: &Origin| functions.endpoint(integrations, origin);
        let origins = Origins::new(&config.origins, &endpoint, Some(&kin.origins), &self.names)
            .and_then(|origins| origins.among(&config.fleet, &config.pop.code, Some(&kin.origins)))
            .map_err(|error| error.to_string())?;
        let metrics = self.shared.observer.metrics();
        let guard = &self.shared.guard;
        let snapshot = Snapshot::new(config, Arc::new(origins), functions, guard, integrations, metrics)
            .map_err(|error| error.to_string())?;
        warming::warm(&snapshot, Some(&kin.functions));
        Ok((Arc::new(snapshot), warnings))
    }

    /// Puts in force what of a snapshot is not chosen request by request: listeners, limits of connections, functions of this machine. A
    /// canary has none of it of its own.
    fn commit(&self, old: &Snapshot, new: &Snapshot, mut warnings: Vec<String>) -> Result<Vec<String>, String> {
        let config = &new.config;
        warnings.extend(needs_restart(&old.config, config));
        // All that can fail comes first: what is refused has changed nothing.
        let endpoints = Endpoints::new(&config.listeners).map_err(|error| error.to_string())?;
        if let (Some(spec), Some(lambda)) = (&config.local_lambda, self.shared.integrations.local.lambda()) {
            lambda.apply(spec).map_err(|error| format!("the functions of this machine: {error}"))?;
        }
        let waiting = self.endpoints.renew(&endpoints);
        warnings.extend(waiting.iter().map(|address| later(&format!("listener {address}"))));
        self.gate.adjust(&config.limits);
        Ok(warnings)
    }
}

/// Ends the checks of a snapshot that is no longer in force.
fn stop(snapshot: &Snapshot) {
    snapshot.origins.stop();
    if let Some(steering) = &snapshot.steering {
        steering.stop();
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
    // Its text has all of it but the secrets.
    let fleet = |config: &Config| format!("{:?}", config.fleet);
    let names = |config: &Config| config.dns.as_ref().map(|dns| (dns.listen.clone(), dns.connections));
    let disk = |config: &Config| config.store.disk.as_ref().map(|d| (d.path.clone(), d.size));
    [
        ("admin.address", admin(old) != admin(new)),
        ("admin.token", token(old) != token(new)),
        ("cache.memory", old.store.memory != new.store.memory),
        ("cache.disk", disk(old) != disk(new)),
        ("functions.concurrency", old.engine.concurrency != new.engine.concurrency),
        ("functions.memory", old.engine.memory != new.engine.memory),
        ("functions.records", old.engine.records_size != new.engine.records_size),
        ("dns.listen or dns.connections", names(old) != names(new)),
        ("dynamodb", tables(old) != tables(new)),
        ("fleet", fleet(old) != fleet(new)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_waits_for_the_next_start_is_said() {
        let config = |text: &str| {
            let text = format!("[[origin]]\nname = 'o'\nurl = 'http://h'\n{text}");
            config::parse(&text, "t.toml", Path::new("/base")).unwrap_or_else(|errors| panic!("{errors}"))
        };
        for (changed, want) in [
            ("", None),
            ("[functions]\nconcurrency = 7", Some("functions.concurrency")),
            ("[functions]\nmemory = '64MiB'", Some("functions.memory")),
            ("[functions]\nrecords = '1MiB'", Some("functions.records")),
            ("[pop]\nthreads = 7", Some("pop.threads")),
        ] {
            let said = needs_restart(&config(""), &config(changed));
            assert_eq!(said, want.map(later).into_iter().collect::<Vec<_>>(), "{changed}");
        }
    }
}
