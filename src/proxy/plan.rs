//! Plan: which behavior serves a request, and under what key its answer is stored.
//!
//! In: method, host, target and fields of a request, whatever holds them. Out: behavior, key and coding. Never: I/O.

use bytes::BytesMut;
use http::{HeaderMap, Method};
use smallvec::SmallVec;

use crate::behavior::compress;
use crate::cache::key;
use crate::cache::object::KeyHash;
use crate::config::compiled::{Behavior, BehaviorId, Coding, ViewerProtocol};
use crate::message::{Fields, path};

use super::snapshot::Snapshot;

/// Where a request's answer is stored.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Every part of the key, length-prefixed.
    pub key: Vec<u8>,
    pub hash: KeyHash,
    /// The coding this variant holds, when the behavior compresses.
    pub coding: Option<Coding>,
}

/// A request's target, cut at the first `?`.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub path: &'a str,
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `origin-form` of RFC 9112 §3.2.1; an empty path reads as "/".
    pub fn parse(target: &'a str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Target { path: if path.is_empty() { "/" } else { path }, query }
    }
}

/// The host name of a Host field or authority: without port, without trailing dot.
pub fn host_name(host: &str) -> &str {
    let name = match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// A viewer's Host without the port that its scheme implies, which says nothing (RFC 9110 §4.2.3): as keys have it and origins get it.
pub fn host_sent(host: &str, tls: bool) -> &str {
    host.strip_suffix(if tls { ":443" } else { ":80" }).unwrap_or(host)
}

/// Why no behavior serves a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unrouted {
    #[error("no behavior of this PoP matches host and path")]
    Nobody,
    /// An origin may resolve them, or not, before or after it decodes: what a rule says of one path must not hold for another.
    #[error("the path has dot segments")]
    Dots,
    /// An origin may end the path there.
    #[error("the path has an encoded control character")]
    Control,
    /// Read in one way it is guarded by one rule, in another by another one: whoever satisfies the first would get past the second.
    #[error("the path can be read in two ways, which different rules guard")]
    TwoRules,
}

// === impl Unrouted ===
impl Unrouted {
    pub fn status(self) -> u16 {
        match self {
            Unrouted::Nobody => 404,
            Unrouted::Dots | Unrouted::Control | Unrouted::TwoRules => 400,
        }
    }
}

/// The behavior that serves `host` and `path`. As CloudFront does, patterns are matched against the path in one spelling
/// (Developer Guide, "Path pattern"). Where anything is guarded, a path that an origin may read as another one, which is guarded,
/// is guarded as that one.
///
/// # Errors
/// Nobody serves it; or something is guarded, and nobody can tell whether this path is.
pub fn route(snapshot: &Snapshot, host: &str, path: &str) -> Result<BehaviorId, Unrouted> {
    let chosen = snapshot.routes.select(host, &path::normal(path));
    if (snapshot.guarded || snapshot.limiting) && path::has_controls(path) {
        return Err(Unrouted::Control);
    }
    if !snapshot.guarded {
        return chosen.ok_or(Unrouted::Nobody);
    }
    if path::has_dots(path) {
        return Err(Unrouted::Dots);
    }
    let rule = |id: &BehaviorId| {
        let behavior = &snapshot.behavior(*id).behavior;
        behavior.access.as_ref().map(|rule| (rule, &behavior.stage))
    };
    let mut guarded = chosen.into_iter().chain(reached(snapshot, host, path)).filter(|id| rule(id).is_some());
    let Some(first) = guarded.next() else { return chosen.ok_or(Unrouted::Nobody) };
    match guarded.all(|other| rule(&other) == rule(&first)) {
        true => Ok(first),
        false => Err(Unrouted::TwoRules),
    }
}

/// The behaviors that would serve `host` and `path` if they were what an origin may read, in the order of [`path::readings`]; one
/// may be there twice. To many origins a slash at the end is nothing: where it leads to a behavior, one before that counts, too, that
/// is for the path without it.
pub fn reached(snapshot: &Snapshot, host: &str, path: &str) -> SmallVec<[BehaviorId; 4]> {
    let mut reached = SmallVec::new();
    let mut reach = |one: &str| {
        let served = snapshot.routes.select(host, one);
        let bare = path::bare(one).and_then(|bare| snapshot.routes.select(host, bare));
        reached.extend(served);
        reached.extend(bare.filter(|bare| served.is_none_or(|served| *bare < served)));
    };
    if has_readings(path) {
        reach(&path::normal(path));
        path::readings(path).iter().for_each(|one| reach(one));
    }
    reached
}

/// Whether [`reached`] may find more than the behavior that serves the path.
pub fn has_readings(path: &str) -> bool {
    path::is_ambiguous(path) || path::bare(path).is_some()
}

/// Whether answers to `method` may come from this behavior's cache at all.
pub fn cacheable(behavior: &Behavior, method: &Method) -> bool {
    behavior.cache.enabled && (*method == Method::GET || *method == Method::HEAD)
}

/// The slot of a GET or HEAD for `at`: whether it came over TLS, the host as sent, the target. `apart` tells principals apart. `key` is
/// cleared and filled; its hash names the primary slot.
pub fn slot<F: Fields>(
    behavior: &Behavior,
    (tls, host, target): (bool, &str, Target<'_>),
    fields: &F,
    apart: &[u8],
    key: &mut Vec<u8>,
) -> (KeyHash, Option<Coding>) {
    let coding = behavior.compress.as_ref().and_then(|c| compress::negotiate(c, fields));
    key.clear();
    if let Some(serial) = behavior.canary {
        // What a canary makes of a page is nobody's but its viewers'.
        key::part(key, &serial.to_be_bytes());
    }
    if behavior.viewer_protocol == ViewerProtocol::AllowAll {
        // The origin is told the scheme, and may send one of the two elsewhere.
        key::part(key, if tls { b"https" } else { b"" });
    }
    if behavior.cache.key.ignore_host || !behavior.hooks.viewer_request.is_empty() {
        // Without a host, or with a path that a function wrote, only the behavior keeps the answers of two origins apart.
        key::part(key, behavior.name.as_bytes());
    }
    if behavior.access.is_some() {
        // What a rule guards is nobody's who comes another way.
        key::part(key, behavior.name.as_bytes());
        key::part(key, if behavior.per_principal { apart } else { b"" });
    }
    key::build(&behavior.cache.key, host_sent(host, tls), target.path, target.query, fields, coding, key);
    (key::hash(key), coding)
}

/// Reusable room for keys, heads and fields, one per connection.
#[derive(Debug, Default)]
pub struct Scratch {
    pub key: Vec<u8>,
    pub out: BytesMut,
    /// Lines of an answer before the behavior's edits.
    pub lines: BytesMut,
    pub asked: HeaderMap,
    pub answered: HeaderMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for (host, want) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example.", "a.example"),
            ("a.example.:80", "a.example"),
            ("[::1]:8080", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(host), want);
        }
    }

    #[test]
    fn hosts_as_they_are_sent() {
        for (host, tls, want) in [
            ("a.example:80", false, "a.example"),
            ("a.example:443", true, "a.example"),
            ("a.example:443", false, "a.example:443"),
            ("a.example:80", true, "a.example:80"),
            ("a.example:8080", false, "a.example:8080"),
            ("[::1]:80", false, "[::1]"),
        ] {
            assert_eq!(host_sent(host, tls), want, "{host} {tls}");
        }
    }

    #[test]
    fn targets() {
        for (target, path, query) in [
            ("/a?b", "/a", Some("b")),
            ("/a", "/a", None),
            ("/a?", "/a", Some("")),
            ("?x", "/", Some("x")),
            ("/a?b?c", "/a", Some("b?c")),
        ] {
            let t = Target::parse(target);
            assert_eq!((t.path, t.query), (path, query), "{target}");
        }
    }
}
