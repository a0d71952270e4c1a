//! Storage: the tiers as Pingora's cache knows them.
//!
//! In: Pingora's keys and metas. Out: metas rebuilt from ours, readers and writers of bodies. Never: a body kept by itself.

use async_trait::async_trait;
use http::header::CONTENT_LENGTH;
use pingora::Result;
use pingora::cache::key::CacheHashKey;
use pingora::cache::storage::{HitHandler, MissHandler};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use std::any::Any;
use std::sync::Arc;

use super::fill::Cursor;
use super::reader::Reader;
use super::tiers::{Loaded, Tiers};
use super::writer::Writer;
use super::{Admission, StoreError, Stored, head};
use crate::cache::object::{KeyHash, Meta, Object, slot};

type Found = (CacheMeta, HitHandler);

#[async_trait]
impl Storage for Tiers {
    async fn lookup(&'static self, key: &CacheKey, _: &SpanHandle) -> Result<Option<Found>> {
        let hash = slot_of(key);
        // A fill first: it is newer than what is stored, and it is why waiting readers were let go.
        if let Some(fill) = self.fills.find(&hash, key.primary_key()).filter(|fill| fits(&fill.meta, key)) {
            let view = view(&fill.meta, &fill.head, Stored::Filling(fill.clone()))?;
            return Ok(Some((view, Box::new(Reader::fill(Cursor::follow(fill))))));
        }
        if let Some(object) = self.memory.get(&hash, key.primary_key()).filter(|object| fits(&object.meta, key)) {
            return found(object).map(Some);
        }
        match self.load(hash, key.primary_key()).await {
            Some((_, Loaded::Object(object))) if fits(&object.meta, key) => found(object).map(Some),
            Some((disk, Loaded::Record(record, piece))) if fits(&record.meta, key) => {
                let view = view(&record.meta, &record.head, Stored::OnDisk(record.clone()))?;
                Ok(Some((view, Box::new(Reader::record(disk, record, piece)))))
            }
            _ => Ok(None),
        }
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        tag: Option<&[u8]>,
        trace: &SpanHandle,
    ) -> Result<Option<Found>> {
        let Some(id) = tag.and_then(|tag| tag.try_into().ok()).map(u64::from_be_bytes) else {
            return self.lookup(key, trace).await;
        };
        let Some(fill) = self.fills.by_id(&slot_of(key), id) else { return Ok(None) };
        let view = view(&fill.meta, &fill.head, Stored::Filling(fill.clone()))?;
        Ok(Some((view, Box::new(Reader::fill(Cursor::own(fill))))))
    }

    async fn get_miss_handler(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<MissHandler> {
        let (admission, ours) = admission(meta)?;
        let fields = meta.headers();
        let length = fields.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let lines = head::lines(ours.status, fields, &admission.strip, length);
        let fill = self.fills.begin(slot_of(key), admission.key.clone(), ours, lines, length);
        Ok(Box::new(Writer::new(self, fill, admission.max_body)))
    }

    async fn purge(&'static self, target: PurgeTarget<'_>, _: PurgeType, _: &SpanHandle) -> Result<PurgeOutcome> {
        Ok(if self.remove(&slot_of(target.key())) { PurgeOutcome::Purged(None) } else { PurgeOutcome::NotFound })
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let (admission, ours) = admission(meta)?;
        let Some(confirmed) = admission.confirmed else { return Ok(false) };
        Ok(self.refresh(&slot_of(key), &admission.key, confirmed, ours, (meta.headers(), &admission.strip)))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

fn found(object: Arc<Object>) -> Result<Found> {
    let view = view(&object.meta, &object.head, Stored::Object(object.clone()))?;
    Ok((view, Box::new(Reader::object(object))))
}

/// The slot that Pingora's key leads to.
pub fn slot_of(key: &impl CacheHashKey) -> KeyHash {
    slot(&key.primary_bin(), key.variance_bin().as_ref())
}

/// A secondary slot holds the variant it is named after; the primary slot holds any (Pingora then compares).
fn fits(meta: &Meta, key: &CacheKey) -> bool {
    key.variance_bin().is_none_or(|variance| meta.variance == Some(variance))
}

fn view(meta: &Meta, lines: &[u8], stored: Stored) -> Result<CacheMeta, StoreError> {
    let mut view = head::cache_meta(meta, head::header(meta.status, lines)?);
    view.extensions_mut().insert(stored);
    Ok(view)
}

/// How the proxy admitted `meta`, and our meta with what Pingora settled after that.
fn admission(meta: &CacheMeta) -> Result<(&Admission, Meta), StoreError> {
    let admission: &Admission = meta.extensions().get().ok_or(StoreError::NoAdmission)?;
    let status = meta.response_header().status.as_u16();
    Ok((admission, Meta { status, variance: meta.variance(), ..admission.meta.clone() }))
}
