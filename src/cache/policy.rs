//! Policy: decides which answers are kept, for how long, and when a kept one may be used (RFC 9111, RFC 9213, RFC
//! 5861).
//!
//! In: the behavior's cache policy, the fields of a request or an answer, instants in milliseconds since the epoch.
//! Out: [`Admit`] when an answer arrives, [`Reuse`] when a request finds one. Never: I/O, a clock of its own,
//! allocation on the hit path.
//!
//! Where the RFC leaves a choice, or the operator's policy overrides it, CloudFront's table is followed; each such
//! place says so. The main ones:
//! - The policy's own times (`min_ttl`, `default_ttl`, `max_ttl`, `error_ttl`) count from the answer's arrival, the
//!   origin's times from the answer's creation, so that an upstream's `Age` shortens only what the origin promised.
//! - `min_ttl` above zero keeps what `no-store`, `no-cache` or `private` forbid, for `min_ttl`, as CloudFront does. It
//!   does not open answers to `Authorization`, `Set-Cookie`, `Vary: *` or error statuses.
//! - `max_ttl` of zero keeps nothing.

mod admit;
mod class;
mod refresh;
mod reuse;
mod ttl;
mod why;

pub use admit::{Admit, Lifetimes, OWN_CACHE_CONTROL, admit, declared_length};
pub use refresh::{merge_304, refresh, selects};
pub use reuse::{Reuse, is_always_validated, is_failure, only_if_cached, request_no_store, reuse};
pub use why::Why;

/// When the exchange with the origin began (request sent) and when its answer's head arrived, in milliseconds since the
/// epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub request_ms: u64,
    pub response_ms: u64,
}

/// What the origin was asked with: GET, and besides that this.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Whether the request carried `Authorization` to the origin.
    pub authorization: bool,
}

#[cfg(test)]
mod fixture {
    use crate::cache::object::{Meta, Stamp};
    use crate::config::compiled::{CachePolicy, KeyPolicy, RequestDirectives, Select, SetCookie};
    use http::{HeaderMap, HeaderName};
    use std::time::Duration;

    /// 2026-01-01T00:00:00Z, in milliseconds.
    pub const NOW: u64 = 1_767_225_600_000;
    pub const DAY: u64 = 86_400_000;

    /// CloudFront's defaults: 0 / one day / one year.
    pub fn policy() -> CachePolicy {
        CachePolicy {
            enabled: true,
            min_ttl: Duration::ZERO,
            default_ttl: Duration::from_secs(86_400),
            max_ttl: Duration::from_secs(31_536_000),
            key: KeyPolicy {
                headers: Vec::new(),
                cookies: Select::None,
                query: Select::All,
                sort_query: false,
                ignore_host: false,
            },
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            soft_timeout: None,
            heuristic_percent: 0,
            error_ttl: Duration::from_secs(10),
            request_directives: RequestDirectives::Honor,
            set_cookie: SetCookie::Refuse,
            max_object: 1 << 20,
            tag_headers: Vec::new(),
            collapse: true,
        }
    }

    /// `name: value` lines, one a line.
    pub fn fields(lines: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines.lines() {
            let (name, value) = line.split_once(':').unwrap();
            map.append(HeaderName::from_bytes(name.trim().as_bytes()).unwrap(), value.trim().parse().unwrap());
        }
        map
    }

    pub fn http_date(ms: u64) -> String {
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(ms))
    }

    /// Arrived at NOW with age 0, fresh for a minute.
    pub fn meta() -> Meta {
        Meta {
            status: 200,
            responded_ms: NOW,
            initial_age_ms: 0,
            lifetime_ms: 60_000,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            must_revalidate: false,
            no_cache: false,
            fetch_start: Stamp(1),
            host: "h".into(),
            uri: "/".into(),
            tags: Box::new([]),
            vary: Box::new([]),
            variance: None,
            masked: false,
        }
    }
}
