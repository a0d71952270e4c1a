//! Event: a call that was accepted for later, and what becomes of it after a try.
//!
//! In: an event, how a try went, the rules, the time. Out: when to try again, or how it ended. Never: the clock, the disk.
//!
//! Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Before the second and the third try of a function that failed.
const RETRIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// Between tries that were throttled or met an error of the system: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// What holds unless the function says otherwise.
pub(in crate::lambda) const RETRIES_DEFAULT: u32 = 2;
pub(in crate::lambda) const AGE_DEFAULT: Duration = Duration::from_secs(6 * 3600);

/// One accepted call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct Event {
    pub request_id: String,
    pub function: String,
    pub qualifier: Option<String>,
    pub trace: String,
    pub client_context: Option<String>,
    /// Milliseconds since the epoch.
    pub accepted_ms: u64,
    pub next_ms: u64,
    /// Tries that ended in an error of the function.
    pub failures: u32,
    /// Tries in a row that did not come to run it.
    pub refusals: u32,
    /// Events that led to this one, each telling of the one before.
    pub hops: u32,
    /// Set when it is no call but a word about one: where to say it.
    pub deliver: Option<Delivery>,
    #[serde(skip)]
    pub payload: Bytes,
}

/// The end of an event that is told to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct Delivery {
    /// A function's ARN, or a URL.
    pub to: String,
    /// What a dead letter says beside its payload: names and values.
    pub attributes: Vec<(String, String)>,
}

/// How a try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lambda) enum Outcome {
    Succeeded,
    /// The function ran and failed.
    Failed,
    /// It could not be run now.
    Refused,
}

/// How long and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lambda) struct Rules {
    pub retries: u32,
    pub age: Duration,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lambda) enum Next {
    Done,
    /// At this time, in milliseconds since the epoch.
    Again(u64),
    /// Given up: AWS's word for why.
    GivenUp(&'static str),
}

/// Decides after a try at `now_ms`; `event` counts the tries before it.
pub(in crate::lambda) fn next_attempt(event: &Event, outcome: Outcome, rules: Rules, now_ms: u64) -> Next {
    let wait = match outcome {
        Outcome::Succeeded => return Next::Done,
        Outcome::Failed if event.failures >= rules.retries => return Next::GivenUp("RetriesExhausted"),
        Outcome::Failed => RETRIES.get(event.failures as usize).or(RETRIES.last()).copied().unwrap_or_default(),
        Outcome::Refused => BACKOFF.0.saturating_mul(1 << event.refusals.min(16)).min(BACKOFF.1),
    };
    let at = now_ms.saturating_add(millis(wait));
    match at > event.accepted_ms.saturating_add(millis(rules.age)) {
        true => Next::GivenUp("EventAgeExceeded"),
        false => Next::Again(at),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

// === impl Event ===
impl Event {
    /// Who is to have it: a function, or the endpoint that is told.
    pub(in crate::lambda) fn lane(&self) -> &str {
        self.deliver.as_ref().map_or(self.function.as_str(), |delivery| delivery.to.as_str())
    }

    /// The head's length, the head as JSON, the payload.
    pub(in crate::lambda) fn encode(&self) -> Vec<u8> {
        // Plain data with text keys: it has a JSON form.
        let head = serde_json::to_vec(self).unwrap_or_default();
        let mut all = Vec::with_capacity(4 + head.len() + self.payload.len());
        all.extend(u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend(head);
        all.extend_from_slice(&self.payload);
        all
    }

    /// `None`: no event was written so.
    pub(in crate::lambda) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (head, payload) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let event: Event = serde_json::from_slice(head).ok()?;
        Some(Event { payload: Bytes::copy_from_slice(payload), ..event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(failures: u32, refusals: u32) -> Event {
        Event {
            request_id: "id".into(),
            function: "f".into(),
            qualifier: Some("live".into()),
            trace: String::new(),
            client_context: None,
            accepted_ms: 1_000_000,
            next_ms: 0,
            failures,
            refusals,
            hops: 0,
            deliver: None,
            payload: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn tries_are_the_services() {
        use Outcome::{Failed, Refused, Succeeded};
        let usual = Rules { retries: RETRIES_DEFAULT, age: AGE_DEFAULT };
        let (never, minute) = (Rules { retries: 0, ..usual }, Rules { age: Duration::from_secs(60), ..usual });
        let now = 1_000_500;
        let gone = |why| Next::GivenUp(why);
        for (what, event, outcome, rules, now, want) in [
            ("done", event(0, 0), Succeeded, usual, now, Next::Done),
            ("after a minute", event(0, 0), Failed, usual, now, Next::Again(now + 60_000)),
            ("after two", event(1, 0), Failed, usual, now, Next::Again(now + 120_000)),
            ("three tries in all", event(2, 0), Failed, usual, now, gone("RetriesExhausted")),
            ("none", event(0, 0), Failed, never, now, gone("RetriesExhausted")),
            ("too old to try again", event(0, 0), Failed, minute, now, gone("EventAgeExceeded")),
            ("throttled", event(0, 0), Refused, usual, now, Next::Again(now + 1_000)),
            ("again", event(0, 3), Refused, usual, now, Next::Again(now + 8_000)),
            ("at most five minutes", event(2, 60), Refused, usual, now, Next::Again(now + 300_000)),
            ("until it is too old", event(0, 60), Refused, usual, 1_000_000 + 21_400_000, gone("EventAgeExceeded")),
            ("throttling takes no retry", event(2, 0), Refused, never, now, Next::Again(now + 1_000)),
        ] {
            assert_eq!(next_attempt(&event, outcome, rules, now), want, "{what}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let whole = event(1, 2);
        let bytes = whole.encode();
        assert_eq!(Event::decode(&bytes), Some(whole));
        for cut in [0, 3, 4, 20] {
            assert_eq!(Event::decode(&bytes[..cut]), None, "{cut}");
        }
    }
}
