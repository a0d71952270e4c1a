//! Bus: what carries things between nodes, or from a process to its successor.
//!
//! In: messages under a topic, blobs. Out: every message of a topic in one order that all nodes see, from any position on.
//! Never: what a message means.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

/// Bytes of a message's body, at most: NATS servers take 1 MiB, subject and headers included, unless they are told otherwise.
pub const BODY_MAX: usize = 1_000_000;
/// Bytes of a subject, at most: a server reads 4 KiB of a line, which holds a topic and an inbox too.
pub const SUBJECT_MAX: usize = 2048;
/// Bytes of an id, at most.
pub const ID_MAX: usize = 256;
/// For how long a message is known by its id.
pub const KNOWN_FOR: Duration = Duration::from_secs(120);
/// How long and how many [`Topic::Rates`] are kept: they say what was a moment ago.
pub const RATES_FOR: Duration = Duration::from_secs(10);
pub const RATES_MAX: usize = 4096;

/// A message's place in its topic's order: greater than all before it, gaps are what is no longer kept. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// One log each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Every purge, for `fleet.purge_retention`.
    Purges,
    /// Signed manifests, the newest `fleet.revisions`.
    Revisions,
    /// Entries of key-value stores and API keys: the newest of each subject, for good.
    Data,
    /// Items of global tables: the newest of each subject, for good, deleted items too.
    Items,
    /// What each node counted: the newest of each subject.
    Usage,
    /// How far each node is: the newest of each subject.
    Acks,
    /// What each node admitted a moment ago; kept for seconds.
    Rates,
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Within its topic, for topics that keep the newest of each: letters, digits, '-', '_', '=' and '.' between non-empty parts.
    pub subject: String,
    /// Unique: published twice within minutes, it is kept once. Afterwards it may be there twice.
    pub id: String,
    pub body: Bytes,
}

/// What a tail gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    Message {
        seq: Seq,
        message: Message,
    },
    /// Messages up to and including this one are no longer kept, and some of them were never delivered: whatever they were, they count.
    /// Only for [`Topic::Purges`]: the others keep what is needed; for [`Topic::Items`], when the position is of a log that is gone:
    /// what was published to that one is not here.
    Lost {
        up_to: Seq,
    },
}

/// What a bus keeps.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// How long purges are kept.
    pub purges: Duration,
    /// Revisions, the newest.
    pub revisions: usize,
    /// Bytes of one blob, at most.
    pub blob: u64,
}

/// SHA-256 of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Why the bus did not do it. What was published may have been kept all the same: publish again under the same id. Only
/// [`BusError::Refused`] is for good: it is the message that is wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    #[error("the bus cannot be reached: {0}")]
    Away(String),
    #[error("the bus refused it: {0}")]
    Refused(String),
    #[error("cannot use {what}: {why}")]
    Disk { what: String, why: String },
    #[error("there is no blob {0}")]
    NoBlob(Digest),
    #[error("the blob {0} is not what its name says")]
    Corrupt(Digest),
}

/// Messages and then, for ever, what is published; after an error nothing more comes: tail again from the last position.
pub type Tail = BoxStream<'static, Result<Delivered, BusError>>;

/// `first`, and what a tail has behind it without waiting, at most `most` in all; and how the tail ended, when it did.
pub fn at_hand(tail: &mut Tail, first: Delivered, most: usize) -> (Vec<Delivered>, Option<BusError>) {
    let mut deliveries = vec![first];
    while deliveries.len() < most {
        match tail.next().now_or_never().flatten() {
            Some(Ok(next)) => deliveries.push(next),
            Some(Err(error)) => return (deliveries, Some(error)),
            None => break,
        }
    }
    (deliveries, None)
}

/// A log per topic and a store of blobs.
#[async_trait]
pub trait Bus: std::fmt::Debug + Send + Sync {
    /// Durable once it returns `Ok`. Messages of one caller keep their order when each is awaited before the next.
    async fn publish(&self, topic: Topic, message: Message) -> Result<Seq, BusError>;

    /// Everything after a position, 0 for all. The position of a log that is gone gets its successor's messages from the beginning,
    /// [`Delivered::Lost`] first where that counts.
    async fn tail(&self, topic: Topic, after: Seq) -> Result<Tail, BusError>;

    /// The newest position, 0 when there never was one; asked of the bus itself: also says whether it can be reached.
    async fn head(&self, topic: Topic) -> Result<Seq, BusError>;

    /// Durable once it returns `Ok`, and touched.
    async fn put_blob(&self, bytes: Bytes) -> Result<Digest, BusError>;

    /// Says that a blob is about to be needed: whoever forgets what was not touched lately leaves it.
    async fn touch_blob(&self, digest: Digest) -> Result<(), BusError>;

    /// All that there are, in no order.
    async fn blobs(&self) -> Result<Vec<Digest>, BusError>;

    /// Verified: the bytes have this digest.
    async fn blob(&self, digest: Digest) -> Result<Bytes, BusError>;

    /// Forgets a blob that was not touched for so long; whether it is gone, as one is that never was there. A touch comes before or after as a
    /// whole: one that returned `Ok` within that time has kept the blob.
    async fn forget_blob(&self, digest: Digest, untouched: Duration) -> Result<bool, BusError>;

    /// Lets go of what one process at a time may have, so that the one that takes over gets it. Tails end and nothing else is done.
    async fn close(&self);
}

/// Where a tail that wants what comes after `after` begins in a log that still holds `first..=last` (`first` is `last + 1` when it
/// holds nothing): the position, and up to where messages were lost.
pub(super) fn start(topic: Topic, after: u64, first: u64, last: u64) -> (u64, Option<Seq>) {
    let floor = first.saturating_sub(1);
    // A position that is not there yet was given by another log.
    if after >= first.saturating_sub(1) && after <= last {
        return (after, None);
    }
    let lost = topic == Topic::Purges || (topic == Topic::Items && after > last);
    (floor, lost.then_some(Seq(floor)))
}

/// What lies between the message delivered last and the next: only a purge that is missing counts.
pub(super) fn missing(topic: Topic, last: u64, next: u64) -> Option<Seq> {
    (topic == Topic::Purges && next > last.saturating_add(1)).then(|| Seq(next - 1))
}

// === impl Delivered ===
impl Delivered {
    /// Up to where it brings whoever takes it in.
    pub fn seq(&self) -> Seq {
        match self {
            Delivered::Message { seq, .. } => *seq,
            Delivered::Lost { up_to } => *up_to,
        }
    }
}

// === impl Message ===
impl Message {
    /// Whether a bus takes it.
    pub(super) fn checked(&self) -> Result<(), BusError> {
        let letters = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='));
        let subject = self.subject.split('.').all(|part| !part.is_empty() && letters(part));
        if !subject || self.subject.len() > SUBJECT_MAX {
            return Err(BusError::Refused(format!("'{}' is no subject", self.subject.escape_debug())));
        }
        if self.id.is_empty() || self.id.len() > ID_MAX || !self.id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BusError::Refused(format!("'{}' is no id", self.id.escape_debug())));
        }
        match self.body.len() > BODY_MAX {
            true => Err(BusError::Refused(format!("a message has at most {BODY_MAX} bytes"))),
            false => Ok(()),
        }
    }
}

// === impl Digest ===
impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut own = [0; 32];
        own.copy_from_slice(digest.as_ref());
        Digest(own)
    }

    /// 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut own = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in own.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Digest(own))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

// === impl Topic ===
impl Topic {
    pub const ALL: [Topic; 7] =
        [Topic::Purges, Topic::Revisions, Topic::Data, Topic::Items, Topic::Usage, Topic::Acks, Topic::Rates];

    /// Whether the newest of each subject is kept, and nothing else.
    pub fn newest(self) -> bool {
        matches!(self, Topic::Data | Topic::Items | Topic::Usage | Topic::Acks)
    }

    /// As it is written in names of streams and tables.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Purges => "purges",
            Topic::Revisions => "revisions",
            Topic::Data => "data",
            Topic::Items => "items",
            Topic::Usage => "usage",
            Topic::Acks => "acks",
            Topic::Rates => "rates",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_where_the_log_still_goes_on() {
        // topic, after, first kept, last; position, lost
        let cases = [
            (Topic::Purges, 0, 1, 0, 0, None),
            (Topic::Purges, 0, 1, 9, 0, None),
            (Topic::Purges, 4, 1, 9, 4, None),
            (Topic::Purges, 9, 1, 9, 9, None),
            // All that there was is gone, and it was seen.
            (Topic::Purges, 9, 10, 9, 9, None),
            (Topic::Purges, 8, 10, 9, 9, Some(9)),
            (Topic::Purges, 0, 10, 9, 9, Some(9)),
            (Topic::Purges, 4, 5, 9, 4, None),
            (Topic::Purges, 3, 5, 9, 4, Some(4)),
            // Another log.
            (Topic::Purges, 10, 1, 9, 0, Some(0)),
            (Topic::Purges, u64::MAX, 1, 0, 0, Some(0)),
            (Topic::Data, 3, 5, 9, 4, None),
            (Topic::Data, 10, 5, 9, 4, None),
            (Topic::Items, 3, 5, 9, 4, None),
            (Topic::Items, 10, 5, 9, 4, Some(4)),
        ];
        for (topic, after, first, last, position, lost) in cases {
            assert_eq!(start(topic, after, first, last), (position, lost.map(Seq)), "{topic:?} {after} {first} {last}");
        }
        assert_eq!(missing(Topic::Purges, 4, 5), None);
        assert_eq!(missing(Topic::Purges, 4, 7), Some(Seq(6)));
        assert_eq!(missing(Topic::Data, 4, 7), None);
    }

    #[test]
    fn what_no_bus_takes() {
        let message = |subject: &str, id: &str, size: usize| Message {
            subject: subject.into(),
            id: id.into(),
            body: Bytes::from(vec![0; size]),
        };
        let cases = [
            (message("kv.a.Zm9v_-=", "fra/1", 1), true),
            (message("fra", "1", BODY_MAX), true),
            (message("fra", "1", BODY_MAX + 1), false),
            (message("", "1", 1), false),
            (message("a..b", "1", 1), false),
            (message(".a", "1", 1), false),
            (message("a.*", "1", 1), false),
            (message("a.>", "1", 1), false),
            (message("a b", "1", 1), false),
            (message("ä", "1", 1), false),
            (message(&"a".repeat(SUBJECT_MAX + 1), "1", 1), false),
            (message("a", "", 1), false),
            (message("a", "1\r\nX: y", 1), false),
            (message("a", &"1".repeat(ID_MAX + 1), 1), false),
        ];
        for (message, taken) in cases {
            assert_eq!(message.checked().is_ok(), taken, "{} {}", message.subject, message.id);
        }
    }
}
