//! Tests: which fields an origin gets.

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
    let mut lines: Vec<_> = out.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
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
    for (method, want) in [(Method::GET, false), (Method::HEAD, false), (Method::POST, true), (Method::DELETE, true)] {
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
        (ForwardHeaders::Only(names(&["forwarded"])), &[], "forwarded: host=evil\nuser-agent: Rimward\nx-mine_too: 1"),
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

/// A CGI, and who decodes its names, has one field for `-` and `_`: no double speaks for the frame, the key or what a policy removes.
#[test]
fn no_double_of_what_the_edge_decides_goes_on() {
    let doubles = "transfer_encoding: chunked\nContent_Length: 4\nkeep_alive: x\nhttp2_settings: AA\naccept_encoding: br\nuser_agent: x\n\
                   if_none_match: x\nif_modified_since: x\nif_range: x\nx_lang: fr\naccept_language: fr\nx_real-ip: 6.6.6.6\n\
                   x-lang: de\nx_mine: 1";
    let edge = "accept-encoding: identity\n";
    for (name, headers, keyed, want) in [
        ("default", ForwardHeaders::Default, &[][..], "user-agent: Rimward\nx-lang: de\nx_lang: fr\nx_mine: 1"),
        ("keyed", ForwardHeaders::Default, &["x-lang"], "user-agent: Rimward\nx-lang: de\nx_mine: 1"),
        ("the other keyed", ForwardHeaders::Default, &["x_lang"], "user-agent: Rimward\nx_lang: fr\nx_mine: 1"),
        (
            "all but one",
            ForwardHeaders::AllExcept(names(&["x-mine"])),
            &[],
            "accept_language: fr\nx-lang: de\nx_lang: fr\nx_real-ip: 6.6.6.6",
        ),
        (
            "both keyed",
            ForwardHeaders::Default,
            &["x-lang", "x_lang"],
            "user-agent: Rimward\nx-lang: de\nx_lang: fr\nx_mine: 1",
        ),
        ("all", ForwardHeaders::All, &["x-lang"], "accept_language: fr\nx-lang: de\nx_mine: 1\nx_real-ip: 6.6.6.6"),
        (
            "named",
            ForwardHeaders::Only(names(&["x_lang", "transfer_encoding", "content_length"])),
            &["x-lang"],
            "user-agent: Rimward\nx-lang: de\nx_lang: fr\nx_mine: 1",
        ),
    ] {
        let got = rest(sent(doubles, Case { keyed, ..case(headers) }));
        assert_eq!(got, format!("{edge}{want}"), "{name}");
    }
}

#[test]
fn nothing_of_a_signature_goes_on_and_no_other_method() {
    let mut fields = map("authorization: AWS4-HMAC-SHA256 x\nx-amz-security-token: t\nx-http-method-override: PUT\n\
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
