//! Time: dates as policies write them (W3C's profile of ISO 8601).
//!
//! In: text. Out: seconds since the epoch. Never: a clock.

/// `2026-01-31`, `2026-01-31T12:00Z`, `2026-01-31T12:00:00.5+01:00`; or seconds since the epoch. Fractions are cut off.
pub fn read(text: &str) -> Option<i64> {
    if !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let (month, day) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    Some(days_since_epoch(year, month, day)? * 86_400 + time.map_or(Some(0), time_of_day)?)
}

/// Seconds since midnight UTC of `12:00[:00[.0]]` with `Z` or `±hh:mm`.
fn time_of_day(text: &str) -> Option<i64> {
    let at = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at(at);
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = match parts.next() {
        None => 0,
        Some(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            digits(fraction, fraction.len()).filter(|_| fraction.len() <= 9)?;
            digits(whole, 2).filter(|second| *second < 60)?
        }
    };
    if parts.next().is_some() {
        return None;
    }
    let offset = match zone {
        "Z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let hours = digits(hours, 2).filter(|hours| *hours < 24)?;
            let minutes = digits(minutes, 2).filter(|minutes| *minutes < 60)?;
            let size = hours * 3600 + minutes * 60;
            if zone.starts_with('-') { -size } else { size }
        }
    };
    Some(hour * 3600 + minute * 60 + second - offset)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && count > 0 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 in the Gregorian calendar; `None` for a date that is not in it.
pub fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    // Years count from March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn dates_are_read() {
        for (text, seconds) in [
            ("1970-01-01", Some(0)),
            ("2015-08-30T12:36:00Z", Some(1_440_938_160)),
            ("2015-08-30T14:36+02:00", Some(1_440_938_160)),
            ("2015-08-30T12:36:00.999Z", Some(1_440_938_160)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("1969-12-31T23:59:59Z", Some(-1)),
            ("1440938160", Some(1_440_938_160)),
            ("1900-02-29", None),
            ("2015-13-01", None),
            ("2015-08-30T24:00Z", None),
            ("2015-08-30T12:36:00", None),
            ("2015-08-30T12:36:00.Z", None),
            ("2015-08-30T12:36:00+0100", None),
            ("20150830T123600Z", None),
            ("", None),
            ("now", None),
        ] {
            assert_eq!(read(text), seconds, "{text}");
        }
    }
}
