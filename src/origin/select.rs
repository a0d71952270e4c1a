//! Select: decides which cookies and query parameters go on to the origin.
//!
//! In: what the viewer sent, what the request policy and the cache key name. Out: the same text without the rest.
//! Never: sorts, decodes, or changes what it keeps: names are compared as sent, as CloudFront compares them.

use std::borrow::Cow;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::config::compiled::Select;

/// The query (without '?') that goes on: every parameter that the policy or the key names. Empty = none is left.
pub fn query<'q>(original: &'q str, policy: &Select, key: &Select) -> Cow<'q, str> {
    let kept = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name).as_bytes();
        policy.names(name) || key.names(name)
    };
    if original.split('&').all(|pair| kept(&pair)) {
        return Cow::Borrowed(original);
    }
    let pairs: Vec<&str> = original.split('&').filter(kept).collect();
    Cow::Owned(pairs.join("&"))
}

/// Leaves in `fields` the cookies that the policy or the key names, in one field line.
pub fn cookies(fields: &mut HeaderMap, policy: &Select, key: &Select) {
    // HTTP/2 splits cookies over lines, which nobody else may be sent (RFC 9113 §8.2.3).
    let whole = (*policy == Select::All || *key == Select::All) && fields.get_all(COOKIE).iter().count() == 1;
    if whole || !fields.contains_key(COOKIE) {
        return;
    }
    let mut kept: Vec<u8> = Vec::new();
    for line in fields.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair).trim_ascii();
            if pair.is_empty() || !(policy.names(name) || key.names(name)) {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    match HeaderValue::from_bytes(&kept) {
        Ok(value) if !kept.is_empty() => drop(fields.insert(COOKIE, value)),
        _ => drop(fields.remove(COOKIE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| item.to_string()).collect()
    }

    #[test]
    fn queries() {
        let only = Select::Only(list(&["a", "b"]));
        let except = Select::AllExcept(list(&["a"]));
        for (name, original, policy, key, want) in [
            ("all", "a=1&c=2", &Select::All, &Select::None, "a=1&c=2"),
            ("none", "a=1&c=2", &Select::None, &Select::None, ""),
            ("listed, order and repeats kept", "c=2&b=1&a=1&b=2", &only, &Select::None, "b=1&a=1&b=2"),
            ("the key's go too", "a=1&c=2", &Select::None, &only, "a=1"),
            ("all but", "a=1&c=2&A=3", &except, &Select::None, "c=2&A=3"),
            ("no value", "a&c", &only, &Select::None, "a"),
            ("compared as sent", "%61=1&a=2", &only, &Select::None, "a=2"),
            ("empty", "", &Select::None, &Select::None, ""),
        ] {
            assert_eq!(query(original, policy, key), want, "{name}");
        }
    }

    #[test]
    fn nothing_dropped_is_not_copied() {
        assert!(matches!(query("a=1&b=2", &Select::All, &Select::None), Cow::Borrowed(_)));
    }

    #[test]
    fn cookies_that_go_on() {
        let only = Select::Only(list(&["a", "b"]));
        for (name, lines, policy, key, want) in [
            ("none", vec!["a=1; b=2"], &Select::None, &Select::None, None),
            ("all", vec!["a=1;  b=2"], &Select::All, &Select::None, Some("a=1;  b=2")),
            ("listed", vec!["c=0; a=1; d; b=2"], &only, &Select::None, Some("a=1; b=2")),
            ("the key's go too", vec!["c=0; a=1"], &Select::None, &only, Some("a=1")),
            ("lines are joined (RFC 6265 §5.4)", vec!["a=1", "b=2; c=3"], &only, &Select::None, Some("a=1; b=2")),
            ("case matters", vec!["A=1"], &only, &Select::None, None),
            ("all but", vec!["a=1; c=2"], &Select::AllExcept(list(&["a"])), &Select::None, Some("c=2")),
        ] {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(COOKIE, line.parse().unwrap());
            }
            cookies(&mut fields, policy, key);
            let got: Vec<_> = fields.get_all(COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(got, want.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn cookie_lines_become_one() {
        // RFC 9113 §8.2.3
        let mut fields = HeaderMap::new();
        fields.append(COOKIE, HeaderValue::from_static("a=1"));
        fields.append(COOKIE, HeaderValue::from_static("b=2"));
        cookies(&mut fields, &Select::All, &Select::None);
        assert_eq!(fields.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
