//! Why: what keeps an answer out of the cache.
//!
//! In: nothing. Out: one reason, and its token. Never: prose; the token goes into `Cache-Status`, logs and metric
//! labels.

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The behavior keeps nothing (`enabled = false` or `max_ttl = 0`).
    Policy,
    /// The status forbids it, or is not understood under `must-understand`.
    Status,
    /// 206: part of an answer.
    Partial,
    NoStore,
    Private,
    /// `no-cache` without a validator: there would be nothing to ask the origin with.
    NoCache,
    /// Asked with `Authorization`, and nothing says others may have it (RFC 9111 §3.5).
    Authorization,
    SetCookie,
    VaryStar,
    /// The origin named a lifetime that is over on arrival, and nothing to renew it with.
    Expired,
    /// Nothing names a lifetime.
    NoLifetime,
    /// Larger than the policy's `max_object`, or than any tier takes.
    TooLarge,
}

// === impl Why ===
impl Why {
    /// A token of lower-case letters and `-`.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Policy => "policy",
            Why::Status => "status",
            Why::Partial => "partial",
            Why::NoStore => "no-store",
            Why::Private => "private",
            Why::NoCache => "no-cache",
            Why::Authorization => "authorization",
            Why::SetCookie => "set-cookie",
            Why::VaryStar => "vary-star",
            Why::Expired => "expired",
            Why::NoLifetime => "no-lifetime",
            Why::TooLarge => "too-large",
        }
    }
}
