//! Fill: one body on its way in.
//!
//! In: chunks from the one writer. Out: the same bytes to any number of readers (`cursor`), or an error; never a short end.
//! Never: a decision about what is kept, a wait of the writer for its own reader (both run in one task).

mod cursor;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

use super::disk::Spool;
use super::stats::Counters;
use crate::cache::object::{KeyHash, Meta};
pub use cursor::{Cursor, Part};

/// Bytes of a body that is not kept that stay in memory for its readers. The writer slows down when its own viewer is
/// further behind than this; other readers further behind get an error.
pub const WINDOW: u64 = 2 << 20;
/// Bytes of a spooled body that stay in memory for readers that keep up; the others read from disk.
const TAIL: u64 = 512 << 10;
/// The most a reader of such a body takes at once: larger than what the writer brings at once, so that it can catch up.
const GULP: usize = 1 << 20;
/// Memory that a chunk costs besides its bytes.
const CHUNK_COST: u64 = 64;

/// One answer's body on its way in.
#[derive(Debug)]
pub struct Fill {
    pub id: u64,
    pub hash: KeyHash,
    pub key: Box<[u8]>,
    pub meta: Meta,
    /// Without `content-length` unless the origin stated it.
    pub head: Box<[u8]>,
    /// What the origin stated in `Content-Length`.
    pub length: Option<u64>,
    /// Set when the slot was removed meanwhile: the answer goes to its readers and is not stored.
    unwanted: AtomicBool,
    state: Mutex<State>,
    /// Readers wait here for the next bytes or the end.
    grown: Notify,
    /// The writer waits here, for a moment at most, when its viewer is far behind.
    drained: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    /// What memory holds, each chunk with its offset; the last one ends at `written`.
    chunks: VecDeque<(u64, Bytes)>,
    written: u64,
    /// Bytes that `chunks` costs.
    held: u64,
    phase: Phase,
    keep: Keep,
    /// Holds the body's beginning; all that was flushed to it.
    spool: Option<Arc<Spool>>,
    /// Where the writer's own viewer reads, while it does.
    own: Option<u64>,
    /// Where the others read, by reader.
    followers: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Filling,
    Complete,
    Failed,
}

/// Where the bytes stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Keep {
    /// All of them in memory, to become an object there.
    #[default]
    Memory,
    /// All of them in a file of the disk tier, the last ones in memory too.
    Spool,
    /// Nowhere: they pass through a window.
    Nowhere,
}

/// How far behind the viewer that sets the pace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Go,
    /// It is at `at`, and `by` bytes more than [`WINDOW`] wait for it in memory.
    Behind {
        at: u64,
        by: u64,
    },
    /// Nobody reads what is not kept.
    NoReader,
}

// === impl Fill ===
impl Fill {
    /// A fill that has not brought a byte yet.
    pub fn new(
        id: u64,
        hash: KeyHash,
        key: Box<[u8]>,
        meta: Meta,
        head: Box<[u8]>,
        length: Option<u64>,
        counters: Arc<Counters>,
    ) -> Fill {
        let (unwanted, state) = (AtomicBool::new(false), Mutex::default());
        let (grown, drained) = (Notify::new(), Notify::new());
        Fill { id, hash, key, meta, head, length, unwanted, state, grown, drained, counters }
    }

    /// Adds bytes at the end.
    pub fn push(&self, data: Bytes) {
        let mut state = self.state.lock();
        let cost = data.len() as u64 + CHUNK_COST;
        let at = state.written;
        state.written += data.len() as u64;
        state.held += cost;
        state.chunks.push_back((at, data));
        self.counters.fill_bytes.add(cost);
        self.trim(&mut state);
        drop(state);
        self.grown.notify_waiters();
    }

    /// From now on the bytes are kept nowhere: a window of them is for the readers there are.
    pub fn pass(&self) {
        let mut state = self.state.lock();
        if state.keep != Keep::Nowhere {
            state.keep = Keep::Nowhere;
            self.counters.fills_unstored.add(1);
        }
        self.trim(&mut state);
    }

    /// From now on the bytes are kept in `spool`, which holds all of them so far.
    pub fn spool(&self, spool: Arc<Spool>) {
        let mut state = self.state.lock();
        state.keep = Keep::Spool;
        state.spool = Some(spool);
        self.trim(&mut state);
    }

    /// Every byte has come.
    pub fn complete(&self) {
        self.end(Phase::Complete);
    }

    /// No more bytes will come, and what came is not the answer: every reader gets an error.
    pub fn fail(&self) {
        if self.end(Phase::Failed) {
            self.counters.fills_failed.add(1);
        }
    }

    /// The chunks in memory, in order: all of the body while it is kept there.
    pub fn chunks(&self) -> Vec<Bytes> {
        self.state.lock().chunks.iter().map(|(_, chunk)| chunk.clone()).collect()
    }

    pub fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Bytes of memory this fill costs now.
    pub fn held(&self) -> u64 {
        self.state.lock().held
    }

    /// Whether memory holds the body from its first byte, to make an object of.
    pub fn in_memory(&self) -> bool {
        self.state.lock().keep == Keep::Memory
    }

    /// Whether the answer may still be stored.
    pub fn wanted(&self) -> bool {
        !self.unwanted.load(Ordering::Acquire)
    }

    /// The answer will not be stored, and nobody new joins it.
    pub fn disown(&self) {
        self.unwanted.store(true, Ordering::Release);
    }

    /// How far behind its viewer a writer is whose bytes are not kept.
    pub fn pace(&self) -> Pace {
        let state = self.state.lock();
        if state.keep != Keep::Nowhere {
            return Pace::Go;
        }
        let Some(at) = state.pacer() else { return Pace::NoReader };
        let behind = state.written - at.max(state.flushed());
        match behind.checked_sub(WINDOW) {
            Some(by) if by > 0 => Pace::Behind { at, by },
            _ => Pace::Go,
        }
    }

    /// Resolves when a reader has moved on.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Resolves when bytes have come or the fill has ended since `part` was asked: call this first, then `part`.
    pub fn grown(&self) -> tokio::sync::futures::Notified<'_> {
        self.grown.notified()
    }

    /// Whether a new reader may join.
    pub fn joinable(&self) -> bool {
        let state = self.state.lock();
        self.wanted() && state.phase == Phase::Filling && state.keep != Keep::Nowhere
    }

    fn end(&self, phase: Phase) -> bool {
        let mut state = self.state.lock();
        let first = state.phase == Phase::Filling;
        if first {
            state.phase = phase;
            self.counters.fills_in_flight.sub(1);
        }
        drop(state);
        self.grown.notify_waiters();
        first
    }

    /// Lets go of what no reader may ask of memory any more.
    fn trim(&self, state: &mut State) {
        let window = state.written.saturating_sub(WINDOW);
        let from = match (state.keep, state.own) {
            (Keep::Memory, _) => return,
            (Keep::Spool, _) => state.written.saturating_sub(TAIL).min(state.flushed()),
            (Keep::Nowhere, Some(own)) => window.min(own.max(state.flushed())),
            (Keep::Nowhere, None) => window,
        };
        while let Some((at, chunk)) = state.chunks.front() {
            if at + chunk.len() as u64 > from {
                break;
            }
            let cost = chunk.len() as u64 + CHUNK_COST;
            state.held -= cost;
            self.counters.fill_bytes.sub(cost);
            state.chunks.pop_front();
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.counters.fill_bytes.sub(self.state.get_mut().held);
    }
}

// === impl State ===
impl State {
    /// The place of the viewer that sets the pace: the writer's own, else the foremost of the others.
    fn pacer(&self) -> Option<u64> {
        self.own.or_else(|| self.followers.iter().map(|(_, at)| *at).max())
    }

    /// Bytes that readers find in the spool.
    fn flushed(&self) -> u64 {
        self.spool.as_ref().map_or(0, |spool| spool.flushed())
    }

    /// The bytes from `from` that memory holds: one chunk, or several in one when they only pass through.
    fn bytes(&self, from: u64, end: u64) -> Option<Bytes> {
        let after = self.chunks.partition_point(|(at, _)| *at <= from);
        let first = after.checked_sub(1)?;
        let (at, chunk) = self.chunks.get(first)?;
        let cut = |at: u64, chunk: &Bytes| {
            let stop = (end - at).min(chunk.len() as u64) as usize;
            chunk.slice(from.saturating_sub(at).min(stop as u64) as usize..stop)
        };
        let head = cut(*at, chunk);
        if self.keep != Keep::Nowhere || after == self.chunks.len() {
            return Some(head);
        }
        let mut gulp = BytesMut::from(&head[..]);
        for (at, chunk) in self.chunks.range(after..) {
            if *at >= end || gulp.len() + chunk.len() > GULP {
                break;
            }
            gulp.extend_from_slice(&cut(*at, chunk));
        }
        Some(gulp.freeze())
    }
}
