//! Cursor: one reader's place in a body on its way in.
//!
//! In: how far the reader has come. Out: what is there, or that it has to wait, or an error. Never: a short end.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fill, Keep, Phase, State};
use crate::cache::store::StoreError;
use crate::cache::store::disk::Spool;

/// A reader's place in a fill; gone from the fill when dropped.
#[derive(Debug)]
pub struct Cursor {
    fill: Arc<Fill>,
    reader: Reader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Own,
    Follower(u64),
}

/// What a reader finds at its place.
#[derive(Debug)]
pub enum Part {
    Bytes(Bytes),
    /// The bytes are in the spool.
    Spooled(Arc<Spool>),
    End,
    Wait,
}

// === impl Cursor ===
impl Cursor {
    /// The place of the writer's own viewer.
    pub fn own(fill: Arc<Fill>) -> Cursor {
        fill.state.lock().own = Some(0);
        Cursor { fill, reader: Reader::Own }
    }

    /// A further reader's place.
    pub fn follow(fill: Arc<Fill>) -> Cursor {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let reader = NEXT.fetch_add(1, Ordering::Relaxed);
        fill.state.lock().followers.push((reader, 0));
        Cursor { fill, reader: Reader::Follower(reader) }
    }

    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// What is at `from`, up to `end`. Errors: the fill failed, or this reader fell out of the window.
    pub fn part(&self, from: u64, end: u64) -> Result<Part, StoreError> {
        let mut state = self.fill.state.lock();
        self.move_to(&mut state, from);
        if from >= end {
            return Ok(Part::End);
        }
        if state.phase == Phase::Failed {
            return Err(StoreError::FillFailed);
        }
        if from >= state.written {
            return Ok(if state.phase == Phase::Complete { Part::End } else { Part::Wait });
        }
        let Some(bytes) = state.bytes(from, end) else {
            let spool = state.spool.as_ref().filter(|spool| from < spool.flushed());
            return Ok(Part::Spooled(spool.ok_or(StoreError::Lagged)?.clone()));
        };
        let next = from + bytes.len() as u64;
        self.move_to(&mut state, next);
        if state.keep == Keep::Nowhere {
            self.fill.trim(&mut state);
            drop(state);
            self.fill.drained.notify_one();
        }
        Ok(Part::Bytes(bytes))
    }

    fn move_to(&self, state: &mut State, to: u64) {
        match self.reader {
            Reader::Own => state.own = Some(to),
            Reader::Follower(id) => {
                if let Some((_, at)) = state.followers.iter_mut().find(|(follower, _)| *follower == id) {
                    *at = to;
                }
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut state = self.fill.state.lock();
        match self.reader {
            Reader::Own => state.own = None,
            Reader::Follower(id) => state.followers.retain(|(follower, _)| *follower != id),
        }
        drop(state);
        self.fill.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CHUNK_COST, Pace, WINDOW};
    use super::*;
    use crate::cache::store::fixture;
    use crate::cache::store::inflight::Fills;
    use crate::cache::store::stats::Counters;

    fn begin() -> (Fills, Arc<Fill>, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let fills = Fills::new(counters.clone());
        let fill = fills.begin([1; 16], b"key"[..].into(), fixture::meta(), [].into(), None);
        (fills, fill, counters)
    }

    fn bytes(part: Result<Part, StoreError>) -> Bytes {
        match part.unwrap() {
            Part::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_sees_bytes_then_waits_then_the_end() {
        let (_fills, fill, counters) = begin();
        let cursor = Cursor::follow(fill.clone());
        assert!(matches!(cursor.part(0, u64::MAX), Ok(Part::Wait)));
        fill.push(Bytes::from_static(b"abc"));
        fill.push(Bytes::from_static(b"def"));
        assert_eq!(bytes(cursor.part(0, u64::MAX)), "abc");
        assert_eq!(bytes(cursor.part(1, 2)), "b");
        assert_eq!(bytes(cursor.part(4, u64::MAX)), "ef");
        assert!(matches!(cursor.part(6, u64::MAX), Ok(Part::Wait)));
        fill.complete();
        assert!(matches!(cursor.part(6, u64::MAX), Ok(Part::End)));
        assert_eq!(bytes(cursor.part(3, 5)), "de", "a complete fill still reads");
        assert_eq!(counters.fill_bytes.get(), 6 + 2 * CHUNK_COST);
        drop((cursor, fill, _fills));
        assert_eq!(counters.fill_bytes.get(), 0);
    }

    #[test]
    fn a_failed_fill_is_an_error_wherever_the_reader_is() {
        let (_fills, fill, _) = begin();
        let cursor = Cursor::follow(fill.clone());
        fill.push(Bytes::from_static(b"abc"));
        fill.fail();
        assert!(matches!(cursor.part(0, u64::MAX), Err(StoreError::FillFailed)));
        assert!(matches!(cursor.part(3, u64::MAX), Err(StoreError::FillFailed)), "pingora#932");
        assert!(matches!(cursor.part(3, 3), Ok(Part::End)), "a range that was had whole");
        fill.complete();
        assert!(matches!(cursor.part(3, u64::MAX), Err(StoreError::FillFailed)), "the first end counts");
    }

    #[test]
    fn what_is_not_kept_passes_through_a_window() {
        let (_fills, fill, counters) = begin();
        let own = Cursor::own(fill.clone());
        let follower = Cursor::follow(fill.clone());
        let chunk = Bytes::from(vec![1; 64 << 10]);
        fill.push(chunk.clone());
        fill.pass();
        assert_eq!(fill.pace(), Pace::Go);
        while fill.written() <= WINDOW {
            fill.push(chunk.clone());
        }
        assert_eq!(fill.pace(), Pace::Behind { at: 0, by: fill.written() - WINDOW });
        let mut at = 0;
        while let Part::Bytes(part) = own.part(at, u64::MAX).unwrap() {
            assert!(part.len() > chunk.len() || at + part.len() as u64 == fill.written(), "gulps");
            at += part.len() as u64;
        }
        assert_eq!((at, fill.pace()), (fill.written(), Pace::Go));
        for _ in 0..1000 {
            fill.push(chunk.clone());
            at += bytes(own.part(at, u64::MAX)).len() as u64;
            assert!(fill.held() <= WINDOW + (256 << 10));
        }
        assert!(matches!(follower.part(0, u64::MAX), Err(StoreError::Lagged)));
        assert_eq!(bytes(follower.part(at - 10, u64::MAX)).len(), 10, "who keeps up reads on");
        drop(own);
        assert_eq!(fill.pace(), Pace::Go, "the follower sets the pace now");
        drop(follower);
        assert_eq!(fill.pace(), Pace::NoReader);
        assert_eq!(counters.fills_unstored.get(), 1);
    }
}
