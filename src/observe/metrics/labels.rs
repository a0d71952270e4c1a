//! Labels: the closed lists that rare events are counted by.
//!
//! In: nothing. Out: names in metrics, positions in their counters. Never: a value that comes from a viewer.

/// Why a connection was cut. (Those that the gate turns away are counted there.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    TlsHandshake,
    /// No complete header section in time.
    HeaderTimeout,
    Malformed,
    /// A body slower than its minimum, or a viewer that does not read.
    Slow,
    /// Too many requests from one address.
    Rate,
}

/// What one purge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeScope {
    Url,
    Prefix,
    Host,
    Tag,
    All,
}

/// How a question of one node to another ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierResult {
    /// It was stored there.
    Hit,
    /// The other node asked on.
    Fill,
    /// It was not stored, and only that was asked.
    Nothing,
    /// The other node could not get it.
    Failed,
    /// The other node did not answer, or not as a node.
    Away,
    /// The question was no node's.
    Forged,
}

// === impl TierResult ===
impl TierResult {
    pub const ALL: [TierResult; 6] = [
        TierResult::Hit,
        TierResult::Fill,
        TierResult::Nothing,
        TierResult::Failed,
        TierResult::Away,
        TierResult::Forged,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            TierResult::Hit => "hit",
            TierResult::Fill => "fill",
            TierResult::Nothing => "none",
            TierResult::Failed => "failed",
            TierResult::Away => "away",
            TierResult::Forged => "forged",
        }
    }
}

// === impl Refusal ===
impl Refusal {
    pub const ALL: [Refusal; 5] =
        [Refusal::TlsHandshake, Refusal::HeaderTimeout, Refusal::Malformed, Refusal::Slow, Refusal::Rate];

    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::TlsHandshake => "tls_handshake",
            Refusal::HeaderTimeout => "header_timeout",
            Refusal::Malformed => "malformed",
            Refusal::Slow => "slow",
            Refusal::Rate => "rate",
        }
    }
}

// === impl PurgeScope ===
impl PurgeScope {
    pub const ALL: [PurgeScope; 5] =
        [PurgeScope::Url, PurgeScope::Prefix, PurgeScope::Host, PurgeScope::Tag, PurgeScope::All];

    pub fn as_str(self) -> &'static str {
        match self {
            PurgeScope::Url => "url",
            PurgeScope::Prefix => "prefix",
            PurgeScope::Host => "host",
            PurgeScope::Tag => "tag",
            PurgeScope::All => "all",
        }
    }
}
