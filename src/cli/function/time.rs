//! Time: a moment as a person writes it.
//!
//! In: "2026-11-26T12:00:00Z", or seconds since the epoch. Out: milliseconds since the epoch, and back. Never: the clock, a time
//! zone other than UTC.

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A moment, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

// === impl Moment ===
impl Moment {
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no moment: like 2026-11-26T12:00:00Z, 2026-11-26, or seconds since 1970");
        if let Ok(seconds) = text.parse::<u64>() {
            return seconds.checked_mul(1000).map(Moment).ok_or_else(wrong);
        }
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
        let time = time.strip_suffix('Z').ok_or_else(wrong)?;
        let parts = |text: &str, by: char| -> Option<[u32; 3]> {
            let mut parts = text.split(by).map(|part| part.parse::<u32>().ok());
            let got = [parts.next()??, parts.next()??, parts.next()??];
            parts.next().is_none().then_some(got)
        };
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let millis =
            format!("{fraction:0<3}").get(..3).and_then(|digits| digits.parse::<i64>().ok()).ok_or_else(wrong)?;
        let [year, month, day] = parts(date, '-').ok_or_else(wrong)?;
        let [hour, minute, second] = parts(time, ':').ok_or_else(wrong)?;
        let valid = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid {
            return Err(wrong());
        }
        let days = days(i64::from(year), i64::from(month), i64::from(day));
        let moment = days * DAY + i64::from(hour * 3600 + minute * 60 + second) * 1000 + millis;
        // A day that its month does not have reads back as another.
        let moment = Moment(u64::try_from(moment).map_err(|_| wrong())?);
        if moment.to_string().starts_with(date) { Ok(moment) } else { Err(wrong()) }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, rest) = (self.0 / DAY.unsigned_abs(), self.0 % DAY.unsigned_abs());
        let (year, month, day) = date(i64::try_from(days).unwrap_or(0));
        let (hour, minute, second, millis) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if millis > 0 {
            write!(f, ".{millis:03}")?;
        }
        f.write_str("Z")
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March, so that the day that leap years add is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        for (text, millis, shown) in [
            ("0", 0, "1970-01-01T00:00:00Z"),
            ("1970-01-01", 0, "1970-01-01T00:00:00Z"),
            ("1767225600", 1_767_225_600_000, "2026-01-01T00:00:00Z"),
            ("2024-02-29T23:59:59.5Z", 1_709_251_199_500, "2024-02-29T23:59:59.500Z"),
            ("2000-12-31 01:02:03Z", 978_224_523_000, "2000-12-31T01:02:03Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!((moment.0, moment.to_string().as_str()), (millis, shown), "{text}");
        }
        for text in ["", "soon", "2026-13-01", "2026-02-30", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z", "-5"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
