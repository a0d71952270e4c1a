//! Headers: a response headers policy on an answer.
//!
//! In: the policy, the request's fields, the answer's. Out: the answer's fields edited. Never: the body, the status.
//!
//! Two forms of the same rule: [`apply`] on a `HeaderMap`, and [`HeadEdits`] on stored header lines for the fast lane.

use super::cors;
use crate::config::compiled::{ResponsePolicy, SetHeader};
use crate::message::Fields;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use smallvec::SmallVec;

/// Removes, then sets, then CORS (AWS, "Response headers policies": removal comes before addition). `tls` is whether the
/// viewer's connection is: `Strict-Transport-Security` is only sent over it (RFC 6797 §7.2).
pub fn apply<F: Fields>(policy: &ResponsePolicy, request: &F, tls: bool, response: &mut HeaderMap) {
    for name in &policy.remove {
        response.remove(name);
    }
    for set in policy.set.iter().filter(|set| counts(set, tls)) {
        if set.over || !response.contains_key(&set.name) {
            response.insert(set.name.clone(), set.value.clone());
        }
    }
    if let Some(cors) = &policy.cors {
        cors::respond(cors, request, response);
    }
}

/// A policy that is the same for every request of one kind of connection, folded to one pass over header lines.
#[derive(Debug, Clone)]
pub struct HeadEdits {
    /// Lines of these names go.
    drop: Box<[HeaderName]>,
    /// Lines that are added whatever the answer has.
    add: Bytes,
    /// Names, each with the line that is added when none of that name is left.
    absent: Box<[(HeaderName, Bytes)]>,
}

// === impl HeadEdits ===
impl HeadEdits {
    /// What [`apply`] does with the same `tls`; `None` when that depends on the request: `Server-Timing`, and CORS except
    /// `*` for anyone in place of what the origin said.
    pub fn new(policy: &ResponsePolicy, tls: bool) -> Option<HeadEdits> {
        if policy.server_timing || policy.steer {
            return None;
        }
        let (mut drop, mut add, mut absent) = (policy.remove.clone(), BytesMut::new(), Vec::new());
        if let Some(cors) = &policy.cors {
            cors::fixed(cors)?.for_each(|(name, value)| add.extend_from_slice(&line(&name, &value)));
            drop.extend(cors::OWNED);
        }
        // CORS comes after the rules: what it owns, none of them sets.
        let owned = |set: &SetHeader| policy.cors.is_some() && cors::OWNED.contains(&set.name);
        let rules: Vec<&SetHeader> = policy.set.iter().filter(|set| counts(set, tls) && !owned(set)).collect();
        for (at, set) in rules.iter().enumerate() {
            // Of several rules for one name the last that overrides counts; without one, the first.
            let overridden = rules[at + 1..].iter().any(|later| later.name == set.name && later.over);
            let shadowed = !set.over && rules[..at].iter().any(|earlier| earlier.name == set.name);
            if overridden || shadowed {
                continue;
            }
            let line = line(&set.name, &set.value);
            let removed = policy.remove.contains(&set.name);
            if !set.over && !removed {
                absent.push((set.name.clone(), line.into()));
                continue;
            }
            add.extend_from_slice(&line);
            if !removed {
                drop.push(set.name.clone());
            }
        }
        Some(HeadEdits { drop: drop.into(), add: add.freeze(), absent: absent.into() })
    }

    /// Appends `head` (lines `name: value\r\n`…) to `out` with the edits made: one copy when no line has to be looked at.
    pub fn render(&self, head: &[u8], out: &mut BytesMut) {
        out.reserve(head.len() + self.add.len() + self.absent.iter().map(|(_, line)| line.len()).sum::<usize>());
        let mut seen: SmallVec<[bool; 8]> = SmallVec::from_elem(false, self.absent.len());
        if self.drop.is_empty() && self.absent.is_empty() {
            out.extend_from_slice(head);
        } else {
            self.copy_kept(head, &mut seen, out);
        }
        out.extend_from_slice(&self.add);
        for ((_, line), _) in self.absent.iter().zip(&seen).filter(|(_, seen)| !**seen) {
            out.extend_from_slice(line);
        }
    }

    /// Copies the lines that stay, in runs as long as possible, and notes which names of `absent` are among them.
    fn copy_kept(&self, head: &[u8], seen: &mut [bool], out: &mut BytesMut) {
        let (mut run, mut at) = (0, 0);
        while at < head.len() {
            let line = &head[at..];
            let end = at + memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
            let name = &line[..memchr::memchr(b':', line).unwrap_or(line.len())];
            let is = |other: &HeaderName| name.eq_ignore_ascii_case(other.as_str().as_bytes());
            if self.drop.iter().any(is) {
                out.extend_from_slice(&head[run..at]);
                run = end;
            } else if let Some(rule) = self.absent.iter().position(|(name, _)| is(name)) {
                seen[rule] = true;
            }
            at = end;
        }
        out.extend_from_slice(&head[run..]);
    }
}

fn line(name: &HeaderName, value: &HeaderValue) -> Vec<u8> {
    [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}

/// `Strict-Transport-Security` is only sent over TLS (RFC 6797 §7.2).
fn counts(set: &SetHeader, tls: bool) -> bool {
    tls || set.name != STRICT_TRANSPORT_SECURITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::{Cors, CorsHeaders, Origins};
    use proptest::prelude::*;

    fn policy(remove: &[&'static str], set: &[(&'static str, &'static str, bool)]) -> ResponsePolicy {
        let rule = |(name, value, over): &(&'static str, &'static str, bool)| SetHeader {
            name: HeaderName::from_static(name),
            value: HeaderValue::from_static(value),
            over: *over,
        };
        ResponsePolicy {
            remove: remove.iter().map(|name| HeaderName::from_static(name)).collect(),
            set: set.iter().map(rule).collect(),
            ..ResponsePolicy::default()
        }
    }

    fn rendered(policy: &ResponsePolicy, tls: bool, head: &str) -> String {
        let mut out = BytesMut::new();
        HeadEdits::new(policy, tls).unwrap().render(head.as_bytes(), &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn head_lines() {
        let head = "Server: x\r\nx-a: 1\r\nX-A: 2\r\netag: \"e\"\r\n";
        for (remove, set, tls, want) in [
            (&[][..], &[][..], true, head),
            (&["server"], &[], true, "x-a: 1\r\nX-A: 2\r\netag: \"e\"\r\n"),
            (&["x-a", "x-none"], &[], true, "Server: x\r\netag: \"e\"\r\n"),
            (&[], &[("x-a", "9", true)], true, "Server: x\r\netag: \"e\"\r\nx-a: 9\r\n"),
            (&["server"], &[("x-a", "9", false)], true, "x-a: 1\r\nX-A: 2\r\netag: \"e\"\r\n"),
            (&["server", "x-a", "etag"], &[("x-a", "9", false)], true, "x-a: 9\r\n"),
            (&["server", "x-a", "etag"], &[("strict-transport-security", "m", true)], false, ""),
        ] {
            assert_eq!(rendered(&policy(remove, set), tls, head), want, "{remove:?} {set:?}");
        }
    }

    fn cors(credentials: bool, over: bool) -> Cors {
        Cors {
            origins: Origins::Any,
            methods: vec![],
            headers: CorsHeaders::Any,
            expose: vec![HeaderName::from_static("x-a")],
            credentials,
            max_age: None,
            over,
        }
    }

    #[test]
    fn what_depends_on_the_request_has_no_fixed_edits() {
        for (cors, want) in [
            (None, true),
            (Some(cors(false, true)), true),
            (Some(cors(false, false)), false),
            (Some(cors(true, true)), false),
        ] {
            let policy = ResponsePolicy { cors, ..ResponsePolicy::default() };
            assert_eq!(HeadEdits::new(&policy, true).is_some(), want, "{:?}", policy.cors);
        }
        let timed = ResponsePolicy { server_timing: true, ..ResponsePolicy::default() };
        assert!(HeadEdits::new(&timed, true).is_none());
    }

    const NAMES: [&str; 4] = ["x-a", "x-b", "strict-transport-security", "access-control-allow-origin"];

    fn map(lines: &[(usize, u8)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(NAMES[*name]), HeaderValue::from(u16::from(*value)));
        }
        map
    }

    proptest! {
        #[test]
        fn both_forms_agree(
            head in prop::collection::vec((0..4usize, 0..9u8), 0..6),
            remove in prop::collection::vec(0..4usize, 0..3),
            set in prop::collection::vec((0..4usize, prop::sample::select(vec!["10", "11", "12"]), any::<bool>()), 0..5),
            tls in any::<bool>(),
            anyone in any::<bool>(),
        ) {
            let set: Vec<_> = set.into_iter().map(|(name, value, over)| (NAMES[name], value, over)).collect();
            let remove: Vec<_> = remove.into_iter().map(|name| NAMES[name]).collect();
            let mut policy = policy(&remove, &set);
            policy.cors = anyone.then(|| cors(false, true));
            let lines: String = head.iter().map(|(name, value)| format!("{}: {value}\r\n", NAMES[*name])).collect();
            let mut slow = map(&head);
            apply(&policy, &HeaderMap::new(), tls, &mut slow);
            let mut fast = HeaderMap::new();
            for line in rendered(&policy, tls, &lines).lines() {
                let (name, value) = line.split_once(": ").unwrap();
                fast.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
            prop_assert_eq!(fast, slow);
        }
    }
}
