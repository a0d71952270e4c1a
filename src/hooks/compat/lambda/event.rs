//! Event: an exchange as Lambda@Edge's JSON (CloudFront Developer Guide, "Lambda@Edge event structure").
//!
//! In: an exchange. Out: text. Never: a field that functions do not see.

use std::fmt::Write as _;

use http::{HeaderMap, Version};

use crate::hooks::exchange::{Exchange, Origin, Request, Response, shown};
use crate::hooks::fields;

use super::super::places;
use super::super::write::{base64, comma, key, member, number, principal, string, text, title};
use super::origin;

/// What AWS says of every custom origin's TLS; this PoP speaks TLS 1.2 and 1.3 only.
pub const SSL_PROTOCOLS: &str = "[\"TLSv1.2\"]";

pub fn event(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let lines = request.headers.len() + exchange.response.as_ref().map_or(0, |response| response.headers.len());
    let body = request.body.as_ref().map_or(0, |body| body.data.len() / 3 * 4);
    let mut out = String::with_capacity(1024 + 128 * lines + body);
    out.push_str("{\"Records\":[{\"cf\":{\"config\":{");
    member(&mut out, "distributionDomainName", &exchange.site.domain);
    member(&mut out, "distributionId", &exchange.site.distribution);
    member(&mut out, "eventType", exchange.event.as_str());
    member(&mut out, "requestId", &exchange.request_id);
    out.push('}');
    principal(&mut out, exchange);
    out.push_str(",\"request\":");
    write_request(&mut out, request, exchange.event.is_request());
    if let Some(response) = &exchange.response {
        key(&mut out, "response");
        write_response(&mut out, response);
    }
    out.push_str("}}]}");
    out
}

fn write_request(out: &mut String, request: &Request, asked: bool) {
    out.push_str("{\"clientIp\":");
    _ = write!(out, "\"{}\"", request.client_ip);
    key(out, "headers");
    // HTTP/2 has no capitals to keep; of HTTP/1.1 the usual ones are shown.
    write_fields(out, &request.headers, request.version < Version::HTTP_2);
    member(out, "method", request.method.as_str());
    member(out, "querystring", &request.query);
    member(out, "uri", &request.uri);
    if let Some(body) = request.body.as_ref().filter(|_| asked) {
        key(out, "body");
        _ = write!(out, "{{\"inputTruncated\":{},\"action\":\"read-only\",\"encoding\":\"base64\"", body.truncated);
        key(out, "data");
        base64(out, &body.data);
        out.push('}');
    }
    if let Some(origin) = &request.origin {
        key(out, "origin");
        write_origin(out, origin);
    }
    out.push('}');
}

fn write_response(out: &mut String, response: &Response) {
    _ = write!(out, "{{\"status\":\"{}\"", response.status.as_u16());
    member(out, "statusDescription", response.status.canonical_reason().unwrap_or_default());
    key(out, "headers");
    write_fields(out, &response.headers, true);
    out.push('}');
}

fn write_origin(out: &mut String, origin: &Origin) {
    // As CloudFront does: a bucket is one by the name of its host.
    let bucket = places::bucket(&origin.host);
    out.push_str(if bucket.is_some() { "{\"s3\":{" } else { "{\"custom\":{" });
    if bucket.is_some() {
        member(out, "authMethod", if origin.signed { origin::SIGNED } else { origin::UNSIGNED });
    }
    key(out, "customHeaders");
    out.push('{');
    for (at, (name, _)) in origin.headers.iter().enumerate() {
        // A name twice is one member with two lines; a secret's value is not shown.
        if origin.headers[..at].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        let lines = origin.headers[at..].iter().filter(|(other, _)| other == name).map(|(_, value)| shown(value));
        comma(out);
        write_lines(out, name.as_str(), lines, true);
    }
    out.push('}');
    member(out, "domainName", &origin.host);
    if let Some(region) = bucket {
        member(out, "path", &origin.path);
        member(out, "region", region);
        out.push_str("}}");
        return;
    }
    key(out, "keepaliveTimeout");
    number(out, origin.keepalive_timeout.as_secs());
    member(out, "path", &origin.path);
    key(out, "port");
    number(out, u64::from(origin.port));
    member(out, "protocol", if origin.tls { "https" } else { "http" });
    key(out, "readTimeout");
    number(out, origin.read_timeout.as_secs());
    key(out, "sslProtocols");
    out.push_str(SSL_PROTOCOLS);
    out.push_str("}}");
}

fn write_fields(out: &mut String, headers: &HeaderMap, titled: bool) {
    out.push('{');
    for name in headers.keys().filter(|name| !fields::hidden(name.as_str())) {
        comma(out);
        write_lines(out, name.as_str(), headers.get_all(name).iter().map(|value| value.as_bytes()), titled);
    }
    out.push('}');
}

/// `"name":[{"key":"Name","value":"…"},…]`. A field's name needs no escapes.
fn write_lines<'v>(out: &mut String, name: &str, lines: impl Iterator<Item = &'v [u8]>, titled: bool) {
    out.push('"');
    out.push_str(name);
    out.push_str("\":[");
    for value in lines {
        comma(out);
        out.push_str("{\"key\":\"");
        if titled {
            title(out, name)
        } else {
            out.push_str(name)
        }
        out.push_str("\",\"value\":");
        string(out, &text(value));
        out.push('}');
    }
    out.push(']');
}
