//! Guard: what access rules and limits keep for as long as the process lives.
//!
//! In: configurations, the state directory. Out: keys of issuers, API keys, buckets and quotas, PoPs that are well: all that outlives a
//! reload. Never: a decision.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use crate::access::jwt;
use crate::access::keys::{Key, Keys};
use crate::config::compiled::Config;
use crate::fleet::{KeyStore, KeyStoreError, StoredKey};
use crate::limit::{Clock, Held, Ledger, Limits, Registry};

use super::functions::LoadError;
use super::steering::Known;

/// How often counted requests are written through to the disk.
const SYNC: Duration = Duration::from_secs(1);

/// One for the life of the process.
pub struct Guard {
    pub tokens: jwt::Registry,
    pub limits: Registry,
    pub clock: Clock,
    /// Those of the configuration and those made while it runs.
    pub keys: ArcSwap<Keys>,
    pub store: Arc<KeyStore>,
    /// PoPs that viewers are led to.
    pub pops: Known,
    state: PathBuf,
    ledger: OnceLock<Arc<Ledger>>,
    /// Bodies that are read before they are checked.
    pub bodies: Arc<Held>,
    /// Keys are read and put in force by one at a time, so that what was read last is in force. Holds the plans that keys name and that
    /// are not there, as far as that was said.
    turn: Mutex<BTreeSet<String>>,
    /// Whether they are.
    read: AtomicBool,
}

// === impl Guard ===
impl Guard {
    /// Nothing is opened that the configuration does not need. `told` is woken when other nodes are to be told of a key.
    ///
    /// # Errors
    /// The TLS library does not work here, or the key store cannot be read.
    pub fn new(state: &Path, config: &Config, told: Option<Arc<Notify>>) -> Result<Self, LoadError> {
        let tokens = jwt::Registry::new().map_err(|error| LoadError::Access(error.to_string()))?;
        let (path, most) = (state.join("keys.redb"), config.rates.stored_keys);
        let store = Arc::new(match told {
            Some(told) => KeyStore::telling(&path, most, told),
            None => KeyStore::new(&path, most),
        });
        let guard = Guard {
            tokens,
            limits: Registry::new(seed(config)),
            clock: Clock::new(),
            keys: ArcSwap::default(),
            store,
            pops: Known::default(),
            state: state.to_owned(),
            ledger: OnceLock::new(),
            bodies: Arc::default(),
            turn: Mutex::default(),
            read: AtomicBool::new(false),
        };
        guard.read_keys(config).map_err(|error| LoadError::Access(error.to_string()))?;
        Ok(guard)
    }

    /// Puts the keys of `config` and of the store in force. Blocks on the disk.
    ///
    /// # Errors
    /// The store cannot be read; the keys stay as they are.
    pub fn read_keys(&self, config: &Config) -> Result<(), KeyStoreError> {
        let mut lacking = self.turn.lock();
        self.read.store(false, Ordering::Release);
        let stored = self.store.list()?;
        *lacking = warned(config, &stored, &lacking);
        self.put_keys(config, stored);
        self.read.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes keys out of force that others revoked, though the disk does not take that they did.
    pub fn refuse_keys(&self, config: &Config) {
        let _turn = self.turn.lock();
        self.put_keys(config, self.store.remembered());
    }

    fn put_keys(&self, config: &Config, stored: Vec<StoredKey>) {
        let written = config.rates.api_keys.iter().map(|key| (key.hash, Key::from(key)));
        let stored = stored.into_iter().map(|stored| (stored.hash, stored.key));
        self.keys.store(Arc::new(Keys::new(written.chain(stored))));
    }

    /// Whether the keys in force are those of the store: not while it could not be read.
    pub fn has_read_keys(&self) -> bool {
        self.read.load(Ordering::Acquire)
    }

    /// The limits of a configuration, with the state of those that were there before.
    ///
    /// # Errors
    /// A plan has a quota, and the ledger cannot be opened.
    pub fn bounds(&self, config: &Config) -> Result<Limits, LoadError> {
        let counts = config.rates.plans.iter().any(|plan| plan.quota.is_some());
        let ledger = if counts { Some(self.ledger()?) } else { None };
        let behaviors = config.behaviors.iter().map(|behavior| (behavior.name.as_str(), behavior.limits.as_slice()));
        Ok(Limits::new(&config.rates, behaviors, &self.limits, ledger))
    }

    fn ledger(&self) -> Result<Arc<Ledger>, LoadError> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger.clone());
        }
        let opened = Ledger::open(&self.state).map_err(|error| LoadError::Access(error.to_string()))?;
        Ok(self.ledger.get_or_init(|| Arc::new(opened)).clone())
    }

    /// The quotas' counts, once a plan has a quota.
    pub fn counts(&self) -> Option<&Arc<Ledger>> {
        self.ledger.get()
    }

    /// Keeps issuers' keys fresh and counts on disk. Never ends.
    pub async fn run(&self) {
        let sync = async {
            let mut ticks = tokio::time::interval(SYNC);
            loop {
                ticks.tick().await;
                let Some(ledger) = self.ledger.get().cloned() else { continue };
                let sync = move || {
                    if let Err(error) = ledger.settle() {
                        log::warn!("who else counts quotas cannot be seen: {error}");
                    }
                    ledger.sync()
                };
                match tokio::task::spawn_blocking(sync).await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(error)) => log::warn!("quota counts are not on disk yet: {error}"),
                }
            }
        };
        tokio::join!(self.tokens.run(), sync);
    }
}

/// Says of which plans that keys name there is nothing in the configuration: those keys no longer open what these opened. Only of those that
/// are not in `said`. All of them.
fn warned(config: &Config, stored: &[StoredKey], said: &BTreeSet<String>) -> BTreeSet<String> {
    let known = |name: &String| config.rates.plans.iter().any(|plan| plan.name == *name);
    let named = stored.iter().flat_map(|stored| &stored.key.plans).filter(|name| !known(name));
    let lacking: BTreeSet<String> = named.cloned().collect();
    for plan in lacking.difference(said) {
        let keys = stored.iter().filter(|stored| stored.key.plans.contains(plan)).count();
        log::warn!("{keys} API keys name the usage plan {plan:?}, which is not in the configuration: it opens nothing");
    }
    lacking
}

/// Of the hashes that nodes tell one another: theirs alone, as the secret is.
fn seed(config: &Config) -> u64 {
    config.fleet.secret.as_ref().map_or(0, |secret| xxh3_64(secret.expose()))
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}
