//! Parse: what an operator wants purged, and which tags an origin gave an answer.
//!
//! In: text as typed, response fields. Out: a [`Scope`], folded tags. Never: a guess; what is unclear is refused by name.

use super::scope::Scope;
use crate::message::Fields;
use http::HeaderName;

/// Tags kept of one answer; the rest is ignored (AWS, "Invalidate by cache tag").
pub const TAGS_MAX: usize = 50;

/// Longest tag, in bytes (same page); a longer one is ignored.
pub const TAG_MAX: usize = 256;

/// Longest scope an operator can name, in bytes: CloudFront's longest URL.
const SCOPE_MAX: usize = 8192;

/// Why a purge was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    #[error("nothing named; write a URL, a host, a prefix that ends with `*`, `#tag`, or `*` for everything")]
    Empty,
    #[error("longer than {SCOPE_MAX} bytes")]
    Long,
    #[error("byte {at} is a space, a control or not ASCII; percent-encode it")]
    Byte { at: usize },
    #[error("`*` may only stand at the end")]
    Star,
    #[error("`#` begins a tag and cannot stand in a URL (a viewer never sends a fragment)")]
    Fragment,
    #[error("`{0}` is not http or https")]
    Scheme(String),
    #[error("`{0}` is not a host name")]
    Host(String),
    #[error("`{0}` names no host; write https://host{0}")]
    NoHost(String),
    #[error("a tag has 1 to {TAG_MAX} characters")]
    Tag,
}

/// Reads what an operator wants purged:
///
/// | text | scope |
/// |---|---|
/// | `*` | everything |
/// | `#tag` | everything with that tag |
/// | `host`, `https://host`, `https://host/*` | one host |
/// | `https://host/path?query`, `host/path` | one URL, with all its variants |
/// | `https://host/path*` | all URLs of the host that start so, queries included |
/// | `/path*` | the same on every host |
///
/// The scheme does not count (the cache key has none), nor do the port and the host's case.
pub fn parse_scope(text: &str) -> Result<Scope, PurgeError> {
    let text = text.trim_ascii();
    if text.len() > SCOPE_MAX {
        return Err(PurgeError::Long);
    }
    if let Some(at) = text.bytes().position(|b| !b.is_ascii_graphic()) {
        return Err(PurgeError::Byte { at });
    }
    match text {
        "" => return Err(PurgeError::Empty),
        "*" => return Ok(Scope::All),
        _ => {}
    }
    if let Some(tag) = text.strip_prefix('#') {
        return fold(tag.as_bytes()).map(Scope::Tag).ok_or(PurgeError::Tag);
    }
    if text.contains('#') {
        return Err(PurgeError::Fragment);
    }
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest,
        // A URL may carry another one in its query.
        Some((scheme, _)) if !scheme.contains(['/', '?']) => return Err(PurgeError::Scheme(scheme.to_owned())),
        _ => text,
    };
    let (host, uri) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (uri, open) = uri.strip_suffix('*').map_or((uri, false), |uri| (uri, true));
    if uri.contains('*') || host.contains('*') {
        return Err(PurgeError::Star);
    }
    // `https://host?query` asks for `/?query`.
    let path: Box<str> = if uri.starts_with('?') { format!("/{uri}").into() } else { uri.into() };
    if host.is_empty() {
        return match open && rest.len() == text.len() {
            true => Ok(Scope::Prefix { host: None, path }),
            false if rest.len() == text.len() => Err(PurgeError::NoHost(uri.to_owned())),
            false => Err(PurgeError::Host(String::new())),
        };
    }
    let host = host_name(host)?;
    Ok(match (uri, open) {
        ("", _) | ("/", true) => Scope::Host(host),
        (_, true) => Scope::Prefix { host: Some(host), path },
        (_, false) => Scope::Url { host, uri: path },
    })
}

/// The tags of an answer: from each header of `names`, folded, each once, in order. `Surrogate-Key` separates with spaces,
/// `Cache-Tag` with commas, any other header with both. What is no tag (empty, too long, not printable ASCII) is ignored.
pub fn parse_tags<F: Fields>(names: &[HeaderName], fields: &F) -> Box<[Box<str>]> {
    let mut tags: Vec<Box<str>> = Vec::new();
    for name in names {
        let (spaces, commas) = match name.as_str() {
            "surrogate-key" => (true, false),
            "cache-tag" => (false, true),
            _ => (true, true),
        };
        let cut = |b: &u8| (spaces && matches!(b, b' ' | b'\t')) || (commas && *b == b',');
        for tag in fields.lines(name).flat_map(|line| line.split(cut)).filter_map(|tag| fold(tag.trim_ascii())) {
            if tags.len() == TAGS_MAX {
                return tags.into();
            }
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    tags.into()
}

/// The form in which tags are compared: printable ASCII (33–126) in lower case.
fn fold(tag: &[u8]) -> Option<Box<str>> {
    let valid = (1..=TAG_MAX).contains(&tag.len()) && tag.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(tag).ok().filter(|_| valid)?;
    Some(text.to_ascii_lowercase().into())
}

/// Lower case, without port and trailing dot.
fn host_name(text: &str) -> Result<Box<str>, PurgeError> {
    let wrong = || PurgeError::Host(text.to_owned());
    let end = match text.starts_with('[') {
        true => text.find(']').ok_or_else(wrong)? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (name, port) = text.split_at(end);
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let name = name.strip_suffix('.').unwrap_or(name);
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name_fits = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(is_label),
    };
    match port_fits && name_fits {
        true => Ok(name.to_ascii_lowercase().into()),
        false => Err(wrong()),
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    fn url(host: &str, uri: &str) -> Result<Scope, PurgeError> {
        Ok(Scope::Url { host: host.into(), uri: uri.into() })
    }

    fn prefix(host: Option<&str>, path: &str) -> Result<Scope, PurgeError> {
        Ok(Scope::Prefix { host: host.map(Into::into), path: path.into() })
    }

    #[test]
    fn scopes() {
        let host = |host: &str| Ok(Scope::Host(host.into()));
        let long = "x".repeat(TAG_MAX + 1);
        for (text, want) in [
            ("*", Ok(Scope::All)),
            (" * ", Ok(Scope::All)),
            ("#News", Ok(Scope::Tag("news".into()))),
            ("#", Err(PurgeError::Tag)),
            (&format!("#{long}"), Err(PurgeError::Tag)),
            ("Shop.Example", host("shop.example")),
            ("https://shop.example", host("shop.example")),
            ("https://shop.example:8443/*", host("shop.example")),
            ("shop.example.", host("shop.example")),
            ("[::1]:80", host("[::1]")),
            ("https://shop.example/", url("shop.example", "/")),
            ("HTTP://shop.example/A?b=C", url("shop.example", "/A?b=C")),
            ("shop.example/a", url("shop.example", "/a")),
            ("https://shop.example?b", url("shop.example", "/?b")),
            ("https://shop.example/a?to=https://b/", url("shop.example", "/a?to=https://b/")),
            ("shop.example/a?to=ftp://b/", url("shop.example", "/a?to=ftp://b/")),
            ("https://shop.example/a*", prefix(Some("shop.example"), "/a")),
            ("https://shop.example/a?x=*", prefix(Some("shop.example"), "/a?x=")),
            ("/a/*", prefix(None, "/a/")),
            ("/*", prefix(None, "/")),
            ("/a", Err(PurgeError::NoHost("/a".to_owned()))),
            ("", Err(PurgeError::Empty)),
            ("ftp://a/b", Err(PurgeError::Scheme("ftp".to_owned()))),
            ("https:///a*", Err(PurgeError::Host(String::new()))),
            ("https://*.example/", Err(PurgeError::Star)),
            ("https://a/*/b", Err(PurgeError::Star)),
            ("https://a/b**", Err(PurgeError::Star)),
            ("https://a/b#c", Err(PurgeError::Fragment)),
            ("https://a/b c", Err(PurgeError::Byte { at: 11 })),
            ("https://a/ü", Err(PurgeError::Byte { at: 10 })),
            ("https://user@a/", Err(PurgeError::Host("user@a".to_owned()))),
            ("https://a:99999/", Err(PurgeError::Host("a:99999".to_owned()))),
            ("a..b", Err(PurgeError::Host("a..b".to_owned()))),
            ("https://[x]/", Err(PurgeError::Host("[x]".to_owned()))),
        ] {
            assert_eq!(parse_scope(text), want, "{text}");
        }
        assert_eq!(parse_scope(&"x".repeat(SCOPE_MAX + 1)), Err(PurgeError::Long));
    }

    #[test]
    fn tags() {
        let names = ["surrogate-key", "cache-tag", "x-tags"].map(HeaderName::from_static);
        let mut fields = HeaderMap::new();
        fields.append("surrogate-key", HeaderValue::from_static("A b,c  a"));
        fields.append("cache-tag", HeaderValue::from_static("d, E f ,,g"));
        fields.append("cache-tag", HeaderValue::from_static("H"));
        fields.append("x-tags", HeaderValue::from_static("i j,k"));
        let have = parse_tags(&names, &fields);
        assert_eq!(have.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["a", "b,c", "d", "g", "h", "i", "j", "k"]);

        let many = (0..TAGS_MAX + 5).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let line = format!("{} {many}", "x".repeat(TAG_MAX + 1));
        fields.insert("surrogate-key", line.parse().unwrap());
        let have = parse_tags(&names, &fields);
        assert_eq!((have.len(), &*have[0]), (TAGS_MAX, "0"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_reads_back(text in "(https?://)?[a-z.:#*/?\\[\\] @é]{0,20}") {
            if let Ok(scope) = parse_scope(&text) {
                prop_assert_eq!(parse_scope(&scope.to_string()), Ok(scope));
            }
        }
    }
}
