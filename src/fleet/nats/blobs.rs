//! Blobs: the hub's object store, by digest.
//!
//! In: bytes. Out: the same bytes, verified here. Never: a blob sent that is there, a read that waits without an end.

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::object_store::{GetErrorKind, InfoErrorKind, ObjectInfo, ObjectOptions, ObjectStore};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use tokio::io::AsyncReadExt as _;

use super::streams;
use crate::fleet::bus::{BusError, Digest};

/// The object store, and the stream that it is (NATS's ADR-20).
pub(super) const BLOBS: &str = "BLOBS";
const STREAM: &str = "OBJ_BLOBS";

/// Bytes of one message: servers take 1 MiB, and know chunks of 128 KiB from elsewhere.
const CHUNK: usize = 512 << 10;
/// Chunks on their way to the hub.
const WINDOW: usize = 8;
/// How long the hub may take for what is on its way, either way.
const STEP: Duration = Duration::from_secs(5);

/// On the hub's disk when it returns `Ok`; nothing of it stays there otherwise, if the hub can still be told.
pub(super) async fn put(js: &Context, store: &ObjectStore, digest: Digest, bytes: &Bytes) -> Result<(), BusError> {
    let name = digest.to_string();
    if let Ok(info) = store.info(&name).await
        && !info.deleted
        && info.size == bytes.len()
    {
        return Ok(());
    }
    let nuid = format!("{:032x}", rand::random::<u128>());
    let sent = send(js, &name, &nuid, digest, bytes).await;
    if sent.is_err() {
        let stream = js.get_stream_no_info(STREAM).await.map_err(|error| away(&error))?;
        let _ = stream.purge().filter(chunks(&nuid)).await;
    }
    sent
}

async fn send(js: &Context, name: &str, nuid: &str, digest: Digest, bytes: &Bytes) -> Result<(), BusError> {
    let parts: Vec<Bytes> =
        (0..bytes.len()).step_by(CHUNK).map(|at| bytes.slice(at..bytes.len().min(at + CHUNK))).collect();
    let chunks = chunks(nuid);
    for window in parts.chunks(WINDOW) {
        let acknowledged = async {
            let mut acks = Vec::with_capacity(WINDOW);
            for part in window {
                acks.push(js.publish(chunks.clone(), part.clone()).await?.into_future());
            }
            try_join_all(acks).await
        };
        in_time(acknowledged).await?;
    }
    let info = ObjectInfo {
        name: name.to_owned(),
        description: None,
        metadata: HashMap::new(),
        headers: None,
        options: Some(ObjectOptions { link: None, max_chunk_size: Some(CHUNK) }),
        bucket: BLOBS.to_owned(),
        nuid: nuid.to_owned(),
        size: bytes.len(),
        chunks: parts.len(),
        modified: None,
        digest: Some(format!("SHA-256={}", URL_SAFE.encode(digest.0))),
        deleted: false,
    };
    let info = serde_json::to_vec(&info).map_err(|error| BusError::Refused(error.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Rollup", "sub");
    in_time(async { js.publish_with_headers(meta(name), headers, info.into()).await?.await }).await.map(drop)
}

async fn in_time<T>(acknowledged: impl Future<Output = Result<T, PublishError>>) -> Result<T, BusError> {
    match tokio::time::timeout(STEP, acknowledged).await {
        Ok(done) => done.map_err(|error| match error.kind() {
            PublishErrorKind::Other => streams::unusable(STREAM, &error),
            _ => away(&error),
        }),
        Err(_) => Err(BusError::Away("the hub takes no blob".into())),
    }
}

fn meta(name: &str) -> String {
    format!("$O.{BLOBS}.M.{}", URL_SAFE.encode(name))
}

fn chunks(nuid: &str) -> String {
    format!("$O.{BLOBS}.C.{nuid}")
}

fn away(error: &dyn std::fmt::Display) -> BusError {
    BusError::Away(error.to_string())
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
    let info = match store.info(&name).await {
        Ok(info) => info,
        Err(error) if error.kind() == InfoErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(away(&error)),
    };
    let stream = js.get_stream_no_info(STREAM).await.map_err(|error| away(&error))?;
    for subject in [meta(&name), chunks(&info.nuid)] {
        stream.purge().filter(subject).await.map_err(|error| away(&error))?;
    }
    Ok(())
}
