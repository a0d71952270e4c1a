//! Method: decides which stored answers a request with an unsafe method makes invalid (RFC 9111 §4.4).
//!
//! In: the method, the origin's status and fields, the request's host and URI. Out: the hosts and URIs to drop. Never:
//! another host's objects, the dropping itself.

use http::header::{CONTENT_LOCATION, HeaderMap, LOCATION};
use http::{Method, Uri};

/// Whether an answer to this method makes stored answers invalid: the method is unsafe (RFC 9110 §9.2.1; an unknown one
/// counts as unsafe) and the status is no error.
pub fn invalidates(method: &Method, status: u16) -> bool {
    !method.is_safe() && (200..400).contains(&status)
}

/// What to drop: the request's own URI, and those of `Location` and `Content-Location` when they are on the same host.
///
/// `host` is lower case without port, `uri` path and query as the viewer sent them; the results have the same form.
/// Empty when nothing becomes invalid. Another host's URI is left alone, so that nobody purges what is not theirs
/// (§4.4).
pub fn targets(method: &Method, status: u16, fields: &HeaderMap, host: &str, uri: &str) -> Vec<(String, String)> {
    if !invalidates(method, status) {
        return Vec::new();
    }
    let mut targets = vec![(host.to_owned(), uri.to_owned())];
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(reference) = fields.get(name).and_then(|value| value.to_str().ok()) else { continue };
        if let Some(uri) = resolve(reference.trim(), host, uri)
            && targets.iter().all(|(_, known)| *known != uri)
        {
            targets.push((host.to_owned(), uri));
        }
    }
    targets
}

/// Path and query of a URI reference against `host` and `base` (RFC 3986 §5.2.2); `None` for another host or scheme.
fn resolve(reference: &str, host: &str, base: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    if let Some((scheme, _)) = reference.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        return on_host(reference.parse().ok()?, host);
    }
    if reference.starts_with("//") {
        return on_host(format!("http:{reference}").parse().ok()?, host);
    }
    let (base_path, _) = base.split_once('?').unwrap_or((base, ""));
    if reference.is_empty() {
        return Some(base.to_owned());
    }
    if reference.starts_with('?') {
        return Some(format!("{base_path}{reference}"));
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let folder = if path.starts_with('/') { "" } else { &base_path[..base_path.rfind('/').map_or(0, |at| at + 1)] };
    let mut resolved = without_dots(&format!("{folder}{path}"));
    if let Some(query) = query {
        resolved.push('?');
        resolved.push_str(query);
    }
    Some(resolved)
}

fn on_host(uri: Uri, host: &str) -> Option<String> {
    if !uri.host()?.eq_ignore_ascii_case(host) {
        return None;
    }
    // path() is "/" where the URI has none; path_and_query() is not.
    Some(match uri.query() {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_answers_invalidate() {
        // RFC 9111 §4.4, RFC 9110 §9.2.1
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            assert!(!invalidates(&method, 200), "{method}");
        }
        let unknown = Method::from_bytes(b"FROB").unwrap();
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, unknown] {
            for (status, want) in [(100, false), (200, true), (204, true), (303, true), (400, false), (500, false)] {
                assert_eq!(invalidates(&method, status), want, "{method} {status}");
            }
        }
    }

    #[test]
    fn what_is_dropped() {
        // (Location, Content-Location, URIs beside the request's own), request http://shop.example/a/b?q=1
        let table: &[(Option<&str>, Option<&str>, &[&str])] = &[
            (None, None, &[]),
            (Some("/x"), Some("/y?z"), &["/x", "/y?z"]),
            (Some("/x"), Some("/x"), &["/x"]),
            (Some("/a/b?q=1"), None, &[]),
            (Some("http://shop.example/x"), None, &["/x"]),
            (Some("HTTPS://SHOP.example:8443/x?y#z"), None, &["/x?y"]),
            (Some("//shop.example/x"), None, &["/x"]),
            (Some("http://shop.example"), None, &["/"]),
            (Some("//shop.example?x"), None, &["/?x"]),
            (Some("c"), None, &["/a/c"]),
            (Some("./c"), None, &["/a/c"]),
            (Some("../c/.."), None, &["/"]),
            (Some("../../../c"), None, &["/c"]),
            (Some("/a/./b/../c/"), None, &["/a/c/"]),
            (Some("?r=2"), None, &["/a/b?r=2"]),
            (Some(""), None, &[]),
            // Not ours to drop.
            (Some("http://other.example/x"), Some("//other.example/x"), &[]),
            (Some("http://shop.example.evil/x"), None, &[]),
            (Some("http://user@other.example/shop.example"), None, &[]),
            (Some("mailto:a@shop.example"), Some("http://[bad/x"), &[]),
        ];
        for (location, content_location, more) in table {
            let mut fields = HeaderMap::new();
            for (name, value) in [(LOCATION, location), (CONTENT_LOCATION, content_location)] {
                if let Some(value) = value {
                    fields.insert(name, value.parse().unwrap());
                }
            }
            let got = targets(&Method::POST, 201, &fields, "shop.example", "/a/b?q=1");
            let uris: Vec<&str> = got.iter().map(|(_, uri)| uri.as_str()).collect();
            assert_eq!(uris[0], "/a/b?q=1");
            assert_eq!(&uris[1..], *more, "{location:?} {content_location:?}");
            assert!(got.iter().all(|(host, _)| host == "shop.example"));
            assert_eq!(targets(&Method::POST, 404, &fields, "shop.example", "/a/b"), []);
        }
    }
}
