//! Pattern: what a behavior's `match` means, and whether one pattern leaves nothing for another.
//!
//! In: text. Out: `Pattern`. Never: matching requests (the route room does).

use crate::config::compiled::Pattern;

/// CloudFront's bound on a path pattern ("Path pattern" in its developer guide).
const MAX_PATH: usize = 255;

/// RFC 1035 §2.3.4.
const MAX_HOST: usize = 253;

/// Reads "host/path", "/path" or "*"; the second text helps.
pub(super) fn read(text: &str) -> Result<Pattern, (String, String)> {
    let pattern = |host: Option<String>, path: &str| Pattern { text: text.to_owned(), host, path: path.to_owned() };
    if text == "*" {
        return Ok(pattern(None, "*"));
    }
    let forms = || "write \"host/path\", \"/path\" or \"*\"".to_owned();
    let Some(slash) = text.find('/') else {
        let help = match text.starts_with('*') || text.contains('?') || !text.contains('.') {
            true => format!("for a path on every host: \"/{text}\""),
            false => format!("for everything on that host: \"{text}/*\""),
        };
        return Err((format!("'{text}' is no pattern"), if text.is_empty() { forms() } else { help }));
    };
    let (host, path) = text.split_at(slash);
    if path.len() > MAX_PATH {
        return Err((
            format!("a path pattern has at most {MAX_PATH} characters, this one {}", path.len()),
            "use * or ?".into(),
        ));
    }
    if path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err((format!("'{path}' is no path pattern"), "spaces in a path are written %20".into()));
    }
    if path.split('/').any(|segment| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..")) {
        return Err((
            format!("'{path}' has dot segments"),
            "paths are matched with theirs resolved: leave them out".into(),
        ));
    }
    if host.is_empty() || host == "*" {
        return Ok(pattern(None, path));
    }
    let host = host.to_ascii_lowercase();
    match host_shaped(&host) {
        true => Ok(pattern(Some(host), path)),
        false if host.contains(':') && !host.starts_with('[') => {
            Err((format!("'{host}' has a port"), "patterns match the host alone: leave the port out".into()))
        }
        false => Err((
            format!("'{host}' is no host"),
            "a name, or \"*.\" and a name; or begin the pattern with \"/\"".into(),
        )),
    }
}

fn host_shaped(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return name == host && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= MAX_HOST && name.split('.').all(label)
}

/// Whether `earlier` matches everything that `later` matches. Sound, not complete: `false` may mean "cannot tell".
pub(super) fn covers(earlier: &Pattern, later: &Pattern) -> bool {
    let host = match (&earlier.host, &later.host) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => a == b || a.strip_prefix('*').is_some_and(|suffix| b.ends_with(suffix)),
    };
    let star = |path: &str| path == "*" || path == "/*";
    let path = star(&earlier.path)
        || earlier.path == later.path
        || earlier
            .path
            .strip_suffix('*')
            .is_some_and(|prefix| !prefix.contains(['*', '?']) && later.path.starts_with(prefix));
    host && path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, want) in [
            ("*", Some((None, "*"))),
            ("/*", Some((None, "/*"))),
            ("/a/*.jpg", Some((None, "/a/*.jpg"))),
            ("Shop.Example/api/*", Some((Some("shop.example"), "/api/*"))),
            ("*.example.com/", Some((Some("*.example.com"), "/"))),
            ("*/x", Some((None, "/x"))),
            ("[::1]/x", Some((Some("[::1]"), "/x"))),
            ("", None),
            ("*.jpg", None),
            ("shop.example", None),
            ("shop.example:80/x", None),
            ("a*.example/x", None),
            ("a..b/x", None),
            ("-a/x", None),
            ("/a b", None),
            ("/x/../a", None),
            ("/%2E/a", None),
            ("/.well-known/*", Some((None, "/.well-known/*"))),
            ("/a..b/...", Some((None, "/a..b/..."))),
        ] {
            let got = read(text).ok();
            let got = got.as_ref().map(|p| (p.host.as_deref(), p.path.as_str()));
            assert_eq!(got, want, "{text}");
        }
        assert!(read(&format!("/{}", "x".repeat(254))).is_ok());
        assert!(read(&format!("/{}", "x".repeat(255))).is_err());
        assert_eq!(read("*.jpg").unwrap_err().1, "for a path on every host: \"/*.jpg\"");
        assert_eq!(read("shop.example").unwrap_err().1, "for everything on that host: \"shop.example/*\"");
    }

    #[test]
    fn what_leaves_nothing_for_what() {
        for (earlier, later, want) in [
            ("*", "a/b", true),
            ("/*", "*", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/*.jpg", true),
            ("/a", "/a", true),
            ("h/a", "h/a", true),
            ("*.h/*", "x.h/a", true),
            ("*.h/*", "*.x.h/a", true),
            ("*.h/*", "*.h/a", true),
            ("*.h/*", "h/a", false),
            ("h/*", "/a", false),
            ("/a/*.jpg", "/a/b.jpg", false),
            ("/a", "/b", false),
            ("x.h/*", "*.h/*", false),
        ] {
            assert_eq!(covers(&read(earlier).unwrap(), &read(later).unwrap()), want, "{earlier} before {later}");
        }
    }
}
