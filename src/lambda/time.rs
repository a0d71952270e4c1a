//! Time: how the service writes it.
//!
//! In: time since the epoch. Out: text. Never: the clock.

use std::time::Duration;

/// `2026-01-31T09:30:00.000+0000`, as functions' configurations have it.
pub(super) fn iso(since: Duration) -> String {
    format!("{}+0000", base(since))
}

/// `2026-01-31T09:30:00.000Z`.
pub(super) fn iso_z(since: Duration) -> String {
    format!("{}Z", base(since))
}

fn base(since: Duration) -> String {
    // Days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = i64::try_from(since.as_secs() / 86_400).unwrap_or(0) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + i64::from(month <= 2);
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}", since.subsec_millis())
}

/// From milliseconds since the epoch.
pub(super) fn of_millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (millis, want) in [
            (0, "1970-01-01T00:00:00.000"),
            (951_782_399_999, "2000-02-28T23:59:59.999"),
            (951_782_400_000, "2000-02-29T00:00:00.000"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123"),
            (4_102_444_799_000, "2099-12-31T23:59:59.000"),
        ] {
            assert_eq!(iso(of_millis(millis)), format!("{want}+0000"));
            assert_eq!(iso_z(of_millis(millis)), format!("{want}Z"));
        }
    }
}
