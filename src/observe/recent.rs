//! Recent: the newest requests, for operators who look.
//!
//! In: finished requests. Out: the line of one by its id; the lines of those that match, as they end, to whoever follows. Never: waits for
//! a reader, holds more than its bounds, shows a cookie.
//!
//! What it costs a hit: two loads, unless the second's allowance is not used up yet. A PoP that answers many requests a second would
//! otherwise write a line for each, and keep them for a blink.

mod filter;

pub use filter::{Filter, FilterError};

use super::log::json;
use super::metrics::{shard, shard_count};
use super::record::{Outcome, Record};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Requests kept a second: plain hits, and everything else. Divided among the shards.
const KEPT_HITS: u32 = 256;
const KEPT_OTHERS: u32 = 2048;
/// Who may follow at once, lines that wait for one of them, and lines a second for each.
pub const FOLLOWERS: usize = 16;
const WAITING: usize = 512;
const FOLLOWED: u32 = 1000;
/// Bytes of one field that are kept: viewers choose how long they are.
const FIELD: usize = 1024;

/// One per process.
pub struct Recent {
    pop: String,
    /// Requests that each shard keeps; 0 = none.
    depth: usize,
    shards: Box<[Shard]>,
    followers: RwLock<Vec<Arc<Follower>>>,
    /// Their number, to be asked without a lock.
    followed: AtomicUsize,
}

#[repr(align(128))]
#[derive(Default)]
struct Shard {
    /// The newest second whose allowance is used up: of hits, and of others.
    full: [AtomicU64; 2],
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    allowed: [Allowance; 2],
    kept: VecDeque<Kept>,
}

#[derive(Default)]
struct Kept {
    id: String,
    line: Vec<u8>,
}

/// So many a second.
#[derive(Debug, Default)]
struct Allowance {
    second: u64,
    used: u32,
}

struct Follower {
    filter: Filter,
    allowed: Mutex<Allowance>,
    lines: mpsc::Sender<Bytes>,
    skipped: AtomicU64,
}

/// The requests that match a filter, as they end.
pub struct Follow {
    recent: Arc<Recent>,
    follower: Arc<Follower>,
    lines: mpsc::Receiver<Bytes>,
}

/// There are [`FOLLOWERS`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{FOLLOWERS} others follow the requests already")]
pub struct Crowded;

// === impl Recent ===
impl Recent {
    /// Keeps about `most` requests.
    pub fn new(pop: &str, most: usize) -> Self {
        let shards = shard_count();
        Recent {
            pop: pop.to_owned(),
            depth: most.div_ceil(shards),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            followers: RwLock::default(),
            followed: AtomicUsize::new(0),
        }
    }

    /// Keeps one request, or not, and shows it to those who follow.
    pub fn finish(&self, record: &Record<'_>) {
        let Some(shard) = self.shards.get(shard() & (self.shards.len() - 1)) else { return };
        let class = usize::from(record.cache != Outcome::Hit || record.is_error());
        let second = (record.started_ms + record.duration_ns / 1_000_000) / 1000;
        if self.depth > 0 && shard.full[class].load(Ordering::Relaxed) < second {
            self.keep(shard, class, second, record);
        }
        if self.followed.load(Ordering::Relaxed) > 0 {
            self.show(second, record);
        }
    }

    /// The line of the request with this id, if it is still kept.
    pub fn find(&self, id: &str) -> Option<Vec<u8>> {
        self.shards.iter().find_map(|shard| {
            let ring = shard.ring.lock();
            ring.kept.iter().rev().find(|kept| kept.id == id).map(|kept| kept.line.clone())
        })
    }

    /// Begins to follow.
    pub fn follow(self: &Arc<Self>, filter: Filter) -> Result<Follow, Crowded> {
        let mut followers = self.followers.write();
        if followers.len() >= FOLLOWERS {
            return Err(Crowded);
        }
        let (sender, lines) = mpsc::channel(WAITING);
        let follower =
            Arc::new(Follower { filter, allowed: Mutex::default(), lines: sender, skipped: AtomicU64::new(0) });
        followers.push(follower.clone());
        self.followed.store(followers.len(), Ordering::Relaxed);
        Ok(Follow { recent: self.clone(), follower, lines })
    }

    #[inline(never)]
    fn keep(&self, shard: &Shard, class: usize, second: u64, record: &Record<'_>) {
        let limit = [KEPT_HITS, KEPT_OTHERS][class].div_ceil(self.shards.len() as u32);
        let mut ring = shard.ring.lock();
        if !ring.allowed[class].take(second, limit) {
            shard.full[class].fetch_max(second, Ordering::Relaxed);
            return;
        }
        // The oldest one's room, once there are enough.
        let mut kept = match ring.kept.len() >= self.depth {
            true => ring.kept.pop_front().unwrap_or_default(),
            false => Kept::default(),
        };
        kept.id.clear();
        kept.id.push_str(record.request_id);
        kept.line.clear();
        json::write_explained(&mut kept.line, &cut(record), &self.pop);
        ring.kept.push_back(kept);
    }

    #[inline(never)]
    fn show(&self, second: u64, record: &Record<'_>) {
        let mut line = None;
        for follower in self.followers.read().iter().filter(|one| one.filter.matches(record, &self.pop)) {
            if follower.lines.capacity() == 0 || !follower.allowed.lock().take(second, FOLLOWED) {
                follower.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let line: &Bytes = line.get_or_insert_with(|| {
                let mut line = Vec::with_capacity(FIELD);
                json::write_explained(&mut line, &cut(record), &self.pop);
                Bytes::from(line)
            });
            if follower.lines.try_send(line.clone()).is_err() {
                follower.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("depth", &self.depth).finish_non_exhaustive()
    }
}

// === impl Allowance ===
impl Allowance {
    /// One more in this second; a request that ended before it counts as of now.
    fn take(&mut self, second: u64, limit: u32) -> bool {
        if second > self.second {
            *self = Allowance { second, used: 0 };
        }
        self.used += 1;
        self.used <= limit
    }
}

// === impl Follow ===
impl Follow {
    /// The next request's line, and how many matched since the last one that it does not have.
    pub async fn next(&mut self) -> (Bytes, u64) {
        // The sender lives in `follower`: there is always a next one.
        let line = self.lines.recv().await.unwrap_or_default();
        (line, self.follower.skipped.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let mut followers = self.recent.followers.write();
        followers.retain(|one| !Arc::ptr_eq(one, &self.follower));
        self.recent.followed.store(followers.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("filter", &self.follower.filter).finish_non_exhaustive()
    }
}

/// The record with every field that a viewer fills cut to [`FIELD`].
fn cut<'a>(record: &Record<'a>) -> Record<'a> {
    let bytes = |value: &'a [u8]| value.get(..FIELD).unwrap_or(value);
    let text = |value: &'a str| value.get(..value.floor_char_boundary(FIELD)).unwrap_or(value);
    Record {
        method: text(record.method),
        host: text(record.host),
        path: bytes(record.path),
        query: bytes(record.query),
        error: text(record.error),
        referer: bytes(record.referer),
        user_agent: bytes(record.user_agent),
        forwarded_for: bytes(record.forwarded_for),
        content_type: bytes(record.content_type),
        principal: text(record.principal),
        ..*record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::observe::record::sample;
    use serde_json::Value;

    fn read(line: &[u8]) -> Value {
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn the_newest_are_kept_and_found_by_id() {
        let metrics = Metrics::new("FRA", 0);
        let recent = Recent::new("FRA", 4 * shard_count());
        for n in 0..10 {
            let id = format!("id-{n}");
            recent.finish(&Record { request_id: &id, ..sample(metrics.unrouted()) });
        }
        let found = |id: &str| recent.find(id).map(|line| read(&line));
        for old in 0..6 {
            assert_eq!(found(&format!("id-{old}")), None);
        }
        for new in 6..10 {
            let line = found(&format!("id-{new}")).unwrap();
            assert_eq!((&line["pop"], &line["pattern"]), (&"FRA".into(), &"shop.example/*".into()));
            assert_eq!(line["result_type"], "Hit");
        }
        let none = Recent::new("FRA", 0);
        none.finish(&sample(metrics.unrouted()));
        assert_eq!(none.find("id-1"), None);
    }

    #[test]
    fn hits_do_not_use_up_what_others_may() {
        let metrics = Metrics::new("FRA", 0);
        let recent = Recent::new("FRA", 100_000);
        let kept = || recent.shards.iter().map(|shard| shard.ring.lock().kept.len()).sum::<usize>();
        let hits = KEPT_HITS.div_ceil(shard_count() as u32) as usize;
        for _ in 0..KEPT_HITS * 2 {
            recent.finish(&sample(metrics.unrouted()));
        }
        assert_eq!(kept(), hits, "a second's allowance of one shard");
        recent.finish(&Record { cache: Outcome::Miss, ..sample(metrics.unrouted()) });
        recent.finish(&Record { status: 503, ..sample(metrics.unrouted()) });
        assert_eq!(kept(), hits + 2);
        // Another second.
        recent.finish(&Record { started_ms: 1_700_000_001_123, ..sample(metrics.unrouted()) });
        assert_eq!(kept(), hits + 3);
    }

    #[test]
    fn no_viewer_makes_a_line_large() {
        let metrics = Metrics::new("FRA", 0);
        let recent = Recent::new("FRA", 8);
        let long = "\u{e9}\"".repeat(50_000);
        let bytes = long.as_bytes();
        recent.finish(&Record {
            path: bytes,
            query: bytes,
            host: &long,
            method: &long,
            user_agent: bytes,
            referer: bytes,
            forwarded_for: bytes,
            content_type: bytes,
            error: &long,
            principal: &long,
            ..sample(metrics.unrouted())
        });
        let line = recent.find("id-1").unwrap();
        assert!(line.len() < 10 * 6 * FIELD, "{}", line.len());
        assert!(read(&line)["path"].as_str().is_some_and(|path| path.starts_with("\u{e9}\"")));
    }

    #[tokio::test]
    async fn followers_see_what_they_asked_for() {
        let metrics = Metrics::new("FRA", 0);
        let recent = Arc::new(Recent::new("FRA", 0));
        let filter = Filter::parse([("cache", "miss")]).unwrap();
        let mut follow = recent.follow(filter).unwrap();
        let missed =
            |id: &str| recent.finish(&Record { request_id: id, cache: Outcome::Miss, ..sample(metrics.unrouted()) });
        recent.finish(&sample(metrics.unrouted()));
        missed("a");
        let (line, skipped) = follow.next().await;
        assert_eq!((&read(&line)["id"], skipped), (&"a".into(), 0));
        // Nobody reads: what does not fit is counted.
        for n in 0..WAITING + 7 {
            missed(&format!("b{n}"));
        }
        let (line, skipped) = follow.next().await;
        assert_eq!((&read(&line)["id"], skipped), (&"b0".into(), 7));
    }

    #[tokio::test]
    async fn a_follower_gets_so_many_a_second() {
        let metrics = Metrics::new("FRA", 0);
        let recent = Arc::new(Recent::new("FRA", 0));
        let mut follow = recent.follow(Filter::default()).unwrap();
        for _ in 0..FOLLOWED {
            recent.finish(&sample(metrics.unrouted()));
            follow.next().await;
        }
        recent.finish(&sample(metrics.unrouted()));
        recent.finish(&Record { started_ms: 1_700_000_009_000, request_id: "later", ..sample(metrics.unrouted()) });
        let (line, skipped) = follow.next().await;
        assert_eq!((&read(&line)["id"], skipped), (&"later".into(), 1));
    }

    #[test]
    fn followers_are_bounded_and_leave() {
        let recent = Arc::new(Recent::new("FRA", 0));
        let follows: Vec<_> = (0..FOLLOWERS).map(|_| recent.follow(Filter::default()).unwrap()).collect();
        assert_eq!(recent.follow(Filter::default()).err(), Some(Crowded));
        drop(follows);
        assert_eq!(recent.followed.load(Ordering::Relaxed), 0);
        assert!(recent.follow(Filter::default()).is_ok());
    }
}
