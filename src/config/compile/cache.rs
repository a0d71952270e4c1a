//! Cache: `[cache]` and a behavior's `cache` become tiers and a policy.
//!
//! In: schema. Out: compiled, with min ≤ default ≤ max. Never: what a single answer's lifetime is (the cache room decides).

use std::time::Duration;

use super::{Checked, Report};
use crate::config::compiled::{CachePolicy, Disk, KeyPolicy, RequestDirectives, SetCookie, Store};
use crate::config::schema::{self, Toggle};
use crate::config::source::At;

/// CloudFront's default TTL: one day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Names of tag headers one behavior may have: each is looked up in every answer.
const MAX_TAG_HEADERS: usize = 10;

/// The disk tier's smallest useful size.
const MIN_DISK: u64 = 16 << 20;

pub(super) fn store(store: schema::Store, report: &mut Report<'_>) -> Checked<Store> {
    let at = At::default().key("cache");
    let disk = store.disk.map(|disk| {
        let size = disk.size.get();
        if size < MIN_DISK {
            return Err(report.refuse(&at.key("disk").key("size"), "a disk cache has at least 16MiB"));
        }
        Ok(Disk { path: report.path(&at.key("disk").key("path"), &disk.path), size })
    });
    let purge_scopes = report.positive(&at.key("purge_scopes"), store.purge_scopes);
    Ok(Store {
        memory: store.memory.get(),
        disk: disk.transpose()?,
        collapse_timeout: store.collapse_timeout.get(),
        purge_scopes: purge_scopes?,
    })
}

/// `silent`: how long an answer that names no lifetime is kept, unless `ttl` says so.
pub(super) fn policy(
    at: &At,
    written: Toggle<schema::CacheRules>,
    silent: Duration,
    report: &mut Report<'_>,
) -> Checked<CachePolicy> {
    let (enabled, rules) = match written.on() {
        Some(rules) => (true, rules),
        None => (false, schema::CacheRules::default()),
    };
    let ttls = ttls(at, &rules, silent, report);
    let key = key(&at.key("key"), &rules.key, report);
    let tags = at.key("tag_headers");
    let tag_headers = if rules.tag_headers.len() > MAX_TAG_HEADERS {
        Err(report.refuse(&tags, format!("at most {MAX_TAG_HEADERS} headers")))
    } else {
        report.header_names(&tags, &rules.tag_headers)
    };
    let (min_ttl, default_ttl, max_ttl) = ttls?;
    Ok(CachePolicy {
        enabled,
        min_ttl,
        default_ttl,
        max_ttl,
        key: key?,
        stale_while_revalidate: rules.stale_while_revalidate.get(),
        stale_if_error: rules.stale_if_error.get(),
        soft_timeout: rules.soft_timeout.map(|timeout| timeout.get()),
        heuristic_percent: rules.heuristic_percent.get(),
        error_ttl: rules.error_ttl.get(),
        request_directives: match rules.request_directives {
            schema::RequestDirectives::Ignore => RequestDirectives::Ignore,
            schema::RequestDirectives::Honor => RequestDirectives::Honor,
        },
        set_cookie: match rules.set_cookie {
            schema::SetCookie::Refuse => SetCookie::Refuse,
            schema::SetCookie::Strip => SetCookie::Strip,
            schema::SetCookie::Store => SetCookie::Store,
        },
        max_object: rules.max_object.get(),
        tag_headers: tag_headers?,
        collapse: rules.collapse,
    })
}

/// min, default and max TTL; a default that is not written gives way to the bounds, one that is must lie between them.
fn ttls(
    at: &At,
    rules: &schema::CacheRules,
    silent: Duration,
    report: &mut Report<'_>,
) -> Checked<(Duration, Duration, Duration)> {
    let (min, max) = (rules.min_ttl.get(), rules.max_ttl.get());
    if min > max {
        let place = if report.written(&at.key("min_ttl")) { "min_ttl" } else { "max_ttl" };
        let message = format!("min_ttl ({}) is more than max_ttl ({})", rules.min_ttl, rules.max_ttl);
        return Err(report.refuse(&at.key(place), message));
    }
    let Some(written) = rules.ttl else { return Ok((min, silent.clamp(min, max), max)) };
    let ttl = written.get();
    if ttl < min {
        Err(report.refuse(&at.key("ttl"), format!("ttl ({written}) is less than min_ttl ({})", rules.min_ttl)))
    } else if ttl > max {
        Err(report.refuse(&at.key("ttl"), format!("ttl ({written}) is more than max_ttl ({})", rules.max_ttl)))
    } else {
        Ok((min, ttl, max))
    }
}

fn key(at: &At, key: &schema::Key, report: &mut Report<'_>) -> Checked<KeyPolicy> {
    let headers = report.header_names(&at.key("headers"), &key.headers);
    let cookies = report.select(&at.key("cookies"), &key.cookies);
    let query = report.select(&at.key("query"), &key.query);
    Ok(KeyPolicy {
        headers: headers?,
        cookies: cookies?,
        query: query?,
        sort_query: key.sort_query,
        ignore_host: key.ignore_host,
    })
}
