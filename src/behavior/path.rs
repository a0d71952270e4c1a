//! Path: what path the origin is asked for.
//!
//! In: a behavior's root object, index and prefixes, the viewer's path. Out: the origin's path. Never: the query, the
//! origin's own prefix (the origin room adds it), the cache key.
//!
//! The cache key, purge and logs keep the *viewer's* path: what an operator purges is what viewers ask for.

use crate::config::compiled::Behavior;
use std::borrow::Cow;

/// The path the origin is asked for: the root object for exactly `/` (CloudFront's default root object), else the index for
/// a path that ends with `/`; then the prefix is stripped (whole segments only) and the other one put before.
pub fn origin_path<'a>(behavior: &Behavior, path: &'a str) -> Cow<'a, str> {
    let file = match (&behavior.root_object, &behavior.index) {
        (Some(root), _) if path == "/" => root,
        (_, Some(index)) if path.ends_with('/') => index,
        _ => "",
    };
    let rest = behavior.rewrite.strip_prefix.as_deref().map_or(path, |prefix| strip(path, prefix));
    let before = behavior.rewrite.add_prefix.as_deref().unwrap_or("").trim_end_matches('/');
    let slash = if rest.starts_with('/') || rest == "*" { "" } else { "/" };
    match before.is_empty() && slash.is_empty() && file.is_empty() {
        true => Cow::Borrowed(rest),
        false => Cow::Owned([before, slash, rest, file].concat()),
    }
}

/// `path` without `prefix` where that ends at a segment's end; else as it is.
fn strip<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix.trim_end_matches('/')) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::behavior;
    use super::*;

    #[test]
    fn paths() {
        for (root, index, strip, add, path, want) in [
            ("", "", "", "", "/a", "/a"),
            ("home.html", "", "", "", "/", "/home.html"),
            ("home.html", "", "", "", "/a/", "/a/"),
            ("home.html", "index.html", "", "", "/", "/home.html"),
            ("", "index.html", "", "", "/", "/index.html"),
            ("", "index.html", "", "", "/a/", "/a/index.html"),
            ("", "index.html", "", "", "/a", "/a"),
            ("", "", "/api", "", "/api/x", "/x"),
            ("", "", "/api/", "", "/api/x", "/x"),
            ("", "", "/api", "", "/api", "/"),
            ("", "", "/api", "", "/apis", "/apis"),
            ("", "", "", "/v2", "/x", "/v2/x"),
            ("", "index.html", "/api", "/v2/", "/api/", "/v2/index.html"),
            ("", "", "", "", "*", "*"),
        ] {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let mut behavior = behavior();
            (behavior.root_object, behavior.index) = (some(root), some(index));
            (behavior.rewrite.strip_prefix, behavior.rewrite.add_prefix) = (some(strip), some(add));
            assert_eq!(origin_path(&behavior, path), want, "{path}");
        }
        assert!(matches!(origin_path(&behavior(), "/a"), Cow::Borrowed(_)));
    }
}
