//! Class: decides what a status alone allows.
//!
//! In: a status code. Out: what its answers need before they may be kept. Never: a look at the fields.

use super::why::Why;

/// What an answer needs to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing: the policy's default lifetime or a heuristic will do.
    Heuristic,
    /// A lifetime that the origin names, or `public`.
    Named,
    /// Nothing: `error_ttl` will do (CloudFront always keeps these errors for its ErrorCachingMinTTL).
    Error,
}

/// Statuses that may be kept without a word from the origin (RFC 9110 §15.1).
fn heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose caching rules we implement, for `must-understand` (RFC 9111 §5.2.2.3): the final ones of RFC 9110
/// §15, RFC 6585 and RFC 7725, without 206, 304 and 416, which are not kept as they come.
pub(super) fn understood(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=415 | 417 | 421 | 422 | 426 | 428 | 429 | 431 | 451
        | 500..=505 | 511)
}

impl Class {
    /// Sorts a status. 206 is never kept as such (RFC 9111 §3.3 would let us; the proxy asks for whole answers
    /// instead); 304 is about another answer (§4.3.3); 416 is about a range we did not keep (CloudFront: never).
    pub(super) fn of(status: u16) -> Result<Class, Why> {
        match status {
            206 => Err(Why::Partial),
            304 | 416 => Err(Why::Status),
            404 | 414 | 500..=504 => Ok(Class::Error),
            200..=599 if heuristically_cacheable(status) => Ok(Class::Heuristic),
            200..=599 => Ok(Class::Named),
            _ => Err(Why::Status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let table: &[(&[u16], Result<Class, Why>)] = &[
            (&[200, 203, 204, 300, 301, 308, 405, 410], Ok(Class::Heuristic)),
            (&[201, 202, 205, 226, 299, 302, 303, 305, 307, 399], Ok(Class::Named)),
            (&[400, 401, 403, 406, 409, 412, 415, 429, 451, 499, 505, 599], Ok(Class::Named)),
            (&[404, 414, 500, 501, 502, 503, 504], Ok(Class::Error)),
            (&[206], Err(Why::Partial)),
            (&[0, 99, 100, 101, 103, 199, 304, 416, 600, 999], Err(Why::Status)),
        ];
        for (statuses, want) in table {
            for status in *statuses {
                assert_eq!(Class::of(*status), *want, "{status}");
            }
        }
    }

    #[test]
    fn what_is_not_kept_is_not_understood() {
        for status in 0..=999 {
            if Class::of(status).is_err() {
                assert!(!understood(status), "{status}");
            }
        }
        assert!(understood(200) && understood(404) && !understood(299) && !understood(599));
    }
}
