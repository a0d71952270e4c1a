//! Object: one stored answer.
//!
//! In: what policy decided and the origin sent. Out: age and freshness at an instant. Never: I/O, a clock of its own.

use bytes::Bytes;
use http::HeaderName;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use xxhash_rust::xxh3::Xxh3;

/// 128-bit hash that names an object in every tier (xxh3 of the key's bytes, then of the variance when there is one).
/// Not trusted alone: [`Object::key`] and [`Meta::variance`] are compared on every hit, so a collision is a miss, never a wrong answer.
pub type KeyHash = [u8; 16];

/// Where an object lives: its primary hash alone, or hashed with the variance when it is one of several variants.
pub fn slot(primary: &KeyHash, variance: Option<&KeyHash>) -> KeyHash {
    let Some(variance) = variance else { return *primary };
    let mut hasher = Xxh3::new();
    hasher.update(primary);
    hasher.update(variance);
    hasher.digest128().to_le_bytes()
}

/// Nanoseconds since the epoch, never repeated and never going back within one PoP, across restarts too. Fills and purges
/// are both stamped with it, so "this fill began before that purge" is one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub u64);

/// Source of [`Stamp`]s.
#[derive(Debug)]
pub struct Stamps {
    last: AtomicU64,
    /// The clock counts up to here.
    bound: AtomicU64,
}

impl Default for Stamps {
    fn default() -> Self {
        Stamps { last: AtomicU64::new(0), bound: AtomicU64::new(u64::MAX) }
    }
}

// === impl Stamps ===
impl Stamps {
    /// Makes every later stamp newer than `last`.
    pub fn pass(&self, last: Stamp) {
        self.last.fetch_max(last.0, Ordering::AcqRel);
    }

    /// Follows the clock no further than this: see `horizon`.
    pub fn bound(&self, nanos: u64) {
        self.bound.store(nanos, Ordering::Release);
    }

    /// The newest.
    pub fn last(&self) -> Stamp {
        Stamp(self.last.load(Ordering::Acquire))
    }

    /// The next stamp: the clock, or one past the last stamp when the clock has not moved on.
    pub fn next(&self, now_nanos: u64) -> Stamp {
        let clock = now_nanos.min(self.bound.load(Ordering::Acquire));
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let stamp = clock.max(last + 1);
            match self.last.compare_exchange_weak(last, stamp, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Stamp(stamp),
                Err(seen) => last = seen,
            }
        }
    }
}

/// What is known about a stored answer besides its header fields and body. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub status: u16,
    /// When the answer, or the 304 that last confirmed it, arrived.
    pub responded_ms: u64,
    /// `corrected_initial_age` of RFC 9111 §4.2.3, in milliseconds.
    pub initial_age_ms: u64,
    /// Freshness lifetime (RFC 9111 §4.2.1) after our TTL clamps, in milliseconds; fresh while age < lifetime.
    pub lifetime_ms: u64,
    /// Windows past the lifetime in which the object may be served stale (RFC 5861), in milliseconds.
    pub stale_while_revalidate_ms: u64,
    pub stale_if_error_ms: u64,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: stale is never served, not even on error (RFC 9111 §5.2.2).
    pub must_revalidate: bool,
    /// `no-cache` without fields: every use needs validation (RFC 9111 §5.2.2.4).
    pub no_cache: bool,
    /// Taken when the request to the origin began.
    pub fetch_start: Stamp,
    /// Host the viewer asked, lower case, without port: purge by host.
    pub host: Box<str>,
    /// Path and query the viewer asked, as the key has them: purge by URL and prefix.
    pub uri: Box<str>,
    /// Purge tags, in the case-folded form purge compares.
    pub tags: Box<[Box<str>]>,
    /// Names in the answer's Vary, lower case, sorted; empty = it does not vary.
    pub vary: Box<[HeaderName]>,
    /// Our hash of the request's values of those names, of a kind that nobody finds collisions for (`vary`); set on each stored variant.
    pub variance: Option<KeyHash>,
    /// Of its origin's status and its own, one is 400 or above and the other is not: a function, or an error page, made it so.
    pub masked: bool,
}

impl Meta {
    /// Whether its origin's status was 400 or above, whatever became of it.
    pub fn failed(&self) -> bool {
        (self.status >= 400) != self.masked
    }

    /// Age at `now_ms` (RFC 9111 §4.2.3), in milliseconds.
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        self.initial_age_ms + now_ms.saturating_sub(self.responded_ms)
    }

    /// Milliseconds of freshness left at `now_ms`; negative once stale.
    pub fn ttl_ms(&self, now_ms: u64) -> i64 {
        self.lifetime_ms as i64 - self.age_ms(now_ms) as i64
    }
}

/// A complete stored answer in memory: one block for the fields, one for the body.
#[derive(Debug)]
pub struct Object {
    /// The slot it is stored under: [`slot`] of the key's hash and `meta.variance`, or the primary slot of its family.
    pub hash: KeyHash,
    /// The key's bytes, every part length-prefixed.
    pub key: Box<[u8]>,
    pub meta: Meta,
    /// Header lines as they go on an HTTP/1.1 wire (`name: value\r\n`…), without status line, framing, hop-by-hop fields,
    /// `age`, and without the empty line. Always holds `content-length`, except for a 204 (RFC 9110 §8.6).
    pub head: Box<[u8]>,
    pub body: Body,
    /// Purge generation this object was last checked against: most hits need no second look.
    pub checked: AtomicU64,
    /// False once the memory tier has let it go (evicted, replaced, removed): copies outside the tier must not be served.
    pub live: AtomicBool,
}

/// A stored body.
#[derive(Debug, Clone)]
pub enum Body {
    /// At most [`Body::ONE_BLOCK`] bytes, in an allocation of exactly that size.
    One(Bytes),
    /// Larger: the blocks as they came, each with the offset it starts at. Never empty, never copied together.
    Many { blocks: Box<[(u64, Bytes)]>, len: u64 },
}

// === impl Object ===
impl Object {
    /// Bytes this object costs the memory tier, the tier's own entry included.
    pub fn weight(&self) -> u32 {
        /// Object, its `Arc`, the allocator's rounding, and moka's entry with its policy nodes.
        const FIXED: usize = 640;
        let tags: usize = self.meta.tags.iter().map(|t| t.len() + 16).sum();
        let meta = self.meta.host.len() + self.meta.uri.len() + tags + self.meta.vary.len() * 32;
        let bytes = (FIXED + meta + self.key.len() + self.head.len()) as u64 + self.body.len();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

// === impl Body ===
impl Body {
    /// Bodies up to this size are one block: one write sends them, one slice holds them.
    pub const ONE_BLOCK: u64 = 1 << 20;
    /// Blocks of a larger body are at least this size, but for the last one.
    const MIN_BLOCK: usize = 32 << 10;
    /// Smaller chunks are copied together into blocks of this size.
    const MERGED_BLOCK: usize = 64 << 10;

    /// A body from chunks in order. Small bodies and small chunks are copied, so that none pins a read buffer.
    pub fn gather<'a>(chunks: impl Iterator<Item = &'a Bytes>, len: u64) -> Body {
        if len <= Body::ONE_BLOCK {
            let mut block = Vec::with_capacity(len as usize);
            chunks.for_each(|chunk| block.extend_from_slice(chunk));
            return Body::One(block.into());
        }
        let mut blocks: Vec<(u64, Bytes)> = Vec::new();
        let mut at = 0;
        let mut open: Vec<u8> = Vec::new();
        for chunk in chunks {
            if chunk.len() >= Body::MIN_BLOCK || open.len() + chunk.len() > Body::MERGED_BLOCK {
                close(&mut open, &mut blocks, &mut at);
            }
            if chunk.len() >= Body::MIN_BLOCK {
                blocks.push((at, chunk.clone()));
                at += chunk.len() as u64;
            } else {
                open.extend_from_slice(chunk);
            }
        }
        close(&mut open, &mut blocks, &mut at);
        Body::Many { blocks: blocks.into(), len: at }
    }

    pub fn len(&self) -> u64 {
        match self {
            Body::One(block) => block.len() as u64,
            Body::Many { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole body as one slice, when it is one.
    pub fn whole(&self) -> Option<&Bytes> {
        match self {
            Body::One(block) => Some(block),
            Body::Many { .. } => None,
        }
    }

    /// The bytes from `from` to the end of the block that holds it, but not past `end`; empty at the end of the body.
    pub fn read(&self, from: u64, end: u64) -> Bytes {
        let end = end.min(self.len());
        if from >= end {
            return Bytes::new();
        }
        match self {
            Body::One(block) => block.slice(from as usize..end as usize),
            Body::Many { blocks, .. } => read_block(blocks, from, end),
        }
    }

    /// The blocks in order.
    pub fn blocks(&self) -> impl Iterator<Item = &Bytes> {
        let (one, many) = match self {
            Body::One(block) => (Some(block), &[][..]),
            Body::Many { blocks, .. } => (None, &blocks[..]),
        };
        one.into_iter().chain(many.iter().map(|(_, block)| block))
    }
}

/// Ends the block being merged and puts it behind the others.
fn close(open: &mut Vec<u8>, blocks: &mut Vec<(u64, Bytes)>, at: &mut u64) {
    if !open.is_empty() {
        let block = Bytes::copy_from_slice(open);
        open.clear();
        let start = *at;
        *at += block.len() as u64;
        blocks.push((start, block));
    }
}

/// The part of the block holding `from`, cut at `end`. `blocks` is sorted by start and covers `from`.
fn read_block(blocks: &[(u64, Bytes)], from: u64, end: u64) -> Bytes {
    let after = blocks.partition_point(|(start, _)| *start <= from);
    let Some((start, block)) = after.checked_sub(1).and_then(|i| blocks.get(i)) else { return Bytes::new() };
    let skip = (from - start).min(block.len() as u64) as usize;
    let stop = (end - start).min(block.len() as u64) as usize;
    block.slice(skip..stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_repeat_or_go_back() {
        let stamps = Stamps::default();
        stamps.pass(Stamp(100));
        assert_eq!(stamps.next(50), Stamp(101));
        assert_eq!(stamps.next(200), Stamp(200));
        assert_eq!(stamps.next(200), Stamp(201));
        assert_eq!(stamps.next(10), Stamp(202));
    }

    #[test]
    fn a_variant_has_its_own_slot() {
        let (a, b) = ([1; 16], [2; 16]);
        assert_eq!(slot(&a, None), a);
        assert_ne!(slot(&a, Some(&b)), a);
        assert_ne!(slot(&a, Some(&b)), slot(&b, Some(&a)));
    }

    #[test]
    fn bodies_read_back_whatever_their_blocks() {
        for (name, sizes) in [
            ("empty", vec![]),
            ("one", vec![10]),
            ("small", vec![100; 50]),
            ("many small", vec![1000; 3000]),
            ("mixed", vec![70_000, 10, 20, 500_000, 40_000, 30_000, 30_000, 600_000, 1]),
        ] {
            let mut next = 0u8;
            let chunks: Vec<Bytes> = sizes
                .iter()
                .map(|size| {
                    next = next.wrapping_add(7);
                    Bytes::from(vec![next; *size])
                })
                .collect();
            let want: Vec<u8> = chunks.concat();
            let body = Body::gather(chunks.iter(), want.len() as u64);
            assert_eq!(body.len(), want.len() as u64, "{name}");
            assert_eq!(body.whole().is_some(), want.len() as u64 <= Body::ONE_BLOCK, "{name}");
            for from in [0, 1, want.len() / 2] {
                let mut got = Vec::new();
                loop {
                    let part = body.read((from + got.len()) as u64, u64::MAX);
                    if part.is_empty() {
                        break;
                    }
                    got.extend_from_slice(&part);
                }
                assert_eq!(got, want[from.min(want.len())..], "{name} from {from}");
            }
            if want.len() > 30 {
                assert_eq!(body.read(7, 9), want[7..9], "{name} cut");
            }
            if let Body::Many { blocks, .. } = &body {
                let small = blocks.iter().filter(|(_, b)| b.len() < Body::MIN_BLOCK).count();
                assert!(small <= 1 + blocks.len() / 2, "{name}: {small} small blocks of {}", blocks.len());
            }
        }
    }
}
