//! Rewrite: decides which header fields a request carries to the origin.
//!
//! In: a copy of the viewer's fields, the behavior's policies, what the edge knows of viewer and origin.
//! Out: the fields to send. Never: the path or query (see `select`), the body, a field of the response.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::{forwarded, hop, select};
use crate::config::compiled::{Coding, ForwardHeaders, KeyPolicy, RequestPolicy};
use crate::config::secret::Secret;

pub(super) const X_AMZ_CF_ID: HeaderName = HeaderName::from_static("x-amz-cf-id");

/// Sent in the viewer's place under CloudFront's default rewriting, where it says `Amazon CloudFront`.
const USER_AGENT: HeaderValue = HeaderValue::from_static("Rimward");

/// What CloudFront's default rewriting removes (developer guide, "HTTP request headers and CloudFront behavior").
/// Accept-Encoding, Authorization, Cookie and User-Agent have their own rules below.
const DEFAULT_REMOVED: [&str; 6] =
    ["accept", "accept-charset", "accept-language", "referer", "x-http-method-override", "x-real-ip"];

/// Fields that no viewer may set, under any policy: an origin would take them for the edge's word. (`Proxy` would become
/// `HTTP_PROXY` in a CGI's environment.)
const SPOOFED: [&str; 7] =
    ["x-amz-cf-id", "x-forwarded-proto", "x-forwarded-host", "x-amzn-cf-id", "x-amzn-cf-xff", "proxy", "rimward-peer"];
/// Fields by which frameworks and proxies are told of another host, scheme or path than the request's. No key has them, so that one viewer
/// could write an answer for all, and no rule has judged them: they go on only where they are named, whatever else does.
const NAMED_ONLY: [&str; 15] = [
    // RFC 7239: it says what Host was asked for, as X-Forwarded-Host does.
    "forwarded",
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
    "x-http-host-override",
    "x-http-destinationurl",
    "x-url-scheme",
    "front-end-https",
];
/// How frameworks are told another method than the request's.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
const SPOOFED_PREFIXES: [&str; 3] = ["cloudfront-", "x-edge-", "proxy-"];

/// What the origin is told about codings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding<'a> {
    /// What the viewer sent, where the policy lets it through.
    Pass,
    /// `identity`: the edge compresses itself, or nothing does.
    Identity,
    /// The codings that the cache keeps apart, best first.
    Only(&'a [Coding]),
}

/// All that is known of one request on its way to an origin.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub policy: &'a RequestPolicy,
    /// Everything in the cache key is forwarded.
    pub key: &'a KeyPolicy,
    pub method: &'a Method,
    /// The version received from the viewer.
    pub version: Version,
    /// The other end of the viewer's connection.
    pub peer: IpAddr,
    pub viewer_tls: bool,
    /// The Host that the viewer asked for.
    pub viewer_host: Option<&'a HeaderValue>,
    /// The Host to send (`Picked::host`).
    pub host: &'a HeaderValue,
    pub pop: &'a str,
    pub request_id: &'a [u8],
    pub encoding: Encoding<'a>,
    /// A WebSocket handshake: `Upgrade` goes on. Every other upgrade ends here.
    pub upgrade: bool,
    pub grpc: bool,
    /// The origin's own fields: they replace what is there.
    pub custom: &'a [(HeaderName, Secret<HeaderValue>)],
}

/// Rewrites `out`, a copy of the viewer's fields, into what the origin gets. `Expect` never goes on: the edge answers it
/// with its own 100 (RFC 9110 §10.1.1). `Transfer-Encoding` neither: pingora frames the request anew.
pub fn request(out: &mut HeaderMap, facts: &Facts<'_>) {
    let upgrade = out.get(header::UPGRADE).filter(|_| facts.upgrade).cloned();
    hop::strip(out);
    for name in [header::EXPECT, header::TRAILER, header::TRANSFER_ENCODING] {
        out.remove(name);
    }
    let goes = |name: &HeaderName| goes_on(name, facts.policy, facts.key, facts.method) && !doubles(name, facts.custom);
    let removed: Vec<HeaderName> = out.keys().filter(|name| !goes(name)).cloned().collect();
    for name in removed {
        out.remove(name);
    }
    select::cookies(out, &facts.policy.cookies, &facts.key.cookies);
    user_agent(out, facts);
    encoding(out, facts);
    forwarded::introduce(out, facts);
    out.insert(header::HOST, facts.host.clone());
    if let Ok(id) = HeaderValue::from_bytes(facts.request_id) {
        out.insert(X_AMZ_CF_ID, id);
    }
    hop::via(out, facts.version, facts.pop);
    hop::count_down(out, facts.method);
    if let Some(upgrade) = upgrade {
        hop::upgrade(out, upgrade);
    }
    if facts.grpc {
        // gRPC over HTTP/2 requires it: how a server learns that no hop drops trailers.
        out.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    for (name, value) in facts.custom {
        out.insert(name, value.expose().clone());
    }
}

/// Takes out what a request signed for the edge must not carry on: the signature, which could be used again (API Gateway drops it), and
/// the session token. A presigned request's parameters are no part of what is asked for any more.
pub fn unsigned(fields: &mut HeaderMap) {
    let signature = |value: &HeaderValue| value.as_bytes().starts_with(b"AWS4-");
    if fields.get(header::AUTHORIZATION).is_some_and(signature) {
        fields.remove(header::AUTHORIZATION);
    }
    fields.remove("x-amz-security-token");
}

/// Takes out what would make the request another than a rule let in: a method in the place of the one that was judged, in whatever
/// spelling an origin takes for it.
pub fn as_judged(fields: &mut HeaderMap) {
    let overrides = |name: &HeaderName| METHOD_OVERRIDES.contains(&name.as_str().replace('_', "-").as_str());
    let overrides: Vec<HeaderName> = fields.keys().filter(|name| overrides(name)).cloned().collect();
    for name in overrides {
        fields.remove(name);
    }
}

/// Whether a CGI would take the viewer's field for one that the edge writes (RFC 3875 §4.1.18: `_` for `-`).
fn doubles(name: &HeaderName, custom: &[(HeaderName, Secret<HeaderValue>)]) -> bool {
    let text = name.as_str();
    text.contains('_') && {
        let plain = text.replace('_', "-");
        plain == "x-forwarded-for" || custom.iter().any(|(own, _)| own.as_str().replace('_', "-") == plain)
    }
}

/// Whether the viewer's own field `name` goes on at all.
pub fn goes_on(name: &HeaderName, policy: &RequestPolicy, key: &KeyPolicy, method: &Method) -> bool {
    let text = name.as_str();
    // A CGI's environment has `_` for `-` (RFC 3875 §4.1.18).
    let plain = if text.contains('_') { Cow::Owned(text.replace('_', "-")) } else { Cow::Borrowed(text) };
    if SPOOFED.contains(&&*plain) {
        return false;
    }
    let named =
        || matches!(&policy.headers, ForwardHeaders::Only(list) if list.contains(name)) || key.headers.contains(name);
    if SPOOFED_PREFIXES.iter().any(|prefix| plain.starts_with(prefix)) {
        // Of `cloudfront-…`, the edge has set those that the behavior names, and dropped what the viewer sent.
        return text.starts_with("cloudfront-") && named();
    }
    if NAMED_ONLY.contains(&&*plain) {
        return named();
    }
    if key.headers.contains(name) {
        return true;
    }
    match &policy.headers {
        ForwardHeaders::All => true,
        ForwardHeaders::AllExcept(list) => !list.contains(name),
        ForwardHeaders::Only(list) if list.contains(name) => true,
        ForwardHeaders::Only(_) | ForwardHeaders::Default => {
            let reads = [Method::GET, Method::HEAD].contains(method);
            !(DEFAULT_REMOVED.contains(&text) || (*name == header::AUTHORIZATION && reads))
        }
    }
}

/// Whether a policy asks for the viewer's own value of a field that the default rewriting replaces.
fn is_asked_for(name: &HeaderName, facts: &Facts<'_>) -> bool {
    facts.key.headers.contains(name)
        || match &facts.policy.headers {
            ForwardHeaders::All => true,
            ForwardHeaders::AllExcept(list) => !list.contains(name),
            ForwardHeaders::Only(list) => list.contains(name),
            ForwardHeaders::Default => false,
        }
}

fn user_agent(out: &mut HeaderMap, facts: &Facts<'_>) {
    if !is_asked_for(&header::USER_AGENT, facts) {
        out.insert(header::USER_AGENT, USER_AGENT);
    }
}

fn encoding(out: &mut HeaderMap, facts: &Facts<'_>) {
    let value = match facts.encoding {
        Encoding::Pass if is_asked_for(&header::ACCEPT_ENCODING, facts) => return,
        Encoding::Pass | Encoding::Identity | Encoding::Only([]) => HeaderValue::from_static("identity"),
        Encoding::Only(codings) => {
            let names: Vec<&str> = codings.iter().map(|coding| coding.as_str()).collect();
            match HeaderValue::from_str(&names.join(", ")) {
                Ok(value) => value,
                Err(_) => HeaderValue::from_static("identity"),
            }
        }
    };
    out.insert(header::ACCEPT_ENCODING, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::Select;

    fn map(lines: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines.lines() {
            let (name, value) = line.split_once(':').unwrap();
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.trim().parse().unwrap());
        }
        map
    }

    fn names(list: &[&'static str]) -> Vec<HeaderName> {
        list.iter().map(|name| HeaderName::from_static(name)).collect()
    }

    fn policy(headers: ForwardHeaders) -> RequestPolicy {
        RequestPolicy { headers, cookies: Select::None, query: Select::None, forwarded: false, body_size: 0 }
    }

    fn key(headers: &[&'static str]) -> KeyPolicy {
        KeyPolicy {
            headers: names(headers),
            cookies: Select::None,
            query: Select::None,
            sort_query: false,
            ignore_host: false,
        }
    }

    /// One request, as far as a test cares.
    struct Case {
        headers: ForwardHeaders,
        keyed: &'static [&'static str],
        method: Method,
        version: Version,
        tls: bool,
        encoding: Encoding<'static>,
        upgrade: bool,
        grpc: bool,
        custom: Vec<(HeaderName, Secret<HeaderValue>)>,
    }

    /// A GET over HTTP/1.1 and TLS.
    fn case(headers: ForwardHeaders) -> Case {
        Case {
            headers,
            keyed: &[],
            method: Method::GET,
            version: Version::HTTP_11,
            tls: true,
            encoding: Encoding::Identity,
            upgrade: false,
            grpc: false,
            custom: Vec::new(),
        }
    }

    /// What the origin gets when 192.0.2.1 sends `lines`.
    fn sent(lines: &str, case: Case) -> HeaderMap {
        let (policy, key) = (policy(case.headers), key(case.keyed));
        let host = HeaderValue::from_static("origin.test");
        let facts = Facts {
            policy: &policy,
            key: &key,
            method: &case.method,
            version: case.version,
            peer: [192, 0, 2, 1].into(),
            viewer_tls: case.tls,
            viewer_host: None,
            host: &host,
            pop: "FRA",
            request_id: b"ID==",
            encoding: case.encoding,
            upgrade: case.upgrade,
            grpc: case.grpc,
            custom: &case.custom,
        };
        let mut out = map(lines);
        request(&mut out, &facts);
        out
    }

    /// The fields that do not come from the edge itself, sorted; those that do are checked and taken out.
    fn rest(mut out: HeaderMap) -> String {
        for (name, want) in [
            ("host", "origin.test"),
            ("x-amz-cf-id", "ID=="),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "192.0.2.1"),
            ("via", "1.1 FRA.rimward (Rimward)"),
        ] {
            assert_eq!(out.remove(name).unwrap(), want, "{name}");
        }
        let mut lines: Vec<_> =
            out.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    const VIEWER: &str = "host: shop.example\naccept: */*\naccept-charset: utf-8\naccept-language: de\nreferer: r\n\
        authorization: Basic x\ncookie: a=1\nuser-agent: curl\naccept-encoding: zstd\nx-real-ip: 1.1.1.1\n\
        x-http-method-override: PUT\nexpect: 100-continue\nte: trailers\nconnection: keep-alive\nx-edge-a: 1\n\
        cloudfront-viewer-country: DE\nx-amz-cf-id: forged\nx-forwarded-proto: forged\nproxy: forged\n\
        proxy-authorization: x\nrange: bytes=0-1\nif-none-match: e\nx-mine: 1";

    #[test]
    fn policies() {
        let kept = "if-none-match: e\nrange: bytes=0-1";
        for (name, headers, keyed, want) in [
            (
                "CloudFront's default",
                ForwardHeaders::Default,
                &[][..],
                format!("accept-encoding: identity\n{kept}\nuser-agent: Rimward\nx-mine: 1"),
            ),
            (
                "the key's go on",
                ForwardHeaders::Default,
                &["authorization", "accept-language", "user-agent"],
                format!(
                    "accept-encoding: identity\naccept-language: de\nauthorization: Basic x\n{kept}\n\
                     user-agent: curl\nx-mine: 1"
                ),
            ),
            (
                "the default and these",
                ForwardHeaders::Only(names(&["referer", "cloudfront-viewer-country"])),
                &[],
                format!(
                    "accept-encoding: identity\ncloudfront-viewer-country: DE\n{kept}\nreferer: r\n\
                     user-agent: Rimward\nx-mine: 1"
                ),
            ),
            (
                "all, but nothing forged or of one hop",
                ForwardHeaders::All,
                &[],
                format!(
                    "accept-charset: utf-8\naccept-encoding: identity\naccept-language: de\naccept: */*\n\
                     authorization: Basic x\n{kept}\nreferer: r\nuser-agent: curl\nx-http-method-override: PUT\n\
                     x-mine: 1\nx-real-ip: 1.1.1.1"
                ),
            ),
            (
                "all but these",
                ForwardHeaders::AllExcept(names(&[
                    "x-mine",
                    "user-agent",
                    "accept",
                    "accept-charset",
                    "accept-language",
                    "referer",
                    "x-real-ip",
                    "x-http-method-override",
                    "authorization",
                ])),
                &[],
                format!("accept-encoding: identity\n{kept}\nuser-agent: Rimward"),
            ),
        ] {
            assert_eq!(rest(sent(VIEWER, Case { keyed, ..case(headers) })), want, "{name}");
        }
    }

    #[test]
    fn authorization_goes_on_with_methods_that_write() {
        for (method, want) in
            [(Method::GET, false), (Method::HEAD, false), (Method::POST, true), (Method::DELETE, true)]
        {
            let name = method.to_string();
            let version = Version::HTTP_2;
            let case = Case { method, version, tls: false, ..case(ForwardHeaders::Default) };
            let got = sent("authorization: Basic x", case);
            assert_eq!(got.contains_key("authorization"), want, "{name}");
            assert_eq!(got["via"], "2.0 FRA.rimward (Rimward)");
            assert_eq!(got["x-forwarded-proto"], "http");
        }
    }

    #[test]
    fn codings() {
        for (name, encoding, headers, want) in [
            ("identity", Encoding::Identity, ForwardHeaders::All, "accept-encoding: identity"),
            ("none kept apart", Encoding::Only(&[]), ForwardHeaders::All, "accept-encoding: identity"),
            (
                "those kept apart",
                Encoding::Only(&[Coding::Zstd, Coding::Brotli, Coding::Gzip]),
                ForwardHeaders::Default,
                "accept-encoding: zstd, br, gzip\nuser-agent: Rimward",
            ),
            ("the viewer's", Encoding::Pass, ForwardHeaders::All, "accept-encoding: deflate"),
            (
                "not the viewer's by default",
                Encoding::Pass,
                ForwardHeaders::Default,
                "accept-encoding: identity\nuser-agent: Rimward",
            ),
        ] {
            let got = rest(sent("accept-encoding: deflate", Case { encoding, ..case(headers) }));
            assert_eq!(got, want, "{name}");
        }
    }

    /// What no key has may not change the answer: a viewer says nothing of hosts and schemes, in any spelling that an origin reads.
    #[test]
    fn nobody_speaks_for_the_edge() {
        let forged = "x_forwarded_for: 6.6.6.6\nforwarded: host=evil\nx-forwarded-host: evil\nx_forwarded_host: evil\nX-Forwarded_Proto: x\n\
                      x_amz_cf_id: x\ncloudfront_viewer_country: XX\nproxy_x: x\nx-mine_too: 1\nx-forwarded-port: 1\n\
                      x-forwarded-scheme: x\nx-forwarded-protocol: x\nx-forwarded-ssl: off\nx-forwarded-prefix: /e\n\
                      x-forwarded-server: evil\nx-original-url: /admin\nx_original_url: /admin\nx-rewrite-url: /admin\n\
                      x-original-host: evil\nx-host: evil\nX_Host: evil\nx-http-host-override: evil\n\
                      x-http-destinationurl: /admin\nx-url-scheme: x\nfront-end-https: on";
        let edge = "accept-encoding: identity\n";
        for (headers, keyed, want) in [
            (ForwardHeaders::Default, &[][..], "user-agent: Rimward\nx-mine_too: 1"),
            (ForwardHeaders::All, &[], "x-mine_too: 1"),
            (
                ForwardHeaders::Only(names(&["forwarded"])),
                &[],
                "forwarded: host=evil\nuser-agent: Rimward\nx-mine_too: 1",
            ),
            (ForwardHeaders::Default, &["forwarded"], "forwarded: host=evil\nuser-agent: Rimward\nx-mine_too: 1"),
            (
                ForwardHeaders::Only(names(&["x-forwarded-port"])),
                &["x-original-url"],
                "user-agent: Rimward\nx-forwarded-port: 1\nx-mine_too: 1\nx-original-url: /admin",
            ),
            (ForwardHeaders::AllExcept(names(&["user-agent"])), &[], "user-agent: Rimward\nx-mine_too: 1"),
        ] {
            let got = rest(sent(forged, Case { keyed, ..case(headers) }));
            assert_eq!(got, format!("{edge}{want}"));
        }
    }

    #[test]
    fn nothing_of_a_signature_goes_on_and_no_other_method() {
        let mut fields =
            map("authorization: AWS4-HMAC-SHA256 x\nx-amz-security-token: t\nx-http-method-override: PUT\n\
             x_http_method_override: DELETE\nx-method-override: PUT\nx_http-method: PUT\nx-method: kept");
        unsigned(&mut fields);
        as_judged(&mut fields);
        assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-method"]);
    }

    #[test]
    fn handshakes_and_trailers() {
        let handshake = "connection: Upgrade, x-hop\nx-hop: 1\nupgrade: websocket\nsec-websocket-key: k";
        let edge = "accept-encoding: identity\n";
        for (name, upgrade, grpc, want) in [
            ("WebSocket", true, false, "connection: upgrade\nsec-websocket-key: k\nupgrade: websocket"),
            ("any other upgrade ends here", false, false, "sec-websocket-key: k"),
            ("gRPC", false, true, "sec-websocket-key: k\nte: trailers"),
        ] {
            let got = rest(sent(handshake, Case { upgrade, grpc, ..case(ForwardHeaders::All) }));
            assert_eq!(got, format!("{edge}{want}"), "{name}");
        }
    }

    #[test]
    fn the_origins_own_fields_replace() {
        let custom = vec![(HeaderName::from_static("x-mine"), Secret::new(HeaderValue::from_static("secret")))];
        let out = sent("x-mine: a\nx-mine: b", Case { custom, ..case(ForwardHeaders::All) });
        assert_eq!(out.get_all("x-mine").iter().collect::<Vec<_>>(), ["secret"]);
    }
}
