//! Resource: what a custom policy is for.
//!
//! In: its pattern, the request's parts. Out: whether they match. Never: a `*` within one section that reaches into the next.

use super::glob;
use crate::message::path;

/// Places at which an unescaped `?` is tried as the start of the query.
const MARKS_MAX: usize = 16;

/// Whether `pattern` means this request ("Values that you specify in the policy statement for a signed URL that uses a custom
/// policy"). Protocol, domain, path and query are matched one by one, each with `*` and `?`. A missing protocol is any. `*` at the
/// end of the domain covers path and query, at the end of the path the query. The query starts at `\?`; signers that do not know
/// that escape write `?`, which is tried too. `query` is without the parameters of the signature.
pub fn matches(pattern: &str, protocol: &str, host: &str, path: &str, query: Option<&str>) -> bool {
    let (wanted, rest) = split(pattern);
    if wanted.is_some_and(|wanted| !glob::matches(wanted.as_bytes(), protocol.as_bytes())) {
        return false;
    }
    let (domain, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !glob::matches(domain.to_ascii_lowercase().as_bytes(), host.to_ascii_lowercase().as_bytes()) {
        return false;
    }
    if rest.is_empty() {
        return domain.ends_with('*') || (path == "/" && query.is_none());
    }
    let path_is = |wanted: &str| glob::matches(wanted.as_bytes(), path.as_bytes());
    let both = |wanted_path: &str, wanted_query: &str| {
        query.is_some_and(|query| glob::matches(wanted_query.as_bytes(), query.as_bytes())) && path_is(wanted_path)
    };
    if let Some((wanted_path, wanted_query)) = rest.split_once(r"\?") {
        return both(wanted_path, wanted_query);
    }
    if path_is(rest) && (query.is_none() || (rest.ends_with('*') && !rest.ends_with(r"\*"))) {
        return true;
    }
    rest.match_indices('?').take(MARKS_MAX).any(|(at, _)| both(&rest[..at], &rest[at + 1..]))
}

/// The protocol, and what follows it. A "://" further right belongs to a path or query.
fn split(pattern: &str) -> (Option<&str>, &str) {
    match pattern.split_once("://") {
        Some((wanted, rest)) if !wanted.contains('/') => (Some(wanted), rest),
        _ => (None, pattern),
    }
}

/// As [`matches()`], for a `path` that an origin may read in the one that was asked for: spelled as [`path::spelled`], which the pattern
/// need not be. A pattern for one path, or one whose path can itself be read in several ways, means the path as it was asked for alone.
pub fn covers_reading(pattern: &str, protocol: &str, host: &str, path: &str, query: Option<&str>) -> bool {
    let (_, rest) = split(pattern);
    let (own, escaped) = rest.split_once(r"\?").map_or((rest, None), |(own, query)| (own, Some(query)));
    let own = own.find('/').map_or("", |at| &own[at..]);
    let named = own.replace(['*', '?'], "x");
    if named == own || path::readings(&named).iter().any(|reading| *reading != *path::spelled(&named)) {
        return true;
    }
    let head = &pattern[..pattern.len() - rest.len() + rest.find('/').unwrap_or(0)];
    let query_part = escaped.map_or_else(String::new, |query| format!(r"\?{query}"));
    let spelled = format!("{head}{}{query_part}", path::pattern(own));
    matches(pattern, protocol, host, path, query) || matches(&spelled, protocol, host, path, query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        for (pattern, url, want) in [
            ("*", "https://h/a?b", true),
            ("https://h/a", "https://h/a", true),
            ("https://h/a", "http://h/a", false),
            ("http*://h/a", "http://h/a", true),
            ("http*://h/a", "https://h/a", true),
            ("*://h/a", "https://h/a", true),
            ("h/a", "https://h/a", true),
            ("h/a", "http://h/a", true),
            ("https://H/a", "https://h/a", true),
            ("https://h/A", "https://h/a", false),
            ("https://h/a", "https://h.evil/a", false),
            ("https://*.example/a", "https://x.y.example/a", true),
            ("https://*.example/a", "https://example/a", false),
            // A `*` in the domain does not reach into the path: "evil/x.example/a" is another host.
            ("https://*.example/a", "https://evil/x.example/a", false),
            ("https://h*", "https://h.example/a/b?c", true),
            ("https://h", "https://h/", true),
            ("https://h", "https://h/a", false),
            ("https://h/", "https://h/", true),
            ("https://h/*", "https://h/", true),
            ("https://h/*", "https://h/a/b?c=d", true),
            ("https://h/img/*", "https://h/img", false),
            ("https://h/*.jpg", "https://h/a/b.jpg", true),
            ("https://h/*.jpg", "https://h/a/b.jpg?x", false),
            ("https://h/a", "https://h/a?x=1", false),
            ("https://h/a*", "https://h/a?x=1", true),
            (r"https://h/a\?x=1", "https://h/a?x=1", true),
            (r"https://h/a\?x=1", "https://h/a?x=2", false),
            (r"https://h/a\?x=*", "https://h/a?x=2&y=3", true),
            (r"https://h/a\?*", "https://h/a", false),
            (r"https://h/*\?x=?", "https://h/a/b?x=2", true),
            (r"https://h/*\?x=?", "https://h/a/b?x=22", false),
            ("https://h/?.jpg", "https://h/a.jpg", true),
            ("https://h/?.jpg", "https://h/ab.jpg", false),
            // Not escaped, as SDKs copy a URL into the policy.
            ("https://h/a?x=1", "https://h/a?x=1", true),
            ("https://h/a?x=1", "https://h/abx=1", true),
            ("https://h/a?x=1", "https://h/a?x=1&y", false),
            ("https://h/?a?x=1", "https://h/ba?x=1", true),
            ("https://h/*/c", "https://h/a?/c", false),
            ("https://*/a", "https://any/a", true),
            ("*/a", "http://any/a", true),
            (r"h/a\?u=http://x", "https://h/a?u=http://x", true),
            (r"https://h/\*", "https://h/*?x", false),
            ("", "https://h/", false),
        ] {
            let (protocol, rest) = url.split_once("://").unwrap();
            let (host, rest) = rest.split_at(rest.find('/').unwrap());
            let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
            assert_eq!(matches(pattern, protocol, host, path, query), want, "{pattern} {url}");
        }
    }
}
