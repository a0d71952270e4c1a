//! Registry: the issuers' keys of a whole process.
//!
//! In: the issuers of a configuration. Out: their verifiers, with the keys that earlier configurations fetched. Never: a start
//! that waits for an issuer.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use parking_lot::Mutex;

use super::fetch::Fetcher;
use super::jwks::Jwks;
use super::keys::SetError;
use super::verifier::Verifier;
use crate::config::compiled::{Issuer, JwksSource};

/// How often [`Registry::run`] looks for keys that have to be fetched.
const TICK: Duration = Duration::from_secs(1);

/// One per process: it outlives reloads, so keys do too.
#[derive(Debug)]
pub struct Registry {
    fetcher: Fetcher,
    /// By URL. Keys that no verifier uses any more are forgotten.
    known: Mutex<HashMap<String, Weak<Jwks>>>,
}

/// An issuer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    #[error("issuer '{name}': '{url}' is no http or https URL")]
    Url { name: String, url: String },
    #[error("issuer '{name}': {reason}")]
    Set { name: String, reason: SetError },
}

// === impl Registry ===
impl Registry {
    /// Trusts the system's certificates; reads them from disk.
    ///
    /// # Errors
    /// The TLS library does not work here.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self::with_fetcher(Fetcher::new()?))
    }

    /// The same with a fetcher that has other trust.
    pub fn with_fetcher(fetcher: Fetcher) -> Self {
        Registry { fetcher, known: Mutex::default() }
    }

    /// A verifier for each issuer, in their order. Within a runtime, keys that are not there yet are fetched in the background at
    /// once; else [`Registry::run`] does it.
    ///
    /// # Errors
    /// A URL or a key set of the configuration is wrong.
    pub fn issuers(&self, issuers: &[Issuer]) -> Result<Vec<Arc<Verifier>>, IssuerError> {
        let verifiers: Result<Vec<_>, IssuerError> = issuers
            .iter()
            .map(|issuer| Ok(Arc::new(Verifier::new(issuer.clone(), self.jwks(issuer, issuers)?))))
            .collect();
        self.poke();
        verifiers
    }

    /// Fetches keys before they are asked for, and anew before they are too old. Never ends.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.poke();
        }
    }

    fn poke(&self) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
        self.known.lock().retain(|_, jwks| match jwks.upgrade() {
            Some(jwks) => {
                jwks.poke(now_ms);
                true
            }
            None => false,
        });
    }

    fn jwks(&self, issuer: &Issuer, all: &[Issuer]) -> Result<Arc<Jwks>, IssuerError> {
        let url = match &issuer.jwks {
            JwksSource::Url(url) => url,
            JwksSource::Set(text) => {
                let fixed = Jwks::fixed(text);
                return fixed.map(Arc::new).map_err(|reason| IssuerError::Set { name: issuer.name.clone(), reason });
            }
        };
        let mut known = self.known.lock();
        let jwks = match known.get(url).and_then(Weak::upgrade) {
            Some(jwks) => jwks,
            None => {
                let uri = parse(url).ok_or_else(|| IssuerError::Url { name: issuer.name.clone(), url: url.clone() })?;
                let jwks = Arc::new(Jwks::remote(self.fetcher.clone(), uri));
                known.insert(url.clone(), Arc::downgrade(&jwks));
                jwks
            }
        };
        // Issuers of one URL share one fetch: the one that wants fresher keys decides.
        let sharing = || all.iter().filter(|other| other.jwks == issuer.jwks);
        let refresh = sharing().map(|other| other.refresh).min().unwrap_or(issuer.refresh);
        let timeout = sharing().map(|other| other.timeout).max().unwrap_or(issuer.timeout);
        jwks.set_times(refresh, timeout);
        Ok(jwks)
    }
}

fn parse(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    (scheme && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}
