//! Reader: how Pingora reads a body from the store.
//!
//! In: a complete object, a fill or a disk record, and a range. Out: its bytes in order, then the end, or an error. Never: a
//! short end, a blocked worker.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::Result;
use pingora::cache::storage::HandleHit;
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, Storage};
use std::any::Any;
use std::sync::Arc;
use tokio::task::JoinHandle;

use super::StoreError;
use super::disk::{Disk, Record};
use super::fill::{Cursor, Part};
use crate::cache::object::Object;

/// One viewer's way through one body.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    at: u64,
    /// Exclusive; `u64::MAX` = wherever the body ends.
    end: u64,
    /// A read of the disk that was begun; kept when the one who waits for it is cancelled.
    pending: Option<Pending>,
}

#[derive(Debug)]
enum Source {
    Object(Arc<Object>),
    Fill(Cursor),
    /// A record that memory does not take, and the first bytes of its body.
    Record(&'static Disk, Arc<Record>, Bytes),
}

#[derive(Debug)]
struct Pending {
    at: u64,
    read: JoinHandle<Result<Bytes, StoreError>>,
}

// === impl Reader ===
impl Reader {
    pub fn object(object: Arc<Object>) -> Reader {
        Reader::new(Source::Object(object))
    }

    pub fn fill(cursor: Cursor) -> Reader {
        Reader::new(Source::Fill(cursor))
    }

    pub fn record(disk: &'static Disk, record: Arc<Record>, piece: Bytes) -> Reader {
        Reader::new(Source::Record(disk, record, piece))
    }

    fn new(source: Source) -> Reader {
        Reader { source, at: 0, end: u64::MAX, pending: None }
    }

    /// The body's length, once it is known.
    fn len(&self) -> Option<u64> {
        match &self.source {
            Source::Object(object) => Some(object.body.len()),
            Source::Fill(cursor) => cursor.fill().length,
            Source::Record(_, record, _) => Some(record.body_len),
        }
    }

    /// The next bytes; empty at the end. Cancel-safe: bytes that were not given are read again.
    async fn next(&mut self) -> Result<Bytes, StoreError> {
        let (at, end) = (self.at, self.end);
        match &self.source {
            Source::Object(object) => Ok(object.body.read(at, end)),
            Source::Fill(cursor) => follow(cursor, at, end, &mut self.pending).await,
            Source::Record(disk, record, piece) => {
                let stop = end.min(piece.len() as u64);
                if at < stop {
                    return Ok(piece.slice(at as usize..stop as usize));
                }
                if at >= end.min(record.body_len) {
                    return Ok(Bytes::new());
                }
                let (disk, record) = (*disk, record.clone());
                wait(&mut self.pending, at, move || disk.read(&record, at, end)).await
            }
        }
    }
}

/// The next bytes of a fill, when they have come.
async fn follow(cursor: &Cursor, at: u64, end: u64, pending: &mut Option<Pending>) -> Result<Bytes, StoreError> {
    loop {
        let grown = cursor.fill().grown();
        match cursor.part(at, end)? {
            Part::Bytes(bytes) => return Ok(bytes),
            Part::End => return Ok(Bytes::new()),
            Part::Spooled(spool) => return wait(pending, at, move || spool.read(at, end)).await,
            Part::Wait => grown.await,
        }
    }
}

/// What `read` gives on a thread that may block; taken up again when it was begun before.
async fn wait(
    pending: &mut Option<Pending>,
    at: u64,
    read: impl FnOnce() -> Result<Bytes, StoreError> + Send + 'static,
) -> Result<Bytes, StoreError> {
    let begun = pending.take().filter(|begun| begun.at == at);
    let begun = pending.insert(begun.unwrap_or_else(|| Pending { at, read: tokio::task::spawn_blocking(read) }));
    let done = (&mut begun.read).await;
    *pending = None;
    done.map_err(std::io::Error::other)?
}

#[async_trait]
impl HandleHit for Reader {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let bytes = self.next().await?;
        self.at += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    async fn finish(self: Box<Self>, _: &'static (dyn Storage + Sync), _: &CacheKey, _: &SpanHandle) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let start = start as u64;
        if self.len().is_some_and(|len| start >= len) {
            return Err(StoreError::Range.into());
        }
        self.pending = None;
        self.at = start;
        self.end = end.map_or(u64::MAX, |end| end as u64);
        Ok(())
    }

    fn should_count_access(&self) -> bool {
        // The memory tier counts its own hits; no eviction manager of Pingora's is used.
        false
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
