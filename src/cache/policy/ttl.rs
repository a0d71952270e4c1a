//! TTL: decides how old an answer is when it arrives and how long it stays fresh.
//!
//! In: directives, the fields Age, Date, Expires and Last-Modified, the policy's clamps. Out: milliseconds. Never:
//! whether the answer may be kept at all.

use super::Times;
use super::class::Class;
use crate::cache::date::parse as date;
use crate::cache::directives::{CacheControl, delta_seconds};
use crate::config::compiled::CachePolicy;
use crate::message::Fields;
use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use std::time::Duration;

/// What is known about an answer before its lifetime is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub class: Class,
    pub status: u16,
    pub public: bool,
    /// The lifetime the origin names, in milliseconds.
    pub named: Option<u64>,
    /// Age on arrival, in milliseconds.
    pub age_ms: u64,
}

/// Whole milliseconds, saturating.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `corrected_initial_age` (RFC 9111 §4.2.3), in milliseconds.
pub(super) fn initial_age<F: Fields>(fields: &F, times: Times) -> u64 {
    // Date is cut to whole seconds: up to 999 ms of difference are rounding, not age.
    let apparent = fields.first(&DATE).and_then(date).map_or(0, |date| times.response_ms.saturating_sub(date + 999));
    // §5.1: of a list the first member counts; a value that is no number is ignored.
    let age = fields
        .first(&AGE)
        .and_then(|value| value.split(|b| *b == b',').next())
        .and_then(|value| delta_seconds(value.trim_ascii()))
        .map_or(0, |seconds| u64::from(seconds) * 1000);
    apparent.max(age + times.response_ms.saturating_sub(times.request_ms))
}

/// The lifetime the origin names, in milliseconds: `s-maxage`, `max-age`, then `Expires` minus `Date` (RFC 9111
/// §4.2.1). `expires` is false when a targeted field rules (RFC 9213 §2.2).
pub(super) fn named<F: Fields>(control: &CacheControl, fields: &F, expires: bool, times: Times) -> Option<u64> {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Some(u64::from(seconds) * 1000);
    }
    let value = fields.first(&EXPIRES).filter(|_| expires)?;
    // §5.3: a date that cannot be read, above all "0", is in the past.
    let generated = fields.first(&DATE).and_then(date).unwrap_or(times.response_ms);
    Some(date(value).map_or(0, |expires| expires.saturating_sub(generated)))
}

/// Freshness lifetime counted from the answer's creation, in milliseconds, after the policy's clamps; `None` when
/// nothing names one.
///
/// CloudFront's table: a named lifetime is clamped to min and max; without one it is the default, at least min. Errors
/// know no min: they have `error_ttl`, which stands in only where the origin names nothing (CloudFront would also raise
/// a shorter named one to it; RFC 9111 §4.2.1 is followed instead).
pub(super) fn lifetime<F: Fields>(policy: &CachePolicy, answer: &Answer, fields: &F, times: Times) -> Option<u64> {
    let error = answer.status >= 400;
    let kept = |ttl: Duration| answer.age_ms.saturating_add(millis(ttl));
    let floor = if error || policy.min_ttl.is_zero() { 0 } else { kept(policy.min_ttl) };
    let open = answer.public || answer.class == Class::Heuristic;
    let lifetime = match answer.named {
        Some(named) => named,
        None if answer.class == Class::Error => kept(policy.error_ttl),
        None => match heuristic(policy, fields, times).filter(|_| open) {
            Some(guess) => guess,
            None if open && !error => kept(policy.default_ttl),
            None => return None,
        },
    };
    Some(lifetime.max(floor).min(kept(policy.max_ttl)))
}

/// A share of the time since Last-Modified (RFC 9111 §4.2.2), in milliseconds; CloudFront's default lifetime stands in
/// where this gives nothing.
fn heuristic<F: Fields>(policy: &CachePolicy, fields: &F, times: Times) -> Option<u64> {
    if policy.heuristic_percent == 0 {
        return None;
    }
    let modified = fields.first(&LAST_MODIFIED).and_then(date)?;
    let generated = fields.first(&DATE).and_then(date).unwrap_or(times.response_ms);
    let unchanged = generated.checked_sub(modified)?;
    Some(unchanged / 100 * u64::from(policy.heuristic_percent))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, fields, http_date as text, policy};
    use super::*;

    const AT: Times = Times { request_ms: NOW, response_ms: NOW };

    #[test]
    fn ages_on_arrival() {
        // (fields, request began ms before the answer, initial age in ms), RFC 9111 §4.2.3
        let d = |before: u64| format!("date: {}", text(NOW - before));
        let table: &[(String, u64, u64)] = &[
            (String::new(), 0, 0),
            (String::new(), 250, 250),
            ("age: 10".into(), 0, 10_000),
            ("age: 10".into(), 250, 10_250),
            ("age: 10, 20".into(), 0, 10_000),
            ("age: 10\nage: 20".into(), 0, 10_000),
            ("age: -1".into(), 0, 0),
            ("age: x".into(), 0, 0),
            ("age: 1.5".into(), 0, 0),
            ("age: 99999999999".into(), 0, (1 << 31) * 1000),
            (d(0), 0, 0),
            (d(1000), 0, 1),
            (d(60_000), 0, 59_001),
            (d(60_000) + "\nage: 100", 0, 100_000),
            (d(60_000) + "\nage: 10", 0, 59_001),
            (format!("date: {}", text(NOW + 60_000)), 0, 0),
            ("date: yesterday".into(), 0, 0),
        ];
        for (lines, delay, want) in table {
            let times = Times { request_ms: NOW - delay, response_ms: NOW };
            assert_eq!(initial_age(&fields(lines), times), *want, "{lines}");
        }
    }

    #[test]
    fn named_lifetimes() {
        let expires = |plus: u64| format!("expires: {}", text(NOW + plus));
        let control = |line: &str| CacheControl::parse([line.as_bytes()].into_iter());
        // (Cache-Control, other fields, lifetime in ms), RFC 9111 §4.2.1, §5.3
        let table: &[(&str, String, Option<u64>)] = &[
            ("", String::new(), None),
            ("max-age=5", String::new(), Some(5_000)),
            ("max-age=5, s-maxage=7", String::new(), Some(7_000)),
            ("max-age=5", expires(60_000), Some(5_000)),
            ("s-maxage=0", expires(60_000), Some(0)),
            ("", expires(60_000), Some(60_000)),
            ("", expires(60_000) + &format!("\ndate: {}", text(NOW - 10_000)), Some(70_000)),
            ("", expires(0) + &format!("\ndate: {}", text(NOW + 10_000)), Some(0)),
            ("", "expires: 0".into(), Some(0)),
            ("", "expires: soon".into(), Some(0)),
            ("", "expires: Thu, 01 Jan 1970 00:00:00 GMT".into(), Some(0)),
            // The obsolete forms, RFC 9110 §5.6.7.
            ("", "expires: Thursday, 01-Jan-26 00:01:00 GMT".into(), Some(60_000)),
            ("", "expires: Thu Jan  1 00:01:00 2026".into(), Some(60_000)),
        ];
        for (line, lines, want) in table {
            assert_eq!(named(&control(line), &fields(lines), true, AT), *want, "{line} {lines}");
        }
        assert_eq!(named(&control("public"), &fields(&expires(9_000)), false, AT), None, "a targeted field rules");
    }

    #[test]
    fn guesses_from_last_modified() {
        let guess = |percent: u8, lines: &str| {
            let mut policy = policy();
            policy.heuristic_percent = percent;
            heuristic(&policy, &fields(lines), AT)
        };
        let modified = |before: u64| format!("last-modified: {}", text(NOW - before));
        assert_eq!(guess(10, &modified(1_000_000)), Some(100_000));
        assert_eq!(guess(0, &modified(1_000_000)), None);
        assert_eq!(guess(10, ""), None);
        assert_eq!(guess(10, "last-modified: x"), None);
        assert_eq!(guess(10, &format!("last-modified: {}", text(NOW + 5_000))), None, "from the future");
        let dated = modified(1_000_000) + &format!("\ndate: {}", text(NOW - 500_000));
        assert_eq!(guess(10, &dated), Some(50_000), "Date is the answer's own now");
    }
}
