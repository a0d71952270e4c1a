//! Uploads: whether a request body over HTTP/2 comes fast enough.
//!
//! In: what came of a body, since when its viewer is waited for. Out: the end of the stream when patience is over. Never: bytes, answers.
//!
//! Over HTTP/1 the wire holds a body to its pace itself. The bytes of HTTP/2's streams come interleaved, and Pingora waits for
//! each stream's without a bound; so the stream's request is served beside this watch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use pingora::protocols::http::ServerSession;

use crate::config::compiled::Limits;
use crate::listen::Pace;

use super::upstream;

/// Bytes of a body up to which its pace is the viewer's: so many are on their way before an origin that takes none is felt. After them a
/// slow origin looks like a slow viewer, and only silence counts, for twice as long, so that the origin is given up first.
const LEAD: u64 = 64 << 10;
/// How soon to look again while something else than the viewer is waited for.
const LOOK: Duration = Duration::from_millis(250);

/// One stream's body on its way.
#[derive(Debug, Default)]
pub struct Upload(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pace: Pace,
    /// Bytes of the body that this attempt was sent. An attempt after the first begins with those that came before it: they count once.
    sent: u64,
    /// Since when the viewer is waited for; `None`: the origin is, or a function.
    waiting: Option<Instant>,
    whole: bool,
}

// === impl Upload ===
impl Upload {
    /// The watch over `session`'s body, if it needs one. A gRPC stream is silent for as long as its two sides want.
    pub fn of(session: &mut ServerSession) -> Option<Arc<Self>> {
        (!session.is_body_empty() && !upstream::is_grpc(session.req_header())).then(Arc::default)
    }

    fn wait(&self, now: Instant) {
        self.0.lock().waiting.get_or_insert(now);
    }

    fn hold(&self, now: Instant) {
        let mut state = self.0.lock();
        if let Some(since) = state.waiting.take() {
            state.pace.came(0, now.saturating_duration_since(since));
        }
    }

    fn begin(&self) {
        self.0.lock().sent = 0;
    }

    fn came(&self, bytes: usize, end: bool, now: Instant) {
        let mut state = self.0.lock();
        state.sent += bytes as u64;
        let bytes = state.sent.saturating_sub(state.pace.bytes()) as usize;
        let waited = state.waiting.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        state.pace.came(bytes, waited);
        state.waiting = state.waiting.map(|_| now);
        state.whole |= end;
    }

    /// Waits until the body has come too slowly for `limits`: for ever, when it came whole.
    pub async fn late(&self, limits: &Limits) {
        loop {
            match self.patience(limits, Instant::now()) {
                None => return std::future::pending().await,
                Some(Duration::ZERO) => return,
                Some(patience) => tokio::time::sleep(patience).await,
            }
        }
    }

    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.0.lock().pace.bytes()
    }

    /// How long there is nothing to do. Nothing left: it is too late.
    fn patience(&self, limits: &Limits, now: Instant) -> Option<Duration> {
        let state = self.0.lock();
        match state.waiting {
            _ if state.whole => None,
            None => Some(LOOK),
            Some(since) => {
                let most = match state.pace.bytes() < LEAD {
                    true => state.pace.patience(limits),
                    false => limits.body_timeout.saturating_mul(2),
                };
                Some(most.saturating_sub(now.saturating_duration_since(since)))
            }
        }
    }
}

/// From now on the viewer is waited for.
pub fn wait(upload: &Option<Arc<Upload>>) {
    if let Some(upload) = upload {
        upload.wait(Instant::now());
    }
}

/// From now on something else is.
pub fn hold(upload: &Option<Arc<Upload>>) {
    if let Some(upload) = upload {
        upload.hold(Instant::now());
    }
}

/// An origin is connected: the body is sent to it from its beginning, and then the viewer is waited for.
pub fn begin(upload: &Option<Arc<Upload>>) {
    if let Some(upload) = upload {
        upload.begin();
    }
    wait(upload);
}

/// `part` came, and was the last if `end`.
pub fn came(upload: &Option<Arc<Upload>>, part: Option<&Bytes>, end: bool) {
    if let Some(upload) = upload {
        upload.came(part.map_or(0, Bytes::len), end, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_counts_once() {
        let now = Instant::now();
        let upload = Upload::default();
        for (again, parts, want) in [
            (false, &[100, 50][..], 150),
            (true, &[], 150),
            (true, &[100], 150),
            (true, &[150, 30], 180),
            (true, &[170], 180),
            (false, &[20], 190),
        ] {
            if again {
                upload.begin();
            }
            parts.iter().for_each(|bytes| upload.came(*bytes, false, now));
            assert_eq!(upload.bytes(), want, "{parts:?}");
        }
    }

    #[test]
    fn only_the_viewers_time_counts() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let ms = |ms: u64| Some(Duration::from_millis(ms));
        let limits = Limits {
            body_timeout: Duration::from_secs(30),
            body_min_rate: 1000,
            body_grace: Duration::from_secs(2),
            ..crate::listen::tests::limits()
        };
        let upload = Upload::default();
        assert_eq!(upload.patience(&limits, at(60_000)), Some(LOOK), "a connection to the origin is made");
        upload.wait(at(60_000));
        upload.wait(at(61_000));
        assert_eq!(upload.patience(&limits, at(61_000)), ms(1000), "asked for twice, waited for since the first");
        upload.came(500, false, at(61_500));
        assert_eq!(upload.patience(&limits, at(61_500)), ms(500), "1.5 of the 2 seconds are spent");
        upload.hold(at(61_600));
        assert_eq!(upload.patience(&limits, at(99_000)), Some(LOOK), "the next origin is asked");
        upload.wait(at(99_000));
        assert_eq!(upload.patience(&limits, at(99_100)), ms(300));
        assert_eq!(upload.patience(&limits, at(99_400)), ms(0), "too late");
        upload.came(10_000, false, at(99_400));
        assert_eq!(upload.patience(&limits, at(99_400)), ms(8_500), "10.5 s earned, 2 s spent");
        upload.came(60_000, false, at(99_500));
        assert_eq!(upload.patience(&limits, at(129_500)), ms(30_000), "it may be the origin that is slow");
        assert_eq!(upload.patience(&limits, at(159_500)), ms(0), "but not for ever");
        upload.came(1, true, at(159_500));
        assert_eq!(upload.patience(&limits, at(999_999)), None, "it is whole");
    }
}
