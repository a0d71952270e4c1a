//! Period: which days a quota counts together.
//!
//! In: a day, a period. Out: the period's first and last day, and calendar dates. Never: a time zone but UTC, a clock.
//!
//! Days are counted from 1970-01-01, which was a Thursday.

use crate::config::compiled::Period;

/// Days since 1970-01-01 (UTC).
pub type Day = u32;

const MS_A_DAY: u64 = 86_400_000;

/// 9999-12-31: the last date of four digits.
pub const LAST: Day = 2_932_896;

/// How a date that [`parse`] reads is written, for whoever wrote another.
pub const WRITTEN: &str = "write a day as YYYY-MM-DD, from 1970-01-01 to 9999-12-31";

/// The day of a time in milliseconds since the epoch.
pub fn day(ms: u64) -> Day {
    Day::try_from(ms / MS_A_DAY).unwrap_or(LAST).min(LAST)
}

/// When a day begins, in milliseconds since the epoch.
pub fn begins_ms(day: Day) -> u64 {
    u64::from(day) * MS_A_DAY
}

/// First day of the period that `day` is in: weeks begin on Monday, months on the first (API Gateway, `QuotaSettings`).
pub fn first(period: Period, day: Day) -> Day {
    match period {
        Period::Day => day,
        // 1970-01-05 was a Monday.
        Period::Week => day.saturating_sub((day + 3) % 7),
        Period::Month => {
            let (_, _, of_month) = date(day);
            day.saturating_sub(of_month - 1)
        }
    }
}

/// First day of the period after the one that `day` is in.
pub fn next(period: Period, day: Day) -> Day {
    match period {
        Period::Day => day + 1,
        Period::Week => first(period, day + 7),
        Period::Month => first(period, first(period, day) + 31),
    }
}

/// Year, month and day of the month, in the proleptic Gregorian calendar.
pub fn date(day: Day) -> (u32, u32, u32) {
    // Years that begin on 1 March have their leap day last; 400 of them are one cycle of 146,097 days. 719,468 days lie between
    // 0000-03-01 and 1970-01-01.
    let shifted = day.min(LAST) + 719_468;
    let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // Months from March have 153 days in every five.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + u32::from(month <= 2), month, of_month)
}

/// `YYYY-MM-DD`.
pub fn text(day: Day) -> String {
    let (year, month, of_month) = date(day);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// Reads `YYYY-MM-DD`, from 1970 on; `None` for anything else, and for dates that do not exist.
pub fn parse(text: &str) -> Option<Day> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<u32>().ok()
    };
    let (year, month, of_month) = (number(4)?, number(2)?, number(2)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&of_month) {
        return None;
    }
    let (shifted, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, of_cycle) = (shifted / 400, shifted % 400);
    let of_year = (153 * from_march + 2) / 5 + of_month - 1;
    let days = cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year;
    let day = days.checked_sub(719_468)?;
    (date(day) == (year, month, of_month)).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days() {
        for (day, want) in [
            (0, "1970-01-01"),
            (31, "1970-02-01"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (20_783, "2026-11-26"),
            (LAST, "9999-12-31"),
        ] {
            assert_eq!(text(day), want);
            assert_eq!(parse(want), Some(day));
        }
        for wrong in [
            "",
            "2026-1-01",
            "2026-02-29",
            "2100-02-29",
            "1969-12-31",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-01-00",
            "+026-01-01",
            "2026-01-01x",
            "2026/01/01",
            "2026-01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for day in (0..60_000).chain(LAST - 1000..=LAST) {
            assert_eq!(parse(&text(day)), Some(day));
        }
        assert_eq!(day(u64::MAX), LAST);
        assert_eq!((day(86_399_999), day(86_400_000), begins_ms(1)), (0, 1, 86_400_000));
    }

    #[test]
    fn periods() {
        for (period, today, begins, ends) in [
            (Period::Day, "2026-11-26", "2026-11-26", "2026-11-27"),
            (Period::Week, "2026-11-26", "2026-11-23", "2026-11-30"),
            (Period::Week, "2026-11-23", "2026-11-23", "2026-11-30"),
            (Period::Week, "2026-11-22", "2026-11-16", "2026-11-23"),
            (Period::Week, "2027-01-01", "2026-12-28", "2027-01-04"),
            (Period::Week, "1970-01-02", "1970-01-01", "1970-01-05"),
            (Period::Month, "2026-02-28", "2026-02-01", "2026-03-01"),
            (Period::Month, "2024-02-29", "2024-02-01", "2024-03-01"),
            (Period::Month, "2026-01-31", "2026-01-01", "2026-02-01"),
            (Period::Month, "2026-12-31", "2026-12-01", "2027-01-01"),
            (Period::Month, "2026-04-01", "2026-04-01", "2026-05-01"),
        ] {
            let today = parse(today).unwrap();
            assert_eq!(text(first(period, today)), begins);
            assert_eq!(text(next(period, today)), ends);
        }
    }
}
