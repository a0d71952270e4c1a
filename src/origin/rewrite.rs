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
/// Fields that frame a message, or that the edge reads or writes itself and an origin must not read otherwise from a double with `_`.
const NEVER_DOUBLED: [&str; 11] = [
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "http2-settings",
    "accept-encoding",
    "user-agent",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];
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

/// The name as a CGI would read it, in its other spelling.
fn folded(text: &str) -> Cow<'_, str> {
    if text.contains('_') { Cow::Owned(text.replace('_', "-")) } else { Cow::Borrowed(text) }
}

/// Whether the viewer's own field `name` goes on at all.
pub fn goes_on(name: &HeaderName, policy: &RequestPolicy, key: &KeyPolicy, method: &Method) -> bool {
    let text = name.as_str();
    // A CGI's environment has `_` for `-` (RFC 3875 §4.1.18).
    let plain = folded(text);
    if SPOOFED.contains(&&*plain) {
        return false;
    }
    let named =
        || matches!(&policy.headers, ForwardHeaders::Only(list) if list.contains(name)) || key.headers.contains(name);
    if SPOOFED_PREFIXES.iter().any(|prefix| plain.starts_with(prefix)) {
        // Of `cloudfront-…`, the edge has set those that the behavior names, and dropped what the viewer sent.
        return text.starts_with("cloudfront-") && named();
    }
    if NEVER_DOUBLED.contains(&&*plain) && *plain != *text {
        return false;
    }
    // One spelling is in the key, or kept from the origin, and an origin may read another for it.
    let doubles = |other: &HeaderName| other != name && folded(other.as_str()) == *plain;
    if NAMED_ONLY.contains(&&*plain) || key.headers.iter().any(doubles) {
        return named();
    }
    if key.headers.contains(name) {
        return true;
    }
    match &policy.headers {
        ForwardHeaders::All => true,
        ForwardHeaders::AllExcept(list) => !list.iter().any(|except| except == name || doubles(except)),
        ForwardHeaders::Only(list) if list.contains(name) => true,
        ForwardHeaders::Only(_) | ForwardHeaders::Default => {
            let reads = [Method::GET, Method::HEAD].contains(method);
            !(DEFAULT_REMOVED.contains(&&*plain) || (*name == header::AUTHORIZATION && reads))
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
mod tests;
