//! Known: decides whether what is known of a name still answers for it.
//!
//! In: lookups' answers and failures with their time. Out: serve, refresh, wait, or fail. Never: a lookup, a clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No new lookup of a name this long after one failed.
pub const FAILURE_REST: Duration = Duration::from_secs(5);
/// How long past its TTL the last good answer serves while lookups fail.
pub const LAST_GOOD_MAX: Duration = Duration::from_secs(3600);
/// No answer is believed longer, whatever its TTL (RFC 8767 §4 names the same cap).
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Share of the TTL after which a refresh starts behind the answers, in percent.
const REFRESH_PERCENT: u32 = 80;

/// The last answer and the failure since, if any.
#[derive(Debug, Default)]
pub struct Known {
    answer: Option<Answer>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Answer {
    addresses: Arc<[IpAddr]>,
    refresh: Instant,
    expires: Instant,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    reason: Arc<str>,
}

/// What a request does about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Serve(Arc<[IpAddr]>),
    /// Serve, and look up behind it.
    Refresh(Arc<[IpAddr]>),
    /// Expired, and the resolver failed a moment ago.
    LastGood(Arc<[IpAddr]>),
    /// Nothing valid: wait for a lookup, the running one when there is one.
    Wait,
    Fail(Arc<str>),
}

// === impl Known ===

impl Known {
    /// `running`: a lookup is under way.
    pub fn step(&self, now: Instant, running: bool) -> Step {
        let failure = self.failure.as_ref().filter(|failure| now < failure.at + FAILURE_REST);
        match (&self.answer, failure) {
            (Some(answer), _) if now < answer.refresh => Step::Serve(answer.addresses()),
            (Some(answer), Some(_)) if now < answer.expires => Step::Serve(answer.addresses()),
            (Some(answer), None) if now < answer.expires && running => Step::Serve(answer.addresses()),
            (Some(answer), None) if now < answer.expires => Step::Refresh(answer.addresses()),
            (Some(answer), Some(_)) if now < answer.expires + LAST_GOOD_MAX => Step::LastGood(answer.addresses()),
            (_, Some(failure)) => Step::Fail(Arc::clone(&failure.reason)),
            (_, None) => Step::Wait,
        }
    }

    pub fn learn(&mut self, addresses: Arc<[IpAddr]>, ttl: Duration, now: Instant) {
        let ttl = ttl.min(TTL_MAX);
        self.failure = None;
        self.answer = Some(Answer { addresses, refresh: now + ttl * REFRESH_PERCENT / 100, expires: now + ttl });
    }

    pub fn fail(&mut self, reason: Arc<str>, now: Instant) {
        self.failure = Some(Failure { at: now, reason });
    }

    /// The last answer, however old.
    pub fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.answer.as_ref().map(Answer::addresses)
    }

    /// The last answer, while it may still stand in for one that cannot be had.
    pub fn last_good(&self, now: Instant) -> Option<Arc<[IpAddr]>> {
        self.answer.as_ref().filter(|answer| now < answer.expires + LAST_GOOD_MAX).map(Answer::addresses)
    }
}

// === impl Answer ===

impl Answer {
    fn addresses(&self) -> Arc<[IpAddr]> {
        Arc::clone(&self.addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(100);

    fn answer() -> Arc<[IpAddr]> {
        Arc::from([IpAddr::from([192, 0, 2, 1])])
    }

    #[test]
    fn what_a_request_does() {
        let (serve, refresh, last) = (Step::Serve(answer()), Step::Refresh(answer()), Step::LastGood(answer()));
        let fail = Step::Fail(Arc::from("down"));
        let late = TTL.as_secs() + LAST_GOOD_MAX.as_secs();
        // Seconds since the answer and since the failure, and whether a lookup runs.
        for (name, age, failed, running, want) in [
            ("nothing known", None, None, false, &Step::Wait),
            ("nothing known, one asks", None, None, true, &Step::Wait),
            ("nothing known, failed just now", None, Some(1), false, &fail),
            ("nothing known, failed a while ago", None, Some(5), false, &Step::Wait),
            ("fresh", Some(0), None, false, &serve),
            ("fresh until four fifths", Some(79), None, false, &serve),
            ("then refreshed behind the answer", Some(80), None, false, &refresh),
            ("by one request", Some(80), None, true, &serve),
            ("not right after a failure", Some(99), Some(1), false, &serve),
            ("expired", Some(100), None, false, &Step::Wait),
            ("expired, and the resolver is down", Some(100), Some(1), false, &last),
            ("for an hour", Some(late - 1), Some(1), false, &last),
            ("not longer", Some(late), Some(1), false, &fail),
        ] {
            let start = Instant::now();
            let now = start + Duration::from_secs(10_000);
            let mut known = Known::default();
            if let Some(age) = age {
                known.learn(answer(), TTL, now - Duration::from_secs(age));
            }
            if let Some(ago) = failed {
                known.fail(Arc::from("down"), now - Duration::from_secs(ago));
            }
            assert_eq!(&known.step(now, running), want, "{name}");
        }
    }

    #[test]
    fn an_answer_ends_a_failure_and_no_ttl_is_endless() {
        let now = Instant::now();
        let mut known = Known::default();
        known.fail(Arc::from("down"), now);
        known.learn(answer(), Duration::MAX, now);
        assert_eq!(known.step(now, false), Step::Serve(answer()));
        assert_eq!(known.step(now + TTL_MAX, false), Step::Wait);
        assert_eq!(known.last_good(now + TTL_MAX + LAST_GOOD_MAX), None);
    }
}
