//! Units: what a value with a unit means.
//!
//! In: text from the configuration, like "1h30m", "64KiB" or 5 percent. Out: exact amounts. Never: rounding, guessing a unit.

mod written;

use std::fmt;
use std::str::FromStr;

/// Longest span that can be written: ten years. Far enough for any TTL, near enough that adding it to a clock cannot overflow.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(3_650 * 86_400);

/// Fastest rate: time between two events is counted in nanoseconds.
const MOST_A_SECOND: u64 = 1_000_000_000;

/// A length of time, in milliseconds, at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(std::time::Duration);

/// An amount of data, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(u64);

/// A share, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Percent(u8);

/// How fast something may happen, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Thousandths of an event.
    thousandths: u64,
    /// In so many seconds.
    seconds: u64,
}

/// Why a value with a unit was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("'{0}' is no duration: write a number and one of ms, s, m, h, d, like \"5m\"")]
    Duration(String),
    #[error("'{0}' is too long: durations go up to 3650d")]
    TooLong(String),
    #[error("'{0}' is no size: write a number and one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB, like \"64KiB\"")]
    Size(String),
    #[error("'{0}' is no rate: write a number above 0, '/' and one of s, m, h, d, like \"50/s\" or \"0.5/s\"")]
    Rate(String),
    #[error(
        "'{0}' is out of bounds: a rate is at least 0.001/d and at most {MOST_A_SECOND}/s, with up to three decimals"
    )]
    RateBounds(String),
    #[error("'{0}' is no percentage: write a whole number from 0 to 100")]
    Percent(String),
}

// === impl Duration ===
impl Duration {
    /// `const`, for the defaults written in the schema.
    pub const fn secs(secs: u64) -> Self {
        Duration(std::time::Duration::from_secs(secs))
    }

    pub const fn millis(millis: u64) -> Self {
        Duration(std::time::Duration::from_millis(millis))
    }

    pub const fn days(days: u64) -> Self {
        Duration::secs(days * 86_400)
    }

    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    /// Numbers with units, largest first, each unit at most once; "0" needs none.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refuse = || UnitError::Duration(text.to_owned());
        if text == "0" {
            return Ok(Duration::default());
        }
        let (mut rest, mut total, mut last) = (text, 0u64, u64::MAX);
        while !rest.is_empty() {
            let (number, after) = split_number(rest).ok_or_else(refuse)?;
            let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_len);
            let millis = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(refuse()),
            };
            if millis >= last {
                return Err(refuse());
            }
            last = millis;
            let part = number.checked_mul(millis).ok_or_else(|| UnitError::TooLong(text.to_owned()))?;
            total = total.checked_add(part).ok_or_else(|| UnitError::TooLong(text.to_owned()))?;
            rest = after;
        }
        let span = std::time::Duration::from_millis(total);
        match (text.is_empty(), span > LONGEST) {
            (true, _) => Err(refuse()),
            (_, true) => Err(UnitError::TooLong(text.to_owned())),
            _ => Ok(Duration(span)),
        }
    }
}

impl fmt::Display for Duration {
    /// The shortest text that reads back as the same span.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (millis, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

// === impl ByteSize ===
impl ByteSize {
    pub const fn bytes(bytes: u64) -> Self {
        ByteSize(bytes)
    }

    pub const fn kib(kib: u64) -> Self {
        ByteSize(kib << 10)
    }

    pub const fn mib(mib: u64) -> Self {
        ByteSize(mib << 20)
    }

    pub const fn gib(gib: u64) -> Self {
        ByteSize(gib << 30)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Largest first, so that the first exact divisor prints shortest.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refuse = || UnitError::Size(text.to_owned());
        let (number, unit) = split_number(text).ok_or_else(refuse)?;
        let scale = match unit {
            "" => 1,
            unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(refuse)?,
        };
        number.checked_mul(scale).map(ByteSize).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |scale: &u64| self.0 >= *scale && self.0.is_multiple_of(*scale);
        match SIZES.iter().find(|(_, scale)| exact(scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

// === impl Rate ===
impl Rate {
    /// Time between two events that keep the rate; rounded to nanoseconds.
    pub fn every(self) -> std::time::Duration {
        let nanos = u128::from(self.seconds) * 1_000_000_000_000 / u128::from(self.thousandths);
        std::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).max(1))
    }

    /// Events of one second, at least 1: what a bucket holds when nothing else is said.
    pub fn burst(self) -> u32 {
        u32::try_from(self.thousandths / self.seconds / 1000).unwrap_or(u32::MAX).max(1)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    /// A number with at most three decimals, '/', and the unit of time.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refuse = || UnitError::Rate(text.to_owned());
        let (number, unit) = text.split_once('/').ok_or_else(refuse)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(refuse()),
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let nothing = |part: &str| part.bytes().all(|b| b == b'0');
        if !digits(whole) || !digits(decimals) {
            return Err(refuse());
        }
        let outside = || UnitError::RateBounds(text.to_owned());
        if decimals.len() > 3 {
            return Err(outside());
        }
        if nothing(whole) && nothing(decimals) {
            return Err(refuse());
        }
        let thousandths: u64 = format!("{whole}{decimals:0<3}").parse().map_err(|_| outside())?;
        // Faster ones would have no time between two events.
        if thousandths > MOST_A_SECOND * 1000 * seconds { Err(outside()) } else { Ok(Rate { thousandths, seconds }) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.seconds {
            1 => "s",
            60 => "m",
            3_600 => "h",
            _ => "d",
        };
        write!(f, "{}", self.thousandths / 1000)?;
        match self.thousandths % 1000 {
            0 => {}
            rest => f.write_str(format!(".{rest:03}").trim_end_matches('0'))?,
        }
        write!(f, "/{unit}")
    }
}

// === impl Percent ===
impl Percent {
    /// More than 100 is 100.
    pub const fn new(percent: u8) -> Self {
        Percent(if percent > 100 { 100 } else { percent })
    }

    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        match number.parse::<u8>() {
            Ok(percent) if percent <= 100 && number.bytes().all(|b| b.is_ascii_digit()) => Ok(Percent(percent)),
            _ => Err(UnitError::Percent(text.to_owned())),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Leading digits and what follows them; `None` without digits or past 64 bits.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("250ms", Some(250)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("3650d", Some(315_360_000_000)),
            ("3651d", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
            ("", None),
            ("5", None),
            ("m", None),
            ("5 m", None),
            ("5 minutes", None),
            ("30m1h", None),
            ("1m1m", None),
            ("-5m", None),
            ("1.5h", None),
            ("5µs", None),
        ] {
            let got = text.parse::<Duration>().ok().map(|d| d.get().as_millis());
            assert_eq!(got, want, "{text}");
        }
        assert_eq!(
            "5 minutes".parse::<Duration>().unwrap_err().to_string(),
            "'5 minutes' is no duration: write a number and one of ms, s, m, h, d, like \"5m\""
        );
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("64KiB", Some(65_536)),
            ("1MB", Some(1_000_000)),
            ("10GiB", Some(10 << 30)),
            ("2TB", Some(2_000_000_000_000)),
            ("17", Some(17)),
            ("17B", Some(17)),
            ("", None),
            ("KiB", None),
            ("1kib", None),
            ("1.5MiB", None),
            ("99999999TiB", None),
            ("1 MiB", None),
        ] {
            assert_eq!(text.parse::<ByteSize>().ok().map(ByteSize::get), want, "{text}");
        }
    }

    #[test]
    fn percentages() {
        for (text, want) in
            [("0", Some(0)), ("5%", Some(5)), ("100", Some(100)), ("101", None), ("+5", None), ("-1", None)]
        {
            assert_eq!(text.parse::<Percent>().ok().map(Percent::get), want, "{text}");
        }
    }

    #[test]
    fn printed_values_read_back() {
        for text in ["250ms", "1h30m", "1d", "365d", "0s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        for text in ["64KiB", "1MB", "1GiB", "17B", "0B"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
    }
}
