//! Time: the two forms in which a signed request says when it was signed.
//!
//! In: text. Out: seconds since the epoch. Never: a clock.

use std::time::UNIX_EPOCH;

use crate::config::iam::time::days_since_epoch;

/// Bytes of `YYYYMMDDTHHMMSSZ`.
pub const AMZ_DATE: usize = 16;

/// ISO 8601's basic form, `YYYYMMDDTHHMMSSZ`: what `X-Amz-Date` must be.
pub fn amz_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != AMZ_DATE || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes.get(from..to)?.iter().try_fold(0_i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    };
    let days = days_since_epoch(number(0, 4)?, number(4, 6)?, number(6, 8)?)?;
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second).ok()
}

/// `Date` in HTTP's form (RFC 9110 §5.6.7) or the basic one.
pub fn date(text: &str) -> Option<u64> {
    let http = || httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    amz_date(text).or_else(http)
}

/// Seconds since the epoch in the basic form, as the string to sign wants it.
pub fn to_amz_date(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // The same calendar as `days_since_epoch`, backwards: 400 years have 146,097 days and begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, basic, either) in [
            ("20150830T123600Z", Some(1_440_938_160), Some(1_440_938_160)),
            ("Sun, 30 Aug 2015 12:36:00 GMT", None, Some(1_440_938_160)),
            ("20160229T000000Z", Some(1_456_704_000), Some(1_456_704_000)),
            ("20150229T000000Z", None, None),
            ("20150830T243600Z", None, None),
            ("20150830T123660Z", None, None),
            ("20150830 123600Z", None, None),
            ("20150830T12360+Z", None, None),
            ("19690830T123600Z", None, None),
            ("", None, None),
        ] {
            assert_eq!(amz_date(text), basic, "{text}");
            assert_eq!(date(text), either, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for day in 0..60_000_u64 {
            let seconds = day * 86_400 + day % 86_400;
            assert_eq!(amz_date(&to_amz_date(seconds)), Some(seconds));
        }
    }
}
