//! Admit: decides whether an answer from the origin is kept, and for how long (RFC 9111 §3).
//!
//! In: the policy, what was asked, the answer's status and fields, the exchange's times. Out: [`Admit`]. Never: the
//! body, the request's own directives (see [`super::request_no_store`]).

use super::class::{Class, understood};
use super::ttl::{Answer, initial_age, lifetime, millis, named};
use super::why::Why;
use super::{Ask, Times};
use crate::cache::directives::{CacheControl, Reach, targeted};
use crate::cache::vary::{self, Vary};
use crate::config::compiled::{CachePolicy, SetCookie};
use crate::message::Fields;
use http::HeaderName;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CDN_CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED, SET_COOKIE};

/// Our own targeted field (RFC 9213 §2.2); asked before `CDN-Cache-Control`.
pub static OWN_CACHE_CONTROL: HeaderName = HeaderName::from_static("rimward-cache-control");

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admit {
    Store(Lifetimes),
    Never(Why),
}

/// How long an answer may be used. Milliseconds; lifetime and initial age both count from the answer's creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifetimes {
    pub initial_age_ms: u64,
    pub lifetime_ms: u64,
    pub stale_while_revalidate_ms: u64,
    pub stale_if_error_ms: u64,
    /// Once stale, never used without validation (RFC 9111 §5.2.2.2, §5.2.2.8, §5.2.2.10).
    pub must_revalidate: bool,
    /// Never used without validation (§5.2.2.4).
    pub no_cache: bool,
    /// Fields of this answer that are not kept: named by `no-cache="…"` or `private="…"`, and `Set-Cookie` where the
    /// policy strips it. Lower case, each once.
    pub strip: Vec<HeaderName>,
}

/// Decides whether an answer is kept.
///
/// A lifetime of zero is kept when a validator or a stale window of the answer's own makes it useful.
pub fn admit<F: Fields>(policy: &CachePolicy, ask: Ask, status: u16, fields: &F, times: Times) -> Admit {
    match decide(policy, ask, status, fields, times) {
        Ok(lifetimes) => Admit::Store(lifetimes),
        Err(why) => Admit::Never(why),
    }
}

fn decide<F: Fields>(policy: &CachePolicy, ask: Ask, status: u16, fields: &F, times: Times) -> Result<Lifetimes, Why> {
    if !policy.enabled || policy.max_ttl.is_zero() {
        return Err(Why::Policy);
    }
    let class = Class::of(status)?;
    let (control, is_targeted) = read(fields);
    if control.must_understand && !understood(status) {
        return Err(Why::Status);
    }
    // CloudFront: a minimum above zero keeps what the origin forbids, for the minimum. Errors know no minimum.
    let forced = !policy.min_ttl.is_zero() && status < 400 && class == Class::Heuristic;
    let no_cache = control.no_cache == Reach::Whole;
    // §5.2.2.3: must-understand next to no-store means "unless you know this status".
    let no_store = control.no_store && !control.must_understand;
    let private = control.private == Reach::Whole;
    if !forced && no_store {
        return Err(Why::NoStore);
    }
    if !forced && private {
        return Err(Why::Private);
    }
    // A key that holds the credentials gives every viewer an own object.
    let shared = control.public || control.must_revalidate || control.s_maxage.is_some();
    if ask.authorization && !shared && !policy.key.headers.contains(&AUTHORIZATION) {
        return Err(Why::Authorization);
    }
    if vary::parse(fields) == Vary::Star {
        return Err(Why::VaryStar);
    }
    let strip = strip(&control, policy.set_cookie, fields)?;
    if declared_length(fields).is_some_and(|length| length > policy.max_object) {
        return Err(Why::TooLarge);
    }

    let initial_age_ms = initial_age(fields, times);
    let overruled = forced && (no_store || private || no_cache);
    let said = if overruled { Some(0) } else { named(&control, fields, !is_targeted, times) };
    let answer = Answer { class, status, public: control.public, named: said, age_ms: initial_age_ms };
    let lifetime_ms = lifetime(policy, &answer, fields, times).ok_or(Why::NoLifetime)?;

    let must_revalidate = control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some();
    let no_cache = no_cache && !overruled;
    // The answer's own window, at most max_ttl as CloudFront has it; else the operator's, which is not meant for
    // errors.
    let window = |own: Option<u32>, policy_ms: u64| match own {
        _ if must_revalidate || no_cache => 0,
        Some(seconds) => (u64::from(seconds) * 1000).min(millis(policy.max_ttl)),
        None if status >= 400 => 0,
        None => policy_ms,
    };
    let stale_while_revalidate_ms = window(control.stale_while_revalidate, millis(policy.stale_while_revalidate));
    let stale_if_error_ms = window(control.stale_if_error, millis(policy.stale_if_error));

    let validator = fields.has(&ETAG) || fields.has(&LAST_MODIFIED);
    if no_cache && !validator {
        return Err(Why::NoCache);
    }
    let own_window = window(control.stale_while_revalidate, 0).max(window(control.stale_if_error, 0)) > 0;
    if lifetime_ms <= initial_age_ms && !validator && !own_window {
        return Err(if said.is_some() { Why::Expired } else { Why::NoLifetime });
    }
    Ok(Lifetimes {
        initial_age_ms,
        lifetime_ms,
        stale_while_revalidate_ms,
        stale_if_error_ms,
        must_revalidate,
        no_cache,
        strip,
    })
}

/// The directives that rule, and whether a targeted field gave them (RFC 9213 §2.2: the first valid one of our list,
/// and then neither `Cache-Control` nor `Expires` counts).
fn read<F: Fields>(fields: &F) -> (CacheControl, bool) {
    for name in [&OWN_CACHE_CONTROL, &CDN_CACHE_CONTROL] {
        if let Some(control) = targeted::parse(fields.lines(name)) {
            return (control, true);
        }
    }
    (CacheControl::parse(fields.lines(&CACHE_CONTROL)), false)
}

/// Fields that are not kept, or the refusal of a cookie. A cookie that the origin itself names in `no-cache="…"` or
/// `private="…"` is no reason to refuse: it is not kept.
fn strip<F: Fields>(control: &CacheControl, set_cookie: SetCookie, fields: &F) -> Result<Vec<HeaderName>, Why> {
    let mut strip = Vec::new();
    for reach in [&control.no_cache, &control.private] {
        if let Reach::Fields(names) = reach {
            strip.extend_from_slice(names);
        }
    }
    if fields.has(&SET_COOKIE) && !strip.contains(&SET_COOKIE) {
        match set_cookie {
            SetCookie::Refuse => return Err(Why::SetCookie),
            SetCookie::Strip => strip.push(SET_COOKIE),
            SetCookie::Store => {}
        }
    }
    strip.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    strip.dedup();
    Ok(strip)
}

/// The body's length in bytes that an answer states.
pub fn declared_length<F: Fields>(fields: &F) -> Option<u64> {
    std::str::from_utf8(fields.first(&CONTENT_LENGTH)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{DAY, NOW, fields, http_date as date, policy};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const GET: Ask = Ask { authorization: false };
    const AT: Times = Times { request_ms: NOW, response_ms: NOW };

    /// Lifetime in seconds, or why not.
    fn seconds(policy: &CachePolicy, status: u16, lines: &str) -> Result<u64, Why> {
        match admit(policy, GET, status, &fields(lines), AT) {
            Admit::Store(lifetimes) => Ok(lifetimes.lifetime_ms / 1000),
            Admit::Never(why) => Err(why),
        }
    }

    #[test]
    fn storing() {
        // RFC 9111 §3, min_ttl = 0: (status, fields, lifetime in seconds or why not)
        let day = DAY / 1000;
        let table: &[(u16, &str, Result<u64, Why>)] = &[
            // Nothing named: the default, for statuses of RFC 9110 §15.1 only
            (200, "", Ok(day)),
            (204, "", Ok(day)),
            (301, "", Ok(day)),
            (308, "", Ok(day)),
            (302, "", Err(Why::NoLifetime)),
            (303, "", Err(Why::NoLifetime)),
            (307, "", Err(Why::NoLifetime)),
            (201, "", Err(Why::NoLifetime)),
            (299, "", Err(Why::NoLifetime)),
            (302, "cache-control: max-age=60", Ok(60)),
            (299, "cache-control: max-age=60", Ok(60)),
            (302, "cache-control: public", Ok(day)),
            // §5.2.2.5, §5.2.2.7
            (200, "cache-control: no-store, max-age=60", Err(Why::NoStore)),
            (200, "cache-control: private, max-age=60", Err(Why::Private)),
            // §5.2.2.3
            (200, "cache-control: must-understand, no-store, max-age=60", Ok(60)),
            (299, "cache-control: must-understand, no-store, max-age=60", Err(Why::Status)),
            (299, "cache-control: must-understand, max-age=60", Err(Why::Status)),
            // §5.2.2.4: kept to be validated
            (200, "cache-control: no-cache", Err(Why::NoCache)),
            (200, "cache-control: no-cache\netag: \"a\"", Ok(day)),
            // Over on arrival
            (200, "cache-control: max-age=0", Err(Why::Expired)),
            (200, "cache-control: max-age=60\nage: 60", Err(Why::Expired)),
            (200, "cache-control: max-age=60\nage: 59", Ok(60)),
            (200, "cache-control: max-age=0\netag: \"a\"", Ok(0)),
            (200, "cache-control: max-age=0\nlast-modified: x", Ok(0)),
            (200, "cache-control: max-age=0, stale-while-revalidate=9", Ok(0)),
            (200, "cache-control: max-age=0, stale-if-error=9, must-revalidate", Err(Why::Expired)),
            (200, "expires: 0", Err(Why::Expired)),
            (200, "cache-control: max-age=nonsense", Err(Why::Expired)),
            // §4.1, §3.3, §4.3.3
            (200, "vary: *", Err(Why::VaryStar)),
            (200, "vary: accept, *", Err(Why::VaryStar)),
            (200, "vary: accept\nvary: *", Err(Why::VaryStar)),
            (200, "vary: accept", Ok(day)),
            (206, "cache-control: max-age=60", Err(Why::Partial)),
            (304, "cache-control: max-age=60", Err(Why::Status)),
            (416, "cache-control: max-age=60", Err(Why::Status)),
            (101, "cache-control: max-age=60", Err(Why::Status)),
            (200, "set-cookie: a=b", Err(Why::SetCookie)),
            (200, "content-length: 1048576", Ok(day)),
            (200, "content-length: 1048577", Err(Why::TooLarge)),
        ];
        for (status, lines, want) in table {
            assert_eq!(seconds(&policy(), *status, lines), *want, "{status} {lines}");
        }
    }

    #[test]
    fn errors() {
        // CloudFront: 404, 414, 500–504 always for error_ttl; others only when named; 416 never.
        for status in [404, 414, 500, 501, 502, 503, 504] {
            assert_eq!(seconds(&policy(), status, ""), Ok(10), "{status}");
            assert_eq!(seconds(&policy(), status, "cache-control: max-age=3"), Ok(3), "{status}");
            assert_eq!(seconds(&policy(), status, "cache-control: no-store"), Err(Why::NoStore), "{status}");
        }
        for status in [400, 401, 403, 405, 410, 412, 415, 429, 451, 505] {
            assert_eq!(seconds(&policy(), status, ""), Err(Why::NoLifetime), "{status}");
            assert_eq!(seconds(&policy(), status, "cache-control: max-age=3"), Ok(3), "{status}");
        }
        let mut none = policy();
        none.error_ttl = Duration::ZERO;
        assert_eq!(seconds(&none, 503, ""), Err(Why::NoLifetime));
        let mut floor = policy();
        floor.min_ttl = Duration::from_secs(100);
        assert_eq!(seconds(&floor, 503, ""), Ok(10), "errors know no minimum");
        assert_eq!(seconds(&floor, 503, "cache-control: no-store"), Err(Why::NoStore));
    }

    #[test]
    fn clamps() {
        // CloudFront's table: (min, default, max, fields, lifetime)
        let expires = format!("expires: {}\ndate: {}", date(NOW + 500_000), date(NOW));
        type Row<'a> = (u64, u64, u64, &'a str, Result<u64, Why>);
        let table: &[Row<'_>] = &[
            (0, 100, 1000, "", Ok(100)),
            (0, 100, 1000, "cache-control: max-age=50", Ok(50)),
            (0, 100, 1000, "cache-control: max-age=5000", Ok(1000)),
            (0, 100, 1000, "cache-control: max-age=50, s-maxage=70", Ok(70)),
            (0, 100, 1000, &expires, Ok(500)),
            (0, 2000, 1000, "", Ok(1000)),
            (0, 0, 1000, "", Err(Why::NoLifetime)),
            (0, 0, 1000, "etag: \"a\"", Ok(0)),
            (0, 100, 0, "cache-control: max-age=50", Err(Why::Policy)),
            (60, 100, 1000, "", Ok(100)),
            (60, 10, 1000, "", Ok(60)),
            (60, 100, 1000, "cache-control: max-age=50", Ok(60)),
            (60, 100, 1000, "cache-control: max-age=70", Ok(70)),
            (60, 100, 1000, "cache-control: max-age=5000", Ok(1000)),
            (60, 100, 1000, "cache-control: no-store", Ok(60)),
            (60, 100, 1000, "cache-control: private, max-age=500", Ok(60)),
            (60, 100, 1000, "cache-control: no-cache", Ok(60)),
            (60, 100, 1000, "expires: 0", Ok(60)),
            (60, 100, 1000, "set-cookie: a=b", Err(Why::SetCookie)),
            (60, 100, 1000, "vary: *", Err(Why::VaryStar)),
            // Our own times count from arrival, the origin's from creation.
            (60, 100, 1000, "age: 5000", Ok(5100)),
            (60, 100, 1000, "age: 5000\ncache-control: max-age=5010", Ok(5060)),
            (0, 100, 1000, "age: 5000\ncache-control: max-age=5010", Ok(5010)),
            (0, 100, 1000, "age: 5000\ncache-control: max-age=9000", Ok(6000)),
        ];
        for (min, default, max, lines, want) in table {
            let mut policy = policy();
            policy.min_ttl = Duration::from_secs(*min);
            policy.default_ttl = Duration::from_secs(*default);
            policy.max_ttl = Duration::from_secs(*max);
            assert_eq!(seconds(&policy, 200, lines), *want, "{min}/{default}/{max} {lines}");
        }
    }

    #[test]
    fn heuristics_replace_the_default() {
        let mut policy = policy();
        policy.heuristic_percent = 10;
        let modified = format!("last-modified: {}", date(NOW - 1_000_000));
        assert_eq!(seconds(&policy, 200, &modified), Ok(100));
        assert_eq!(seconds(&policy, 410, &modified), Ok(100));
        assert_eq!(seconds(&policy, 302, &modified), Err(Why::NoLifetime), "RFC 9111 §4.2.2");
        assert_eq!(seconds(&policy, 200, ""), Ok(DAY / 1000));
        policy.max_ttl = Duration::from_secs(7);
        assert_eq!(seconds(&policy, 200, &modified), Ok(7));
    }

    #[test]
    fn targeted_fields_rule() {
        // RFC 9213 §2.2
        let table: &[(&str, Result<u64, Why>)] = &[
            ("cdn-cache-control: max-age=5\ncache-control: max-age=60", Ok(5)),
            ("cdn-cache-control: max-age=5\ncache-control: no-store", Ok(5)),
            ("cdn-cache-control: no-store\ncache-control: max-age=60", Err(Why::NoStore)),
            ("rimward-cache-control: max-age=7\ncdn-cache-control: max-age=5", Ok(7)),
            ("rimward-cache-control: \ncdn-cache-control: max-age=5", Ok(5)),
            ("rimward-cache-control: Max-Age=7\ncdn-cache-control: max-age=5", Ok(5)),
            ("cdn-cache-control: max-age=5, &&\ncache-control: no-store", Err(Why::NoStore)),
            ("cdn-cache-control: foo\ncache-control: max-age=60\nexpires: 0", Ok(DAY / 1000)),
        ];
        for (lines, want) in table {
            assert_eq!(seconds(&policy(), 200, lines), *want, "{lines}");
        }
    }

    #[test]
    fn authorization() {
        // RFC 9111 §3.5
        let ask = Ask { authorization: true };
        let table = [
            ("max-age=60", false),
            ("max-age=60, proxy-revalidate", false),
            ("max-age=60, public", true),
            ("max-age=60, must-revalidate", true),
            ("s-maxage=60", true),
        ];
        for (line, kept) in table {
            let lines = fields(&format!("cache-control: {line}"));
            let verdict = admit(&policy(), ask, 200, &lines, AT);
            assert_eq!(verdict != Admit::Never(Why::Authorization), kept, "{line}");
            let mut keyed = policy();
            keyed.key.headers.push(AUTHORIZATION);
            assert!(matches!(admit(&keyed, ask, 200, &lines, AT), Admit::Store(_)), "{line}");
        }
        let mut floor = policy();
        floor.min_ttl = Duration::from_secs(60);
        assert_eq!(admit(&floor, ask, 200, &fields(""), AT), Admit::Never(Why::Authorization));
    }

    #[test]
    fn a_policy_that_keeps_nothing() {
        let off = CachePolicy { enabled: false, ..policy() };
        assert_eq!(seconds(&off, 200, "cache-control: max-age=60"), Err(Why::Policy));
    }

    #[test]
    fn stale_windows() {
        let mut policy = policy();
        policy.stale_while_revalidate = Duration::from_secs(3);
        policy.stale_if_error = Duration::from_secs(4);
        policy.max_ttl = Duration::from_secs(1000);
        // (status, Cache-Control, while_revalidate, if_error), RFC 5861, RFC 9111 §5.2.2
        let table = [
            (200, "max-age=1", 3, 4),
            (200, "max-age=1, stale-while-revalidate=30, stale-if-error=40", 30, 40),
            (200, "max-age=1, stale-if-error=0", 3, 0),
            (200, "max-age=1, stale-if-error=5000", 3, 1000),
            (200, "max-age=1, must-revalidate, stale-if-error=40", 0, 0),
            (200, "max-age=1, proxy-revalidate, stale-if-error=40", 0, 0),
            (200, "s-maxage=1, stale-while-revalidate=30", 0, 0),
            (200, "no-cache, stale-if-error=40", 0, 0),
            (503, "max-age=1", 0, 0),
            (503, "max-age=1, stale-if-error=40", 0, 40),
        ];
        for (status, line, swr, sie) in table {
            let lines = fields(&format!("etag: \"a\"\ncache-control: {line}"));
            let Admit::Store(l) = admit(&policy, GET, status, &lines, AT) else { panic!("{line}") };
            assert_eq!((l.stale_while_revalidate_ms, l.stale_if_error_ms), (swr * 1000, sie * 1000), "{line}");
        }
    }

    #[test]
    fn what_is_stripped() {
        let names = |names: &[&'static str]| names.iter().map(|n| HeaderName::from_static(n)).collect::<Vec<_>>();
        let table = [
            (SetCookie::Strip, "set-cookie: a=b", Ok(names(&["set-cookie"]))),
            (SetCookie::Store, "set-cookie: a=b", Ok(names(&[]))),
            (SetCookie::Refuse, "set-cookie: a=b", Err(Why::SetCookie)),
            (SetCookie::Refuse, "set-cookie: a=b\ncache-control: no-cache=Set-Cookie", Ok(names(&["set-cookie"]))),
            (SetCookie::Refuse, "cache-control: private=\"x-b, x-a\", no-cache=\"x-a\"", Ok(names(&["x-a", "x-b"]))),
        ];
        for (set_cookie, lines, want) in table {
            let policy = CachePolicy { set_cookie, ..policy() };
            let got = match admit(&policy, GET, 200, &fields(lines), AT) {
                Admit::Store(lifetimes) => Ok(lifetimes.strip),
                Admit::Never(why) => Err(why),
            };
            assert_eq!(got, want, "{lines}");
        }
    }

    proptest! {
        /// Whatever else stands beside it, no-store without a minimum is obeyed.
        #[test]
        fn no_store_is_obeyed(other in "[a-z0-9=, -]{0,30}", status in 100u16..600) {
            prop_assume!(!other.contains("must-understand"));
            let lines = fields(&format!("cache-control: {other}, no-store"));
            let kept = matches!(admit(&policy(), GET, status, &lines, AT), Admit::Store(_));
            prop_assert!(!kept);
        }

        /// No answer stays fresh longer than max_ttl after it arrived.
        #[test]
        fn max_ttl_holds(age in 0u32..100_000, max_age in 0u32..200_000, min in 0u64..50, max in 1u64..100_000) {
            let mut policy = policy();
            policy.min_ttl = Duration::from_secs(min);
            policy.max_ttl = Duration::from_secs(max);
            let lines = fields(&format!("age: {age}\ncache-control: max-age={max_age}\netag: \"a\""));
            if let Admit::Store(l) = admit(&policy, GET, 200, &lines, AT) {
                prop_assert!(l.lifetime_ms.saturating_sub(l.initial_age_ms) <= max * 1000);
            }
        }
    }
}
