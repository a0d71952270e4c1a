//! Judge: what a stored answer may become for one request.
//!
//! In: the object's meta, the purge marks, the behavior, the request, now. Out: a `Verdict`. Never: I/O.

use std::sync::atomic::AtomicU64;

use crate::cache::invalidated::Invalidated;
use crate::cache::object::Meta;
use crate::cache::policy::{self, Reuse};
use crate::cache::purge::{self, MarksCell};
use crate::config::compiled::Behavior;
use crate::message::Fields;

/// How a stored answer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fresh,
    /// Usable without waiting for the origin when `while_revalidate`; when the origin fails if `on_error`.
    Stale {
        while_revalidate: bool,
        on_error: bool,
        why: &'static str,
    },
    /// Purged: as if it had never been stored.
    Gone,
}

/// Judges a stored answer. `checked` is the purge generation an object in memory last passed: most hits need one comparison.
pub fn judge<F: Fields>(
    marks: &MarksCell,
    invalidated: &Invalidated,
    behavior: &Behavior,
    meta: &Meta,
    checked: Option<&AtomicU64>,
    request: &F,
    now_ms: u64,
) -> Verdict {
    let shared = behavior.cache.key.ignore_host;
    if invalidated.covers(meta, shared) {
        return Verdict::Gone;
    }
    let reuse = policy::reuse(&behavior.cache, meta, request, now_ms);
    // What is served under each of these hosts' URLs is gone with any of them.
    let hosts = |host: &str| behavior.pattern.serves(host);
    let purged = match (shared, checked) {
        (false, Some(checked)) => marks.check(meta, checked),
        (false, None) => marks.verdict(meta),
        (true, Some(checked)) => marks.check_shared(meta, hosts, checked),
        (true, None) => marks.verdict_shared(meta, hosts),
    };
    match purged {
        purge::Verdict::Keep => {}
        purge::Verdict::Gone => return Verdict::Gone,
        purge::Verdict::Soft { at } => {
            // Soft: out of freshness since the purge at the latest, the stale windows run from there. It allows nothing that
            // was not allowed without it.
            let since_ms = now_ms.saturating_sub(at.0 / 1_000_000);
            let (while_revalidate, on_error) = match reuse {
                Reuse::Fresh => (true, true),
                Reuse::Stale { while_revalidate, on_error } => (while_revalidate, on_error),
                Reuse::Validate { on_error, .. } => (false, on_error),
            };
            let open = |window_ms: u64| !meta.must_revalidate && since_ms < window_ms;
            return Verdict::Stale {
                while_revalidate: while_revalidate && open(meta.stale_while_revalidate_ms),
                on_error: on_error && open(meta.stale_if_error_ms),
                why: "purged-soft",
            };
        }
    }
    match reuse {
        Reuse::Fresh => Verdict::Fresh,
        Reuse::Stale { while_revalidate, on_error } => Verdict::Stale { while_revalidate, on_error, why: "stale" },
        Reuse::Validate { on_error, why } => Verdict::Stale { while_revalidate: false, on_error, why },
    }
}
