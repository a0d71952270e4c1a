//! Tip: how far a table's stream was read, and whether what is cached of the table may be served.
//!
//! In: what became of reading, the time. Out: the lag, or why the caches are passed by. Never: a stream read, a clock asked.

use std::time::Duration;

use crate::dynamo::cache::{Behind, Why};

/// How far one table is followed.
#[derive(Debug, Default)]
pub struct Tip {
    state: State,
    /// Every write from before that moment has been heard of.
    read_to: Option<Duration>,
    /// It had a stream that was followed.
    followed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// The tip was not reached yet.
    #[default]
    Starting,
    Following,
    Failing,
    /// Its stream was turned off, or it is gone.
    Off,
    /// It never had a stream: entries hold as long as their TTL.
    Plain,
}

// === impl Tip ===
impl Tip {
    /// Whether what is cached may be served at `now`, and how many milliseconds it may be behind, at most `most`; no lag of a table
    /// without a stream.
    pub fn may_serve(&self, now: Duration, most: Duration) -> Result<Option<u64>, Behind> {
        let lag = self.lag(now);
        let behind = |why| Err(Behind { why, lag: lag.map(millis) });
        match (self.state, lag) {
            (State::Plain, _) => Ok(None),
            (State::Following, Some(lag)) if lag <= most => Ok(Some(millis(lag))),
            (State::Following, Some(_)) => behind(Why::Behind),
            (State::Starting | State::Following, _) => behind(Why::Starting),
            (State::Failing, _) => behind(Why::Failing),
            (State::Off, _) => behind(Why::Off),
        }
    }

    /// How far it is behind, if the tip was reached since it was begun with.
    pub fn lag(&self, now: Duration) -> Option<Duration> {
        self.read_to.map(|moment| now.saturating_sub(moment))
    }

    /// All writes from here on will be heard of, and what was cached before is dropped.
    pub fn begun(&mut self) {
        *self = Tip { followed: true, ..Tip::default() };
    }

    /// A round without trouble; `to`: all writes from before that moment have been heard of, if that can be said.
    pub fn read(&mut self, to: Option<Duration>) {
        if to.is_some() {
            self.read_to = self.read_to.max(to);
            self.state = State::Following;
        }
    }

    /// It cannot be read now. A table without a stream has nothing that could fail.
    pub fn failing(&mut self) {
        if self.state != State::Plain {
            self.state = State::Failing;
        }
    }

    /// There is no stream. Whether one was there before, and is missed.
    pub fn missing(&mut self) -> bool {
        self.state = if self.followed { State::Off } else { State::Plain };
        self.followed
    }

    /// The table is gone.
    pub fn gone(&mut self) {
        self.state = State::Off;
    }
}

/// Whole milliseconds.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens, at that second.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Begun,
        Read(Option<u64>),
        Failing,
        Missing,
        Gone,
    }

    #[test]
    fn what_may_be_served() {
        use Event::*;
        let served = |lag: u64| Ok(Some(lag * 1000));
        let behind = |why, lag: Option<u64>| Err(Behind { why, lag: lag.map(|lag| lag * 1000) });
        for (name, events, now, want) in [
            ("nothing happened", &[][..], 100, behind(Why::Starting, None)),
            ("begun", &[Begun], 100, behind(Why::Starting, None)),
            ("read, not to the tip", &[Begun, Read(None)], 100, behind(Why::Starting, None)),
            ("at the tip", &[Begun, Read(Some(99))], 100, served(1)),
            ("as far behind as may be", &[Begun, Read(Some(98))], 100, served(2)),
            ("further", &[Begun, Read(Some(97))], 100, behind(Why::Behind, Some(3))),
            ("the tip stays where it was", &[Begun, Read(Some(99)), Read(None)], 103, behind(Why::Behind, Some(4))),
            ("caught up", &[Begun, Read(Some(90)), Read(Some(99))], 100, served(1)),
            ("a tip does not go back", &[Begun, Read(Some(99)), Read(Some(90))], 100, served(1)),
            ("a clock may", &[Begun, Read(Some(99))], 90, served(0)),
            ("an error", &[Begun, Read(Some(99)), Failing], 100, behind(Why::Failing, Some(1))),
            ("not over yet", &[Begun, Read(Some(99)), Failing, Read(None)], 100, behind(Why::Failing, Some(1))),
            ("over", &[Begun, Read(Some(99)), Failing, Read(Some(100))], 100, served(0)),
            ("an error at first", &[Failing], 100, behind(Why::Failing, None)),
            ("begun again", &[Begun, Read(Some(99)), Failing, Begun], 100, behind(Why::Starting, None)),
            ("no stream", &[Missing], 100, Ok(None)),
            ("no stream, and an error", &[Missing, Failing], 100, Ok(None)),
            ("no stream after an error", &[Failing, Missing], 100, Ok(None)),
            ("turned on", &[Missing, Begun], 100, behind(Why::Starting, None)),
            ("turned off", &[Begun, Read(Some(99)), Missing], 100, behind(Why::Off, Some(1))),
            ("turned off before the tip", &[Begun, Missing], 100, behind(Why::Off, None)),
            ("turned on again", &[Begun, Missing, Begun, Read(Some(100))], 100, served(0)),
            ("gone", &[Begun, Read(Some(99)), Gone], 100, behind(Why::Off, Some(1))),
            ("gone without a stream", &[Missing, Gone], 100, behind(Why::Off, None)),
        ] {
            let (mut tip, at) = (Tip::default(), Duration::from_secs);
            for event in events {
                match *event {
                    Begun => tip.begun(),
                    Read(to) => tip.read(to.map(at)),
                    Failing => tip.failing(),
                    Missing => {
                        tip.missing();
                    }
                    Gone => tip.gone(),
                }
            }
            assert_eq!(tip.may_serve(at(now), at(2)), want, "{name}");
        }
    }
}
