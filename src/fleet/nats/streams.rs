//! Streams: what the hub keeps, made and changed to what the configuration says.
//!
//! In: what to keep. Out: one stream a topic, a store of blobs. Never: replicas or places that an operator chose, changed.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::{Context, ErrorCode};

use async_nats::jetstream::object_store::{self, ObjectStore};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use futures::future::try_join_all;

use super::blobs::BLOBS;
use crate::fleet::bus::{BusError, KNOWN_FOR, Keep, RATES_FOR, RATES_MAX, Topic};

/// A topic's stream.
pub(super) fn name(topic: Topic) -> &'static str {
    match topic {
        Topic::Purges => "PURGES",
        Topic::Revisions => "REVISIONS",
        Topic::Data => "DATA",
        Topic::Items => "ITEMS",
        Topic::Usage => "USAGE",
        Topic::Acks => "ACKS",
        Topic::Rates => "RATES",
    }
}

/// A subject of a topic, on the server.
pub(super) fn subject(topic: Topic, within: &str) -> String {
    format!("{}.{within}", topic.name())
}

/// A server's subject, within its topic.
pub(super) fn within(topic: Topic, subject: &str) -> Option<&str> {
    subject.strip_prefix(topic.name())?.strip_prefix('.')
}

/// What the configuration says of a topic's stream; `-1` is without a limit.
fn wanted(topic: Topic, keep: &Keep) -> Config {
    let max_age = match topic {
        Topic::Purges => keep.purges,
        Topic::Rates => RATES_FOR,
        Topic::Revisions | Topic::Data | Topic::Items | Topic::Usage | Topic::Acks => Duration::ZERO,
    };
    // A server remembers ids for no longer than messages.
    let known = if max_age.is_zero() { KNOWN_FOR } else { KNOWN_FOR.min(max_age) };
    Config {
        name: name(topic).into(),
        subjects: vec![format!("{}.>", topic.name())],
        max_age,
        max_bytes: -1,
        max_messages: match topic {
            Topic::Revisions => i64::try_from(keep.revisions).unwrap_or(i64::MAX),
            Topic::Rates => RATES_MAX as i64,
            _ => -1,
        },
        max_messages_per_subject: if topic.newest() { 1 } else { -1 },
        duplicate_window: known,
        discard: DiscardPolicy::Old,
        storage: if topic == Topic::Rates { StorageType::Memory } else { StorageType::File },
        num_replicas: 1,
        ..Config::default()
    }
}

/// A stream that is there, with what the configuration says of it.
fn changed(there: &Config, wanted: Config) -> Config {
    Config {
        subjects: wanted.subjects,
        max_age: wanted.max_age,
        max_messages: wanted.max_messages,
        max_messages_per_subject: wanted.max_messages_per_subject,
        duplicate_window: wanted.duplicate_window,
        discard: wanted.discard,
        ..there.clone()
    }
}

/// Makes every stream that is missing and changes those that keep something else; the store of blobs.
pub(super) async fn settle(js: &Context, keep: &Keep) -> Result<ObjectStore, BusError> {
    let each = Topic::ALL.map(|topic| settle_one(js, wanted(topic, keep)));
    let (_, blobs) = tokio::try_join!(try_join_all(each), blobs(js))?;
    Ok(blobs)
}

async fn settle_one(js: &Context, wanted: Config) -> Result<(), BusError> {
    let name = wanted.name.clone();
    let failed = |kind: CreateStreamErrorKind| match kind {
        CreateStreamErrorKind::JetStream(error) => unusable(&name, &error),
        kind => BusError::Away(kind.to_string()),
    };
    match js.get_stream(&wanted.name).await {
        Ok(stream) => {
            let there = &stream.cached_info().config;
            let next = changed(there, wanted);
            if next != *there {
                js.update_stream(&next).await.map_err(|error| failed(error.kind()))?;
            }
        }
        Err(error) if missing(&error.kind()) => {
            let first = Some(first_sequence(SystemTime::now()));
            let made = js.create_stream(Config { first_sequence: first, ..wanted }).await;
            // Another node was faster.
            if made.is_err() && js.get_stream(&name).await.is_ok() {
                return Ok(());
            }
            made.map_err(|error| failed(error.kind()))?;
        }
        Err(error) => return Err(BusError::Away(error.to_string())),
    }
    Ok(())
}

async fn blobs(js: &Context) -> Result<ObjectStore, BusError> {
    if let Ok(store) = js.get_object_store(BLOBS).await {
        return Ok(store);
    }
    let config = object_store::Config { bucket: BLOBS.into(), num_replicas: 1, ..object_store::Config::default() };
    match js.create_object_store(config).await {
        Ok(store) => Ok(store),
        // Another node was faster.
        Err(error) => js.get_object_store(BLOBS).await.map_err(|_| BusError::Away(error.to_string())),
    }
}

/// Where a stream that is made now begins: above every position that one before it gave, of which it knows nothing. Microseconds: no
/// stream takes a million messages a second for all its life.
fn first_sequence(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// What the hub has of a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The first position that there ever was.
    pub origin: u64,
    /// The first that is kept; one more than the newest when none is.
    pub first: u64,
    /// The newest; one less than `origin` when there never was one.
    pub last: u64,
}

pub(super) async fn bounds(js: &Context, topic: Topic) -> Result<Bounds, BusError> {
    let stream = js.get_stream(name(topic)).await.map_err(|error| BusError::Away(error.to_string()))?;
    let info = stream.cached_info();
    let origin = info.config.first_sequence.unwrap_or(1).max(1);
    let last = info.state.last_sequence.max(origin - 1);
    Ok(Bounds { origin, first: if info.state.messages == 0 { last + 1 } else { info.state.first_sequence }, last })
}

/// The hub's word that it cannot.
pub(super) fn unusable(stream: &str, error: &dyn std::fmt::Display) -> BusError {
    BusError::Disk { what: format!("the hub's stream {stream}"), why: error.to_string() }
}

fn missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_chose_stays() {
        let keep = Keep { purges: Duration::from_secs(60), revisions: 9, blob: 1 };
        let there = Config { num_replicas: 3, max_age: Duration::from_secs(9), ..wanted(Topic::Purges, &keep) };
        let next = changed(&there, wanted(Topic::Purges, &keep));
        assert_eq!((next.num_replicas, next.max_age), (3, Duration::from_secs(60)));
        assert_eq!(next.duplicate_window, Duration::from_secs(60), "no longer than messages are kept");
        assert_eq!(wanted(Topic::Revisions, &keep).max_messages, 9);
        assert_eq!(wanted(Topic::Data, &keep).max_messages_per_subject, 1);
    }

    #[test]
    fn subjects_there_and_back() {
        assert_eq!(subject(Topic::Data, "kv.a.Zm8="), "data.kv.a.Zm8=");
        assert_eq!(within(Topic::Data, "data.kv.a.Zm8="), Some("kv.a.Zm8="));
        assert_eq!(within(Topic::Data, "database.a"), None);
    }
}
