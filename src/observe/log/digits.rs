//! Digits: numbers, times and addresses as log lines write them.
//!
//! In: integers, instants, addresses. Out: ASCII appended to a line. Never: the formatting machinery where it would cost
//! more than the rest of the line.

use std::io::Write;
use std::net::IpAddr;

/// A calendar instant in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: u64,
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    pub millis: u64,
}

// === impl Civil ===
impl Civil {
    /// From milliseconds since the epoch, by the proleptic Gregorian calendar in 400-year eras that begin on March 1st.
    pub fn from_ms(ms: u64) -> Self {
        let (days, in_day) = (ms / 86_400_000 + 719_468, ms % 86_400_000);
        let (era, in_era) = (days / 146_097, days % 146_097);
        let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * in_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Civil {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: in_year - (153 * shifted + 2) / 5 + 1,
            hour: in_day / 3_600_000,
            minute: in_day / 60_000 % 60,
            second: in_day / 1000 % 60,
            millis: in_day % 1000,
        }
    }

    /// `2026-11-23`
    pub fn push_date(&self, out: &mut Vec<u8>) {
        push_padded(out, self.year, 4);
        out.push(b'-');
        push_padded(out, self.month, 2);
        out.push(b'-');
        push_padded(out, self.day, 2);
    }

    /// `18:38:03`
    pub fn push_time(&self, out: &mut Vec<u8>) {
        push_padded(out, self.hour, 2);
        out.push(b':');
        push_padded(out, self.minute, 2);
        out.push(b':');
        push_padded(out, self.second, 2);
    }
}

/// Of the largest number, 2^64 - 1.
const DIGITS: usize = 20;

pub fn push_u64(out: &mut Vec<u8>, mut n: u64) {
    let len = n.checked_ilog10().map_or(1, |log| log as usize + 1);
    let mut digits = [b'0'; DIGITS];
    for digit in digits[..len].iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
    // All of them, then fewer: a copy of fixed length is no call.
    let end = out.len() + len;
    out.extend_from_slice(&digits);
    out.truncate(end);
}

pub fn push_i64(out: &mut Vec<u8>, n: i64) {
    if n < 0 {
        out.push(b'-');
    }
    push_u64(out, n.unsigned_abs());
}

/// With leading zeros up to `width` (at most 4) digits; larger numbers are written whole.
pub fn push_padded(out: &mut Vec<u8>, n: u64, width: usize) {
    for (digits, bound) in [(4, 1000), (3, 100), (2, 10)] {
        if width >= digits && n < bound {
            out.push(b'0');
        }
    }
    push_u64(out, n);
}

/// A thousandth with three decimals: nanoseconds / 1,000 as milliseconds, milliseconds as seconds.
pub fn push_thousandths(out: &mut Vec<u8>, n: u64) {
    push_u64(out, n / 1000);
    out.push(b'.');
    push_padded(out, n % 1000, 3);
}

pub fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_u64(out, u64::from(octet));
            }
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn instants() {
        for (ms, want) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_999, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_700_000_000_123, "2023-11-14 22:13:20"),
            (1_709_164_800_000, "2024-02-29 00:00:00"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
            (253_402_300_799_999, "9999-12-31 23:59:59"),
        ] {
            let civil = Civil::from_ms(ms);
            let got = text(|out| {
                civil.push_date(out);
                out.push(b' ');
                civil.push_time(out);
            });
            assert_eq!(got, want, "{ms}");
        }
    }

    #[test]
    fn numbers() {
        for n in [0, 9, 10, 999, 1000, u64::MAX] {
            assert_eq!(text(|out| push_u64(out, n)), n.to_string());
        }
        for n in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(text(|out| push_i64(out, n)), n.to_string());
        }
        for (n, width, want) in
            [(0, 2, "00"), (7, 3, "007"), (70, 3, "070"), (2026, 4, "2026"), (5, 4, "0005"), (123, 2, "123")]
        {
            assert_eq!(text(|out| push_padded(out, n, width)), want);
        }
        for (n, want) in [(0, "0.000"), (7, "0.007"), (1234, "1.234"), (10_050, "10.050")] {
            assert_eq!(text(|out| push_thousandths(out, n)), want);
        }
    }

    #[test]
    fn addresses() {
        for (ip, want) in [("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1"), ("::ffff:10.0.0.1", "10.0.0.1")]
        {
            assert_eq!(text(|out| push_ip(out, ip.parse().unwrap())), want);
        }
    }
}
