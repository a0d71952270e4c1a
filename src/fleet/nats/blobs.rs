//! Blobs: the hub's object store, by digest.
//!
//! In: bytes. Out: the same bytes, verified here. Never: a blob sent that is there, a read that waits without an end.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::object_store::{GetErrorKind, InfoErrorKind, ObjectMetadata, ObjectStore};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;

use crate::fleet::bus::{BusError, Digest};

/// The object store, and the stream that it is (NATS's ADR-20).
pub(super) const BLOBS: &str = "BLOBS";
const STREAM: &str = "OBJ_BLOBS";

/// Bytes of one message: each is awaited before the next, so few and large ones; servers take 1 MiB.
const CHUNK: usize = 512 << 10;
/// How long the hub may take for a chunk, either way.
const STEP: Duration = Duration::from_secs(5);

/// On the hub's disk when it returns `Ok`.
pub(super) async fn put(store: &ObjectStore, digest: Digest, bytes: &Bytes) -> Result<(), BusError> {
    let name = digest.to_string();
    if let Ok(info) = store.info(&name).await
        && !info.deleted
        && info.size == bytes.len()
    {
        return Ok(());
    }
    let meta = ObjectMetadata { name, chunk_size: Some(CHUNK), ..ObjectMetadata::default() };
    let steps = u32::try_from(bytes.len() / CHUNK + 2).unwrap_or(u32::MAX);
    match tokio::time::timeout(STEP * steps, store.put(meta, &mut bytes.as_ref())).await {
        Ok(put) => put.map(drop).map_err(|error| BusError::Away(error.to_string())),
        Err(_) => Err(BusError::Away("the hub takes no blob".into())),
    }
}

pub(super) async fn get(store: &ObjectStore, digest: Digest, most: u64) -> Result<Bytes, BusError> {
    let mut object = match tokio::time::timeout(STEP, store.get(digest.to_string())).await {
        Ok(Ok(object)) => object,
        Ok(Err(error)) if error.kind() == GetErrorKind::NotFound => return Err(BusError::NoBlob(digest)),
        Ok(Err(error)) => return Err(BusError::Away(error.to_string())),
        Err(_) => return Err(BusError::Away("the hub gives no blob".into())),
    };
    let size = object.info.size;
    if size as u64 > most {
        return Err(BusError::Refused(format!("a blob has at most {most} bytes")));
    }
    let mut bytes = BytesMut::with_capacity(size);
    // The store ends what it gives with a check of its own, and would wait for the chunks of what has none.
    while bytes.len() < size {
        match tokio::time::timeout(STEP, object.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => return Err(BusError::Corrupt(digest)),
            Ok(Err(error)) => return Err(BusError::Away(error.to_string())),
            Err(_) => return Err(BusError::Away("the hub gives no more of a blob".into())),
        }
    }
    match Digest::of(&bytes) == digest {
        true => Ok(bytes.freeze()),
        false => Err(BusError::Corrupt(digest)),
    }
}

/// Removes every message of a blob: a full hub takes no mark that it is deleted, and nobody needs one.
pub(super) async fn forget(js: &Context, store: &ObjectStore, digest: Digest) -> Result<(), BusError> {
    let name = digest.to_string();
    let away = |error: &dyn std::fmt::Display| BusError::Away(error.to_string());
    let info = match store.info(&name).await {
        Ok(info) => info,
        Err(error) if error.kind() == InfoErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(away(&error)),
    };
    let stream = js.get_stream_no_info(STREAM).await.map_err(|error| away(&error))?;
    for subject in [format!("$O.{BLOBS}.M.{}", URL_SAFE.encode(&name)), format!("$O.{BLOBS}.C.{}", info.nuid)] {
        stream.purge().filter(subject).await.map_err(|error| away(&error))?;
    }
    Ok(())
}
