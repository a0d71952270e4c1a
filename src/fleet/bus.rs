//! Bus: what carries things between nodes, or from a process to its successor.
//!
//! In: messages under a topic, blobs. Out: every message of a topic in one order that all nodes see, from any position on.
//! Never: what a message means.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A message's place in its topic's order: 1 is the first, gaps are what is no longer kept.
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
    /// Only for [`Topic::Purges`]: the others keep what is needed.
    Lost {
        up_to: Seq,
    },
}

/// SHA-256 of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Why the bus did not do it. What was published may have been kept all the same: publish again under the same id.
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

/// A log per topic and a store of blobs.
#[async_trait]
pub trait Bus: std::fmt::Debug + Send + Sync {
    /// Durable once it returns `Ok`. Messages of one caller keep their order when each is awaited before the next.
    async fn publish(&self, topic: Topic, message: Message) -> Result<Seq, BusError>;

    /// Everything after a position.
    async fn tail(&self, topic: Topic, after: Seq) -> Result<Tail, BusError>;

    /// The newest position, asked of the bus itself: also says whether it can be reached.
    async fn head(&self, topic: Topic) -> Result<Seq, BusError>;

    /// Durable once it returns `Ok`.
    async fn put_blob(&self, bytes: Bytes) -> Result<Digest, BusError>;

    /// Verified: the bytes have this digest.
    async fn blob(&self, digest: Digest) -> Result<Bytes, BusError>;

    /// Forgets a blob; one that is not there is no error.
    async fn forget_blob(&self, digest: Digest) -> Result<(), BusError>;
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
    pub const ALL: [Topic; 6] = [Topic::Purges, Topic::Revisions, Topic::Data, Topic::Usage, Topic::Acks, Topic::Rates];

    /// As it is written in names of streams and tables.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Purges => "purges",
            Topic::Revisions => "revisions",
            Topic::Data => "data",
            Topic::Usage => "usage",
            Topic::Acks => "acks",
            Topic::Rates => "rates",
        }
    }
}
