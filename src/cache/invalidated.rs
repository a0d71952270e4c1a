//! Invalidated: URLs that an unsafe request changed, so that what is stored under them must not be used (RFC 9111 §4.4).
//!
//! In: host and uri of a successful POST, PUT, DELETE…, stamped. Out: whether an object began before that. Never: scans.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use xxhash_rust::xxh3::xxh3_128;

use super::object::{Meta, Stamp};

/// URLs remembered; past it those longest not asked for are forgotten.
const URLS_MAX: u64 = 262_144;

/// Newest invalidation per URL. Memory: about 100 bytes a URL, bounded by `URLS_MAX`.
#[derive(Debug)]
pub struct Invalidated {
    urls: Cache<u128, Stamp>,
    any: std::sync::atomic::AtomicBool,
}

// === impl Invalidated ===
impl Default for Invalidated {
    fn default() -> Self {
        // The newest are never refused for the sake of those asked for more often.
        let urls = Cache::builder().max_capacity(URLS_MAX).eviction_policy(EvictionPolicy::lru()).build();
        Invalidated { urls, any: Default::default() }
    }
}

impl Invalidated {
    /// Notes that `host` + `uri` changed at `at`.
    pub fn note(&self, host: &str, uri: &str, at: Stamp) {
        self.urls.insert(url(host, uri), at);
        self.any.store(true, std::sync::atomic::Ordering::Release);
    }

    /// Whether `host` + `uri` changed at any time that is remembered.
    pub fn knows(&self, host: &str, uri: &str) -> bool {
        self.any.load(std::sync::atomic::Ordering::Acquire) && self.urls.contains_key(&url(host, uri))
    }

    /// Whether the object's fetch began before its URL was last changed. `any_host`: one object serves every host, and was
    /// noted under the empty one.
    pub fn covers(&self, meta: &Meta, any_host: bool) -> bool {
        let host = if any_host { "" } else { &*meta.host };
        self.any.load(std::sync::atomic::Ordering::Acquire)
            && self.urls.get(&url(host, &meta.uri)).is_some_and(|at| meta.fetch_start < at)
    }
}

fn url(host: &str, uri: &str) -> u128 {
    let mut bytes = Vec::with_capacity(host.len() + uri.len() + 8);
    bytes.extend_from_slice(&(host.len() as u64).to_le_bytes());
    bytes.extend(host.bytes().map(|b| b.to_ascii_lowercase()));
    bytes.extend_from_slice(uri.as_bytes());
    xxh3_128(&bytes)
}
