//! Writer: how Pingora writes a body into the store.
//!
//! In: chunks as the origin sends them, then the end. Out: a stored answer, or none. Never: an answer stored short; more
//! memory for a body that is not kept than its window.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::Result;
use pingora::cache::storage::streaming_write::U64WriteId;
use pingora::cache::storage::{HandleMiss, MissFinishType};
use std::sync::Arc;
use std::time::Duration;

use super::StoreError;
use super::disk::SpoolWriter;
use super::fill::{Fill, Pace};
use super::tiers::Tiers;

/// The wait for a viewer that is just too far behind. Doubled for every [`STEP`] it is further behind.
const FIRST_WAIT: Duration = Duration::from_millis(5);
/// The longest wait. The writer goes on after it whether the viewer moved or not: Pingora runs a viewer and its writer in one
/// task, so a writer that waits for its viewer stops it too. Each wait lets in one chunk (at most 64 KiB).
const MAX_WAIT: Duration = Duration::from_millis(2560);
const STEP: u64 = 1 << 20;
/// A viewer further behind than this (beyond the window) fails the fill: the most memory a body that is not kept costs.
const MAX_BEHIND: u64 = 14 << 20;
/// So does one that has not moved through this much waiting.
const MAX_STALL: Duration = Duration::from_secs(60);

/// One fill's writer.
#[derive(Debug)]
pub struct Writer {
    tiers: &'static Tiers,
    fill: Arc<Fill>,
    tag: U64WriteId,
    max_body: u64,
    /// Where the body goes that memory cannot hold.
    spool: Option<SpoolWriter>,
    stall: Stall,
    finished: bool,
}

/// How long a viewer has kept its writer waiting without moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stall {
    at: u64,
    waited: Duration,
}

// === impl Writer ===
impl Writer {
    pub fn new(tiers: &'static Tiers, fill: Arc<Fill>, max_body: u64) -> Writer {
        let tag = U64WriteId::from(fill.id);
        Writer { tiers, fill, tag, max_body, spool: None, stall: Stall::default(), finished: false }
    }

    async fn write(&mut self, data: Bytes) -> Result<(), StoreError> {
        let got = self.fill.written() + data.len() as u64;
        if let Some(stated) = self.fill.length.filter(|stated| got > *stated) {
            return Err(StoreError::Length { stated, got });
        }
        self.fill.push(data.clone());
        if got > self.max_body {
            self.stop_keeping();
        } else if let Some(spool) = &mut self.spool {
            if got > self.tiers.max_object() || !spool.append(&data).await {
                self.stop_keeping();
            }
        } else if self.fill.in_memory() && !self.tiers.may_hold(&self.fill) {
            self.leave_memory().await;
        }
        self.keep_pace().await
    }

    /// The body goes on on disk, or nowhere.
    async fn leave_memory(&mut self) {
        let Some(mut spool) = self.tiers.spool(&self.fill).await else { return self.stop_keeping() };
        for chunk in self.fill.chunks() {
            if !spool.append(&chunk).await {
                return self.stop_keeping();
            }
        }
        self.fill.spool(spool.spool().clone());
        self.spool = Some(spool);
    }

    fn stop_keeping(&mut self) {
        self.spool = None;
        self.fill.pass();
    }

    /// Lets the viewer catch up when the bytes are not kept for it.
    async fn keep_pace(&mut self) -> Result<(), StoreError> {
        match self.fill.pace() {
            Pace::Go => Ok(()),
            Pace::NoReader => Err(StoreError::NoReader),
            Pace::Behind { at, by } => {
                let wait = wait(by)?;
                self.stall = self.stall.after(at, wait)?;
                // Moved or not, the writer goes on: see MAX_WAIT.
                let _ = tokio::time::timeout(wait, self.fill.drained()).await;
                Ok(())
            }
        }
    }

    async fn close(&mut self) -> Result<u64, StoreError> {
        let got = self.fill.written();
        if let Some(stated) = self.fill.length.filter(|stated| got != *stated) {
            return Err(StoreError::Length { stated, got });
        }
        self.finished = true;
        self.tiers.keep(&self.fill, self.spool.take()).await;
        Ok(got)
    }
}

#[async_trait]
impl HandleMiss for Writer {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        if !data.is_empty() {
            self.write(data).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        Ok(MissFinishType::Created(self.close().await? as usize))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            self.tiers.abandon(&self.fill);
        }
    }
}

// === impl Stall ===
impl Stall {
    /// The viewer is at `at`, and the writer is about to wait. An error when that has been long enough.
    fn after(self, at: u64, wait: Duration) -> Result<Stall, StoreError> {
        let waited = if at == self.at { self.waited } else { Duration::ZERO };
        if waited >= MAX_STALL {
            return Err(StoreError::Stalled(MAX_STALL.as_secs()));
        }
        Ok(Stall { at, waited: waited + wait })
    }
}

/// How long to wait for a viewer that is `by` bytes too far behind.
fn wait(by: u64) -> Result<Duration, StoreError> {
    if by > MAX_BEHIND {
        return Err(StoreError::Lagged);
    }
    let doublings = (by / STEP).min(16) as u32;
    Ok((FIRST_WAIT * 2u32.pow(doublings)).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_the_distance() {
        let ms = |by| wait(by).unwrap().as_millis();
        assert_eq!([ms(1), ms(STEP), ms(3 * STEP), ms(9 * STEP), ms(12 * STEP)], [5, 10, 40, 2560, 2560]);
        assert!(matches!(wait(MAX_BEHIND + 1), Err(StoreError::Lagged)));
    }

    #[test]
    fn a_viewer_that_moves_is_not_stalled() {
        let second = Duration::from_secs(1);
        let mut stall = Stall::default();
        for n in 0..1000 {
            stall = stall.after(n / 50, second).unwrap();
        }
        let stalled = (0..100).take_while(|_| stall.after(7, second).map(|next| stall = next).is_ok()).count();
        assert_eq!(stalled, 60);
    }
}
