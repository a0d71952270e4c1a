//! Event: an exchange as CloudFront Functions' JSON (CloudFront Developer Guide, "CloudFront Functions event structure").
//!
//! In: an exchange. Out: text. Never: Cookie and Set-Cookie among the headers; they have members of their own.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::HeaderMap;
use http::header::{COOKIE, HeaderName, SET_COOKIE};

use crate::hooks::exchange::{Exchange, Response};
use crate::hooks::fields;

use super::super::write::{comma, key, member, principal, string, text};
use super::pairs::{self, Group};

pub fn event(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let lines = request.headers.len() + exchange.response.as_ref().map_or(0, |response| response.headers.len());
    let mut out = String::with_capacity(1024 + 128 * lines);
    out.push_str("{\"version\":\"1.0\",\"context\":{");
    member(&mut out, "distributionDomainName", &exchange.site.domain);
    member(&mut out, "distributionId", &exchange.site.distribution);
    member(&mut out, "eventType", exchange.event.as_str());
    member(&mut out, "requestId", &exchange.request_id);
    _ = write!(out, "}},\"viewer\":{{\"ip\":\"{}\"", request.client_ip);
    principal(&mut out, exchange);
    out.push_str("},\"request\":{");
    member(&mut out, "method", request.method.as_str());
    member(&mut out, "uri", &request.uri);
    key(&mut out, "querystring");
    write_groups(&mut out, &pairs::group(pairs::query(&request.query)));
    key(&mut out, "headers");
    write_fields(&mut out, &request.headers);
    key(&mut out, "cookies");
    let lines = lines_of(&request.headers, &COOKIE);
    write_groups(&mut out, &pairs::group(lines.iter().flat_map(|line| pairs::cookies(line))));
    out.push('}');
    if let Some(response) = &exchange.response {
        key(&mut out, "response");
        write_response(&mut out, response);
    }
    out.push('}');
    out
}

fn write_response(out: &mut String, response: &Response) {
    _ = write!(out, "{{\"statusCode\":{}", response.status.as_u16());
    member(out, "statusDescription", response.status.canonical_reason().unwrap_or_default());
    key(out, "headers");
    write_fields(out, &response.headers);
    key(out, "cookies");
    let lines = lines_of(&response.headers, &SET_COOKIE);
    write_groups(out, &pairs::group(lines.iter().map(|line| pairs::set_cookie(line))));
    out.push('}');
}

/// The lines of a field, as text.
pub fn lines_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Cow<'a, str>> {
    headers.get_all(name).iter().map(|value| text(value.as_bytes())).collect()
}

/// Whether a field is shown among the headers.
pub fn listed(name: &str) -> bool {
    name != "cookie" && name != "set-cookie"
}

fn write_fields(out: &mut String, headers: &HeaderMap) {
    out.push('{');
    for name in headers.keys().filter(|name| listed(name.as_str()) && !fields::hidden(name.as_str())) {
        key(out, name.as_str());
        let lines = headers.get_all(name).iter().map(|value| (text(value.as_bytes()), None));
        write_values(out, lines);
    }
    out.push('}');
}

fn write_groups(out: &mut String, groups: &[Group<'_>]) {
    out.push('{');
    for group in groups {
        comma(out);
        string(out, group[0].name);
        out.push(':');
        write_values(out, group.iter().map(|pair| (Cow::Borrowed(pair.value), pair.attributes)));
    }
    out.push('}');
}

/// `{"value":"first","multiValue":[…]}`; the list only when there are several.
fn write_values<'v>(out: &mut String, mut values: impl Iterator<Item = (Cow<'v, str>, Option<&'v str>)>) {
    out.push('{');
    let Some(first) = values.next() else {
        out.push('}');
        return;
    };
    write_value(out, &first);
    let mut rest = values.peekable();
    if rest.peek().is_some() {
        key(out, "multiValue");
        out.push('[');
        for value in std::iter::once(first).chain(rest) {
            comma(out);
            out.push('{');
            write_value(out, &value);
            out.push('}');
        }
        out.push(']');
    }
    out.push('}');
}

fn write_value(out: &mut String, (value, attributes): &(Cow<'_, str>, Option<&str>)) {
    member(out, "value", value);
    if let Some(attributes) = attributes {
        member(out, "attributes", attributes);
    }
}
