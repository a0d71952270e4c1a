//! Blobs: the hub's object store, by digest.
//!
//! In: bytes. Out: the same bytes, verified here. Never: a blob sent that is there, one forgotten that was touched, a read that waits without
//! an end.

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::object_store::{GetErrorKind, ObjectInfo, ObjectOptions, ObjectStore};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::future::join_all;
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
/// Touches of a blob that others touch at the same moment.
const TOUCHES: u32 = 8;

/// On the hub's disk when it returns `Ok`; nothing of it stays there otherwise, if the hub can still be told.
pub(super) async fn put(js: &Context, store: &ObjectStore, digest: Digest, bytes: &Bytes) -> Result<(), BusError> {
    let name = digest.to_string();
    if let Ok(info) = store.info(&name).await
        && !info.deleted
        && info.size == bytes.len()
        && touch(js, digest).await.is_ok()
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
            // All of them: a chunk that arrives after one was refused would stay behind what `put` removes.
            join_all(acks).await.into_iter().collect::<Result<Vec<_>, _>>()
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

fn meta_of_all() -> String {
    format!("$O.{BLOBS}.M.*")
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

/// Says again what a blob is: the time of that message is when it was touched.
pub(super) async fn touch(js: &Context, digest: Digest) -> Result<(), BusError> {
    let subject = meta(&digest.to_string());
    for _ in 0..TOUCHES {
        let Some(said) = last(js, &subject).await? else { return Err(BusError::NoBlob(digest)) };
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Rollup", "sub");
        // Between reading and saying, somebody may have forgotten it.
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, said.sequence.to_string());
        let again = async { js.publish_with_headers(subject.clone(), headers, said.payload).await?.await };
        match tokio::time::timeout(STEP, again).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if error.kind() == PublishErrorKind::WrongLastSequence => {}
            Ok(Err(error)) => return Err(away(&error)),
            Err(_) => break,
        }
    }
    Err(BusError::Away("the hub lets no blob be touched".into()))
}

pub(super) async fn all(js: &Context) -> Result<Vec<Digest>, BusError> {
    let stream = js.get_stream_no_info(STREAM).await.map_err(|error| away(&error))?;
    let mut subjects = stream.info_with_subjects(meta_of_all()).await.map_err(|error| away(&error))?;
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(STEP, subjects.next()).await {
            Ok(Some(Ok((subject, _)))) => {
                let name = subject.rsplit('.').next().and_then(|name| URL_SAFE.decode(name).ok());
                all.extend(name.and_then(|name| Digest::parse(std::str::from_utf8(&name).ok()?)));
            }
            Ok(Some(Err(error))) => return Err(away(&error)),
            Ok(None) => return Ok(all),
            Err(_) => return Err(BusError::Away("the hub does not say which blobs it has".into())),
        }
    }
}

/// Removes every message of a blob: a full hub takes no mark that it is deleted, and nobody needs one.
pub(super) async fn forget(js: &Context, digest: Digest, untouched: Duration) -> Result<bool, BusError> {
    let subject = meta(&digest.to_string());
    let Some(said) = last(js, &subject).await? else { return Ok(true) };
    let touched = u64::try_from(said.time.unix_timestamp()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now.saturating_sub(Duration::from_secs(touched)) < untouched {
        return Ok(false);
    }
    let stream = js.get_stream_no_info(STREAM).await.map_err(|error| away(&error))?;
    // Only what was read: a touch that came meanwhile stays, and the chunks with it.
    stream.purge().filter(subject.clone()).sequence(said.sequence + 1).await.map_err(|error| away(&error))?;
    let nuid = |said: &StreamMessage| serde_json::from_slice(&said.payload).ok().map(|info: ObjectInfo| info.nuid);
    let (now, old) = (last(js, &subject).await?, nuid(&said));
    // Put again meanwhile, it has chunks of its own.
    if let Some(old) = old.filter(|old| now.as_ref().and_then(nuid).as_ref() != Some(old)) {
        stream.purge().filter(chunks(&old)).await.map_err(|error| away(&error))?;
    }
    Ok(now.is_none())
}

/// What is said of a blob, if anything is.
async fn last(js: &Context, subject: &str) -> Result<Option<StreamMessage>, BusError> {
    let stream = js.get_stream_no_info(STREAM).await.map_err(|error| away(&error))?;
    match tokio::time::timeout(STEP, stream.get_last_raw_message_by_subject(subject)).await {
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Ok(Err(error)) => Err(away(&error)),
        Err(_) => Err(BusError::Away("the hub says nothing of a blob".into())),
    }
}
