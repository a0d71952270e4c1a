//! Blobs: the hub's object store, by digest.
//!
//! In: bytes. Out: the same bytes, verified here. Never: a blob sent that is there, a read that waits without an end.

use std::time::Duration;

use async_nats::jetstream::object_store::{DeleteErrorKind, GetErrorKind, InfoErrorKind, ObjectMetadata, ObjectStore};
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;

use crate::fleet::bus::{BusError, Digest};

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

pub(super) async fn forget(store: &ObjectStore, digest: Digest) -> Result<(), BusError> {
    let name = digest.to_string();
    match store.info(&name).await {
        Ok(info) if info.deleted => return Ok(()),
        Err(error) if error.kind() == InfoErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    match store.delete(&name).await {
        Err(error) if error.kind() != DeleteErrorKind::NotFound => Err(BusError::Away(error.to_string())),
        _ => Ok(()),
    }
}
