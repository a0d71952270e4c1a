//! Jwks: an issuer's keys, kept and fetched anew.
//!
//! In: why keys are wanted, now. Out: the keys that are held, a fetch to wait for. Never: two fetches at once, a fetch that
//! somebody's random tokens decide on, good keys thrown away because a fetch failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use arc_swap::ArcSwapOption;
use http::Uri;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::fetch::Fetcher;
use super::keys::{KeySet, SetError};
use super::seen::Seen;
use crate::crypto::sha256;

/// Unknown `kid`s lead to one fetch in this time: rotation is noticed at most so late while somebody sends random ones.
pub const UNKNOWN_INTERVAL: Duration = Duration::from_secs(10);
/// How long a `kid` that a fresh set did not have is taken for unknown, unless the set changes.
const ABSENT_TTL: Duration = Duration::from_secs(30);
/// Such `kid`s kept at once.
const ABSENT_MAX: u64 = 10_000;
/// Pause after a fetch that failed; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const RETRY_LAST: Duration = Duration::from_secs(30);

/// The keys of one URL, or a set from the configuration. Outlives configurations.
#[derive(Debug)]
pub struct Jwks {
    /// `None` = a set that never changes.
    source: Option<(Fetcher, Uri)>,
    held: ArcSwapOption<Held>,
    state: Mutex<State>,
    absent: Cache<String, (), RandomState>,
    pub(super) seen: Seen,
    refresh_ms: AtomicU64,
    timeout_ms: AtomicU64,
}

/// Keys, and since when.
#[derive(Debug)]
pub struct Held {
    pub keys: Arc<KeySet>,
    /// Changes with the keys.
    pub generation: u64,
    digest: [u8; 32],
    /// When the fetch that brought them began, in milliseconds since the epoch; `u64::MAX` = they do not age.
    pub fetched_ms: u64,
}

/// Why keys are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// None are held, or too old ones.
    Missing,
    /// They are old enough to be fetched anew.
    Stale,
    /// A token names one that is not held.
    Unknown,
}

/// What decides whether a fetch may start.
#[derive(Debug, Default)]
struct State {
    /// Closed when the fetch has ended.
    running: Option<watch::Receiver<()>>,
    attempted_ms: Option<u64>,
    unknown_ms: Option<u64>,
    failures: u32,
}

// === impl Jwks ===
impl Jwks {
    /// Keys that will be fetched from `uri`.
    pub fn remote(fetcher: Fetcher, uri: Uri) -> Self {
        Self::new(Some((fetcher, uri)), None)
    }

    /// A set from the configuration (RFC 7517 §5).
    ///
    /// # Errors
    /// The text is no usable set.
    pub fn fixed(text: &str) -> Result<Self, SetError> {
        let keys = Arc::new(KeySet::parse(text.as_bytes())?);
        Ok(Self::new(None, Some(Held { keys, generation: 1, digest: sha256(text.as_bytes()), fetched_ms: u64::MAX })))
    }

    fn new(source: Option<(Fetcher, Uri)>, held: Option<Held>) -> Self {
        Jwks {
            source,
            held: ArcSwapOption::new(held.map(Arc::new)),
            state: Mutex::default(),
            absent: Cache::builder()
                .max_capacity(ABSENT_MAX)
                .time_to_live(ABSENT_TTL)
                .build_with_hasher(RandomState::new()),
            seen: Seen::default(),
            refresh_ms: AtomicU64::new(u64::MAX),
            timeout_ms: AtomicU64::new(0),
        }
    }

    /// How old keys may get before [`Jwks::poke`] fetches them anew, and how long one fetch may take.
    pub fn set_times(&self, refresh: Duration, timeout: Duration) {
        self.refresh_ms.store(millis(refresh), Ordering::Relaxed);
        self.timeout_ms.store(millis(timeout), Ordering::Relaxed);
    }

    /// Without a lock.
    pub fn held(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    /// Whether a wait for [`Jwks::fetched`] can bring anything: a fetch runs, or may start.
    pub fn may(&self, why: Why, kid: Option<&str>, now_ms: u64) -> bool {
        if self.source.is_none() || (why == Why::Unknown && kid.is_some_and(|kid| self.absent.contains_key(kid))) {
            return false;
        }
        let state = self.state.lock();
        state.running().is_some() || state.due(why, now_ms)
    }

    /// Remembers that the fetched set has no such key.
    pub fn without(&self, kid: &str) {
        self.absent.insert(kid.to_owned(), ());
    }

    /// Starts a fetch in the background where one is due: no keys, or keys older than the refresh time. Does nothing outside a
    /// runtime.
    pub fn poke(self: &Arc<Self>, now_ms: u64) {
        let why = match &*self.held.load() {
            None => Why::Missing,
            Some(held) if held.age(now_ms) >= self.refresh_ms.load(Ordering::Relaxed) => Why::Stale,
            Some(_) => return,
        };
        self.start(why, now_ms);
    }

    /// Waits for the fetch that runs or that this starts; returns at once when none may. Many wait for one.
    pub async fn fetched(self: &Arc<Self>, why: Why, now_ms: u64) {
        if let Some(mut ended) = self.start(why, now_ms) {
            // An error: the fetch is over. Nothing is ever sent.
            while ended.changed().await.is_ok() {}
        }
    }

    fn start(self: &Arc<Self>, why: Why, now_ms: u64) -> Option<watch::Receiver<()>> {
        let runtime = Handle::try_current().ok()?;
        let (fetcher, uri) = self.source.clone()?;
        let mut state = self.state.lock();
        if let Some(running) = state.running() {
            return Some(running.clone());
        }
        if !state.due(why, now_ms) {
            return None;
        }
        let (running, ended) = watch::channel(());
        state.running = Some(ended.clone());
        state.attempted_ms = Some(now_ms);
        if why == Why::Unknown {
            state.unknown_ms = Some(now_ms);
        }
        drop(state);
        let jwks = self.clone();
        // A task of its own: whoever waits may go away.
        runtime.spawn(async move {
            let timeout = Duration::from_millis(jwks.timeout_ms.load(Ordering::Relaxed));
            let outcome = match fetcher.get(&uri, timeout).await {
                Ok(body) => KeySet::parse(&body).map(|keys| (keys, sha256(&body))).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            jwks.settle(outcome, &uri, now_ms);
            drop(running);
        });
        Some(ended)
    }

    fn settle(&self, outcome: Result<(KeySet, [u8; 32]), String>, uri: &Uri, began_ms: u64) {
        let mut state = self.state.lock();
        state.running = None;
        match outcome {
            Ok((keys, digest)) => {
                state.failures = 0;
                let before = self.held.load_full();
                let held = match &before {
                    Some(before) if before.digest == digest => {
                        let keys = before.keys.clone();
                        Held { keys, generation: before.generation, digest, fetched_ms: began_ms }
                    }
                    _ => {
                        log::info!("{uri}: {} keys for tokens, {} skipped", keys.usable(), keys.skipped);
                        let generation = before.map_or(0, |before| before.generation) + 1;
                        Held { keys: Arc::new(keys), generation, digest, fetched_ms: began_ms }
                    }
                };
                let changed = self.held.swap(Some(Arc::new(held))).is_none_or(|old| old.digest != digest);
                if changed {
                    self.absent.invalidate_all();
                    self.seen.clear();
                }
            }
            Err(reason) => {
                state.failures = state.failures.saturating_add(1);
                log::warn!("{uri}: no keys for tokens: {reason}");
            }
        }
    }
}

// === impl Held ===
impl Held {
    /// Milliseconds since they were asked for; 0 when the clock went back.
    pub fn age(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.fetched_ms)
    }
}

// === impl State ===
impl State {
    /// A fetch whose task was dropped with its runtime has ended too.
    fn running(&self) -> Option<&watch::Receiver<()>> {
        self.running.as_ref().filter(|running| running.has_changed().is_ok())
    }

    fn due(&self, why: Why, now_ms: u64) -> bool {
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => RETRY_LAST.min(RETRY_FIRST * 2u32.saturating_pow(failures - 1)),
        };
        passed(self.attempted_ms, pause, now_ms)
            && (why != Why::Unknown || passed(self.unknown_ms, UNKNOWN_INTERVAL, now_ms))
    }
}

/// A clock that went back further than the pause counts as time that has passed: better one fetch too many than none for hours.
fn passed(since_ms: Option<u64>, pause: Duration, now_ms: u64) -> bool {
    since_ms.is_none_or(|since| now_ms.abs_diff(since) >= millis(pause))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_fetch_is_due() {
        let state = |attempted, unknown, failures| State {
            running: None,
            attempted_ms: attempted,
            unknown_ms: unknown,
            failures,
        };
        for (name, state, why, now, want) in [
            ("never", state(None, None, 0), Why::Missing, 0, true),
            ("just fetched, first unknown", state(Some(5), None, 0), Why::Unknown, 5, true),
            ("second unknown", state(Some(5), Some(5), 0), Why::Unknown, 10_004, false),
            ("ten seconds later", state(Some(5), Some(5), 0), Why::Unknown, 10_005, true),
            ("stale is not damped by unknown", state(Some(5), Some(5), 0), Why::Stale, 6, true),
            ("one failure", state(Some(1000), None, 1), Why::Missing, 1999, false),
            ("a second later", state(Some(1000), None, 1), Why::Missing, 2000, true),
            ("four failures", state(Some(0), None, 4), Why::Stale, 7999, false),
            ("eight seconds later", state(Some(0), None, 4), Why::Stale, 8000, true),
            ("many failures", state(Some(0), None, u32::MAX), Why::Missing, 30_000, true),
            ("another thread's clock is behind", state(Some(5000), None, 1), Why::Missing, 4999, false),
            ("clock went back", state(Some(9_000_000), Some(9_000_000), 3), Why::Unknown, 5, true),
        ] {
            assert_eq!(state.due(why, now), want, "{name}");
        }
    }
}
