//! Retry: decides whether a failed attempt may be made again.
//!
//! In: what was sent, what came back, how many attempts there were. Out: yes or no.
//! Never: a second effect at the origin that the viewer did not ask for (RFC 9110 §9.2.2).

use http::Method;

/// What is left of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none, or no byte of it was read yet, or all that was read is kept.
    Replayable,
    /// Part of it was sent on and is gone.
    Gone,
}

/// How far the attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// No connection: the origin saw nothing of the request.
    Nothing,
    /// Some of the request may have arrived; no byte of an answer did.
    Sent,
    /// The answer began.
    Answered,
}

/// One failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub method: &'a Method,
    pub body: Body,
    pub reached: Reached,
    /// The connection had served a request before.
    pub reused: bool,
    /// Attempts so far, this one included.
    pub made: u32,
    /// The origin's `attempts`.
    pub allowed: u32,
}

/// Whether to try again. A kept connection that the origin closed just then says nothing about the origin, so such a
/// failure has one more attempt than the origin allows (RFC 9112 §9.3.1).
pub fn may_retry(attempt: &Attempt<'_>) -> bool {
    let harmless = match attempt.reached {
        Reached::Nothing => true,
        Reached::Sent => attempt.method.is_idempotent(),
        Reached::Answered => false,
    };
    let allowed = attempt.allowed.max(1).saturating_add(u32::from(attempt.reused));
    harmless && attempt.body == Body::Replayable && attempt.made < allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let get = Attempt {
            method: &Method::GET,
            body: Body::Replayable,
            reached: Reached::Sent,
            reused: false,
            made: 1,
            allowed: 2,
        };
        let post = Attempt { method: &Method::POST, ..get };
        for (name, attempt, want) in [
            ("idempotent, sent, attempts left", get, true),
            ("no attempts left", Attempt { made: 2, ..get }, false),
            ("one attempt means no retry", Attempt { allowed: 1, ..get }, false),
            ("but a stale connection is not an attempt", Attempt { allowed: 1, reused: true, ..get }, true),
            ("that holds once", Attempt { allowed: 1, made: 2, reused: true, ..get }, false),
            ("the answer began", Attempt { reached: Reached::Answered, ..get }, false),
            ("POST that may have arrived", post, false),
            ("POST on a stale connection may have arrived too", Attempt { reused: true, ..post }, false),
            ("POST that never left", Attempt { reached: Reached::Nothing, ..post }, true),
            ("its body is gone", Attempt { reached: Reached::Nothing, body: Body::Gone, ..post }, false),
            ("PUT with its body kept", Attempt { method: &Method::PUT, ..get }, true),
            ("PUT with its body gone", Attempt { method: &Method::PUT, body: Body::Gone, ..get }, false),
        ] {
            assert_eq!(may_retry(&attempt), want, "{name}");
        }
    }
}
