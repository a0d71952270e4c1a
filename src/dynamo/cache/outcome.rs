//! Outcome: what a cache had to do with an answer, in words.
//!
//! In: ages and lags. Out: the answer's field. Never: a decision.

use std::fmt;

/// What became of a lookup, for the answer's field and for metrics. A `lag`, in milliseconds, is of tables whose stream is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// So many seconds old.
    Hit {
        age: u64,
        lag: Option<u64>,
    },
    Miss {
        lag: Option<u64>,
    },
    /// The caller, or what it asks for, is not for the cache.
    Bypass,
    /// The table's stream was not read far enough.
    Behind(Behind),
}

/// Why nothing cached of a table is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    pub why: Why,
    /// Milliseconds; `None` = the stream was not read to its tip yet.
    pub lag: Option<u64>,
}

/// What keeps a table's stream from telling of every write in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was not read to its tip yet.
    Starting,
    /// It cannot be read now.
    Failing,
    /// It was turned off.
    Off,
    /// It was read, but not as far as it has to be.
    Behind,
}

// === impl Outcome ===
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lag = match self {
            Outcome::Hit { age, lag } => {
                write!(f, "hit; age={age}")?;
                lag
            }
            Outcome::Miss { lag } => {
                f.write_str("miss")?;
                lag
            }
            Outcome::Bypass => return f.write_str("bypass"),
            Outcome::Behind(behind) => {
                write!(f, "bypass; stream={}", behind.why.as_str())?;
                &behind.lag
            }
        };
        lag.map_or(Ok(()), |lag| write!(f, "; lag={lag}"))
    }
}

// === impl Why ===
impl Why {
    /// Every one.
    pub const ALL: [Why; 4] = [Why::Starting, Why::Failing, Why::Off, Why::Behind];

    /// In the answer's field and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Starting => "starting",
            Why::Failing => "failing",
            Why::Off => "off",
            Why::Behind => "behind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let behind = |why, lag| Outcome::Behind(Behind { why, lag });
        for (outcome, want) in [
            (Outcome::Hit { age: 3, lag: None }, "hit; age=3"),
            (Outcome::Hit { age: 3, lag: Some(120) }, "hit; age=3; lag=120"),
            (Outcome::Miss { lag: None }, "miss"),
            (Outcome::Miss { lag: Some(0) }, "miss; lag=0"),
            (Outcome::Bypass, "bypass"),
            (behind(Why::Starting, None), "bypass; stream=starting"),
            (behind(Why::Behind, Some(2300)), "bypass; stream=behind; lag=2300"),
            (behind(Why::Off, Some(1)), "bypass; stream=off; lag=1"),
        ] {
            assert_eq!(outcome.to_string(), want);
        }
        assert!(Why::ALL.iter().enumerate().all(|(at, why)| *why as usize == at));
    }
}
