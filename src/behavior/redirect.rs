//! Redirect: where a viewer is sent.
//!
//! In: a template from the configuration, the request's line. Out: an answer with `Location`. Never: a header that the
//! viewer's bytes could break out of, or a host that the viewer's path could name.

use super::answer::Answer;
use super::decide::Viewer;
use crate::config::compiled::Redirect;
use crate::observe::Failure;
use http::{HeaderValue, StatusCode};

/// The variables of a template, longest name first where one is the start of another.
const VARIABLES: [&str; 5] = ["$scheme", "$host", "$path", "$query", "$uri"];

/// The redirect a behavior is configured with.
///
/// `$host` is the viewer's host without port, `$query` the query without `?` (when there is none, a `?` or `&` written
/// right before it goes too), `$uri` path and query. Any other `$` is kept as written.
pub fn answer(redirect: &Redirect, viewer: &Viewer<'_>) -> Answer {
    finish(redirect.status, expand(&redirect.to, viewer))
}

/// The same URL on https.
pub(super) fn to_https(status: StatusCode, viewer: &Viewer<'_>) -> Answer {
    finish(status, expand("https://$host$uri", viewer))
}

fn finish(status: StatusCode, location: Option<String>) -> Answer {
    match location.and_then(|location| HeaderValue::try_from(location).ok()) {
        Some(location) => Answer::moved(status, location),
        None => {
            Answer::refuse(StatusCode::BAD_REQUEST, Failure::InvalidRequest, "The host of this request is not valid.\n")
        }
    }
}

/// `None` when the template needs the viewer's host and that is no host name.
fn expand(template: &str, viewer: &Viewer<'_>) -> Option<String> {
    let mut out = String::with_capacity(template.len() + viewer.path.len() + viewer.query.map_or(0, str::len) + 64);
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(variable) = VARIABLES.iter().find(|name| rest.starts_with(**name)) else {
            out.push('$');
            rest = &rest[1..];
            continue;
        };
        rest = &rest[variable.len()..];
        match *variable {
            "$scheme" => out.push_str(if viewer.tls { "https" } else { "http" }),
            "$host" => out.push_str(host_name(viewer.host)?),
            "$path" => push_path(&mut out, viewer.path),
            "$query" => match viewer.query {
                Some(query) if !query.is_empty() => push_safe(&mut out, query),
                _ => out.truncate(out.trim_end_matches(['?', '&']).len()),
            },
            _ => {
                push_path(&mut out, viewer.path);
                if let Some(query) = viewer.query {
                    out.push('?');
                    push_safe(&mut out, query);
                }
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The viewer's path, always as a path: it begins with one `/`, and at the very start of a `Location` not with `//` or
/// `/\`, which browsers read as another host.
fn push_path(out: &mut String, path: &str) {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let rest = if out.is_empty() { rest.trim_start_matches(['/', '\\']) } else { rest };
    out.push('/');
    push_safe(out, rest);
}

/// Appends with everything percent-encoded that is not a visible ASCII character.
fn push_safe(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The host without its port, if it can be one (RFC 3986 §3.2.2 without percent-encoding).
fn host_name(host: &str) -> Option<&str> {
    let end = match host.starts_with('[') {
        true => host.find(']')? + 1,
        false => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':');
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use http::{Method, header::LOCATION};

    fn location(to: &str, path: &str, query: Option<&str>) -> String {
        let redirect = Redirect { status: StatusCode::FOUND, to: to.to_owned() };
        let answer = answer(&redirect, &sample::viewer(&Method::GET, true, path, query));
        assert_eq!((answer.status, &answer.headers[0].0), (StatusCode::FOUND, &LOCATION));
        answer.headers[0].1.to_str().unwrap().to_owned()
    }

    #[test]
    fn templates() {
        for (to, path, query, want) in [
            ("https://new.example$uri", "/a", Some("b=c"), "https://new.example/a?b=c"),
            ("https://new.example$uri", "/a", None, "https://new.example/a"),
            ("$scheme://$host/x$path?from=1&$query", "/a", Some("b=c"), "https://www.example.com/x/a?from=1&b=c"),
            ("$scheme://$host/x$path?$query", "/a", None, "https://www.example.com/x/a"),
            ("/costs$5$", "/a", None, "/costs$5$"),
            ("$uri", "//evil.example/a", None, "/evil.example/a"),
            ("$path", "/\\evil.example", None, "/evil.example"),
            ("https://new.example$path", "@evil.example", None, "https://new.example/@evil.example"),
            ("/x$path", "/a\r\nset-cookie: x=y", None, "/x/a%0D%0Aset-cookie:%20x=y"),
            ("$path", "/ü", None, "/%C3%BC"),
        ] {
            assert_eq!(location(to, path, query), want, "{to} {path}");
        }
    }

    #[test]
    fn hosts() {
        for (host, want) in [
            ("a.example:80", Some("a.example")),
            ("[::1]:80", Some("[::1]")),
            ("", None),
            ("a/b", None),
            ("a b", None),
            ("[::1", None),
        ] {
            assert_eq!(host_name(host), want, "{host}");
        }
    }
}
