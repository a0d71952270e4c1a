//! Invalidated: URLs that an unsafe request changed, so that what is stored under them must not be used (RFC 9111 §4.4).
//!
//! In: host and uri of a successful POST, PUT, DELETE…, stamped. Out: whether an object began before that, also after a restart where
//! objects outlive one. Never: scans, a wait for the disk on a request.

mod log;

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use xxhash_rust::xxh3::xxh3_128;

use super::object::{Meta, Stamp};
use log::Log;
pub use log::decode;

/// URLs remembered; past it those longest not asked for are forgotten.
const URLS_MAX: u64 = 262_144;

/// The newest change of each URL, by the hash of its host and uri.
type Urls = Cache<u128, Stamp>;

/// Newest invalidation per URL. Memory: about 100 bytes a URL, bounded by `URLS_MAX`.
#[derive(Debug)]
pub struct Invalidated {
    urls: Urls,
    any: AtomicBool,
    /// Where objects outlive the process.
    log: OnceLock<Log>,
}

// === impl Invalidated ===
impl Default for Invalidated {
    fn default() -> Self {
        // The newest are never refused for the sake of those asked for more often.
        let urls = Cache::builder().max_capacity(URLS_MAX).eviction_policy(EvictionPolicy::lru()).build();
        Invalidated { urls, any: Default::default(), log: OnceLock::new() }
    }
}

impl Invalidated {
    /// Takes in what the file at `path` remembers, and keeps it there from now on: what is noted is in the file moments later, and synced
    /// within a second. `false`: what earlier processes noted is not known. Blocks.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn keep(&self, path: &Path) -> io::Result<bool> {
        let known = log::read(path).map(|notes| notes.into_iter().for_each(|(url, at)| self.put(url, at)));
        if let Err(error) = &known {
            ::log::error!("{}: {error}", path.display());
        }
        // What was noted before is in the map: the log begins with all of it.
        let (log, writer) = log::prepare(path, self.urls.clone());
        if self.log.set(log).is_ok() {
            writer.spawn()?;
        }
        Ok(known.is_ok())
    }

    /// Notes that `host` + `uri` changed at `at`.
    pub fn note(&self, host: &str, uri: &str, at: Stamp) {
        let url = url(host, uri);
        self.put(url, at);
        if let Some(log) = self.log.get() {
            log.note(url, at);
        }
    }

    /// Whether `host` + `uri` changed at any time that is remembered.
    pub fn knows(&self, host: &str, uri: &str) -> bool {
        self.any.load(Ordering::Acquire) && self.urls.contains_key(&url(host, uri))
    }

    /// Whether the object's fetch began before its URL was last changed. `any_host`: one object serves every host, and was
    /// noted under the empty one.
    pub fn covers(&self, meta: &Meta, any_host: bool) -> bool {
        let host = if any_host { "" } else { &*meta.host };
        self.any.load(Ordering::Acquire) && self.urls.get(&url(host, &meta.uri)).is_some_and(|at| meta.fetch_start < at)
    }

    /// Waits until what was noted is on disk, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        if let Some(log) = self.log.get() {
            log.flush(limit);
        }
    }

    /// Two requests may note one URL in either order: the newer counts.
    fn put(&self, url: u128, at: Stamp) {
        self.urls.entry(url).and_compute_with(|known| match known {
            Some(known) if *known.value() >= at => Op::Nop,
            _ => Op::Put(at),
        });
        self.any.store(true, Ordering::Release);
    }
}

fn url(host: &str, uri: &str) -> u128 {
    let mut bytes = Vec::with_capacity(host.len() + uri.len() + 8);
    bytes.extend_from_slice(&(host.len() as u64).to_le_bytes());
    bytes.extend(host.bytes().map(|b| b.to_ascii_lowercase()));
    bytes.extend_from_slice(uri.as_bytes());
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::super::purge::tests::meta;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn kept(path: &Path) -> Invalidated {
        let invalidated = Invalidated::default();
        assert!(invalidated.keep(path).unwrap());
        invalidated
    }

    #[test]
    fn what_began_before_a_change_is_covered() {
        let invalidated = Invalidated::default();
        assert!(!invalidated.covers(&meta("h", "/a", &[], 1), false));
        invalidated.note("H", "/a", Stamp(5));
        // Noted late: a newer change stays.
        invalidated.note("h", "/a", Stamp(3));
        for (host, uri, began, any_host, want) in [
            ("h", "/a", 4, false, true),
            ("h", "/a", 5, false, false),
            ("h", "/b", 4, false, false),
            ("g", "/a", 4, false, false),
            ("h", "/a", 4, true, false),
        ] {
            assert_eq!(invalidated.covers(&meta(host, uri, &[], began), any_host), want, "{host}{uri} {began}");
        }
        invalidated.note("", "/a", Stamp(6));
        assert!(invalidated.covers(&meta("h", "/a", &[], 5), true));
    }

    #[test]
    fn changes_survive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("invalidated");
        let first = kept(&path);
        for n in 0..300 {
            first.note("h", &format!("/{n}"), Stamp(1000 + n));
        }
        first.flush(LIMIT);
        drop(first);
        // The next process has noted some by itself, before its turn came.
        let second = Invalidated::default();
        second.note("h", "/0", Stamp(5000));
        second.note("h", "/own", Stamp(5001));
        assert!(second.keep(&path).unwrap());
        second.note("h", "/later", Stamp(5002));
        second.flush(LIMIT);
        drop(second);
        let third = kept(&path);
        for (uri, at) in [("/0", 5000), ("/1", 1001), ("/299", 1299), ("/own", 5001), ("/later", 5002)] {
            assert!(third.covers(&meta("h", uri, &[], at - 1), false), "{uri}");
            assert!(!third.covers(&meta("h", uri, &[], at), false), "{uri}");
        }
        assert!(!third.knows("h", "/300"));
    }

    #[test]
    fn a_disk_that_fails_is_made_up_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone/invalidated");
        let invalidated = kept(&path);
        invalidated.note("h", "/a", Stamp(7));
        invalidated.flush(LIMIT);
        assert!(!path.exists());
        std::fs::create_dir(dir.path().join("gone")).unwrap();
        invalidated.note("h", "/b", Stamp(8));
        invalidated.flush(LIMIT);
        let again = kept(&path);
        assert!(again.knows("h", "/a") && again.knows("h", "/b"));
    }

    #[test]
    fn what_cannot_be_read_is_said_and_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("invalidated");
        std::fs::write(&path, b"something else").unwrap();
        let invalidated = Invalidated::default();
        assert!(!invalidated.keep(&path).unwrap());
        invalidated.note("h", "/a", Stamp(7));
        invalidated.flush(LIMIT);
        assert!(kept(&path).knows("h", "/a"));
    }
}
