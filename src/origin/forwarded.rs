//! Forwarded: decides how the viewer is introduced to the origin.
//!
//! In: the viewer's address, scheme and Host. Out: `X-Forwarded-For`, `-Proto`, `-Host`, and `Forwarded` where asked for; which fields say
//! what no key has.
//! Never: drops what others added to X-Forwarded-For: the viewer's address is always appended, whoever the peer is. That is what CloudFront
//! does, and an origin that counts hops from the right reads it correctly. Whether the edge itself believes the chain is
//! decided where the viewer's address is read (a listener's `trusted_proxies`).

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::hop;
use super::rewrite::{Facts, X_AMZ_CF_ID};
use crate::config::compiled::RequestPolicy;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the edge writes of one request: the viewer's address, the version and kind of what it sent, the request's own numbers.
const UNKEYED: [HeaderName; 5] = [X_FORWARDED_FOR, header::VIA, header::TE, X_AMZ_CF_ID, TRACEPARENT];

/// Whether an origin reads in field `name` what neither the cache key nor the viewer's own field of that name says: two viewers who sent
/// the same may have been told of as different ones, also where the key names the field. Of the others that the edge writes, Host and
/// X-Forwarded-Host say the key's host, X-Forwarded-Proto the key's scheme, User-Agent and Accept-Encoding what the viewer sent or always
/// the same; the fields that say who and where a viewer is are in the request before it is looked up.
pub fn is_unkeyed(name: &HeaderName, policy: &RequestPolicy) -> bool {
    UNKEYED.contains(name) || (policy.forwarded && *name == header::FORWARDED)
}

/// Adds this hop's view of the viewer to `out`.
pub fn introduce(out: &mut HeaderMap, facts: &Facts<'_>) {
    let peer = facts.peer.to_canonical();
    let proto = if facts.viewer_tls { "https" } else { "http" };
    hop::push(out, X_FORWARDED_FOR, peer);
    out.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    if let Some(host) = facts.viewer_host {
        out.insert(X_FORWARDED_HOST, host.clone());
    }
    if facts.policy.forwarded {
        let host = facts.viewer_host.and_then(|host| host.to_str().ok());
        hop::push(out, header::FORWARDED, element(peer, host, proto));
    }
}

/// One `Forwarded` element (RFC 7239 §4): `for=192.0.2.1;host="shop.example:8080";proto=https`.
fn element(peer: IpAddr, host: Option<&str>, proto: &str) -> String {
    let node = match peer {
        IpAddr::V4(address) => address.to_string(),
        // §6: an IPv6 address is bracketed, and so must be quoted.
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let is_token = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    match host {
        Some(host) if is_token(host) && !host.is_empty() => format!("for={node};host={host};proto={proto}"),
        Some(host) => format!("for={node};host=\"{}\";proto={proto}", host.replace(['"', '\\'], "")),
        None => format!("for={node};proto={proto}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::{ForwardHeaders, KeyPolicy, RequestPolicy, Select};
    use crate::origin::rewrite::Encoding;
    use http::{Method, Version};

    fn introduced(before: &[(&'static str, &'static str)], peer: &str, host: Option<&str>, tls: bool) -> HeaderMap {
        let policy = RequestPolicy {
            headers: ForwardHeaders::All,
            cookies: Select::None,
            query: Select::None,
            forwarded: true,
            body_size: 0,
        };
        let key = KeyPolicy {
            headers: Vec::new(),
            cookies: Select::None,
            query: Select::None,
            sort_query: false,
            ignore_host: false,
        };
        let host = host.map(|host| HeaderValue::from_str(host).unwrap());
        let fixed = HeaderValue::from_static("x");
        let mut out = HeaderMap::new();
        for (name, value) in before {
            out.append(*name, HeaderValue::from_static(value));
        }
        let facts = Facts {
            policy: &policy,
            key: &key,
            method: &Method::GET,
            version: Version::HTTP_11,
            peer: peer.parse().unwrap(),
            viewer_tls: tls,
            viewer_host: host.as_ref(),
            host: &fixed,
            pop: "FRA",
            request_id: b"x",
            encoding: Encoding::Pass,
            upgrade: false,
            grpc: false,
            custom: &[],
        };
        introduce(&mut out, &facts);
        out
    }

    #[test]
    fn what_the_key_does_not_say() {
        let policy = |forwarded| RequestPolicy {
            headers: ForwardHeaders::All,
            cookies: Select::None,
            query: Select::None,
            forwarded,
            body_size: 0,
        };
        for (name, forwarded, want) in [
            ("x-forwarded-for", false, true),
            ("via", false, true),
            ("te", false, true),
            ("x-amz-cf-id", false, true),
            ("traceparent", false, true),
            ("forwarded", true, true),
            // The viewer's, where it goes on at all.
            ("forwarded", false, false),
            ("host", true, false),
            ("x-forwarded-host", true, false),
            ("x-forwarded-proto", true, false),
            ("user-agent", true, false),
            ("accept-encoding", true, false),
            ("cookie", true, false),
            ("cloudfront-viewer-country", true, false),
        ] {
            assert_eq!(is_unkeyed(&HeaderName::from_static(name), &policy(forwarded)), want, "{name} {forwarded}");
        }
    }

    #[test]
    fn x_forwarded_for_on_the_wire() {
        for (name, before, peer, want) in [
            ("first", &[][..], "192.0.2.1", "192.0.2.1"),
            ("appended", &[("x-forwarded-for", "10.0.0.1")], "192.0.2.1", "10.0.0.1, 192.0.2.1"),
            (
                "lines become one",
                &[("x-forwarded-for", "10.0.0.1, 10.0.0.2"), ("x-forwarded-for", "10.0.0.3")],
                "192.0.2.1",
                "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.1",
            ),
            ("an empty line is nothing", &[("x-forwarded-for", " ")], "192.0.2.1", "192.0.2.1"),
            ("IPv6 is bare", &[], "2001:db8::1", "2001:db8::1"),
            ("IPv4 in IPv6 is IPv4", &[], "::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let out = introduced(before, peer, None, true);
            assert_eq!(out.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), [want], "{name}");
        }
    }

    #[test]
    fn forwarded_on_the_wire() {
        for (name, before, peer, host, tls, want) in [
            ("no Host", &[][..], "192.0.2.1", None, false, "for=192.0.2.1;proto=http"),
            ("a token is bare", &[], "192.0.2.1", Some("a.test"), true, "for=192.0.2.1;host=a.test;proto=https"),
            (
                "a port is quoted",
                &[],
                "192.0.2.1",
                Some("a.test:81"),
                true,
                "for=192.0.2.1;host=\"a.test:81\";proto=https",
            ),
            ("IPv6 is bracketed and quoted", &[], "2001:db8::1", None, true, "for=\"[2001:db8::1]\";proto=https"),
            (
                "nothing breaks out",
                &[],
                "192.0.2.1",
                Some("a\";for=x"),
                true,
                "for=192.0.2.1;host=\"a;for=x\";proto=https",
            ),
            (
                "appended",
                &[("forwarded", "for=10.0.0.1")],
                "192.0.2.1",
                None,
                true,
                "for=10.0.0.1, for=192.0.2.1;proto=https",
            ),
        ] {
            let out = introduced(before, peer, host, tls);
            assert_eq!(out["forwarded"], want, "{name}");
            assert_eq!(out["x-forwarded-proto"], if tls { "https" } else { "http" }, "{name}");
            assert_eq!(out.get("x-forwarded-host").map(|value| value.to_str().unwrap()), host, "{name}");
        }
    }
}
