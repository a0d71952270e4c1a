//! Reuse: decides whether a kept answer may be used for a request now (RFC 9111 §4, RFC 5861).
//!
//! In: the policy, the object's meta, the request's fields, the instant. Out: [`Reuse`]. Never: allocation; whether the
//! object matches the request (key and Vary did that), purges.

use crate::cache::directives::RequestControl;
use crate::cache::object::Meta;
use crate::config::compiled::{CachePolicy, RequestDirectives};
use crate::message::Fields;

/// What may be done with a kept answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Serve it.
    Fresh,
    /// It is stale, within at least one window of RFC 5861.
    Stale {
        /// Serve it now and validate in the background.
        while_revalidate: bool,
        /// Serve it when the origin fails (or is slow, under a soft timeout).
        on_error: bool,
    },
    /// The origin must confirm it first.
    Validate {
        /// Serve it when the origin fails.
        on_error: bool,
        /// Short token for `Cache-Status` and logs.
        why: &'static str,
    },
}

/// Whether an origin that answers with `status` failed, so that a stale answer may stand in for it (RFC 5861 §4). Any other status means
/// something: 501, that it cannot do what was asked.
pub fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Decides about one request. The request's own directives count only where the policy honors them; CloudFront's way is
/// that they do not.
pub fn reuse<F: Fields>(policy: &CachePolicy, meta: &Meta, request: &F, now_ms: u64) -> Reuse {
    let ttl = meta.ttl_ms(now_ms);
    if meta.no_cache {
        return Reuse::Validate { on_error: false, why: "no-cache" };
    }
    let late = u64::try_from(ttl.saturating_neg()).unwrap_or(0);
    let stale = ttl <= 0;
    let windows = !meta.must_revalidate;
    let while_revalidate = windows && late < meta.stale_while_revalidate_ms;
    let on_error = windows && late < meta.stale_if_error_ms;
    if let RequestDirectives::Honor = policy.request_directives {
        let asked = RequestControl::read(request);
        // A viewer's wish for a newer answer is a preference (§5.2.1): when the origin fails, a fresh object still
        // serves.
        let spare = on_error || !stale;
        let over = |bound: u32, ms: u64| ms > u64::from(bound) * 1000;
        if asked.no_store {
            // §5.2.1.5 would let a stored answer serve; such a request passes the cache by on every path.
            return Reuse::Validate { on_error: spare, why: "request-no-store" };
        }
        if asked.no_cache {
            return Reuse::Validate { on_error: spare, why: "request-no-cache" };
        }
        if asked.max_age.is_some_and(|seconds| over(seconds, meta.age_ms(now_ms))) {
            return Reuse::Validate { on_error: spare, why: "request-max-age" };
        }
        if asked.min_fresh.is_some_and(|seconds| ttl < i64::from(seconds) * 1000) {
            return Reuse::Validate { on_error: spare, why: "request-min-fresh" };
        }
        // §4.2.4: the answer's own prohibition is stronger than the viewer's permission.
        if stale && windows && asked.max_stale.is_some_and(|seconds| !over(seconds, late)) {
            return Reuse::Fresh;
        }
    }
    match (stale, while_revalidate || on_error) {
        (false, _) => Reuse::Fresh,
        (true, true) => Reuse::Stale { while_revalidate, on_error },
        (true, false) if meta.must_revalidate => Reuse::Validate { on_error: false, why: "must-revalidate" },
        (true, false) => Reuse::Validate { on_error: false, why: "stale" },
    }
}

/// Whether each use of a kept answer needs the origin's word: it may not be used without (§5.2.2.4), or was never fresh and does not
/// serve while it is revalidated either (RFC 5861 §3).
pub fn is_always_validated(meta: &Meta) -> bool {
    let window = if meta.must_revalidate { 0 } else { meta.stale_while_revalidate_ms };
    meta.no_cache || meta.lifetime_ms.saturating_add(window) <= meta.initial_age_ms
}

/// Whether the request wants a kept answer or 504 (RFC 9111 §5.2.1.7).
pub fn only_if_cached<F: Fields>(policy: &CachePolicy, request: &F) -> bool {
    policy.request_directives == RequestDirectives::Honor && RequestControl::read(request).only_if_cached
}

/// Whether the request forbids keeping its answer (RFC 9111 §5.2.1.5).
pub fn request_no_store<F: Fields>(policy: &CachePolicy, request: &F) -> bool {
    policy.request_directives == RequestDirectives::Honor && RequestControl::read(request).no_store
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, fields, meta, policy};
    use super::*;
    use proptest::prelude::*;

    const fn validate(on_error: bool, why: &'static str) -> Reuse {
        Reuse::Validate { on_error, why }
    }

    #[test]
    fn fresh_stale_or_neither() {
        type Change = fn(&mut Meta);
        let same: Change = |_| {};
        let windows: Change = |m| (m.stale_while_revalidate_ms, m.stale_if_error_ms) = (10_000, 30_000);
        let stale = |while_revalidate, on_error| Reuse::Stale { while_revalidate, on_error };
        // (meta, ms after arrival, request, verdict)
        let table: &[(Change, u64, &str, Reuse)] = &[
            // RFC 9111 §4.2: fresh while age < lifetime
            (same, 0, "", Reuse::Fresh),
            (same, 59_999, "", Reuse::Fresh),
            (same, 60_000, "", validate(false, "stale")),
            (|m| m.initial_age_ms = 59_000, 999, "", Reuse::Fresh),
            (|m| m.initial_age_ms = 59_000, 1_000, "", validate(false, "stale")),
            (|m| m.lifetime_ms = 0, 0, "", validate(false, "stale")),
            // RFC 5861
            (windows, 60_000, "", stale(true, true)),
            (windows, 69_999, "", stale(true, true)),
            (windows, 70_000, "", stale(false, true)),
            (windows, 90_000, "", validate(false, "stale")),
            // §5.2.2.2, §5.2.2.4
            (|m| m.must_revalidate = true, 0, "", Reuse::Fresh),
            (
                |m| (m.must_revalidate, m.stale_while_revalidate_ms, m.stale_if_error_ms) = (true, 9_000, 9_000),
                60_000,
                "",
                validate(false, "must-revalidate"),
            ),
            (|m| m.no_cache = true, 0, "", validate(false, "no-cache")),
            (
                |m| (m.no_cache, m.stale_if_error_ms) = (true, 9_000),
                0,
                "cache-control: max-stale",
                validate(false, "no-cache"),
            ),
            // §5.2.1.4
            (same, 0, "cache-control: no-cache", validate(true, "request-no-cache")),
            (same, 0, "pragma: no-cache", validate(true, "request-no-cache")),
            (same, 60_000, "cache-control: no-cache", validate(false, "request-no-cache")),
            (windows, 60_000, "cache-control: no-cache", validate(true, "request-no-cache")),
            // §5.2.1.1
            (same, 5_000, "cache-control: max-age=5", Reuse::Fresh),
            (same, 5_001, "cache-control: max-age=5", validate(true, "request-max-age")),
            (same, 0, "cache-control: max-age=0", Reuse::Fresh),
            (same, 1, "cache-control: max-age=0", validate(true, "request-max-age")),
            // §5.2.1.3
            (same, 50_000, "cache-control: min-fresh=10", Reuse::Fresh),
            (same, 50_001, "cache-control: min-fresh=10", validate(true, "request-min-fresh")),
            (windows, 61_000, "cache-control: min-fresh=0", validate(true, "request-min-fresh")),
            // §5.2.1.2
            (same, 65_000, "cache-control: max-stale=5", Reuse::Fresh),
            (same, 65_001, "cache-control: max-stale=5", validate(false, "stale")),
            (same, 9_000_000, "cache-control: max-stale", Reuse::Fresh),
            (|m| m.must_revalidate = true, 61_000, "cache-control: max-stale", validate(false, "must-revalidate")),
        ];
        for (change, after, request, want) in table {
            let mut meta = meta();
            change(&mut meta);
            assert_eq!(reuse(&policy(), &meta, &fields(request), NOW + after), *want, "{after} {request}");
        }
    }

    #[test]
    fn what_each_use_has_validated() {
        type Change = fn(&mut Meta);
        let table: &[(&str, Change, bool)] = &[
            ("fresh for a while", |_| {}, false),
            ("must-revalidate", |m| m.must_revalidate = true, false),
            ("no-cache", |m| m.no_cache = true, true),
            ("max-age=0", |m| m.lifetime_ms = 0, true),
            (
                "max-age=0, stale-while-revalidate=60",
                |m| (m.lifetime_ms, m.stale_while_revalidate_ms) = (0, 60_000),
                false,
            ),
            (
                "max-age=0, stale-while-revalidate=60, must-revalidate",
                |m| (m.lifetime_ms, m.stale_while_revalidate_ms, m.must_revalidate) = (0, 60_000, true),
                true,
            ),
            ("old on arrival", |m| m.initial_age_ms = 60_000, true),
        ];
        for (name, change, want) in table {
            let mut meta = meta();
            change(&mut meta);
            assert_eq!(is_always_validated(&meta), *want, "{name}");
        }
    }

    #[test]
    fn which_statuses_are_failures() {
        // RFC 5861 §4
        let failures: Vec<u16> = (100..=599).filter(|status| is_failure(*status)).collect();
        assert_eq!(failures, [500, 502, 503, 504]);
    }

    #[test]
    fn ignored_requests_change_nothing() {
        let mut policy = policy();
        policy.request_directives = RequestDirectives::Ignore;
        for request in ["cache-control: no-cache, max-age=0", "pragma: no-cache", "cache-control: min-fresh=999"] {
            assert_eq!(reuse(&policy, &meta(), &fields(request), NOW), Reuse::Fresh);
        }
        let request = fields("cache-control: only-if-cached, no-store");
        assert!(!only_if_cached(&policy, &request) && !request_no_store(&policy, &request));
        policy.request_directives = RequestDirectives::Honor;
        assert!(only_if_cached(&policy, &request) && request_no_store(&policy, &request));
    }

    proptest! {
        #[test]
        fn must_revalidate_is_never_stale(
            after in 0u64..200_000, lifetime in 0u64..100_000, window in 0u64..100_000, request in "(max-stale|max-age=9|x)"
        ) {
            let mut meta = meta();
            (meta.lifetime_ms, meta.must_revalidate) = (lifetime, true);
            (meta.stale_while_revalidate_ms, meta.stale_if_error_ms) = (window, window);
            let request = fields(&format!("cache-control: {request}"));
            let verdict = reuse(&policy(), &meta, &request, NOW + after);
            if after >= lifetime {
                let validated = matches!(verdict, Reuse::Validate { on_error: false, .. });
                prop_assert!(validated);
            }
        }

        /// Waiting never makes an object more usable.
        #[test]
        fn freshness_only_decays(a in 0u64..200_000, b in 0u64..200_000, swr in 0u64..50_000, sie in 0u64..50_000) {
            let mut meta = meta();
            (meta.stale_while_revalidate_ms, meta.stale_if_error_ms) = (swr, sie);
            let rank = |after: u64| match reuse(&policy(), &meta, &fields(""), NOW + after) {
                Reuse::Fresh => 3,
                Reuse::Stale { while_revalidate: true, .. } => 2,
                Reuse::Stale { .. } => 1,
                Reuse::Validate { .. } => 0,
            };
            prop_assert!(rank(a.min(b)) >= rank(a.max(b)));
        }
    }
}
